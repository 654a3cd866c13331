"""What is to be said where boxes are likely and nothing proves them: a description to be filled in."""

from __future__ import annotations

import json
from typing import Any

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.names import node_title
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.detection.described import SUFFIX, beside
from onnxsal.tasks.detection.level_outputs import of_levels, part, strides_of
from onnxsal.tasks.detection.made import made_of
from onnxsal.tasks.detection.origin import Walk
from onnxsal.tasks.detection.pieces import Piece, pieces_of
from onnxsal.tasks.detection.rows import Rows, whole
from onnxsal.tasks.detection.suppression import rows_read, scores_of, suppressions
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
        return f"nothing proves boxes with classes, and no shape allows them: {shapes}{_inside(graph)}"
    path = beside(words)
    name = f"MODEL{SUFFIX}" if path is None else path.name
    return (
        f"nothing proves boxes with classes: {shapes}{_inside(graph)}. If there are some, describe them in {name} "
        f"beside the file, each ... filled in (the documentation's page on detection has the keys): {json.dumps(known)}"
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
    """Return what NonMaxSuppression reads: boxes, whose corners it takes in either order, and scores; as a body is
    handed them."""
    read = rows_read(graph, proved=False)
    if read is None:
        return None
    node = read.nodes[0]
    seen, own = node.inputs[:2]
    if len(read.nodes) == 1 and read.boxes.added is None and seen is not None and own is not None:
        shape = dims(own) or ()
        if seen.graph is own.graph is graph and read.at is not None and all(isinstance(n, int) for n in shape[1:]):
            return {"boxes": str(seen.name), "format": "...", "unit": "...",
                    "scores": part(own, 1, 0, int(shape[1] or 0)), "activation": "none", "labels": ["..."]}  # fmt: skip
    boxes, scores = whole(read.boxes.value, read.boxes.axes[2], batched=read.batched), scores_of(read)[0]
    if scores is None:
        return None
    return {"boxes": _written(read.boxes.value, boxes), "format": "...", "unit": "...",
            "scores": _written(read.scores.value, scores), "activation": "none", "labels": ["..."],
            **({} if read.batched else {"batch": False})}  # fmt: skip


def _written(value: ir.Value, rows: Rows) -> str:
    """Return how rows are written in the JSON."""
    last = len(dims(value) or ()) - 1
    if rows.axis is None or (rows.axis == last and rows == whole(value, last, batched=rows.batched)):
        return str(value.name)
    cuts = [f"{rows.start}:{rows.stop}" if axis == rows.axis else ":" for axis in range(last + 1)]
    return f"{value.name}[{', '.join(cuts)}]"


def _inside(graph: ir.Graph) -> str:
    """Return that NonMaxSuppression reads rows that a body works out, which nothing outside can name."""
    walk = Walk.of(graph)
    for node in suppressions(graph):
        for value in node.inputs[:2]:
            found = None if value is None else walk.origin(value, _FEW).value
            if found is not None and isinstance(found.graph, ir.Graph) and found.graph in walk.holders:
                by = walk.holders[found.graph]
                return (f"; {node_title(node)} reads {found.name!r}, which is worked out inside the {by.op_type} "
                        f"{by.name or by.outputs[0].name!r}: describe what goes into that")  # fmt: skip
    return ""


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
    made = made_of(boxes)
    form, unit = ("...", "...") if made is None else (made.form, made.unit)
    return {"boxes": str(boxes.name), "format": form, "unit": unit, "scores": str(scores.name),
            "activation": "...", "background": "... (or left out)", "labels": ["..."]}  # fmt: skip


__all__ = ["description", "refusal"]
