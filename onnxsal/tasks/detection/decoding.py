"""What a graph proves of boxes by how it works them out: which numbers they are, and in which unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.as_run import constant_of
from onnxsal.tasks.detection.pieces import Piece, pieces_of

_ARITHMETIC = frozenset({
    "Add", "Cast", "Clip", "Concat", "Div", "Exp", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "Max", "Min", "Mul", "Neg", "Pow", "Reshape", "ScatterND", "Slice", "Softplus", "Split", "Squeeze",
    "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
"""What decodes boxes; whatever else makes numbers made those that are decoded."""

_ORDERS = frozenset({
    "Cast", "Clip", "Concat", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose",
    "Unsqueeze",
})  # fmt: skip
"""What leaves numbers as they are."""

_SAME = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""What gives numbers other axes, in the same order."""

_BEYOND = 8.0
"""A constant in the decoding from which on boxes are in pixels: strides and anchors are, shares have none."""

_BOTH = 2
_COORDINATES = 4
_MOST = 400


def form_of(pieces: Sequence[Piece]) -> str | None:
    """Return what four channels are by how they are made: ``ltrb``, ``cxcywh``, or ``tlbr`` where the two of a corner
    change places; None where that is not seen."""
    if sum(piece.channels for piece in pieces) != _COORDINATES:
        return None
    if len(pieces) == 1:
        piece = pieces[0]
        if not piece.is_whole():
            return None
        inner = _unscaled(piece.values[0])
        found = pieces_of(inner, piece.axis)
        return form_of(found) if len(found) > 1 or (found and found[0].values[0] is not piece.values[0]) else None
    near, far = _halves(pieces)
    if near is None or far is None:
        return None
    form = _form(near, far)
    return ("tlbr" if form == "ltrb" else None) if _is_turned(pieces) else form


def _is_turned(pieces: Sequence[Piece]) -> bool:
    """Whether y stands before x: the second channel of the same values before the first, in both halves."""
    if len(pieces) != _COORDINATES:
        return False
    pairs = (pieces[:_BOTH], pieces[_BOTH:])
    return all(a.values == b.values and a.start > b.start for a, b in pairs)


def _halves(pieces: Sequence[Piece]) -> tuple[ir.Value | None, ir.Value | None]:
    """Return the values of the first and of the last two channels."""
    if [p.channels for p in pieces] in ([2, 2], [1, 1, 1, 1]):
        return _as_made(pieces[0].values[0]), _as_made(pieces[-1].values[0])
    return None, None


def _as_made(value: ir.Value) -> ir.Value:
    """Return the value whose numbers these are: each number that is stacked with others has an axis put in."""
    node = value.producer()
    while node is not None and not node.domain and node.op_type in _SAME and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _form(near: ir.Value, far: ir.Value) -> str | None:
    first, second = (_unscaled(value) for value in (near, far))
    if _is(first, "Sub") and _is(second, "Add"):
        return "ltrb"
    if _is(first, "Add") and _is(second, "Sub") and _is_half(near):
        return "cxcywh"
    grows = [any(_is(v, "Exp", "Pow", "Softplus") or _is_square(v) for v in _decoding(value)) for value in (near, far)]
    return "cxcywh" if grows == [False, True] else None


def _is(value: ir.Value, *operators: str) -> bool:
    node = value.producer()
    return node is not None and not node.domain and node.op_type in operators


def _is_square(value: ir.Value) -> bool:
    node = value.producer()
    return _is(value, "Mul") and node is not None and node.inputs[0] is node.inputs[1]


def _is_half(value: ir.Value) -> bool:
    """Whether a value is half of another: the middle of two."""
    node = value.producer()
    if node is None or node.op_type not in ("Div", "Mul"):
        return False
    numbers = [constant_of(v) for v in node.inputs]
    wanted = 2.0 if node.op_type == "Div" else 0.5
    return any(n is not None and n.size and bool((np.asarray(n) == wanted).all()) for n in numbers)


def _unscaled(value: ir.Value) -> ir.Value:
    """Return what a value is a multiple of, by constants; the value itself where it is none."""
    for _ in range(_COORDINATES):
        node = value.producer()
        if node is None or node.domain:
            return value
        if node.op_type in ("Clip", "Identity", "Cast") and node.inputs[0] is not None:
            value = node.inputs[0]
            continue
        if node.op_type not in ("Mul", "Div") or len(node.inputs) != _BOTH:
            return value
        left, right = node.inputs
        if right is not None and left is not None and constant_of(right) is not None:
            value = left
        elif node.op_type == "Mul" and left is not None and right is not None and constant_of(left) is not None:
            value = right
        else:
            return value
    return value


def unit_of(values: Sequence[ir.Value]) -> str:
    """Return ``pixels`` or ``shares`` (of the picture, 0 to 1), by the constants that decode boxes.

    What is at last divided by a side are shares, whatever it was before.
    """
    if values and all(_last_factor(value) <= 1 / _BEYOND for value in values):
        return "shares"
    return "pixels" if any(_largest(value) >= _BEYOND for value in values) else "shares"


def _last_factor(value: ir.Value) -> float:
    """Return what a value is multiplied with at last, by a constant behind all sums."""
    for _ in range(_MOST):
        node = value.producer()
        if node is None or node.domain or not node.inputs or node.inputs[0] is None:
            return 1.0
        if node.op_type in ("Mul", "Div"):
            numbers = [constant_of(v) for v in node.inputs]
            at = next((i for i, n in enumerate(numbers) if n is not None and n.size and n.dtype.kind == "f"), None)
            if at is None or (node.op_type == "Div" and at == 0):
                return 1.0
            most = float(np.abs(np.asarray(numbers[at], np.float64)).max())
            return most if node.op_type == "Mul" else 1 / most if most else 1.0
        if node.op_type not in _ORDERS:
            return 1.0
        value = node.inputs[0]
    return 1.0


def _largest(value: ir.Value) -> float:
    """Return the largest number in a value's decoding: what it adds, multiplies by, or picks anchors from."""
    found = 0.0
    for each in _decoding(value):
        node = each.producer()
        if node is None:
            continue
        for at, operand in enumerate(node.inputs):
            numbers = constant_of(operand)
            if numbers is None or not numbers.size or numbers.dtype.kind != "f":
                continue
            sizes = np.abs(numbers[np.isfinite(numbers)])
            most = float(sizes.max()) if sizes.size else 0.0
            divides = node.op_type == "Div" and at == 1
            found = max(found, 1 / most if divides and most else 0.0 if divides else most)
    return found


def is_decoded(values: Sequence[ir.Value]) -> bool:
    """Return whether boxes are worked out of what a layer puts out, rather than being that."""
    return all(any(_is(v, "Add", "Sub", "Mul", "Exp") for v in _decoding(value)) for value in values)


def are_turned(boxes: Sequence[Piece], by: Piece) -> bool:
    """Return whether boxes are worked out with the sine and the cosine of a channel: they are turned by it."""
    found = {
        node.op_type
        for piece in boxes for value in piece.values for node in _read(value)
        if node.op_type in ("Sin", "Cos") and _holds(node.inputs[0], by)
    }  # fmt: skip
    return by.channels == 1 and len(found) == _BOTH


def _read(value: ir.Value) -> Iterator[ir.Node]:
    """Yield the nodes whose numbers a decoding reads."""
    nodes = (each.producer() for each in _decoding(value))
    operands = (operand for node in nodes if node is not None for operand in node.inputs if operand is not None)
    yield from (maker for operand in operands if (maker := operand.producer()) is not None and not maker.domain)


def _holds(value: ir.Value | None, piece: Piece) -> bool:
    """Whether a value is a piece of one channel, or is put together as that is."""
    if value is None or value in piece.values:
        return value is not None
    axes = [axis for axis, size in enumerate(dims(value) or ()) if axis and size == 1]
    made = (pieces_of(value, axis) for axis in axes)
    return any(len(each) == 1 and set(each[0].values) == set(piece.values) for each in made)


def _decoding(value: ir.Value) -> Iterator[ir.Value]:
    """Yield the values that decode boxes, last first."""
    seen, waiting = set[ir.Value](), [value]
    while waiting and len(seen) < _MOST:
        each = waiting.pop()
        node = each.producer()
        if each in seen or node is None or node.domain or node.op_type not in _ARITHMETIC:
            continue
        seen.add(each)
        yield each
        waiting += [v for v in node.inputs if v is not None]
