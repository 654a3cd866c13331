"""What is to be said where boxes are likely and nothing proves them: a description to be filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.detection.described import SUFFIX, beside
from onnxsal.tasks.detection.level_outputs import of_levels, part, strides_of
from onnxsal.tasks.detection.pieces import Piece, pieces_of
from onnxsal.tasks.detection.words import names_in
from onnxsal.tasks.indexed import shown
from onnxsal.tasks.outputs import named_outputs
from onnxsal.tasks.words import NOTHING, Words

_BOX = 4
_LEAST = 16
"""Candidates that an output of boxes has at least."""
_FEW, _MAP = 3, 4


def refusal(graph: ir.Graph, words: Words) -> str:
    """Return why nothing proves boxes, and what of a description is known."""
    shapes = named_outputs([f"{v.name!r} is {shown(dims(v))}" for v in graph.outputs])
    known = description(graph, words)
    if known is None:
        return f"nothing proves boxes with classes, and no shape allows them: {shapes}"
    path = beside(words)
    name = f"MODEL{SUFFIX}" if path is None else path.name
    return (
        f"nothing proves boxes with classes: {shapes}. If there are some, describe them in {name} beside the file, "
        f"each ... filled in (docs/detection.md): {json.dumps(known)}"
    )


def suspected(graph: ir.Graph) -> bool:
    """Return whether boxes are likely though nothing proves them: as many rows as grids over the picture have cells, or
    boxes of a Sigmoid beside as many logits."""
    if any(len(dims(v) or ()) == _MAP for v in graph.outputs):  # maps of several strides may be any features
        return False
    found = description(graph, NOTHING)
    return found is not None and (found["unit"] != "..." or "strides" in found)


def description(graph: ir.Graph, words: Words) -> dict[str, Any] | None:
    """Return the description of boxes as far as it is known, ``...`` where it is not; None where no shape allows any.

    Its keys are those of the JSON that ``described.of_json`` reads.
    """
    found = _suppressed(graph) or of_levels(graph) or _pair(graph)
    if found is not None:
        return found
    for output in graph.outputs:
        shape = dims(output) or ()
        if len(shape) == 3 and is_float(output):
            for axis in (1, 2):
                found = _one(graph, output, axis, words)
                if found is not None:
                    return found
    return None


def _one(graph: ir.Graph, output: ir.Value, axis: int, words: Words) -> dict[str, Any] | None:
    shape = dims(output) or ()
    channels, count = shape[axis], shape[3 - axis]
    if not isinstance(channels, int) or not isinstance(count, int) or channels <= _BOX or count < _LEAST:
        return None
    if axis == 1 and channels >= count:
        return None
    strides, pieces = strides_of(graph, count), pieces_of(output, axis)
    sure = [piece.made_by == "Sigmoid" for piece in pieces]
    raw = strides is not None and bool(pieces) and pieces[0].channels == _BOX and not any(sure[:1])
    from_, objectness = _scores(pieces, sure)
    names = names_in(words)
    return {
        "boxes": part(output, axis, 0, _BOX), "format": "cxcywh" if raw and objectness else "...",
        "unit": "pixels" if strides is not None else "...",
        **({"objectness": part(output, axis, _BOX, _BOX + 1)} if objectness else {}),
        "scores": part(output, axis, from_, channels) if from_ else f"{part(output, axis, _BOX, channels)} ...",
        "activation": "none" if any(sure) else "...",
        **({"strides": strides} if raw and objectness else {}), "labels": list(names) or ["..."],
    }  # fmt: skip


def _scores(pieces: list[Piece], sure: list[bool]) -> tuple[int, bool]:
    """Return where the scores of classes begin, 0 where that is not seen, and whether one of objects is in front."""
    ones = [piece.channels for piece in pieces]
    if len(pieces) == _FEW and ones[:2] == [_BOX, 1] and sure[1:] == [True, True]:
        return _BOX + 1, True
    return (_BOX, False) if len(pieces) == _FEW - 1 and ones[0] == _BOX and sure[1] else (0, False)


def _suppressed(graph: ir.Graph) -> dict[str, Any] | None:
    """Return what a NonMaxSuppression reads: boxes, whose corners it takes in either order, and scores."""
    for node in graph:
        if node.op_type != "NonMaxSuppression" or node.domain or None in node.inputs[:2]:
            continue
        boxes, scores = node.inputs[0], node.inputs[1]
        shape = dims(scores) or () if scores is not None else ()
        if boxes is not None and scores is not None and len(shape) == 3 and isinstance(shape[1], int):
            return {"boxes": str(boxes.name), "format": "...", "unit": "...", "scores": part(scores, 1, 0, shape[1]),
                    "activation": "none", "labels": ["..."]}  # fmt: skip
    return None


def _pair(graph: ir.Graph) -> dict[str, Any] | None:
    floats = [v for v in graph.outputs if is_float(v) and len(dims(v) or ()) == 3]
    for boxes in floats:
        size = dims(boxes) or ()
        for scores in floats:
            other = dims(scores) or ()
            if scores is not boxes and size[2] == _BOX and isinstance(size[1], int) and size[1] == other[1]:
                return _described(boxes, scores)
    return None


def _described(boxes: ir.Value, scores: ir.Value) -> dict[str, Any]:
    made = _made(boxes, scores)
    return {"boxes": str(boxes.name), "format": made["format"], "unit": made["unit"], "scores": str(scores.name),
            "activation": "...", "background": "... (or left out)", "labels": ["..."]}  # fmt: skip


def _made(boxes: ir.Value, scores: ir.Value) -> Mapping[str, str]:
    found = pieces_of(boxes, 2)
    if len(found) == 1 and found[0].made_by == "Sigmoid":
        return {"format": "cxcywh", "unit": "shares"}
    return {"format": "...", "unit": "..."}


__all__ = ["description", "refusal"]
