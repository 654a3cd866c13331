"""What the boxes of an output are by how they are made: a Sigmoid's, decoded ones, those of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.names import node_title
from onnxsal.tasks.detection.decoding import form_of, is_decoded, unit_of
from onnxsal.tasks.detection.pieces import Piece, pieces_of
from onnxsal.tasks.detection.rows import count_of


@dataclass(frozen=True)
class Made:
    """What boxes are, their form and their unit.

    Args: once: whether an object has one, as queries say it. title: what makes them.
    """

    form: str
    unit: str
    once: bool
    title: str

    def background(self, classes: int) -> int:
        """Return which of a softmax's scores is no object: the last of queries (DETR), else the first (SSD)."""
        return classes - 1 if self.once else 0


def made_of(boxes: ir.Value) -> Made | None:
    """Return what the boxes of an output [B, N, 4] or [B, N, 1, 4] are; None where nothing proves it."""
    made = pieces_of(boxes, last_axis(boxes))
    values = [v for p in made for v in p.values]
    title = title_of(values[0]) if values else ""
    if is_normalised(made):
        return Made("cxcywh", "shares", True, title)
    form = form_of(made) if is_decoded(values) else None
    if form is None:
        return None
    return Made(form, unit_of(values), _attend_to_each_other(boxes, count_of(boxes, last_axis(boxes))), title)


def is_normalised(boxes: Sequence[Piece]) -> bool:
    """Whether a Sigmoid makes all of a box: middle and size in shares of the picture, as DETR and its kin have it."""
    return len(boxes) == 1 and boxes[0].made_by == "Sigmoid"


def title_of(value: ir.Value) -> str:
    """Return what makes a value, in words; its name where nothing does."""
    node = value.producer()
    return repr(str(value.name)) if node is None else node_title(node)


def last_axis(value: ir.Value) -> int:
    """Return the last axis of a value."""
    return len(dims(value) or ()) - 1


def _attend_to_each_other(boxes: ir.Value, count: int | None) -> bool:
    """Return whether a Softmax over as many candidates for each of them stands behind their boxes: self-attention.

    That is how queries are told what others say, so that an object has one. What is picked of a grid has none.
    """
    seen, waiting = set[ir.Value](), [boxes]
    while waiting and count is not None:
        value = waiting.pop()
        node = value.producer()
        if node is None or value in seen:
            continue
        seen.add(value)
        if node.op_type == "Softmax" and not node.domain and (dims(value) or ())[-2:] == (count, count):
            return True
        waiting += [v for v in node.inputs if v is not None]
    return False
