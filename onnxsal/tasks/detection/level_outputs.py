"""Grids over the picture that outputs may be rows or maps of: their strides, and one output or two a level."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph import dims
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.registry import recognise

_STRIDES = (4, 8, 16, 32, 64, 128)
_BOX, _MAP, _LEAST = 4, 4, 2
_ANCHORS = (1, 2, 3)
"""Boxes that a cell has."""


def part(output: ir.Value, axis: int, start: int, stop: int) -> str:
    """Return how some channels of an output are written in the JSON."""
    cut = f"{start}:{stop}"
    return f"{output.name}[:, {cut}, :]" if axis == 1 else f"{output.name}[:, :, {cut}]"


def strides_of(graph: ir.Graph, count: int) -> list[int] | None:
    """Return the strides of grids over the picture that have as many cells together, None where none have."""
    size = _size(graph)
    if size is None:
        return None
    for levels in (3, 4, 2, 5, 1):
        for first in range(len(_STRIDES) - levels + 1):
            strides = list(_STRIDES[first : first + levels])
            cells = [(size[0] // s) * (size[1] // s) for s in strides]
            if sum(cells) == count and all(cells):
                return strides
    return None


def _size(graph: ir.Graph) -> tuple[int, int] | None:
    try:
        size = recognise(graph)[1].size
    except UnsupportedError:
        return None
    return (size[0], size[1]) if size is not None and len(size) == 2 else None


def of_levels(graph: ir.Graph) -> dict[str, Any] | None:
    """Return the description of boxes and scores that have outputs of their own on each level, as far as it is known:
    maps, or rows of 4 numbers beside as many rows of scores; None where no shapes allow them."""
    size = _size(graph)
    floats = [v for v in graph.outputs if is_float(v)]
    if size is None or len(floats) < _LEAST:
        return None
    for anchors in _ANCHORS:
        levels: dict[int, list[ir.Value]] = defaultdict(list)
        for value in floats:
            for stride in _STRIDES:
                if _is_of(value, (size[0] // stride, size[1] // stride), anchors):
                    levels[stride].append(value)
                    break
        found = _described(dict(sorted(levels.items())), anchors)
        if found is not None:
            return found
    return None


def _is_of(value: ir.Value, cells: tuple[int, int], anchors: int) -> bool:
    shape = dims(value) or ()
    if len(shape) == _MAP:
        return anchors == 1 and shape[2:] == cells
    return len(shape) in (2, 3) and shape[-2] == cells[0] * cells[1] * anchors


def _described(levels: dict[int, list[ir.Value]], anchors: int) -> dict[str, Any] | None:
    ranks = {tuple(len(dims(v) or ()) for v in each) for each in levels.values()}
    if len(levels) < _LEAST or len(ranks) != 1:
        return None
    open_ones = {"format": "...", "unit": "...", "activation": "...", "strides": list(levels), "labels": ["..."]}
    kinds = ranks.pop()
    if set(kinds) == {_MAP}:
        every = [f"{v.name}[:, ..., :, :]" for each in levels.values() for v in each]
        return {"boxes": every, "scores": every, **open_ones}
    boxes = [v for each in levels.values() for v in each if (dims(v) or ())[-1] == _BOX]
    scores = [next((v for v in each if (dims(v) or ())[-1] != _BOX), None) for each in levels.values()]
    if len(boxes) != len(levels) or None in scores:
        return None
    more: dict[str, Any] = ({"anchors": anchors} if anchors > 1 else {}) | ({"batch": False} if kinds[0] == 2 else {})
    return {"boxes": [str(v.name) for v in boxes], "scores": [str(v.name) for v in scores if v is not None],
            **open_ones, **more}  # fmt: skip
