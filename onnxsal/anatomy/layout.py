"""Which axis of every value is the batch, the channels, the rows, the columns, or a row of patch tokens.

Tags are propagated from the picture through the graph, one short function an operator family. A tag that cannot be
followed is dropped, never guessed; the residual stream carries it past attention and windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph import attributes, dims

Tags = tuple[str | None, ...]


@dataclass(frozen=True)
class Layout:
    """The tags of a value's axes (``B C H W``, ``T`` for tokens, None), and what its tokens are."""

    tags: Tags
    grid: tuple[int, int] | None = None
    """Height and width of the patches that the token axis holds."""
    dropped: int = 0
    """Tokens in front of them."""

    def axis(self, tag: str) -> int | None:
        """Return the axis that holds ``tag``, or None."""
        return self.tags.index(tag) if tag in self.tags else None


Layouts = dict[ir.Value, Layout]


def layouts(graph: ir.Graph, picture: ir.Value, axes: str) -> Layouts:
    """Return the layout of every value whose axes can be followed from the picture (``axes``: NCHW or NHWC)."""
    known: Layouts = {picture: Layout(tuple({"N": "B"}.get(a, a) for a in axes))}
    for node in graph:
        if any(v in known for v in node.inputs if v is not None):
            follow = _FOLLOW.get(node.op_type, _same)
            for i, value in enumerate(node.outputs):
                layout = follow(node, i, known)
                if layout is not None and any(layout.tags):
                    known[value] = layout
    return known


def _known(node: ir.Node, known: Layouts) -> list[tuple[ir.Value, Layout]]:
    return [(v, known[v]) for v in node.inputs if v is not None and v in known]


def _same(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    """Elementwise operators, normalisations: the axes of that input which has the output's rank and most tags."""
    shape = dims(node.outputs[index])
    fitting = [
        layout
        for value, layout in _known(node, known)
        if shape is not None and len(layout.tags) == len(shape) and _extents_agree(value, shape, layout)
    ]
    return max(fitting, key=lambda layout: sum(t is not None for t in layout.tags), default=None)


def _extents_agree(value: ir.Value, shape: Sequence[int | str | None], layout: Layout) -> bool:
    return all(
        a == b or not isinstance(a, int) or not isinstance(b, int) or tag in ("B", None)
        for a, b, tag in zip(dims(value) or (), shape, layout.tags, strict=True)
    )


def _images(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    """Convolution and pooling: [B, C, H, W] in, the same out; a 1-D or 3-D one is not of a picture."""
    layout = known.get(node.inputs[0]) if node.inputs[0] is not None else None
    shape = dims(node.outputs[index])
    return layout if layout is not None and shape is not None and len(shape) == len(layout.tags) else None


def _transpose(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    (_, layout), *_ = _known(node, known)
    perm = attributes(node).get("perm") or list(range(len(layout.tags)))[::-1]
    return Layout(tuple(layout.tags[p] for p in perm), layout.grid, layout.dropped)


def _reshape(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    source = node.inputs[0]
    if source is None or source not in known:
        return None
    before, after, layout = dims(source), dims(node.outputs[index]), known[source]
    if before is None or after is None:
        return None
    tags: list[str | None] = []
    grid, dropped = layout.grid, layout.dropped
    for left, right in _groups(before, after):
        group = [layout.tags[i] for i in left]
        extents = [after[i] for i in right]
        wide = [t for i, t in zip(left, group, strict=True) if before[i] != 1]
        if len(extents) == 1 and wide == ["H", "W"]:
            a, b = (before[i] for i in left if before[i] != 1)
            grid, dropped = (int(a or 0), int(b or 0)), 0
            tags.append("T")
        elif wide == ["T"] and grid is not None and dropped == 0 and [e for e in extents if e != 1] == list(grid):
            names = iter(("H", "W"))
            tags.extend(None if e == 1 else next(names) for e in extents)
        elif len(wide) == 1 and sum(e != 1 for e in extents) == 1:
            tags.extend(None if e == 1 else wide[0] for e in extents)
        elif not wide and len(group) == len(extents):
            tags.extend(group)
        else:
            tags.extend([None] * len(extents))
    if len(tags) != len(after):
        return None
    return Layout(tuple(tags), grid, dropped)


def _groups(before: Sequence[object], after: Sequence[object]) -> list[tuple[list[int], list[int]]]:
    """Split two shapes of one size into the smallest runs of axes that hold equal numbers of elements.

    The leading batch is one run of its own where both are symbols or equal.
    """
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    if before and after and (before[0] == after[0] or not (isinstance(before[0], int) and isinstance(after[0], int))):
        groups.append(([0], [0]))
        i = j = 1
    while i < len(before) or j < len(after):
        left, right = _run(before, i, after, j)
        groups.append((left, right))
        i, j = i + len(left), j + len(right)
    return groups


def _run(before: Sequence[object], i: int, after: Sequence[object], j: int) -> tuple[list[int], list[int]]:
    left, right, a, b = [], [], 1, 1
    while True:
        if not left and i < len(before):
            left, a = [i], _extent(before[i])
        if not right and j < len(after):
            right, b = [j], _extent(after[j])
        if a == b or not a or not b:
            break
        if a < b and i + len(left) < len(before):
            left.append(i + len(left))
            a *= _extent(before[left[-1]])
        elif b < a and j + len(right) < len(after):
            right.append(j + len(right))
            b *= _extent(after[right[-1]])
        else:
            break
    if not (a and b):
        return list(range(i, len(before))), list(range(j, len(after)))
    return left, right


def _extent(dim: object) -> int:
    return dim if isinstance(dim, int) else 0


def _matmul(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    a, b = node.inputs[0], node.inputs[1]
    shape = dims(node.outputs[index])
    if a is None or b is None or a not in known or shape is None or len(shape) != len(known[a].tags):
        return None
    layout = known[a]
    last = "C" if b.producer() is None or b not in known else None
    return Layout((*layout.tags[:-1], last), layout.grid, layout.dropped)


def _concat(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    axis = attributes(node)["axis"]
    found = _known(node, known)
    value, layout = max(found, key=lambda each: sum(t is not None for t in each[1].tags))
    if layout.tags[axis] in ("T", "H", "W"):
        before = [dims(v) for v in node.inputs[: list(node.inputs).index(value)] if v is not None]
        sizes = [shape[axis] if shape else None for shape in before]
        if layout.tags[axis] != "T" or not all(isinstance(s, int) for s in sizes):
            return _without(layout, axis)
        return Layout(layout.tags, layout.grid, layout.dropped + sum(s for s in sizes if isinstance(s, int)))
    return layout


def _without(layout: Layout, axis: int) -> Layout:
    tags = list(layout.tags)
    tags[axis] = None
    return Layout(tuple(tags), layout.grid, layout.dropped)


def _slice(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    """Slice and Split: a token axis stays one only where just the patches remain; rows and columns are lost when cut."""
    source = node.inputs[0]
    if source is None or source not in known:
        return None
    layout, before, after = known[source], dims(source) or (), dims(node.outputs[index]) or ()
    for axis, (a, b) in enumerate(zip(before, after, strict=False)):
        if a == b or layout.tags[axis] not in ("T", "H", "W"):
            continue
        patches = layout.grid is not None and b == layout.grid[0] * layout.grid[1] and layout.tags[axis] == "T"
        if patches and index == len(node.outputs) - 1:
            layout = Layout(layout.tags, layout.grid, 0)
        else:
            layout = _without(layout, axis)
    return layout


def _gather(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    source, indices = node.inputs[0], node.inputs[1]
    if source is None or source not in known or indices is None:
        return None
    axis = attributes(node)["axis"] % len(known[source].tags)
    extra = len(dims(indices) or (0,))
    tags = known[source].tags
    new = (*tags[:axis], *([None] * extra), *tags[axis + 1 :])
    return Layout(new, known[source].grid, known[source].dropped)


def _squeeze(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    """Squeeze and reductions that drop axes: the axes that remain keep their tags."""
    source = node.inputs[0]
    if source is None or source not in known:
        return None
    layout, before, after = known[source], dims(source) or (), dims(node.outputs[index])
    if after is None:
        return None
    axes = _axes(node, len(before))
    if axes is None or (len(after) == len(before)):
        reduced = set(axes or ()) if len(after) == len(before) else set()
        return Layout(
            tuple(None if i in reduced else t for i, t in enumerate(layout.tags)), layout.grid, layout.dropped
        )
    return Layout(tuple(t for i, t in enumerate(layout.tags) if i not in axes), layout.grid, layout.dropped)


def _unsqueeze(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    source, after = node.inputs[0], dims(node.outputs[index])
    if source is None or source not in known or after is None:
        return None
    axes, tags = _axes(node, len(after)), iter(known[source].tags)
    if axes is None:
        return None
    new = tuple(None if i in axes else next(tags, None) for i in range(len(after)))
    return Layout(new, known[source].grid, known[source].dropped)


def _axes(node: ir.Node, rank: int) -> tuple[int, ...] | None:
    given = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
    raw = attributes(node).get("axes") if given is None else given.numpy().reshape(-1).tolist()
    return None if raw is None else tuple(a % rank for a in raw)


def _nothing(node: ir.Node, index: int, known: Layouts) -> Layout | None:
    return None


_Follow = Callable[[ir.Node, int, Layouts], Layout | None]
_FOLLOW: dict[str, _Follow] = {
    "Transpose": _transpose, "Reshape": _reshape, "Flatten": _reshape, "MatMul": _matmul, "Gemm": _matmul,
    "Concat": _concat, "Slice": _slice, "Split": _slice, "Gather": _gather, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Shape": _nothing, "Size": _nothing, "Einsum": _nothing,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"), _squeeze),
    **dict.fromkeys(("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool",
                     "GlobalLpPool", "Resize", "Upsample", "DepthToSpace", "SpaceToDepth", "Pad"), _images),
}  # fmt: skip
