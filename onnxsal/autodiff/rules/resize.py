"""Rules of resizing: a linear map, so its transpose; nearest sends each gradient to the element that was copied."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, vjp
from onnxsal.autodiff.rules.common import element_numbers, put_back, rank_of, size_at
from onnxsal.autodiff.rules.crop import region_gradient
from onnxsal.autodiff.rules.windows import operand
from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

_BLOCKS = {
    ("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"), ("half_pixel_symmetric", "round_prefer_floor"),
}  # fmt: skip
"""Coordinates and roundings under which a whole-numbered factor repeats every element that often."""

_MODES = ("coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "mode", "nearest_mode", "antialias")


@vjp("Resize", slots=(True, True, True, False))
def _resize(call: Call) -> list[Gradient]:
    """Raises: UnsupportedError: by the scales, of which sizes are steps and places are not."""
    x, roi, scales, _ = (*call.needed, False, False, False)[:4]
    if scales and call.attributes["mode"] != "nearest":
        raise UnsupportedError(f"Resize {call.node.name!r}: no gradient by its scales")
    dx = resize_gradient(call) if x else None
    return [dx, region_gradient(call, _axes(call, operand(call, 0))) if roi else None]


@vjp("Upsample", slots=(True, False))
def _upsample(call: Call) -> list[Gradient]:
    return [resize_gradient(call)]


def resize_gradient(call: Call) -> ir.Value:
    """Return the gradient of a resized value: axis by axis, by the matrix that the operator itself is on each."""
    x = operand(call, 0)
    if call.attributes["mode"] == "nearest":
        return _summed_blocks(call, x) or _moved_back(call, x)
    matrix = _matrix if call.attributes.get("keep_aspect_ratio_policy", "stretch") == "stretch" else _matrix_in_place
    g: ir.Value = call.g
    for axis in _axes(call, x):
        g = _along(call.op, g, matrix(call, x, axis), axis, rank_of(x))
    return g


def _summed_blocks(call: Call, x: ir.Value) -> ir.Value | None:
    """Return sums over the blocks that whole-numbered factors make of each element; None for any other resizing."""
    op, before, after = call.op, dims(x), dims(call.y)
    pair = (call.attributes["coordinate_transformation_mode"], call.attributes["nearest_mode"])
    if pair not in _BLOCKS or before is None or after is None or before[:2] != after[:2] or len(before) < 3:
        return None
    rows = list(zip(before[2:], after[2:], strict=True))
    if not all(isinstance(b, int) and isinstance(a, int) and b and a % b == 0 for b, a in rows):
        return None
    factors = [a // b for b, a in rows if isinstance(b, int) and isinstance(a, int)]
    if not _scales_are(call, factors):
        return None
    mean = op.AveragePool(call.g, kernel_shape=factors, strides=factors)
    return op.Mul(mean, float(np.prod(factors)))


def _scales_are(call: Call, factors: list[int]) -> bool:
    """Whether given scales are these factors; without any, sizes decide and they are."""
    scales = call.node.inputs[2] if len(call.node.inputs) > 2 else None
    if scales is None or static_size(scales) == 0:
        return bool(call.attributes.get("keep_aspect_ratio_policy", "stretch") == "stretch")
    return scales.const_value is not None and bool(scales.const_value.numpy()[-len(factors) :].tolist() == factors)


def _moved_back(call: Call, x: ir.Value) -> ir.Value:
    """Nearest only copies: resized element numbers tell where each element came from."""
    op = call.op
    numbers = op.Cast(element_numbers(op, x), to=ir.DataType.INT32)
    given = {name: attr.value for name, attr in call.node.attributes.items()}
    given.update({"mode": "nearest", "extrapolation_value": -1.0})
    source = op.Cast(op.Resize(numbers, *call.node.inputs[1:], **given), to=ir.DataType.INT64)
    if call.attributes["coordinate_transformation_mode"] != "tf_crop_and_resize":
        return put_back(op, call.g, source, x)
    outside = op.Less(source, 0)
    return put_back(op, op.Where(outside, 0.0, call.g), op.Where(outside, 0, source), x)


def _axes(call: Call, x: ir.Value) -> list[int]:
    """Return the axes that change, as far as that is known."""
    n = rank_of(x)
    named = [a % n for a in call.attributes.get("axes") or range(n)]
    before, after = dims(x) or (None,) * n, dims(call.y) or (None,) * n
    if call.attributes["coordinate_transformation_mode"] == "tf_crop_and_resize":
        return named if call.attributes.get("axes") else [a for a in named if a > 1 or before[a] != after[a]]
    scales = call.node.inputs[2] if len(call.node.inputs) > 2 else None
    values = None if scales is None or scales.const_value is None else scales.const_value.numpy()
    if values is not None and values.size:
        # By a scale of 1.2 an axis may keep its size and is interpolated all the same.
        return [a for i, a in enumerate(named) if values[i] != 1]
    return [a for a in named if before[a] is None or before[a] != after[a]]


def _alone(call: Call, x: ir.Value, axis: int) -> bool:
    """Whether an axis keeps its size while another one changes.

    ONNX Runtime copies where no size changes, whatever the scales: what it would make of this axis alone is not what it
    makes of it beside others.
    """
    n = rank_of(x)
    before, after = dims(x) or (None,) * n, dims(call.y) or (None,) * n
    pairs = list(zip(before, after, strict=True))
    changed = any(isinstance(b, int) and isinstance(a, int) and b != a for b, a in pairs)
    return isinstance(before[axis], int) and before[axis] == after[axis] and changed


def _matrix(call: Call, x: ir.Value, axis: int) -> ir.Value:
    """Return the map along one axis, [size before, size after]: what Resize makes of the unit vectors."""
    op, n = call.op, rank_of(x)
    size = size_at(op, x, axis)
    zeros = op.ConstantOfShape(op.Concat(size, size, axis=0), value=ir.tensor(np.zeros(1, np.float32)))
    eye = op.Unsqueeze(op.EyeLike(zeros), [0, 1])
    roi, scales, _ = (*call.node.inputs[1:], None, None, None)[:3]
    place = _place(call, axis, n)
    modes = {name: call.attributes[name] for name in _MODES if name in call.attributes}
    region = _region(op, roi, place, len(call.attributes.get("axes") or range(n)))
    if scales is not None and static_size(scales) != 0 and region is None and _alone(call, x, axis):
        # An axis of one that is doubled beside it: both halves are the same.
        factor = op.Concat([1.0, 1.0, 2.0], op.Slice(scales, [place], [place + 1], [0]), axis=0)
        beside = op.Resize(op.Transpose(eye, perm=[0, 2, 1, 3]), None, factor, extrapolation_value=0.0, **modes)
        return op.cast(op.Squeeze(op.Slice(beside, [0], [1], [2]), [0, 2]), call.g.dtype)
    if scales is not None and static_size(scales) != 0:
        factor = op.Concat([1.0, 1.0, 1.0], op.Slice(scales, [place], [place + 1], [0]), axis=0)
        whole = op.Resize(eye, region, factor, extrapolation_value=0.0, **modes)
    else:
        sizes = op.Concat([1, 1], size, size_at(op, call.y, axis), axis=0)
        whole = op.Resize(eye, region, None, sizes, extrapolation_value=0.0, **modes)
    return op.cast(op.Squeeze(whole, [0, 1]), call.g.dtype)


def _matrix_in_place(call: Call, x: ir.Value, axis: int) -> ir.Value:
    """The same where the sizes of all axes decide the scale: unit vectors along one axis, constant along the others."""
    op, n = call.op, rank_of(x)
    named = [a % n for a in call.attributes.get("axes") or range(n)]
    if min(named) < 2:
        raise UnsupportedError(
            f"Resize {call.node.name!r}: no gradient with keep_aspect_ratio_policy over batch or channels"
        )
    size = size_at(op, x, axis)
    zeros = op.ConstantOfShape(op.Concat(size, size, axis=0), value=ir.tensor(np.zeros(1, np.float32)))
    shape = op.Concat([1], size, *(size if a == axis else [1] for a in range(2, n)), axis=0)
    full = op.Concat([1], size, op.Shape(x, start=2), axis=0)
    units = op.Expand(op.Reshape(op.EyeLike(zeros), shape), full)
    given = {name: attr.value for name, attr in call.node.attributes.items()}
    resized = op.Resize(units, *call.node.inputs[1:], **given)
    others = [a for a in range(2, n) if a != axis]
    picked = op.Slice(resized, [0] * len(others), [1] * len(others), others) if others else resized
    return op.cast(op.Squeeze(picked, [0, *others]), call.g.dtype)


def static_size(v: ir.Value) -> int | None:
    """Return how many elements a vector has, None where that is unknown."""
    shape = dims(v)
    return shape[0] if shape and isinstance(shape[0], int) else None


def _place(call: Call, axis: int, n: int) -> int:
    named = [a % n for a in call.attributes.get("axes") or range(n)]
    return named.index(axis)


def _region(op: Tape, roi: ir.Value | None, place: int, n: int) -> ir.Value | None:
    if roi is None or static_size(roi) == 0:
        return None
    start, stop = op.Slice(roi, [place], [place + 1], [0]), op.Slice(roi, [place + n], [place + n + 1], [0])
    corners = [0.0] * 3
    return op.cast(op.Concat(op.cast(op.const(corners, ir.DataType.FLOAT), roi.dtype), start,
                             op.cast(op.const([1.0] * 3, ir.DataType.FLOAT), roi.dtype), stop, axis=0),
                   ir.DataType.FLOAT)  # fmt: skip


def _along(op: Tape, g: ir.Value, matrix: ir.Value, axis: int, n: int) -> ir.Value:
    """Return ``g`` with ``axis`` mapped back by the transpose of [before, after]."""
    if axis == n - 1:
        return op.MatMul(g, op.Transpose(matrix, perm=[1, 0]))
    if axis == n - 2:
        return op.MatMul(matrix, g)
    perm = [i for i in range(n) if i != axis] + [axis]
    back = [perm.index(i) for i in range(n)]
    mapped = op.MatMul(op.Transpose(g, perm=perm), op.Transpose(matrix, perm=[1, 0]))
    return op.Transpose(mapped, perm=back)
