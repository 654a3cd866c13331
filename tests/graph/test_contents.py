"""Every entry of the table against onnx's reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from onnxsal.graph.contents import _TABLE, compute

INT, F = np.int64, np.float32


def ints(*values):
    return np.array(values, INT)


GRID = np.arange(24, dtype=INT).reshape(2, 3, 4)
ODD = np.array([[-7, 5, 3], [2, -1, 8]], INT)
REAL = np.array([[0.5, 1.5, 2.5], [4.0, 9.0, 0.25]], F)
CASES = [
    ("Add", [ODD, ints(1, 2, 3)], {}), ("Sub", [ODD, ints(1, 2, 3)], {}), ("Mul", [ODD, ints(4)], {}),
    ("Div", [ODD, ints(2, -3, 4)], {}), ("Div", [REAL, REAL + 1], {}), ("Mod", [ODD, ints(3, -2, 4)], {}),
    ("Mod", [ODD, ints(3, -2, 4)], {"fmod": 1}), ("Neg", [ODD], {}), ("Abs", [ODD], {}), ("Sqrt", [REAL], {}),
    ("Exp", [REAL], {}), ("Log", [REAL], {}), ("Pow", [REAL, np.array(2.0, F)], {}), ("Floor", [REAL], {}),
    ("Ceil", [REAL], {}), ("Reciprocal", [REAL], {}), ("Round", [REAL], {}), ("Sign", [ODD], {}),
    ("Min", [ODD, ints(0), ints(1, 2, 3)], {}), ("Max", [ODD, ints(0)], {}), ("Equal", [ODD, ints(-7, 2, 3)], {}),
    ("Less", [ODD, ints(1)], {}), ("Greater", [ODD, ints(1)], {}), ("LessOrEqual", [ODD, ints(2)], {}),
    ("GreaterOrEqual", [ODD, ints(2)], {}), ("Not", [ODD > 1], {}), ("And", [ODD > 1, ODD < 4], {}),
    ("Or", [ODD > 1, ODD < -4], {}), ("Where", [ODD > 1, ODD, ints(0)], {}),
    ("Range", [np.array(7, INT), np.array(-4, INT), np.array(-3, INT)], {}), ("Identity", [ODD], {}),
    ("Concat", [ODD, ODD], {"axis": -1}), ("Transpose", [GRID], {"perm": [2, 0, 1]}), ("Transpose", [GRID], {}),
    ("Cast", [REAL], {"to": 7}), ("ConstantOfShape", [ints(2, 3)], {}), ("Expand", [ODD, ints(2, 1, 3)], {}),
    ("ConstantOfShape", [ints(2)], {"value": onnx.numpy_helper.from_array(ints(5))}),
    ("Gather", [GRID, np.array([[1, -1]], INT)], {"axis": 2}), ("Reshape", [GRID, ints(0, -1)], {}),
    ("Squeeze", [GRID[:, :1], ints(1)], {}), ("Squeeze", [GRID[:1, :1]], {}), ("Unsqueeze", [ODD, ints(0, -1)], {}),
    ("Slice", [GRID, ints(0, 1), ints(2, 100), ints(0, 2)], {}),
    ("Slice", [GRID, ints(-1), ints(-100), ints(2), ints(-2)], {}), ("Slice", [GRID, ints(1), ints(2)], {}),
    ("Slice", [GRID, ints(100), ints(0), ints(1), ints(-1)], {}),
    ("Split", [GRID, ints(1, 3)], {"axis": 2}), ("Split", [GRID], {"axis": 2, "num_outputs": 2}),
    ("ReduceProd", [ODD, ints(1)], {"keepdims": 0}), ("ReduceSum", [ODD, ints(-1)], {}), ("ReduceSum", [ODD], {}),
    ("ReduceSum", [ODD], {"noop_with_empty_axes": 1}), ("ReduceMax", [ODD], {}), ("ReduceMin", [ODD, ints(0)], {}),
    ("Tile", [ODD, ints(2, 1)], {}), ("Pad", [ODD, ints(0, 1, 2, 0)], {}),
    ("Pad", [ODD, ints(1, 2), np.array(9, INT), ints(-1)], {}),
    ("ScatterND", [ODD, np.array([[0], [1]], INT), ODD * 2], {}),
    ("Clip", [ODD, np.array(0, INT), np.array(4, INT)], {}),
    ("Trilu", [ODD], {"upper": 0}), ("Trilu", [ODD, np.array(1, INT)], {}),
]  # fmt: skip


def node_of(op_type, arrays, attributes, outputs):
    names = [f"i{i}" for i in range(len(arrays))]
    proto = onnx.helper.make_node(op_type, names, [f"o{i}" for i in range(outputs)], **attributes)
    infos = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, arrays, strict=True)
    ]
    graph = onnx.helper.make_graph([proto], "g", infos, [onnx.ValueInfoProto(name=o) for o in proto.output])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])


@pytest.mark.parametrize(("op_type", "arrays", "attributes"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_like_the_reference_evaluator(op_type, arrays, attributes):
    model = node_of(op_type, arrays, attributes, 2 if op_type == "Split" else 1)
    expected = ReferenceEvaluator(model).run(None, {f"i{i}": a for i, a in enumerate(arrays)})
    (node,) = ir.from_proto(model).graph
    found = compute(node, arrays)
    assert found is not None
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_every_entry_is_compared():
    assert {op_type for op_type, _, _ in CASES} == set(_TABLE)


@pytest.mark.parametrize(
    ("op_type", "arrays", "attributes"),
    [
        ("Reshape", [ODD, ints(7)], {}),
        ("Gather", [ODD, ints(9)], {}),
        ("ConstantOfShape", [ints(1 << 40)], {}),
        ("Pad", [ODD, ints(0, 0, 0, 0)], {"mode": "reflect"}),
        ("Expand", [ODD, ints(1 << 30, 2, 3)], {}),
        ("Relu", [REAL], {}),
    ],
    ids=["count", "index", "huge", "mode", "wide", "unknown"],
)
def test_what_cannot_be_computed_is_left(op_type, arrays, attributes):
    (node,) = ir.from_proto(node_of(op_type, arrays, attributes, 1)).graph
    assert compute(node, arrays) is None


def test_a_diagonal_may_be_a_list_of_one() -> None:
    """As ONNX Runtime takes it and exporters write it; NumPy no longer makes a number of that by itself."""
    (node,) = onnx.parser.parse_graph("g (int64[2, 3] x, int64[1] k) => (int64[2, 3] y) { y = Trilu (x, k) }").node
    (found,) = compute(ir.from_proto(node), [ODD, ints(1)])
    np.testing.assert_array_equal(found, np.triu(ODD, 1))
