"""The levels of the pyramid that candidates are read from: the values whose rows are put together behind each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.graph.program import values_by_name
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.pieces import pieces_of
from onnxsal.tasks.detection.rows import Rows

_MOST = 600
_LEAST = 2


def levels_of(graph: ir.Graph, of: Candidates) -> list[tuple[str, ...]]:
    """Return, level by level, the values that scores and boxes of it are read from; none where there is one level."""
    values, own = values_by_name(graph), of.logits or of.probabilities
    if own is not None and own.values == of.boxes.values and len(own.values) < _LEAST:
        return _behind_picked(values[own.values[0]])
    scores = _levels(values, own, None)
    if len(scores) < _LEAST:
        return []
    boxes = _levels(values, of.boxes, len(scores))
    pairs = zip(scores, boxes if len(boxes) == len(scores) else scores, strict=True)
    return [tuple(dict.fromkeys((str(a.name), str(b.name)))) for a, b in pairs]


def _levels(values: dict[str, ir.Value], rows: Rows | None, count: int | None) -> list[ir.Value]:
    """Return the values that rows are joined from. Args: count: how many they have to be."""
    if rows is None:
        return []
    if len(rows.values) > 1:
        return [values[name] for name in rows.values]
    value = values[rows.values[0]]
    if count is not None and rows.axis is not None:  # boxes may be cut out beside the scores
        pieces = pieces_of(value, rows.axis)
        value = pieces[0].values[0] if pieces and len(pieces[0].values) == 1 else value
    joined = _join(value, count)
    return [] if joined is None else [v for v in joined.inputs if v is not None]


def _behind_picked(value: ir.Value) -> list[tuple[str, ...]]:
    """Return, level by level, all that is joined into a value that holds boxes, scores and what else was picked."""
    joins = [node for node in _all_joins(value, None) if _has_rows(node)]
    alike = [node for node in joins if _sizes(node) == _sizes(joins[0])]
    levels = zip(*(node.inputs for node in alike), strict=True)
    return [tuple(str(v.name) for v in level if v is not None) for level in levels]


def _join(value: ir.Value, count: int | None) -> ir.Node | None:
    """Return the nearest Concat behind a value that puts grids behind each other."""
    return next(_all_joins(value, count), None)


def _all_joins(value: ir.Value, count: int | None) -> Iterator[ir.Node]:
    """Yield every Concat behind a value that puts grids behind each other, nearest first, and none behind another."""
    seen, waiting = set[ir.Value](), [value]
    while waiting and len(seen) < _MOST:
        each = waiting.pop(0)
        node = each.producer()
        if each in seen or node is None:
            continue
        seen.add(each)
        if _joins(node, count):
            yield node
            if _has_rows(node):
                continue
        waiting += [v for v in node.inputs if v is not None]


def _has_rows(node: ir.Node) -> bool:
    """Whether more is put behind each other than each has of numbers: candidates, and not boxes beside scores."""
    axis = int(attributes(node)["axis"]) % 3
    sizes, channels = _sizes(node), (dims(node.inputs[0]) or ())[3 - axis] if node.inputs[0] is not None else None
    return isinstance(channels, int) and sum(size for size in sizes if isinstance(size, int)) > channels


def _sizes(node: ir.Node) -> list[int | str | None]:
    """Return how many candidates each level has."""
    axis = int(attributes(node)["axis"])
    return [(dims(v) or ())[axis] if v is not None else None for v in node.inputs]


def _joins(node: ir.Node, count: int | None) -> bool:
    if node.op_type != "Concat" or node.domain or len(node.inputs) < _LEAST:
        return False
    if count is not None and len(node.inputs) != count:
        return False
    shapes = [dims(v) if v is not None else None for v in node.inputs]
    if any(shape is None or len(shape) != 3 for shape in shapes) or any(
        constant_of(v) is not None for v in node.inputs
    ):
        return False
    axis = int(attributes(node)["axis"]) % 3
    return axis in (1, 2) and _falls([(shape or ())[axis] for shape in shapes])


def _falls(sizes: Sequence[int | str | None]) -> bool:
    """Whether every level has fewer candidates than the one before it, as strides grow, or more."""
    numbers = [n for n in sizes if isinstance(n, int)]
    order = sorted(set(numbers), reverse=True)
    return len(numbers) == len(sizes) and numbers in (order, order[::-1])
