"""Which axis of every value holds the images, the rows, the columns, or the patches of a picture in a row.

Followed from the picture through the graph, one short function an operator family. What cannot be followed is unknown,
never guessed; the residual stream carries the rest past it.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.anatomy.axes import Axis, common, name_of, patches, regrouped, tokens_of, unknown, whole
from onnxsal.anatomy.cutting import einsum, folded, gathered, reduction, sliced
from onnxsal.anatomy.known import Follow, Found, Layout, Layouts, Sizes
from onnxsal.graph import attributes
from onnxsal.graph.infer import batch_symbols


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


def followed(nodes: Sequence[ir.Node], value: ir.Value, axes: tuple[Axis, ...], like: Layouts) -> Layouts:
    """Return where the axes of one value are behind it, in nodes in order; sizes are those of other layouts."""
    known = Layouts(like.symbols, like.batch, {value: Layout(axes)})
    for node in nodes:
        if any(v in known for v in node.inputs):
            _visit(node, known)
    return known


def _visit(node: ir.Node, known: Layouts) -> None:
    follow = _FOLLOW.get(node.op_type, _elementwise)
    for i, value in enumerate(node.outputs):
        sizes = known.sizes(value)
        axes = follow(node, i, sizes, known) if sizes is not None and (i == 0 or follow is sliced) else None
        if axes is not None and any(a.index for axis in axes for a in axis):
            known.found[value] = Layout(axes)


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
    parts = node.inputs[2::3] if node.op_type == "QLinearConcat" else node.inputs
    operands = [known.axes(v) for v in parts]
    extents = [known.sizes(v) for v in parts if v is not None]
    if any(o is None for o in operands) or any(e is None for e in extents):
        return None
    axes = list(_broadcast([o for o in operands if o is not None], sizes))
    joined = [o[axis] for o in operands if o is not None]
    axes[axis] = _chained(joined, [e[axis] for e in extents if e is not None])
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


def _nothing(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    return None


_WITH_KERNELS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv"})
_FOLLOW: dict[str, Follow] = {
    "Transpose": _transpose, "Concat": _concat, "Slice": sliced, "Split": sliced, "Gather": gathered, "Gemm": _gemm,
    "QGemm": _gemm, "QLinearConcat": _concat,
    "Einsum": einsum, "Col2Im": folded,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
                    _matmul),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd",
                     "ReduceSumSquare", "ReduceLogSumExp", "ArgMax", "ArgMin"), reduction),
    **dict.fromkeys((*_WITH_KERNELS, "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool",
                     "GlobalLpPool",
                     "QLinearAveragePool", "QLinearGlobalAveragePool", "Resize",
                     "Upsample", "DepthToSpace", "SpaceToDepth", "Pad"), _images),
    **dict.fromkeys(("Shape", "Size", "NonZero", "TopK", "GatherElements", "GatherND", "OneHot"), _nothing),
}  # fmt: skip
"""All others are elementwise as far as axes are concerned; outputs beside the first are not followed, but for Split."""
