"""Rules of Gather and its kin: what was read from a place is added to it."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, defvjp, vjp
from onnxsal.autodiff.rules.common import add_elements, add_slices, constant, element_numbers, pad, put_back, rank_of
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape


@vjp("Gather", slots=(True, False))
def _gather(call: Call) -> list[Gradient]:
    op, g, (x, indices) = call.op, call.g, call.node.inputs
    assert x is not None and indices is not None
    axis = call.attributes["axis"] % rank_of(x)
    run = _run(x, indices, axis)
    if run is not None:
        low, high = run
        kept = g if rank_of(indices) == 1 else op.Unsqueeze(g, [axis])
        return [pad(op, kept, [low, high], [axis], rank_of(x))]
    if axis == 0:
        return [add_slices(op, g, op.Unsqueeze(op.cast(indices, ir.DataType.INT64), [-1]), x)]
    return [put_back(op, g, op.Gather(element_numbers(op, x), indices, axis=axis), x)]


def _run(x: ir.Value, indices: ir.Value, axis: int) -> tuple[int, int] | None:
    """Return how much lies before and after the indices, where they are known to be one or a run of neighbours."""
    known, shape = constant(indices), dims(x)
    size = None if shape is None else shape[axis]
    if known is None or not isinstance(size, int) or known.ndim > 1 or known.size == 0:
        return None
    places = [int(i) % size for i in known.reshape(-1)]
    if places != list(range(places[0], places[0] + len(places))):
        return None
    return places[0], size - places[-1] - 1


def _gather_elements(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, indices: ir.Value, *, axis: int) -> ir.Value:
    return add_elements(op, g, indices, x, axis)


def _gather_nd(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, indices: ir.Value, *, batch_dims: int) -> ir.Value:
    if batch_dims == 0:
        return add_slices(op, g, indices, x)
    return put_back(op, g, op.GatherND(element_numbers(op, x), indices, batch_dims=batch_dims), x)


defvjp("GatherElements", _gather_elements, None)
defvjp("GatherND", _gather_nd, None)
