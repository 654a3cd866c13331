"""What NonMaxSuppression reads: the candidates in front of what picks some of them."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.graph.names import node_title
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.decoding import form_of, unit_of
from onnxsal.tasks.detection.pieces import logits_behind, pieces_of
from onnxsal.tasks.detection.rows import count_of, whole


def of_suppression(graph: ir.Graph) -> Candidates | None:
    """Return the candidates of inputs 0 and 1 of a NonMaxSuppression; None where they prove none."""
    nodes = [node for node in graph if node.op_type == "NonMaxSuppression" and not node.domain]
    if len(nodes) != 1 or nodes[0].inputs[0] is None or nodes[0].inputs[1] is None:
        return None
    node, boxes, scores = nodes[0], nodes[0].inputs[0], nodes[0].inputs[1]
    shape, count = dims(scores), count_of(boxes, 2)
    if shape is None or len(shape) != 3 or not isinstance(shape[1], int) or count is None or shape[2] != count:
        return None
    if not any(each is node for output in graph.outputs for each in _all_behind(output)):
        return None
    found = pieces_of(boxes, 2)
    middle = int(attributes(node).get("center_point_box", 0)) == 1
    form = "cxcywh" if middle else form_of(found)
    if form is None:  # corners in either order give the same IoU, so that NonMaxSuppression proves none
        return None
    return Candidates(
        tuple(str(v.name) for v in graph.outputs), whole(boxes, 2), form,
        unit_of([v for p in found for v in p.values]), probabilities=whole(scores, 1), logits=logits_behind(scores, 1),
        overlap=_number(node, 3), least=_number(node, 4), several=True, count=count,
        proof=f"what {node_title(node)} reads",
    )  # fmt: skip


def _number(node: ir.Node, at: int) -> float | None:
    found = constant_of(node.inputs[at]) if len(node.inputs) > at else None
    return float(found.reshape(-1)[0]) if found is not None and found.size else None


def _all_behind(value: ir.Value) -> Iterator[ir.Node]:
    seen, waiting = set[ir.Node](), [value.producer()]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [v.producer() for v in node.inputs if v is not None]
