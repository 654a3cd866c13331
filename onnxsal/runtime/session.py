"""Inference sessions: a program in, named arrays in and out, every failure one clear error."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph import Program, dims
from onnxsal.graph.external import bring_in, external_values
from onnxsal.graph.memory import footprint
from onnxsal.graph.moved import is_moved_int8, write_moved
from onnxsal.graph.unpooled import lacks_ranks, write_ranks
from onnxsal.runtime.environment import onnxruntime
from onnxsal.runtime.failures import failures, translated
from onnxsal.runtime.heap import give_back
from onnxsal.runtime.leaving import GATE
from onnxsal.runtime.nvidia import ON_GPU, missing
from onnxsal.runtime.providers import device_id, no_such_device, providers, unusable

Array = NDArray[Any]
Kept = list[Any]
"""Arrays that ONNX Runtime uses in place."""

Verdict = Literal["free", "mixes", "draws"]
"""Of a batch: it gives what each row gives alone; its rows change each other; two runs of the same rows differ."""

_INLINE = 16 * 2**20
"""Weights above this many bytes are handed over by reference instead of through a serialised model."""


COPIES = 3
"""How often a session holds its weights: as stored, as its kernels want them, and what making those left over."""


class DeviceBuffer(NamedTuple):
    """A float32 array in C order where it is used, without a copy: on which kind of device, its address and shape."""

    device: str
    """``cpu`` or ``cuda``."""
    address: int
    shape: tuple[int, ...]

    def row(self, number: int) -> DeviceBuffer:
        """Return one image of a batch."""
        size = 4 * math.prod(self.shape[1:])
        return DeviceBuffer(self.device, self.address + number * size, (1, *self.shape[1:]))


class Port(NamedTuple):
    """An input or output as ONNX Runtime sees it, which knows more sizes than a file declares."""

    name: str
    type: str
    """In ONNX Runtime's words, such as ``tensor(float)``."""
    shape: tuple[int | str | None, ...]
    """A name: any size, the same wherever it stands; None: any."""
    optional: bool = False
    """Whether it has a default."""

    @classmethod
    def of(cls, value: Any, *, optional: bool = False) -> Port:
        """Return what a session tells of one."""
        return cls(value.name, value.type, tuple(value.shape), optional)


@dataclass(eq=False)
class Rows:
    """What is known of the rows of a program's batch: of every session of it, and after the last one is gone."""

    single: bool
    """Whether it is run row by row."""
    verdict: Verdict | None
    """What a comparison of rows alone and together found (``runtime.together``); None before the first."""
    lock: Any = field(default_factory=RLock, repr=False)
    """Held by who compares: what is run meanwhile may be alone or together."""

    @staticmethod
    def of(program: Program) -> Rows:
        """Return what the shapes of a program say: a batch axis fixed to 1 needs no comparison."""
        single = _is_single(program)
        return Rows(single, "free" if single else None)

    def settle(self, verdict: Verdict | None) -> None:
        """Take a verdict: who sees it sees rows run accordingly."""
        self.single = self.single or verdict in ("mixes", "draws")
        self.verdict = verdict


class Session:
    """A program that ONNX Runtime has loaded; threads may run it at the same time.

    A program whose batch axis is fixed to 1 is run image by image, so callers may always pass batches.
    """

    def __init__(
        self,
        program: Program,
        *,
        provider: str | None = None,
        threads: int | None = None,
        custom_ops: Sequence[str] = (),
        rows: Rows | None = None,
    ) -> None:
        self.inputs = tuple(program.inputs)
        self.outputs = tuple(program.outputs)
        self.rows = Rows.of(program) if rows is None else rows
        self._dtypes = {name: v.dtype.numpy() for name, v in program.inputs.items() if v.dtype is not None}
        self._session, self._weights = _create(program, provider, threads, custom_ops)
        self.provider = str(self._session.get_providers()[0])
        self.on_gpu = self.provider in ON_GPU
        self.device_id = device_id(provider) or 0
        self.placed = _placed(self._session)
        """How many operators run on which provider; empty where only the CPU was asked for, or ONNX Runtime is old."""
        self._footprint, self._most = footprint(program.model), 1

    @property
    def ports(self) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        """What it takes and what it gives."""
        own = self._session
        optional = (Port.of(each, optional=True) for each in own.get_overridable_initializers())
        return (*map(Port.of, own.get_inputs()), *optional), tuple(map(Port.of, own.get_outputs()))

    @property
    def single(self) -> bool:
        """Whether it is run row by row."""
        return self.rows.single

    @single.setter
    def single(self, single: bool) -> None:
        self.rows.single = single

    @property
    def verdict(self) -> Verdict | None:
        """What a comparison of rows alone and together found (``runtime.together``); None before the first."""
        return self.rows.verdict

    @verdict.setter
    def verdict(self, verdict: Verdict | None) -> None:
        self.rows.verdict = verdict

    @property
    def weight(self) -> int:
        """The bytes that it takes, by the graph: weights as stored and reordered, and the arena of its largest batch.

        ONNX Runtime does not say. Measured beside it: see ``COPIES``.
        """
        return COPIES * self._footprint.fixed + self._most * self._footprint.per_image

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Return the outputs by name for arrays by name; feeds that the program does not take are left out.

        Raises: ModelError: the run failed; what ONNX Runtime says of it is in the message.
        """
        names = list(outputs or self.outputs)
        given = {n: np.asarray(feeds[n], self._dtypes.get(n), order="C") for n in self.inputs}
        rows = _rows(given)
        if not self.single or rows == 1:
            return self._run(names, given)
        return _joined(self._run(names, {n: a[i : i + 1] for n, a in given.items()}) for i in range(rows))

    def _run(self, names: list[str], given: dict[str, Array]) -> dict[str, Array]:
        self._most = max(self._most, _rows(given))
        try:
            with GATE.passed():
                return dict(zip(names, self._session.run(names, given), strict=True))
        except failures() as error:
            raise translated(error, "the model cannot be run") from error

    def run_placed(
        self, places: Mapping[str, DeviceBuffer], feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Return the outputs by name, on the host, for inputs that lie where they are used and for arrays.

        Raises: ModelError: the run failed.
        """
        names = list(outputs or self.outputs)
        given = {n: np.ascontiguousarray(feeds[n], dtype=self._dtypes.get(n)) for n in self.inputs if n not in places}
        rows = next(iter(places.values())).shape[0]
        if not self.single or rows == 1:
            return self._run_placed(names, places, given)
        singles = [{n: place.row(i) for n, place in places.items()} for i in range(rows)]
        beside = [{n: a[i : i + 1] for n, a in given.items()} for i in range(rows)]
        return _joined(self._run_placed(names, *pair) for pair in zip(singles, beside, strict=True))

    def run_passing(
        self, feeds: Mapping[str, Array], outputs: Sequence[str], passed: Sequence[str] = (),
        taken: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Any]]:  # fmt: skip
        """Return ``outputs`` as arrays, and ``passed`` as what the next session takes where it lies, by name.

        Args: taken: what another session passed on. Its rows are run at once. Raises: ModelError: the run failed.
        """
        given = {} if taken is None else {n: taken[n] for n in self.inputs if n in taken}
        arrays = {n: np.asarray(feeds[n], self._dtypes.get(n), order="C") for n in self.inputs if n not in given}
        self._most = max(self._most, _rows(arrays))
        try:
            binding = self._session.io_binding()
            for name, value in given.items():
                binding.bind_ortvalue_input(name, value)
            for name, array in arrays.items():
                binding.bind_cpu_input(name, array)
            wanted = dict.fromkeys((*outputs, *passed))
            for name in wanted:
                binding.bind_output(name, *(("cpu", 0) if name in outputs else self._where))
            with GATE.passed():
                self._session.run_with_iobinding(binding)
                found = dict(zip(wanted, binding.get_outputs(), strict=True))
                return {name: found[name].numpy() for name in outputs}, {name: found[name] for name in passed}
        except failures() as error:
            raise translated(error, "the model cannot be run") from error

    @property
    def _where(self) -> tuple[str, int]:
        """The device, and its number, on which it computes."""
        return ("cuda", self.device_id) if self.on_gpu else ("cpu", 0)

    def _run_placed(
        self, names: list[str], places: Mapping[str, DeviceBuffer], given: dict[str, Array]
    ) -> dict[str, Array]:
        self._most = max(self._most, next(iter(places.values())).shape[0])
        try:
            binding = self._session.io_binding()
            for name, place in places.items():
                binding.bind_input(name, place.device, self.device_id, np.float32, place.shape, place.address)
            for name, array in given.items():
                binding.bind_cpu_input(name, array)
            for name in names:
                binding.bind_output(name, "cpu")
            with GATE.passed():
                self._session.run_with_iobinding(binding)
                return dict(zip(names, binding.copy_outputs_to_cpu(), strict=True))
        except failures() as error:
            raise translated(error, "the model cannot be run") from error


def _rows(given: Mapping[str, Array]) -> int:
    """Return how many rows a batch has; what has no axes is one of its own."""
    shape = next((each.shape for each in given.values()), (0,))
    return shape[0] if shape else 1


def _joined(parts: Iterable[dict[str, Array]]) -> dict[str, Array]:
    found = list(parts)
    apart = next((n for n, first in found[0].items() if any(p[n].shape[1:] != first.shape[1:] for p in found)), None)
    if apart is not None:
        shapes = " and ".join(sorted({str(list(part[apart].shape)) for part in found})[:2])
        raise ModelError(f"output {apart!r} has other sizes for other rows of a batch, {shapes}: give one at a time")
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _is_single(program: Program) -> bool:
    shapes = [dims(v) for v in program.inputs.values()]
    return any(shape and shape[0] == 1 for shape in shapes)


def _create(program: Program, provider: str | None, threads: int | None, custom_ops: Sequence[str]) -> tuple[Any, Kept]:
    """Return the inference session and what has to live as long as it does."""
    module = onnxruntime()
    options = options_of(threads, custom_ops)
    # A planned block comes beside what the first run's arena holds already: twice the memory of a gradient, no faster.
    options.enable_mem_pattern = False
    wanted = providers(provider)
    name = wanted[0][0] if isinstance(wanted[0], tuple) else wanted[0]
    if len(wanted) > 1:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        data, kept = _serialise(program.model, options)
        session = module.InferenceSession(data, options, providers=wanted, enable_fallback=0)
    except failures() as error:
        if name in ON_GPU and missing(name):
            raise unusable(name) from error
        if absent := no_such_device(provider):
            raise absent from error
        raise translated(error, "ONNX Runtime cannot load the model", program) from error
    if name not in session.get_providers():
        raise unusable(name)
    if kept:
        give_back()
    return session, kept


def options_of(threads: int | None, custom_ops: Sequence[str]) -> Any:
    """Return the options that every session has. Raises: UnsupportedError: a library of operators cannot be loaded."""
    options = onnxruntime().SessionOptions()
    options.log_severity_level = 4
    # Waiting threads that spin take the cores from the thread that fills the next batch, and from everything else.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    for library in custom_ops:
        _register(options, library)
    return options


def _placed(session: Any) -> dict[str, int]:
    """Return the number of operators by provider, as the session was asked to record it."""
    record = getattr(session, "get_provider_graph_assignment_info", None)  # since ONNX Runtime 1.24
    if record is None or len(session.get_providers()) < 2:
        return {}
    counts: dict[str, int] = {}
    for part in record():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return counts


def _register(options: Any, library: str) -> None:
    """The loader looks for bare names in the system's folders, so the whole path is given."""
    try:
        options.register_custom_ops_library(os.path.abspath(library))
    except failures() as error:
        reason = " ".join(str(error).split())[:300]
        raise UnsupportedError(f"{library!r} cannot be loaded as a library of custom operators: {reason}") from error


def _serialise(model: ir.Model, options: Any) -> tuple[bytes, Kept]:
    """Large weights stay where they are: the message names them, ONNX Runtime gets the arrays beside it."""
    if is_moved_int8(model) or lacks_ranks(model):
        model = model.clone()
        write_moved(model.graph)
        write_ranks(model)
    weights = [v for v in model.graph.initializers.values() if v.const_value is not None]
    if not external_values(model) and sum(v.const_value.nbytes for v in weights if v.const_value) < _INLINE:
        return ir.to_proto(model).SerializeToString(), []
    return _with_references(model, weights, options)


_LEFT_ALONE = frozenset({
    "Conv", "ConvInteger", "ConvTranspose", "GRU", "Gather", "Gemm", "LSTM", "MatMul", "MatMulInteger", "MatMulNBits",
    "QLinearConv", "QLinearMatMul", "RNN",
})  # fmt: skip
"""Operators whose weights ONNX Runtime does not turn: of others it does, in place and under their old name, where a
Transpose moves past them. An array handed over under that name would be read the other way round, in silence where its
sides are equal (findings/ort-initializer-turned-in-place.sh). Most of what weighs much is read by these."""


def _is_left_alone(weight: ir.Value) -> bool:
    return all(node.op_type in _LEFT_ALONE for node, _ in weight.uses())


def _with_references(model: ir.Model, weights: list[ir.Value], options: Any) -> tuple[bytes, Kept]:
    module = onnxruntime()
    large = [v for v in weights if v.const_value is not None and v.const_value.nbytes > 4096]
    # ONNX Runtime takes an array's memory as it lies: a view with other strides would be read as other numbers.
    arrays = [np.ascontiguousarray(v.const_value.numpy()) for v in large if v.const_value is not None]
    values = [
        module.OrtValue.ortvalue_from_numpy_with_onnx_type(a, int(v.dtype or 1))
        for a, v in zip(arrays, large, strict=True)
    ]
    stub = model.clone()
    given = {str(v.name) for v in large}
    # The message has no folder in which what lies outside and is not handed over could be found.
    bring_in(v for v in external_values(stub) if v.graph is not stub.graph or v.name not in given)
    for value, array in zip(large, arrays, strict=True):
        copy = stub.graph.initializers[str(value.name)]
        copy.const_value = ir.ExternalTensor(
            "sal", 0, 1, copy.dtype or ir.DataType.FLOAT, shape=ir.Shape(array.shape), name=str(value.name), base_dir=""
        )
    options.add_external_initializers([str(v.name) for v in large], values)
    for weight, array in zip(large, values, strict=True):
        # The first call lets the optimiser see a weight, this one lets the session use it where it lies.
        if _is_left_alone(weight):
            options.add_initializer(str(weight.name), array)
    return ir.to_proto(stub).SerializeToString(), [*arrays, *values]
