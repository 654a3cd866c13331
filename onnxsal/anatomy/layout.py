"""Which axis of every value holds the images, the rows, the columns, or the patches of a picture in a row.

Followed from the picture through the graph, one short function an operator family. What cannot be followed is unknown,
never guessed; the residual stream carries the rest past it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.axes import (
    Axis,
    common,
    cut,
    name_of,
    patches,
    positions,
    regrouped,
    stepped,
    tokens_of,
    unknown,
    whole,
)
from onnxsal.graph import attributes, dims
from onnxsal.graph.infer import batch_symbols

BATCH_SIZE = 11
"""Stands for a free batch: a prime that no width or number of heads is a multiple of by habit."""


@dataclass(frozen=True)
class Layout:
    """What the axes of a value hold."""

    axes: tuple[Axis, ...]

    @property
    def tags(self) -> tuple[str | None, ...]:
        """``B``, ``H``, ``W``, ``T`` (patches in a row) or None (channels, or unknown) for every axis."""
        return tuple(name_of(axis) for axis in self.axes)

    @property
    def positions(self) -> int:
        """How many positions of the picture the value tells apart."""
        return positions(self.axes)


@dataclass
class Layouts:
    """The layouts of a graph's values; ``batch`` is the size that stands for a free one, or the fixed one."""

    symbols: tuple[str, ...]
    batch: int = 1
    found: dict[ir.Value, Layout] = field(default_factory=dict)

    def __contains__(self, value: ir.Value | None) -> bool:
        return value in self.found

    def get(self, value: ir.Value | None) -> Layout | None:
        """Return the layout of a value, None where nothing is known about it."""
        return None if value is None else self.found.get(value)

    def sizes(self, value: ir.Value) -> tuple[int, ...] | None:
        """Return the shape of a value in numbers, None where it is not known well enough."""
        shape = dims(value)
        numbers = [self._number(d) for d in shape or ()]
        known = tuple(n for n in numbers if n is not None)
        return known if shape is not None and len(known) == len(shape) else None

    def _number(self, dim: int | str | None) -> int | None:
        if not isinstance(dim, str):
            return dim
        factor, _, symbol = dim.rpartition("*")
        if symbol not in self.symbols or not (factor or "1").isdigit():
            return None
        return int(factor or 1) * BATCH_SIZE

    def axes(self, value: ir.Value | None) -> tuple[Axis, ...] | None:
        """Return the axes of a value, unknown ones where it is not of the picture."""
        if value is None:
            return None
        if value in self.found:
            return self.found[value].axes
        sizes = self.sizes(value)
        return None if sizes is None else tuple(unknown(s) for s in sizes)

    def is_batch(self, axis: Axis) -> bool:
        """Whether an axis holds the images; a batch of one leaves no trace to follow."""
        return name_of(axis) == "B" or (self.batch == 1 and not axis)


def layouts(graph: ir.Graph, picture: ir.Value, axes: str) -> Layouts:
    """Return the layout of every value whose axes can be followed from the picture (``axes``: NCHW or NHWC)."""
    known = Layouts(batch_symbols(graph))
    sizes = known.sizes(picture)
    if sizes is None:
        return known
    names = {"N": "B", "H": "H", "W": "W"}
    start = [whole(names[a], s) if a in names else unknown(s) for a, s in zip(axes, sizes, strict=True)]
    known.batch = sizes[0]
    known.found[picture] = Layout(tuple(start))
    for node in graph:
        if any(v in known.found for v in node.inputs if v is not None):
            _visit(node, known)
    return known


def _visit(node: ir.Node, known: Layouts) -> None:
    follow = _FOLLOW.get(node.op_type, _elementwise)
    for i, value in enumerate(node.outputs):
        sizes = known.sizes(value)
        axes = follow(node, i, sizes, known) if sizes is not None and (i == 0 or follow is _slice) else None
        if axes is not None and any(a.index for axis in axes for a in axis):
            known.found[value] = Layout(axes)


Sizes = tuple[int, ...]
Found = tuple[Axis, ...] | None


def _elementwise(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Elementwise operators, normalisations, Softmax, Expand: axes are aligned at the right."""
    operands = [known.found[v].axes for v in node.inputs if v in known and v is not None]
    return _broadcast(operands, sizes)


def _broadcast(operands: Sequence[tuple[Axis, ...]], sizes: Sequence[int]) -> tuple[Axis, ...]:
    n = len(sizes)
    return tuple(common([axes[i - n] for axes in operands if len(axes) >= n - i], size) for i, size in enumerate(sizes))


def _images(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Convolution, pooling, resizing, padding: rows stay rows, however many; the channels are new."""
    layout = known.get(node.inputs[0])
    before = None if layout is None or node.inputs[0] is None else known.sizes(node.inputs[0])
    if layout is None or before is None or len(before) != len(sizes):
        return None
    axes = [_resized(axis, a, b) for axis, a, b in zip(layout.axes, before, sizes, strict=True)]
    return (axes[0], unknown(sizes[1]), *axes[2:]) if node.op_type in _WITH_KERNELS else tuple(axes)


def _resized(axis: Axis, before: int, after: int) -> Axis:
    name = name_of(axis)
    if before == after:
        return axis
    return whole(name, after) if name in ("H", "W") else unknown(after)


def _transpose(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    axes = known.axes(node.inputs[0]) or ()
    perm = attributes(node).get("perm") or list(range(len(axes)))[::-1]
    return tuple(axes[p] for p in perm)


def _reshape(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    layout = known.get(node.inputs[0])
    return None if layout is None else regrouped(layout.axes, sizes)


def _matmul(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    second = 3 if node.op_type == "QLinearMatMul" else 1
    a, b = known.axes(node.inputs[0]), known.axes(node.inputs[second])
    if a is None or b is None or min(len(a), len(b)) < 2:
        return None
    return (*_broadcast([a[:-2], b[:-2]], sizes[:-2]), a[-2], b[-1])


def _gemm(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    layout = known.get(node.inputs[0])
    if layout is None:
        return None
    return layout.axes[1 if attributes(node).get("transA") else 0], unknown(sizes[1])


def _concat(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    axis = attributes(node)["axis"] % len(sizes)
    operands = [known.axes(v) for v in node.inputs]
    extents = [known.sizes(v) for v in node.inputs if v is not None]
    if any(o is None for o in operands) or any(e is None for e in extents):
        return None
    axes = list(_broadcast([o for o in operands if o is not None], sizes))
    parts = [o[axis] for o in operands if o is not None]
    axes[axis] = _chained(parts, [e[axis] for e in extents if e is not None])
    return tuple(axes)


def _chained(parts: Sequence[Axis], extents: Sequence[int]) -> Axis:
    """Patches with class tokens or registers beside them are still patches."""
    if len(parts) == 1:
        return parts[0]
    rows = [i for i, part in enumerate(parts) if name_of(part) == "T"]
    if len(rows) != 1:
        return unknown(sum(extents))
    grid, dropped = tokens_of(parts[rows[0]])
    return patches(grid, dropped + sum(extents[: rows[0]]), sum(extents))


def _slice(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
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
    starts, axes, steps = (_constant(node, i) for i in (1, 3, 4))
    if starts is None or (axes is None and len(node.inputs) > 3 and node.inputs[3] is not None):
        return dict.fromkeys(range(len(before)), (-1, -1))
    where = [a % len(before) for a in axes] if axes is not None else list(range(len(starts)))
    return {
        axis: (start + before[axis] if start < 0 else start, step)
        for axis, start, step in zip(where, starts, steps or [1] * len(starts), strict=True)
    }


def _constant(node: ir.Node, index: int) -> list[int] | None:
    value = node.inputs[index] if len(node.inputs) > index else None
    tensor = None if value is None else value.const_value
    return None if tensor is None else [int(i) for i in tensor.numpy().reshape(-1)]


def _gather(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    layout, indices = known.get(node.inputs[0]), node.inputs[1]
    if layout is None or indices is None:
        return None
    axis = attributes(node)["axis"] % len(layout.axes)
    picked = sizes[axis : axis + len(sizes) - len(layout.axes) + 1]
    new = _picked(layout.axes[axis], _constant(node, 1), picked)
    return (*layout.axes[:axis], *new, *layout.axes[axis + 1 :])


def _picked(axis: Axis, numbers: list[int] | None, shape: Sizes) -> list[Axis]:
    """Positions in a row are a cut; a table that counts through all of them in steps cuts an axis into windows."""
    if not numbers or len(shape) < 1:
        return [unknown(s) for s in shape]
    if len(shape) == 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return [cut(axis, 0, numbers[0], 1, shape[0])]
    return stepped(axis, np.array(numbers).reshape(shape)) or [unknown(s) for s in shape]


def _fold(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Col2Im puts windows back together into rows and columns."""
    layout = known.get(node.inputs[0])
    if layout is None or layout.positions < 2 or len(sizes) != 4:
        return None
    return (layout.axes[0], unknown(sizes[1]), whole("H", sizes[2]), whole("W", sizes[3]))


def _reduce(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
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
    given = attributes(node).get("axes") if "axes" in node.attributes else _constant(node, 1)
    if "axis" in node.attributes:
        given = [attributes(node)["axis"]]
    return frozenset(a % rank for a in given) if given else frozenset(range(rank))


def _einsum(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Every letter of the result is that letter of an operand."""
    operands, _, result = str(attributes(node)["equation"]).replace(" ", "").partition("->")
    if "." in operands or not result:
        return None
    found: dict[str, list[Axis]] = {}
    for letters, value in zip(operands.split(","), node.inputs, strict=True):
        for letter, axis in zip(letters, known.axes(value) or (), strict=False):
            found.setdefault(letter, []).append(axis)
    return tuple(common(found.get(letter, []), size) for letter, size in zip(result, sizes, strict=True))


def _nothing(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    return None


_WITH_KERNELS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv"})
_Follow = Callable[[ir.Node, int, Sizes, Layouts], Found]
_FOLLOW: dict[str, _Follow] = {
    "Transpose": _transpose, "Concat": _concat, "Slice": _slice, "Split": _slice, "Gather": _gather, "Gemm": _gemm,
    "Einsum": _einsum, "Col2Im": _fold,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd",
                     "ReduceSumSquare", "ReduceLogSumExp", "ArgMax", "ArgMin"), _reduce),
    **dict.fromkeys((*_WITH_KERNELS, "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool",
                     "GlobalLpPool", "Resize", "Upsample", "DepthToSpace", "SpaceToDepth", "Pad"), _images),
    **dict.fromkeys(("Shape", "Size", "NonZero", "TopK", "GatherElements", "GatherND", "OneHot"), _nothing),
}  # fmt: skip
"""All others are elementwise as far as axes are concerned; outputs beside the first are not followed, but for Split."""
