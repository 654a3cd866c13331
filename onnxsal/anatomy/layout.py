"""Which axis of every value holds the images, the rows, the columns, or the patches of a picture in a row.

Followed from the picture through the graph, one short function an operator family. What cannot be followed is unknown,
never guessed; the residual stream carries the rest past it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import onnx_ir as ir

from onnxsal.anatomy.axes import (
    Axis,
    common,
    is_side,
    moved,
    name_of,
    patches,
    place_of,
    regrouped,
    side_of,
    slack_of,
    tokens_of,
    unknown,
    whole,
)
from onnxsal.anatomy.cutting import einsum, folded, gathered, reduction, sliced
from onnxsal.anatomy.indexing import elements_gathered, scattered
from onnxsal.anatomy.known import Follow, Found, Layout, Layouts, Sizes
from onnxsal.anatomy.moving import centred, padded, reversed_sequence, trimmed, widened
from onnxsal.anatomy.operators import QUERIES, SPECTRAL, Kind, described, kind_of
from onnxsal.anatomy.parts import Entry
from onnxsal.anatomy.resampling import is_fixed, region, resized, sampled, spectrum
from onnxsal.graph import attributes
from onnxsal.graph.infer import batch_symbols
from onnxsal.graph.program import values_by_name
from onnxsal.kernels.placement import WHOLE, ZERO, Placement, chained, without_copies


def layouts(
    graph: ir.Graph, image: ir.Value, axes: str, spatial: str = "HW", spread: frozenset[str] | None = None
) -> Layouts:
    """Return the layout of every value whose axes can be followed from the explained one.

    Args: axes, spatial: those of its ``Entry``. Two positions are rows and columns, a single one columns; of more the
    last two are these, and the others have their own letters. spread: those that a layer has, where it is not all.
    """
    known = Layouts(batch_symbols(graph))
    sizes = known.sizes(image)
    if sizes is None:
        return known
    known.batch = dict(zip(axes, sizes, strict=True)).get("N", 1)
    if not sizes:
        return known
    names = {"N": "B", **dict(zip(spatial, letters_of(spatial), strict=True))}
    known.spread = spread or frozenset(letters_of(spatial))
    start = [whole(names[a], s) if a in names else unknown(s) for a, s in zip(axes, sizes, strict=True)]
    known.found[image] = Layout(tuple(start))
    for node in graph:
        if any(v in known.found for v in node.inputs if v is not None):
            _visit(node, known)
    return known


def letters_of(spatial: str) -> tuple[str, ...]:
    """Return what the axes of positions are called where they are followed."""
    return (*spatial[:-2], *"HW"[-len(spatial) :])


def where_it_lies(graph: ir.Graph, entry: Entry, name: str) -> Placement | None:
    """Return where the rows and columns of a value lie in the picture that goes in; None where they are not followed.

    Those of a value without positions of its own, one for the whole picture, are not.
    """
    values = values_by_name(graph)
    layout = layouts(graph, values[entry.value], entry.value_axes, entry.spatial).get(values[name])
    if layout is None or any(layout.tags.count(tag) != 1 for tag in ("H", "W")):
        return None
    rows, columns = (side_of(layout.axes[layout.tags.index(tag)]) for tag in ("H", "W"))
    return Placement(without_copies(rows) or rows, without_copies(columns) or columns)


def covers_all(graph: ir.Graph, entry: Entry, name: str) -> bool:
    """Whether a value's positions are followed to all axes of positions that go in, and cover each from end to end."""
    values = values_by_name(graph)
    layout = layouts(graph, values[entry.value], entry.value_axes, entry.spatial).get(values[name])
    if layout is None:
        return False
    found = [axis for axis, tag in zip(layout.axes, layout.tags, strict=True) if tag in letters_of(entry.spatial)]
    return len(found) == len(entry.spatial) and all(side_of(axis) == WHOLE and not slack_of(axis) for axis in found)


def tags_of(graph: ir.Graph, entry: Entry, value: ir.Value) -> tuple[str | None, ...]:
    """Return what the axes of a value hold, as ``Layout.tags`` has it; nothing where they are not followed."""
    layout = layouts(graph, values_by_name(graph)[entry.value], entry.value_axes, entry.spatial).get(value)
    return () if layout is None else layout.tags


def followed(nodes: Sequence[ir.Node], value: ir.Value, axes: tuple[Axis, ...], like: Layouts) -> Layouts:
    """Return where the axes of one value are behind it, in nodes in order; sizes are those of other layouts."""
    known = Layouts(like.symbols, like.batch, {value: Layout(axes)}, spread=like.spread)
    for node in nodes:
        if any(v in known for v in node.inputs):
            _visit(node, known)
    return known


def _visit(node: ir.Node, known: Layouts) -> None:
    kind = kind_of(node, _NAMES)
    follow = _followed(node, kind)
    given = [known.found[v] for v in node.inputs if v is not None and v in known]
    assumed = _assumed(node, given, known)
    if kind in ("assumed", "spectral"):
        assumed = (*assumed, described(node))
    for i, value in enumerate(node.outputs):
        sizes = known.sizes(value)
        axes = follow(node, i, sizes, known) if sizes is not None and (i == 0 or follow is sliced) else None
        if axes is not None and any(a.index for axis in axes for a in axis):
            known.found[value] = Layout(axes, assumed)
    if any(known.is_spread(layout) for layout in given) and not any(
        known.is_spread(known.get(v)) for v in node.outputs
    ):
        _note_loss(node, kind, known)


def _assumed(node: ir.Node, given: Sequence[Layout], known: Layouts) -> tuple[str, ...]:
    """Return what is assumed of the operands: nothing where another one, of which all is known, carries them past."""
    if node.op_type in _JOINING and any(known.is_spread(layout) and not layout.assumed for layout in given):
        return ()
    return tuple(dict.fromkeys(name for layout in given for name in layout.assumed))


def _followed(node: ir.Node, kind: Kind) -> Follow:
    if kind in ("nothing", "by data"):
        return _nothing
    return _FOLLOW.get(node.op_type, _elementwise) if kind != "keeping" else _elementwise


def _note_loss(node: ir.Node, kind: Kind, known: Layouts) -> None:
    """Remember where positions went out of sight other than by a sum over them, and why."""
    spread = [layout for v in node.inputs if known.is_spread(layout := known.get(v)) and layout is not None]
    if kind == "by data" or node.op_type in _BY_CONSTANTS:
        constant = all(v is None or known.get(v) is not None or is_fixed(v) for v in node.inputs)
        if not constant or kind == "by data":
            known.lost[node] = _DRIVEN
        elif not _picks_few(node, known):
            known.lost[node] = _BENT
    elif kind == "spectral":
        known.lost[node] = "positions become frequencies"
    elif node.op_type in ("Tile", "Concat", "QLinearConcat") and not _is_apart(spread):
        known.lost[node] = "it holds the picture more than once"
    elif node.op_type in _JOINING and _is_apart(spread):
        known.lost[node] = APART


def _picks_few(node: ir.Node, known: Layouts) -> bool:
    """Whether a head reads one token or some rows: positions are left behind, not out of sight."""
    if node.op_type not in ("Slice", "Gather", "GatherElements", "GatherND"):
        return False
    before, after = (None if v is None else known.sizes(v) for v in (node.inputs[0], node.outputs[0]))
    return before is not None and after is not None and 2 * math.prod(after) <= math.prod(before)


def _is_apart(layouts: Sequence[Layout]) -> bool:
    return len({layout.axes for layout in layouts}) > 1


def _elementwise(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Elementwise operators, normalisations, Softmax, Expand: axes are aligned at the right."""
    operands = [known.found[v].axes for v in node.inputs if v in known and v is not None]
    return _broadcast(operands, sizes)


def _queries(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """The result lies where the first operand does."""
    layout = known.get(node.inputs[0])
    return None if layout is None else _broadcast([layout.axes], sizes)


def _broadcast(operands: Sequence[tuple[Axis, ...]], sizes: Sequence[int]) -> tuple[Axis, ...]:
    n = len(sizes)
    return tuple(common([axes[i - n] for axes in operands if len(axes) >= n - i], size) for i, size in enumerate(sizes))


def _images(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Convolution, pooling, resizing: rows stay rows, however many; the channels are new."""
    layout = known.get(node.inputs[0])
    before = None if layout is None or node.inputs[0] is None else known.sizes(node.inputs[0])
    if layout is None or before is None or len(before) != len(sizes):
        return None
    given, before = widened(node, *trimmed(node, layout.axes, before, sizes))
    strides = [1, 1, *_strides(node, len(sizes) - 2)]
    axes = [_resized(axis, *each) for axis, *each in zip(given, before, sizes, strides, strict=True)]
    return (axes[0], unknown(sizes[1]), *axes[2:]) if node.op_type in _WITH_KERNELS else tuple(axes)


def _channels_last(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """The same of [B, H, W, C]."""
    layout, value = known.get(node.inputs[0]), node.inputs[0]
    before = None if value is None else known.sizes(value)
    if layout is None or before is None or len(before) != 4:
        return None
    strides = attributes(node).get("strides") or [1, 1]
    rows = [_resized(layout.axes[i], before[i], sizes[i], strides[i - 1]) for i in (1, 2)]
    return (layout.axes[0], *rows, unknown(sizes[3]))


def _strides(node: ir.Node, count: int) -> list[int]:
    """Return the steps of a window; none for what only makes pictures larger or smaller."""
    windows = node.op_type in _WITH_KERNELS or node.op_type.endswith("Pool")
    given = attributes(node).get("strides") if windows and node.op_type != "ConvTranspose" else None
    return list(given) if given and len(given) == count else [0] * count


def _resized(axis: Axis, before: int, after: int, stride: int) -> Axis:
    name = name_of(axis)
    if before == after:
        return axis
    if name is None or not is_side(name):
        return unknown(after)
    taken = Fraction(before - after * stride, before) if stride and before - after * stride >= stride else ZERO
    return whole(name, after, side_of(axis), slack_of(axis) + taken)


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
    """Patches with class tokens beside them are still patches; parts of an axis put together are an axis again."""
    if len(parts) == 1:
        return parts[0]
    names = [name_of(part) for part in parts]
    rows = [i for i, name in enumerate(names) if name == "T"]
    if len(rows) == 1:
        grid, dropped = tokens_of(parts[rows[0]])
        return patches(grid, dropped + sum(extents[: rows[0]]), sum(extents), place_of(parts[rows[0]]))
    first = next((i for i, name in enumerate(names) if name in ("H", "W")), None)
    if first is None or len({*names} - {None}) > 1:
        return unknown(sum(extents))
    sides = [side_of(part) if name else () for part, name in zip(parts, names, strict=True)]
    return moved(parts[first], sum(extents), chained(list(zip(sides, extents, strict=True))))


def _nothing(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    return None


_WITH_KERNELS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "FusedConv",
                           "ConvTransposeWithDynamicPads"})  # fmt: skip
_BY_CONSTANTS = frozenset({"CenterCropPad", "Gather", "GatherElements", "GatherND", "GridSample", "Pad", "Resize",
                           "ReverseSequence", "RoiAlign", "ScatterElements", "ScatterND", "Slice"})  # fmt: skip
"""Those of which constants say where they take their values from; data may in their place."""
_JOINING = frozenset({"Concat", "QLinearConcat", "Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum", "Where",
                      "QLinearAdd", "QLinearMul", "Div"})  # fmt: skip
APART = "it puts together views of the picture that lie differently in it"
_DRIVEN = "where it takes its values from depends on the data"
_BENT = "its constants turn, bend or repeat the picture, so that no row or column of it stays one"
_FOLLOW: dict[str, Follow] = {
    "Transpose": _transpose, "Concat": _concat, "Slice": sliced, "Split": sliced, "Gather": gathered, "Gemm": _gemm,
    "QGemm": _gemm, "QLinearConcat": _concat,
    "Einsum": einsum, "Col2Im": folded, "Pad": padded, "Resize": resized, "GridSample": sampled,
    "CenterCropPad": centred, "RoiAlign": region, "ReverseSequence": reversed_sequence,
    "GatherElements": elements_gathered, "GatherND": elements_gathered, "ScatterElements": scattered,
    "ScatterND": scattered,
    **dict.fromkeys(("NhwcConv", "NhwcFusedConv", "NhwcMaxPool"), _channels_last),
    **dict.fromkeys(QUERIES, _queries), **dict.fromkeys(SPECTRAL, spectrum),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "ExpandDims"), _reshape),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
                     "MatMulInteger16"), _matmul),
    **dict.fromkeys(("GemmFastGelu", "GemmFloat8", "FusedGemm"), _gemm),
    **dict.fromkeys(("FusedMatMul", "FusedMatMulActivation", "TransposeMatMul"), _matmul),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "MatMulBlockQuantizedFp4Weight",
                     "MatMulBlockQuantizedFp8Weight", "MatMulNBitsQLoRA", "MatMulNBitsQkv", "QOrderedMatMul",
                     "MatMulPacked"), _queries),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd",
                     "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ArgMax", "ArgMin", "ReduceSumInteger",
                     "QLinearReduceMean"), reduction),
    **dict.fromkeys((*_WITH_KERNELS, "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool",
                     "GlobalLpPool",
                     "QLinearAveragePool", "QLinearGlobalAveragePool",
                     "Upsample", "DepthToSpace", "SpaceToDepth", "MaxUnpool", "MaxpoolWithMask"), _images),
}  # fmt: skip
_NAMES = frozenset(_FOLLOW)
"""Outputs beside the first are not followed, but for Split and Slice."""
