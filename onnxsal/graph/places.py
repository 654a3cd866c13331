"""Where the images lie in every value of a model that was exported for a fixed number of them.

A batch of one leaves no trace in shapes, so it is followed from the input: as an axis, and how many elements of that
axis lie inside each image (windows and attention heads are folded into the batch axis, outside or inside of it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph.attributes import attributes
from onnxsal.graph.shapes import static

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """The images are the part of ``axis`` with ``inner`` elements of it inside each."""

    axis: int
    inner: int = 1


Places = dict[ir.Value, Place]


def follow_images(graph: ir.Graph, images: ir.Value, count: int) -> Places:
    """Return the place of the images in every value in which they can be followed; ``count`` is how many there are."""
    places: Places = {images: Place(0)}
    for node in graph:
        source = next((v for v in node.inputs if v is not None and v in places), None)
        if source is None:
            continue
        follow = _FOLLOW.get(node.op_type, _aligned)
        for value in node.outputs:
            place = _place(follow, node, value, places, count)
            if place is not None:
                places[value] = place
    return places


def _place(follow: _Follow, node: ir.Node, value: ir.Value, places: Places, count: int) -> Place | None:
    found = [
        _followed(follow, node, i, _Move(places[source], before, after, count))
        for i, source in enumerate(node.inputs)
        if source is not None and source in places
        if (before := static(source)) is not None and (after := static(value)) is not None
    ]
    known = [place for place in found if place is not None]
    return known[0] if known else None


def _followed(follow: _Follow, node: ir.Node, index: int, move: _Move) -> Place | None:
    """A Squeeze without axes takes the only image's axis away: what keeps the shape then keeps its place too."""
    if move.place.axis < len(move.before):
        return follow(node, index, move)
    return move.place if move.before == move.after else None


@dataclass(frozen=True)
class _Move:
    """The images' place in one input, the shapes before and after, and the number of images."""

    place: Place
    before: Sizes
    after: Sizes
    count: int


def _aligned(node: ir.Node, index: int, move: _Move) -> Place | None:
    """Most operators leave axes where they are, aligned at the right."""
    axis = move.place.axis + len(move.after) - len(move.before)
    if axis < 0 or move.after[axis] != move.before[move.place.axis]:
        return None
    return Place(axis, move.place.inner)


def _transpose(node: ir.Node, index: int, move: _Move) -> Place | None:
    perm = attributes(node).get("perm") or list(range(len(move.before)))[::-1]
    return Place(list(perm).index(move.place.axis), move.place.inner)


def _reshape(node: ir.Node, index: int, move: _Move) -> Place | None:
    """The new axis is the one with as many elements to the right of the images as before.

    Several may do, as axes of one leave no trace. An axis of the images alone is preferred, then one that they lead,
    then one that they end; the last axis holds channels or positions, and images only if nothing else does.
    """
    if index > 0:
        return None
    right = move.place.inner * math.prod(move.before[move.place.axis + 1 :])
    fitting = [(i, tail) for i, tail in enumerate(_tails(move.after)) if tail and right % tail == 0]
    fitting = [(i, tail) for i, tail in fitting if move.after[i] % (right // tail * move.count) == 0]
    if not fitting:
        return None
    i, tail = min(fitting, key=lambda pair: _rank(move, right, *pair))
    return Place(i, right // tail)


def _rank(move: _Move, right: int, axis: int, tail: int) -> int:
    leads, ends = move.after[axis] == move.count * right // tail, tail == right
    if leads and ends:
        return 0
    last = axis == len(move.after) - 1
    return 1 if leads and not last else 2 if ends else 3


def _tails(shape: Sizes) -> list[int]:
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def _matmul(node: ir.Node, index: int, move: _Move) -> Place | None:
    summed = len(move.before) - (1 if index == 0 else 2)
    return None if move.place.axis == summed else _aligned(node, index, move)


def _gemm(node: ir.Node, index: int, move: _Move) -> Place | None:
    kept = 1 if attributes(node).get("transA") else 0
    return Place(0, move.place.inner) if index == 0 and move.place.axis == kept else None


def _without_axes(gone: Sequence[int], move: _Move) -> Place | None:
    """Squeeze, reductions, Gather by one index: the axes in front that go shift the others."""
    if move.place.axis in gone:
        return None
    return Place(move.place.axis - sum(axis < move.place.axis for axis in gone), move.place.inner)


def given_axes(node: ir.Node) -> list[int] | None:
    """Return the axes that a node names, in its attribute or its second input."""
    value = node.inputs[1] if len(node.inputs) > 1 else None
    if value is not None and value.const_value is not None:
        return [int(a) for a in value.const_value.numpy().reshape(-1)]
    axes = attributes(node).get("axes")
    return None if axes is None else list(axes)


def _squeeze(node: ir.Node, index: int, move: _Move) -> Place | None:
    if index > 0:
        return None
    axes = given_axes(node)
    if axes is None:
        gone = [i for i, size in enumerate(move.before) if size == 1 and i != move.place.axis]
    else:
        gone = [a % len(move.before) for a in axes]
    return _without_axes(gone, move)


def _unsqueeze(node: ir.Node, index: int, move: _Move) -> Place | None:
    new = {a % len(move.after) for a in given_axes(node) or ()}
    kept = [i for i in range(len(move.after)) if i not in new]
    return Place(kept[move.place.axis], move.place.inner) if index == 0 else None


def _reduce(node: ir.Node, index: int, move: _Move) -> Place | None:
    gone = [a % len(move.before) for a in given_axes(node) or range(len(move.before))]
    if move.place.axis in gone or index > 0:
        return None
    return _without_axes(gone, move) if len(move.after) < len(move.before) else move.place


def _gather(node: ir.Node, index: int, move: _Move) -> Place | None:
    axis = attributes(node)["axis"] % len(move.before)
    if index > 0 or axis == move.place.axis:
        return None
    shift = len(move.after) - len(move.before) if axis < move.place.axis else 0
    return Place(move.place.axis + shift, move.place.inner)


def _einsum(node: ir.Node, index: int, move: _Move) -> Place | None:
    operands, _, result = str(attributes(node)["equation"]).replace(" ", "").partition("->")
    letters = operands.split(",")[index]
    if "." in operands or letters[move.place.axis] not in result:
        return None
    return Place(result.index(letters[move.place.axis]), move.place.inner)


def _nowhere(node: ir.Node, index: int, move: _Move) -> Place | None:
    return None


_Follow = Callable[[ir.Node, int, _Move], Place | None]
_FOLLOW: dict[str, _Follow] = {
    "Transpose": _transpose, "Reshape": _reshape, "Flatten": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Gemm": _gemm, "MatMul": _matmul, "MatMulInteger": _matmul, "Gather": _gather, "Einsum": _einsum,
    "Shape": _nowhere, "Size": _nowhere,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd",
                     "ReduceSumSquare", "ReduceLogSumExp"), _reduce),
}  # fmt: skip
