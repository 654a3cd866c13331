"""The raw maps of a program or a record in the graph: what they read of the model, and what they compute anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import onnx_ir as ir

from onnxsal.anatomy import Layer, X
from onnxsal.compiler.by_row import taken
from onnxsal.compiler.front import stands_in
from onnxsal.compiler.inputs import fed_batch
from onnxsal.compiler.nothing import named, nothing_of
from onnxsal.compiler.work import Result, Values, Work
from onnxsal.explanation.request import Request
from onnxsal.folding import Folded, Shared, elements_read, fold_record, fold_tail, graft, image_elements, typed
from onnxsal.folding.baselines import BaselineMaker
from onnxsal.graph import Program, Tape, dims
from onnxsal.records import CoarseMasks, Record

CHEAP = 4
"""Pictures' worth of numbers that a guarded branch may read from the model. Whatever a branch reads has to be written
out whole by layers that otherwise pass it on in a faster layout: prediction would pay for more."""


@dataclass(frozen=True)
class Read:
    """What the explanation reads of the graph around it."""

    x: ir.Value
    """The explained value, as ``sal/x``."""
    targets: Mapping[str, ir.Value]
    """The programs' target inputs."""
    there: Values
    """The model's own values by name."""
    front: ir.Value | None
    """What the explained value is computed from."""
    photo: ir.Value | None
    """What is drawn on."""
    seeds: ir.Value | None
    """Of each thing, uint32 [B]."""

    def of(self, op: Tape, rows: ir.Value, there: Values) -> Read:
        """Return what is read of rows [K] alone."""
        own = {name: value for name, value in vars(self).items() if isinstance(value, ir.Value)}
        return replace(self, targets=taken(op, self.targets, rows), there=there, **taken(op, own, rows))


def raw_map(op: Tape, work: Work, part: Result, layer: Layer | None, read: Read) -> ir.Value:
    """Return the raw maps [B, ...] of a program or a record."""
    there = read.there
    if not isinstance(part, Record):
        bound = {X: read.x, **{name: value for name, value in read.targets.items() if name in part.inputs}}
        return graft(op, part, bound, _shared(work, part, layer, there), outputs=["saliency"])["saliency"]
    head = there if part.head is None else _shared(work, part.head, layer, there)
    folded = _folded(op, work, part, layer, read)
    images, state = fold_record(op, folded, read.x, Shared(head, weights_of(there)), read.targets)
    return fold_tail(op, folded, images, state)


def _folded(op: Tape, work: Work, record: Record, layer: Layer | None, read: Read) -> Folded:
    request, key, shape = work.request, (work.request.seed, 0), _varied_shape(work, record)
    name, held = named(record), work.form.switches.noise_held
    baseline: Callable[[Tape, ir.Value], ir.Value]
    own = key if read.seeds is None else (op.Unsqueeze(read.seeds, [1]), 0)
    baseline = BaselineMaker(record.draws.baseline, shape, request.model.black(), own, held)
    if read.front is not None and name is not None and (token := nothing_of(request.model, name)):
        baseline = partial(token.laid, ids=read.front)
    maps = 0 if layer is None else layer.channels
    return Folded(
        record, X, shape, maps, baseline, key, _rows(request), work.any_length, _most_cells(work, record), read.seeds,
        held,
    )  # fmt: skip


def _most_cells(work: Work, record: Record) -> int | None:
    """Return how many cells drawn masks of texts have at most, where nobody said how many they have."""
    request = work.request
    if not (work.any_length and isinstance(record.draws.masks, CoarseMasks)) or "grid" in request.steps.given:
        return None
    longest: int = request.model.modality.usual(request.model.name, (_LONG,))["grid"]  # type: ignore[attr-defined]
    return longest


_LONG = 1 << 20
"""More tokens than any text has."""


def _rows(request: Request) -> int:
    """Draws that go through the model at once: one where its batch is fixed to one."""
    return 1 if isinstance(fed_batch(request.model.anatomy), int) else request.batch_size


def _varied_shape(work: Work, record: Record) -> tuple[int, ...]:
    if record.varies == "x" or record.head is None:
        return work.shape
    varied = typed(record.head).outputs[record.varies]
    return tuple(d if isinstance(d, int) else 0 for d in (dims(varied) or ())[1:])


def _shared(work: Work, program: Program, layer: Layer | None, there: Values) -> Values:
    """Return the values of the model that a program may read: all of them, or few where that costs too much.

    In half precision none behind the picture: a runtime without kernels for it computes on in float32 as long as
    nothing reads what is between, and one reader more changed the model's own output.
    """
    if _is_half(there):
        entry = work.request.model.anatomy.entry
        return {**weights_of(there), **{name: there[name] for name in (entry.input, entry.value)}}
    if work.form.mask_in is not None or elements_read(program, there) <= CHEAP * image_elements(work.shape):
        return there
    entry = work.request.model.anatomy.entry
    kept = {entry.input, entry.value, *(() if layer is None else (layer.name,))}
    return {**weights_of(there), **{name: value for name, value in there.items() if name in kept}}


def _is_half(there: Values) -> bool:
    return any(v.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16) for v in there.values() if v.const_value is None)


def weights_of(there: Values) -> Values:
    """Return what does not depend on the explained value: constants, and what is read past it, a row for each thing."""
    return {name: value for name, value in there.items() if value.const_value is not None or stands_in(name)}
