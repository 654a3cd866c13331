"""Recordings: models that take one chunk at a time and carry state, run over many, and their chunks in a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError, UsageError, nearest
from onnxsal.graph import Program, dims
from onnxsal.graph.files import to_proto
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.audio.heard import Heard
from onnxsal.modalities.finite import check_finite
from onnxsal.model.constants import fitting
from onnxsal.model.defaults import states
from onnxsal.model.living import living
from onnxsal.model.model import Model
from onnxsal.model.recorded import of_waveform, read_recorded
from onnxsal.model.roles import free_inputs, roles_of

Array = NDArray[Any]

_DOMAIN, _STEP = "sal.chunk", "Chunk"


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording that a model is run over chunk by chunk, its state carried, and what of it is explained.

    ``onnxsal.explain(model, Recording(...))`` explains the score of one chunk, by all chunks that ``unrolled`` says.

    Args:
        thing: an array of the model's axes but for the length of time (that of the batch may be left out), its ``.npy``
            file, of sequences a CSV file, of sound a sound file.
        chunk: steps that go in at once; by default what the file fixes, or ``load(size=)``.
        hop: of them the new ones, by default all: the others are the last of the chunk before, and zeros at first.
        at: the number of the chunk that is explained, from 0; second: where it lies, with ``rate`` steps a second (of
            sound by default the model's). By default that of the highest score, where there is one a chunk.
        unrolled: through how many chunks the score is followed back, that one among them. What lies before reaches it
            through the state alone, which is held at its true value.
        states: which output is the next value of which input; by default those that agree in name, shape and type.
        axis: of the input that is time, where there are several positions.
    """

    thing: Any
    chunk: int | None = None
    hop: int | None = None
    at: int | None = None
    second: float | None = None
    rate: float | None = None
    unrolled: int = 1
    states: Mapping[str, str] | None = None
    axis: int | None = None

    def run(self, model: Model) -> Ran:
        """Return what the model puts out for every chunk, and the state in front of each.

        Raises: UsageError: nothing says how long a chunk is, or what is given does not fit. ModelError: a run failed.
        """
        model = of_waveform(model)
        frame = self.framed(model)
        program = model.program(("chunk", frame.wiring), lambda: _step(model))
        session, before, found = model.session(program), [], []
        state: Mapping[str, Array] = frame.first
        for number in range(frame.count):
            before.append(state)
            feeds = {**frame.held, **state, frame.input: frame.part(number, number + 1)}
            found.append(session.run(feeds))
            state = {name: found[-1][after] for name, after in frame.states.items()}
        own = [name for name in found[0] if name not in frame.states.values()]
        outputs = {name: np.stack([each[name] for each in found])[:, 0] for name in own}
        return Ran(frame, outputs, tuple(before), model.task.output)

    def framed(self, model: Model) -> Framing:
        """Return the recording as it is cut for a model. Raises: UsageError: as ``run``."""
        model = of_waveform(model)
        entry, graph = model.anatomy.entry, model.source.graph
        if not any(each.role == "explained" for each in model.inputs) or not entry.input_axes.startswith("N"):
            raise UnsupportedError("recordings are run of models whose input is explained, with a batch in front")
        axis = self._axis(entry.input_axes, entry.spatial)
        given = read_recorded(self.thing, model)
        array = given.array if given.array.ndim == len(entry.input_axes) else given.array[None]
        shape = dims(next(v for v in graph.inputs if v.name == entry.input)) or ()
        wrong = array.ndim != len(shape) or array.dtype.kind not in "fiu" or len(array) != 1 or any(
            isinstance(n, int) and i not in (0, axis) and n != array.shape[i] for i, n in enumerate(shape)
        )  # fmt: skip
        if wrong:
            raise UsageError(
                f"{given.name!r} is {given.array.dtype} {list(given.array.shape)}, and the model takes {list(shape)}, "
                f"of which axis {axis} is time"
            )
        chunk = self._chunk(model, shape[axis], entry.spatial.index(entry.input_axes[axis]))
        hop = chunk if self.hop is None else self.hop
        if not 1 <= hop <= chunk:
            raise UsageError(f"hop={hop}: of {chunk} steps that go in at once from 1 to {chunk} are new")
        wired = _states(model, self.states)
        roles = roles_of(graph, model.asked)
        fixed = {name: each.array for name, each in roles.fills.items()} | {
            name: fitting(each, next(v for v in graph.inputs if v.name == name))
            for name, each in model.asked.held.items()
        }
        first = {name: fixed.pop(name) for name in wired}
        cast = array.astype(entry.dtype.numpy())
        check_finite(cast, repr(given.name))
        return Framing(cast, given.name, entry.input, axis, chunk, hop, wired, first, fixed, self.rate, given.heard)

    def _axis(self, axes: str, spatial: str) -> int:
        if self.axis is not None:
            if not 0 < self.axis < len(axes) or axes[self.axis] not in spatial:
                raise UsageError(f"axis={self.axis}: the axes of the input that may be time are "
                                 f"{[i for i, letter in enumerate(axes) if letter in spatial]}")  # fmt: skip
            return self.axis
        if len(spatial) != 1:
            raise UsageError(f"nothing says which axis of the input {list(axes)} is time: --axis N (axis=)")
        return axes.index(spatial)

    def _chunk(self, model: Model, fixed: Any, place: int) -> int:
        if self.chunk is not None:
            if self.chunk < 1 or (isinstance(fixed, int) and fixed != self.chunk):
                raise UsageError(f"chunk={self.chunk}: the model takes {fixed} steps at once")
            return self.chunk
        if isinstance(fixed, int):
            return fixed
        if model.asked.size is None:
            raise UsageError("the file leaves open how many steps go in at once: --chunk N (chunk=)")
        return model.size[place]


@dataclass(frozen=True, eq=False)
class Framing:
    """A recording cut into chunks, and what else the model takes."""

    array: Array
    """[1, ...], as the model has its axes, with all of the time."""
    name: str
    input: str
    axis: int
    chunk: int
    hop: int
    states: Mapping[str, str]
    first: Mapping[str, Array]
    """The states in front of the first chunk."""
    held: Mapping[str, Array]
    said: float | None = None
    """Steps a second, where that was said."""
    heard: Heard | None = None
    """The sound that it is, where it is one."""

    @property
    def rate(self) -> float | None:
        """Steps a second, as said, or as the model takes its sound."""
        return self.heard.rate if self.said is None and self.heard is not None else self.said

    @property
    def length(self) -> int:
        """Steps of the recording."""
        return int(self.array.shape[self.axis])

    @property
    def lead(self) -> int:
        """Zeros in front of the first step."""
        return self.chunk - self.hop

    @property
    def count(self) -> int:
        """Chunks; the last one is filled up with zeros."""
        return max(-(-self.length // self.hop), 1)

    @property
    def wiring(self) -> tuple[Any, ...]:
        """What tells the program of a chunk."""
        return tuple(sorted(self.states.items()))

    @cached_property
    def padded(self) -> Array:
        """The recording with the zeros in front and behind."""
        behind = self.count * self.hop - self.length
        return np.pad(self.array, [(self.lead, behind) if i == self.axis else (0, 0) for i in range(self.array.ndim)])

    def span(self, first: int, stop: int) -> tuple[int, int]:
        """Return where chunks ``first`` to ``stop`` begin and end in ``padded``."""
        return first * self.hop, (stop - 1) * self.hop + self.chunk

    def part(self, first: int, stop: int) -> Array:
        """Return what chunks ``first`` to ``stop`` see."""
        start, end = self.span(first, stop)
        return np.ascontiguousarray(self.padded.take(np.arange(start, end), axis=self.axis))


@dataclass(frozen=True, eq=False)
class Ran:
    """What a model made of a recording."""

    frame: Framing
    outputs: Mapping[str, Array]
    """Of every output that is no state, [chunks, ...]."""
    before: tuple[Mapping[str, Array], ...]
    """The states in front of every chunk."""
    head: str

    @property
    def scores(self) -> Array:
        """The output that is explained, [chunks, ...]: of one number a chunk a curve, [chunks]."""
        found = self.outputs[self.head]
        return found.reshape(len(found)) if found.size == len(found) else found

    def seconds(self, rate: float) -> Array:
        """Return where every chunk's new steps begin, at so many steps a second."""
        return np.arange(len(self.before)) * self.frame.hop / rate


def _states(model: Model, said: Mapping[str, str] | None) -> dict[str, str]:
    """Return which output is the next state of which input. Raises: UsageError: what is said does not fit."""
    graph, entry = model.source.graph, model.anatomy.entry
    others = [v for v in free_inputs(graph) if v.name != entry.input and is_float(v)]
    if said is None:
        head = model.task.output
        return {str(v.name): after for v, after in states(graph, others, head, living(graph, head)).items()}
    inputs, outputs = ({str(v.name): v for v in values} for values in (others, graph.outputs))
    for before, after in said.items():
        for name, known, what in ((before, inputs, "further input of floats"), (after, outputs, "output")):
            if name not in known:
                raise UsageError(f"states: the model has no {what} {name!r}{nearest(name, known)} (it has "
                                 f"{', '.join(map(repr, known)) or 'none'})")  # fmt: skip
        if inputs[before].dtype != outputs[after].dtype or after == model.task.output:
            raise UsageError(
                f"states: {after!r} is not the next value of {before!r}: it is of another type, or explained"
            )
    return dict(said)


def _step(model: Model) -> Program:
    """Return the program of one chunk: the file as it is, with all that it puts out."""
    op = Program(model.source).extend()
    return op.finish_with({str(v.name): v for v in model.source.graph.outputs for v in [op[str(v.name)]]})


def in_a_row(model: Model, frame: Framing, count: int) -> onnx.ModelProto:
    """Return so many chunks in a row as one model: what the last puts out, of all steps and the state before the first.

    Each is a call of one function, so that the weights are there once.
    """
    made = to_proto(model.source)
    graph, helper = made.graph, onnx.helper
    weights = [each.name for each in (*graph.initializer, *(each.values for each in graph.sparse_initializer))]
    inputs = [v.name for v in graph.input if v.name not in weights]
    outputs = [v.name for v in graph.output]
    opsets = [*(o for o in made.opset_import), helper.make_opsetid(_DOMAIN, 1)]
    function = helper.make_function(_DOMAIN, _STEP, [*inputs, *weights], outputs, list(graph.node), opsets)
    nodes, state = [], {name: name for name in frame.states}
    for step in range(count):
        last = step == count - 1
        named = {name: name if last else f"sal/chunk{step}/{name}" for name in outputs}
        bounds = [f"sal/chunk{step}/{name}" for name in ("from", "to", "axis", "x")]
        start, end = frame.span(step, step + 1)
        for name, value in zip(bounds, (start, end, frame.axis), strict=False):
            graph.initializer.append(onnx.numpy_helper.from_array(np.array([value], np.int64), name))
        nodes.append(helper.make_node("Slice", [frame.input, *bounds[:3]], [bounds[3]]))
        given = [bounds[3] if name == frame.input else state.get(name, name) for name in inputs]
        nodes.append(helper.make_node(_STEP, [*given, *weights], list(named.values()), domain=_DOMAIN))
        state = {name: named[after] for name, after in frame.states.items()}
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    source = next(v for v in graph.input if v.name == frame.input)
    length = source.type.tensor_type.shape.dim[frame.axis]
    length.Clear()
    length.dim_value = frame.span(0, count)[1]
    kept = [v for v in graph.output if v.name not in frame.states.values()]
    del graph.output[:]
    graph.output.extend(kept)
    made.functions.append(function)
    made.opset_import.append(opsets[-1])
    made.ir_version = max(made.ir_version, 8)
    return made
