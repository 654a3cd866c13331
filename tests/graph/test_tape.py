"""The tape: one call, one node, one value; several values come as a tuple, however many they are."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from onnxsal.graph import Tape, empty
from onnxsal.graph.tape import Operator


def tape() -> tuple[Tape, ir.Value]:
    trace = empty(21)
    return trace, trace.input("x", ir.DataType.FLOAT, [2, 6])


def test_a_call_appends_one_node_and_returns_its_value() -> None:
    op, x = tape()
    y = op.Relu(x)
    assert isinstance(y, ir.Value)
    assert [node.op_type for node in op.graph] == ["Relu"]


@pytest.mark.parametrize("sizes", [[6], [2, 4], [1, 2, 3]])
def test_values_that_are_counted_come_as_a_tuple_of_one_too(sizes: list[int]) -> None:
    op, x = tape()
    made = op.emit("Split", x, sizes, axis=1, outputs=len(sizes))
    assert isinstance(made, tuple)
    assert len(made) == len(sizes) == len(op.graph[0].outputs)
    assert op.Split(x, sizes, axis=1, outputs=len(sizes)) == made


def test_one_node_serves_a_value_and_a_tuple_of_one() -> None:
    op, x = tape()
    assert op.emit("Softmax", x, axis=1, outputs=1) == (op.Softmax(x, axis=1),)
    assert len(op.graph) == 1


def test_an_operator_is_what_its_name_says() -> None:
    op, x = tape()
    relu: Operator = op.Relu
    assert relu(x) is op.emit("Relu", x)
    with pytest.raises(AttributeError, match="'relu'"):
        op.relu  # noqa: B018
