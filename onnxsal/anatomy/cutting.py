"""Operators that take parts of an axis, or put parts together in one step."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.axes import Axis, common, cut, moved, name_of, side_of, stepped, unknown, whole
from onnxsal.anatomy.known import Found, Layouts, Sizes
from onnxsal.graph import attributes
from onnxsal.graph.equations import explicit
from onnxsal.kernels.placement import Placement, from_cells


def sliced(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    source = node.inputs[0]
    layout = known.get(source)
    before = None if source is None else known.sizes(source)
    if layout is None or before is None:
        return None
    axes = list(layout.axes)
    for axis, (start, step) in _cuts(node, index, before, known).items():
        if before[axis] != sizes[axis] or step < 0:
            axes[axis] = cut(axes[axis], before[axis], start, step, sizes[axis])
    return tuple(axes)


def _cuts(node: ir.Node, index: int, before: Sizes, known: Layouts) -> dict[int, tuple[int, int]]:
    """Return start and step for the axes that a Slice or Split may cut; a start of -1 fits nothing."""
    if node.op_type == "Split":
        axis = attributes(node).get("axis", 0) % len(before)
        ahead = [known.sizes(v) for v in node.outputs[:index]]
        return {axis: (sum(s[axis] for s in ahead if s is not None), 1)}
    starts, axes, steps = (constant(node, i) for i in (1, 3, 4))
    if starts is None or (axes is None and len(node.inputs) > 3 and node.inputs[3] is not None):
        return dict.fromkeys(range(len(before)), (-1, -1))
    where = [a % len(before) for a in axes] if axes is not None else list(range(len(starts)))
    return {
        axis: (_clamped(start, before[axis], step), step)
        for axis, start, step in zip(where, starts, steps or [1] * len(starts), strict=True)
    }


def _clamped(start: int, size: int, step: int) -> int:
    """Return where a Slice begins: negative numbers count from the end, and none is outside."""
    return min(max(start + size if start < 0 else start, 0), size if step > 0 else size - 1)


def constant(node: ir.Node, index: int) -> list[int] | None:
    """Return the numbers of a constant input, None where it is none or not there."""
    value = node.inputs[index] if len(node.inputs) > index else None
    tensor = None if value is None else value.const_value
    return None if tensor is None else [int(i) for i in tensor.numpy().reshape(-1)]


def gathered(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    layout, indices = known.get(node.inputs[0]), node.inputs[1]
    before = None if node.inputs[0] is None else known.sizes(node.inputs[0])
    if layout is None or before is None or indices is None:
        return None
    axis = attributes(node)["axis"] % len(layout.axes)
    picked = sizes[axis : axis + len(sizes) - len(layout.axes) + 1]
    new = _picked(layout.axes[axis], before[axis], constant(node, 1), picked)
    return (*layout.axes[:axis], *new, *layout.axes[axis + 1 :])


def _picked(axis: Axis, size: int, numbers: list[int] | None, shape: Sizes) -> list[Axis]:
    """Positions in a row are a cut; a table that counts through all of them in steps cuts an axis into windows."""
    if not numbers or len(shape) < 1:
        return [unknown(s) for s in shape]
    numbers = [n % size for n in numbers]
    steps = {b - a for a, b in pairwise(numbers)} or {1}
    if len(shape) == 1 and len(steps) == 1 and steps != {0}:
        return [cut(axis, size, numbers[0], steps.pop(), shape[0])]
    if len(shape) == 1:
        return [_reordered(axis, size, numbers)]
    return stepped(axis, np.array(numbers).reshape(shape)) or [unknown(s) for s in shape]


def _reordered(axis: Axis, size: int, numbers: list[int]) -> Axis:
    """Rows or columns in any order; each so often that the axis is only stretched is nearest neighbours' resizing."""
    if name_of(axis) not in ("H", "W"):
        return unknown(len(numbers))
    nearest = [int((i + 0.5) * size / len(numbers)) for i in range(len(numbers))]
    if numbers == nearest:
        return moved(axis, len(numbers), side_of(axis))
    cells = [(Fraction(n, size), Fraction(n + 1, size)) for n in numbers]
    return moved(axis, len(numbers), from_cells(cells, side_of(axis)))


def folded(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Col2Im puts windows back together into rows and columns, where their positions lay."""
    layout = known.get(node.inputs[0])
    if layout is None or layout.positions < 2 or len(sizes) != 4:
        return None
    sides = {a.index.name: a.index.place for axis in layout.axes for a in axis if a.index is not None}
    rows, columns = sides.get("H", Placement()), sides.get("W", Placement())
    return (layout.axes[0], unknown(sizes[1]), whole("H", sizes[2], rows.rows), whole("W", sizes[3], columns.columns))


def reduction(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    source = node.inputs[0]
    layout = known.get(source)
    before = None if source is None else known.sizes(source)
    if layout is None or before is None:
        return None
    if len(sizes) == len(before):
        return tuple(unknown(b) if a != b else axis for axis, a, b in zip(layout.axes, before, sizes, strict=True))
    gone = reduced_axes(node, len(before))
    return tuple(axis for i, axis in enumerate(layout.axes) if i not in gone)


def reduced_axes(node: ir.Node, rank: int) -> frozenset[int]:
    """Return the axes that a reduction runs over: those named, or all."""
    given = attributes(node).get("axes") if "axes" in node.attributes else constant(node, 1)
    if "axis" in node.attributes:
        given = [attributes(node)["axis"]]
    return frozenset(a % rank for a in given) if given else frozenset(range(rank))


def einsum(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Every letter of the result is that letter of an operand; dots stand for axes aligned at the right."""
    operands = [known.axes(value) for value in node.inputs]
    if any(axes is None for axes in operands):
        return None
    terms, result = explicit(str(attributes(node)["equation"]), [len(axes or ()) for axes in operands])
    found: dict[str, list[Axis]] = {}
    for letters, axes in zip(terms, operands, strict=True):
        for letter, axis in zip(letters, axes or (), strict=True):
            found.setdefault(letter, []).append(axis)
    return tuple(common(found.get(letter, []), size) for letter, size in zip(result, sizes, strict=True))
