"""Values that a file both measures and quantises: they keep a reader beside the quantiser when shape arithmetic folds.

ONNX Runtime computes an operator in integers only where nothing but a QuantizeLinear reads its result. A Shape is
such a reader as long as the batch is free. Folded away, the runtime would run QLinearConv where the file runs Conv, and
the scores would be others than those of the deployed file.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.graph.infer import Study
from onnxsal.graph.tape import Tape

_MEASURES = frozenset({"Shape", "Size"})


def measured(graph: ir.Graph, known: Study) -> list[ir.Value]:
    """Return the quantised values whose shape is read and is not known in full: ONNX Runtime folds those that are."""
    return [v for node in graph for v in node.outputs if _is_measured(v) and not _is_fixed(v, known)]


def keep_measured(graph: ir.Graph, values: Sequence[ir.Value]) -> None:
    """Let the quantisers of values that nothing else reads any more read an Expand to their own shape, in place."""
    for value in values:
        readers = [(node, index) for node, index in value.uses() if node.graph is graph]
        if readers and len(readers) == len(value.uses()) and all(_is_quantiser(node) for node, _ in readers):
            _put_between(Tape(graph), value, readers)


def _put_between(op: Tape, value: ir.Value, readers: Sequence[tuple[ir.Node, int]]) -> None:
    mark = len(op.graph)
    same = op.Expand(value, op.Shape(value))
    same.type, same.shape = value.type, value.shape
    made, maker = list(op.graph)[mark:], value.producer()
    assert maker is not None  # a quantised value is made by a node
    op.graph.remove(made)
    op.graph.insert_after(maker, made)
    for node, index in readers:
        node.replace_input_with(index, same)


def _is_measured(value: ir.Value) -> bool:
    """Whether a Shape reads the value or what it is rounded to; the runtime lets the latter read the value itself."""
    rounded = [v for q in value.consumers() if _is_quantiser(q) for dq in q.outputs[0].consumers() for v in dq.outputs]
    return bool(rounded) and any(
        n.op_type in _MEASURES and not n.domain for v in (value, *rounded) for n in v.consumers()
    )


def _is_quantiser(node: ir.Node) -> bool:
    return node.op_type == "QuantizeLinear" and not node.domain


def _is_fixed(value: ir.Value, known: Study) -> bool:
    shape = known.shape(value)
    return shape is not None and all(isinstance(d, int) for d in shape)
