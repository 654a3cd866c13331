"""Cutting a graph and feeding it again: who reads what, and in which order nodes stand."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.testing import assert_array_equal
from onnx.reference import ReferenceEvaluator

from onnxsal.graph.cut import cut, feed, placed, uses_of
from onnxsal.graph.program import Trace

X = np.array([[1.0, -2.0, 3.0]], np.float32)


def trace() -> Trace:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3] x) => (float[n, 3] y) {
      a = Neg (x)
      b = Abs (a)
      y = Add (a, b)
    }"""
    return Trace(ir.from_proto(onnx.parser.parse_model(text)))


def run(op: Trace, **feeds: np.ndarray) -> np.ndarray:
    model = ir.to_proto(op.finish(y=op["y"]).model)
    onnx.checker.check_model(model, full_check=True)
    (found,) = ReferenceEvaluator(model).run(None, feeds)
    return np.asarray(found)


def test_every_reader_of_a_value_reads_what_is_fed() -> None:
    op = trace()
    z = op.input("z", ir.DataType.FLOAT, ["n", 3])
    assert cut(op, op["a"], lambda: op.Mul(z, 2.0)).producer() is next(iter(op.graph))
    assert_array_equal(run(op, x=X, z=X), 2 * X + abs(2 * X))


def test_what_is_fed_may_be_made_of_the_value_itself() -> None:
    op = trace()
    a = op["a"]
    cut(op, a, lambda: op.Add(a, 1.0), before=op["b"].producer())
    assert_array_equal(run(op, x=X), (1 - X) + abs(1 - X))


def test_only_named_readers_read_it() -> None:
    op = trace()
    a, node = op["a"], op["b"].producer()
    cut(op, a, lambda: op.Mul(a, 10.0), uses=[use for use in uses_of(a) if use[0] is node], before=node)
    assert_array_equal(run(op, x=X), -X + abs(10 * X))


def test_nodes_go_behind_a_node() -> None:
    op = trace()
    a, uses = op["a"], uses_of(op["a"])
    with placed(op.graph, after=a.producer()):
        new = op.Exp(a)
    feed(uses, new)
    assert [node.op_type for node in op.graph] == ["Neg", "Exp", "Abs", "Add"]
    assert_array_equal(run(op, x=X), 2 * np.exp(-X))


def test_the_graph_stays_as_it_was_where_making_fails() -> None:
    op = trace()
    before = [node.op_type for node in op.graph]
    with pytest.raises(ZeroDivisionError):
        cut(op, op["a"], lambda: op.Mul(op["x"], 1 / 0))
    assert [node.op_type for node in op.graph] == before
    assert_array_equal(run(op, x=X), -X + abs(X))


def test_nothing_made_moves_nothing() -> None:
    op = trace()
    with placed(op.graph):
        pass
    assert [node.op_type for node in op.graph] == ["Neg", "Abs", "Add"]
