"""Rules of Slice and Pad: what one cuts away, the other puts on."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, vjp
from onnxsal.autodiff.rules.common import element_numbers, fit, integers, pad, put_back, rank_of
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape


@vjp("Slice", slots=(True, False, False, False, False))
def _slice(call: Call) -> list[Gradient]:
    op, g, x = call.op, call.g, call.node.inputs[0]
    assert x is not None
    cuts = _cuts(call.node, x)
    if cuts is None or not all(_can_spread(x, cut) for cut in cuts):
        return [put_back(op, g, op.Slice(element_numbers(op, x), *call.node.inputs[1:]), x)]
    if any(not cut.taken for cut in cuts):
        return [op.zeros_like(x)]
    return [_spread_all(op, g, x, cuts)]


class _Cut:
    """What a Slice takes of one axis: the indices, of how many."""

    def __init__(self, axis: int, taken: range, size: int) -> None:
        self.axis, self.taken, self.size = axis, taken, size


def _cuts(node: ir.Node, x: ir.Value) -> list[_Cut] | None:
    """Return what is taken of every sliced axis; None where a bound or a size is known only at run time."""
    given = [*node.inputs, None, None][1:5]
    vectors = [integers(v) for v in given]
    shape = dims(x)
    if shape is None or any(v is not None and n is None for v, n in zip(given, vectors, strict=True)):
        return None
    starts, ends, axes, steps = vectors
    assert starts is not None and ends is not None
    axes = list(range(len(starts))) if axes is None else [a % len(shape) for a in axes]
    cuts = []
    for axis, start, end, step in zip(axes, starts, ends, steps or [1] * len(starts), strict=True):
        size = shape[axis]
        if not isinstance(size, int):
            return None
        cuts.append(_Cut(axis, range(*_bounds(start, end, step, size)), size))
    return cuts


def _bounds(start: int, end: int, step: int, size: int) -> tuple[int, int, int]:
    """As the operator's page has it: negative bounds count from the end, then all are clamped."""
    start, end = (n + size if n < 0 else n for n in (start, end))
    if step > 0:
        return min(max(start, 0), size), min(max(end, 0), size), step
    return min(max(start, 0), size - 1), min(max(end, -1), size - 1), step


def _can_spread(x: ir.Value, cut: _Cut) -> bool:
    """A step is undone by a Reshape, which infers one size and copies those in front of the axis."""
    shape = dims(x) or ()
    return abs(cut.taken.step) == 1 or sum(not isinstance(d, int) for d in shape[cut.axis + 1 :]) <= 1


def _spread_all(op: Tape, g: ir.Value, x: ir.Value, cuts: list[_Cut]) -> ir.Value:
    """Turn what ran backwards, spread by the steps, pad to the size of ``x``."""
    reverse = [c.axis for c in cuts if c.taken.step < 0 and len(c.taken) > 1]
    if reverse:
        n = len(reverse)
        g = op.Slice(g, [-1] * n, [-(2**31)] * n, reverse, [-1] * n)
    sizes = [d if isinstance(d, int) else -1 for d in dims(x) or ()]
    for cut in cuts:
        sizes[cut.axis] = len(cut.taken)
    pads = []
    for cut in cuts:
        g, low = _spread(op, g, sizes, cut)
        pads.append((low, cut.size - low - sizes[cut.axis]))
    return fit(op, g, [p[0] for p in pads], [p[1] for p in pads], [c.axis for c in cuts], len(sizes))


def _spread(op: Tape, g: ir.Value, sizes: list[int], cut: _Cut) -> tuple[ir.Value, int]:
    """Put zeros between, [.., n, ..] to [.., n, step, ..] to [.., n step, ..]; return also where that begins."""
    taken = cut.taken if cut.taken.step > 0 else cut.taken[::-1]
    if taken.step == 1 or len(taken) == 1:
        return g, taken.start
    first = taken.start % taken.step
    apart = pad(op, op.Unsqueeze(g, [cut.axis + 1]), [first, taken.step - 1 - first], [cut.axis + 1], len(sizes) + 1)
    sizes[cut.axis] = len(taken) * taken.step
    return op.Reshape(apart, [0] * cut.axis + sizes[cut.axis :]), taken.start - first


@vjp("Pad", slots=(True, False, True, False))
def _pad(call: Call) -> list[Gradient]:
    """Pads taken off again. The constant's gradient is all of g that did not come from x."""
    op, g, x = call.op, call.g, call.node.inputs[0]
    given = [*call.node.inputs, None, None, None][1:4]
    pads, _, axes = given
    assert x is not None and pads is not None
    if call.attributes.get("mode", "constant") != "constant":
        source = op.Pad(element_numbers(op, x), pads, None, axes, mode=call.attributes["mode"])
        return [put_back(op, g, source, x)]
    dx = _unpad(op, g, x, pads, axes)
    if not any(call.needed[2:3]):
        return [dx]
    total, own = (op.ReduceSum(v, keepdims=0) for v in (g, dx))
    value = given[1]
    return [dx, None, op.reshape_like(op.Sub(total, own), value) if value is not None else None]


def _unpad(op: Tape, g: ir.Value, x: ir.Value, pads: ir.Value, axes: ir.Value | None) -> ir.Value:
    known, along = integers(pads), list(range(rank_of(x))) if axes is None else integers(axes)
    if known is not None and along is not None:
        n = len(along)
        return fit(op, g, [-p for p in known[:n]], [-p for p in known[n:]], along, rank_of(x))
    low, high = op.emit("Split", pads, num_outputs=2, outputs=2)
    sizes = op.Shape(g) if axes is None else op.Gather(op.Shape(g), axes)
    cut = op.Slice(g, op.Max(low, 0), op.Sub(sizes, op.Max(high, 0)), op.const(along) if axes is None else axes)
    return op.Pad(cut, op.Max(op.Neg(pads), 0), None, axes)
