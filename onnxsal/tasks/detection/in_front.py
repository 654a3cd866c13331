"""Candidates in front of what picks some of them: top-k, and gathering by its indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.tasks.detection.pieces import Piece
from onnxsal.tasks.detection.rows import count_of

_PICKS = frozenset({"Gather", "GatherElements", "GatherND", "ReduceMax"})
_NAMES_ANEW = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast"})
_DEPTH = 24
_RANK = 3


@dataclass(frozen=True)
class InFront:
    """Boxes [B, N, 4] and scores [B, N, K] of all candidates."""

    boxes: ir.Value
    scores: ir.Value


def in_front(boxes: Sequence[Piece], score: Piece) -> InFront | None:
    """Return the candidates that a top-k picked from; None where they cannot be read."""
    if len(boxes) != 1:
        return None
    all_boxes, all_scores = _first(boxes[0].values[0]), _first(score.values[0])
    picked = all_boxes is not boxes[0].values[0] and all_scores is not score.values[0]
    sizes = dims(all_boxes), dims(all_scores)
    if not picked or any(shape is None or len(shape) != 3 for shape in sizes) or (sizes[0] or ())[2] != 4:
        return None
    count = count_of(all_boxes, 2)
    same = count is not None and count == count_of(all_scores, 2) and isinstance((sizes[1] or ())[2], int)
    return InFront(all_boxes, all_scores) if same else None


def classes_in_front(label: Piece, count: int | None) -> ir.Value | None:
    """Return the classes of all candidates, one of each, where that of a picked one was gathered from them.

    None where it is worked out of the index of what was picked, as where every class of a candidate competes.
    """
    found = _first(label.values[0])
    shape = dims(found)
    if found is label.values[0] or shape is None or count is None:
        return None
    return found if tuple(shape[1:]) in ((count,), (count, 1)) else None


def rest_in_front(rest: Sequence[Piece], count: int | None) -> ir.Value | None:
    """Return what else there is of all candidates, [B, N, C], where one value had it that was picked from."""
    if len(rest) != 1:
        return None
    found = _first(rest[0].values[0])
    shape = dims(found) or ()
    same = found is not rest[0].values[0] and len(shape) == _RANK and shape[1] == count and count is not None
    return found if same and shape[2] == rest[0].channels else None


def _first(value: ir.Value) -> ir.Value:
    """Return what a value was picked from, as far back as anything was, [B, N, C]; itself where nothing was."""
    found, each, picked = value, value, False
    for _ in range(_DEPTH):
        node = each.producer()
        if node is None or node.domain or not node.inputs or node.inputs[0] is None:
            break
        if node.op_type == "TopK" and each is not node.outputs[0]:
            break
        picks = node.op_type in _PICKS or node.op_type == "TopK"
        if not picks and node.op_type not in _NAMES_ANEW:
            break
        each, picked = node.inputs[0], picked or picks
        found = each if picked and len(dims(each) or ()) == _RANK else found
    return found
