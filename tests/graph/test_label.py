"""Labels: the lowest file format (IR version) that has what is in a model, whatever the file that it came from says."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

import onnxsal
from onnxsal.graph import load_ir, normalise
from onnxsal.graph.label import lowest_format
from onnxsal.graph.program import empty

BUNDLED = Path(__file__).resolve().parents[2] / "models" / "shapes.onnx"


def model(opset: int, *nodes: onnx.NodeProto, weights: tuple[onnx.TensorProto, ...] = (), ir_version: int = 11):
    relu = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = helper.make_graph([*nodes, relu], "g", ends[:1], ends[1:], list(weights))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def weight(kind: int) -> onnx.TensorProto:
    return TensorProto(name="w", data_type=kind, dims=[2], raw_data=b"\0\0"[: 2 if kind in EIGHT_BITS else 1])


EIGHT_BITS = {TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2FNUZ, TensorProto.FLOAT8E8M0}
OPSETS = {8: 3, 12: 7, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12}
"""As the standard's table of versions has them."""


@pytest.mark.parametrize("opset", OPSETS)
def test_the_opset_decides(opset: int) -> None:
    assert lowest_format(ir.from_proto(model(opset))) == OPSETS[opset]


TYPES = {
    TensorProto.INT8: 8, TensorProto.FLOAT8E4M3FN: 9, TensorProto.FLOAT8E5M2FNUZ: 9, TensorProto.UINT4: 10,
    TensorProto.INT4: 10, TensorProto.FLOAT4E2M1: 11, TensorProto.FLOAT8E8M0: 12,
}  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("where", ["weight", "constant", "attribute", "inner"])
def test_types_that_came_later_raise_it(kind: int, where: str) -> None:
    """An operator of the runtime's own may have them in an old opset, in the body of a branch too."""
    if where == "weight":
        made = model(17, weights=(weight(kind),))
    elif where == "constant":
        made = model(17, helper.make_node("Constant", [], ["c"], value=weight(kind)))
    elif where == "attribute":
        made = model(17, helper.make_node("Odd", ["x"], ["c"], domain="com.microsoft", to=kind))
    else:
        inner = helper.make_graph(
            [helper.make_node("Odd", ["w"], ["o"], domain="com.microsoft")], "b", [],
            [helper.make_tensor_value_info("o", 1, None)], [weight(kind)],
        )  # fmt: skip
        made = model(17, helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner))
    assert lowest_format(ir.from_proto(made)) == TYPES[kind]


def test_nodes_that_say_their_device_raise_it() -> None:
    made = model(21)
    made.graph.node[0].device_configurations.add(configuration_id="pair")
    assert lowest_format(ir.from_proto(made)) == 11


@pytest.mark.parametrize(("opset", "wanted"), [(13, 10), (17, 10), (21, 10), (23, 11)])
@pytest.mark.parametrize("own", [8, 10, 11])
def test_the_normal_form_has_the_label_of_its_opset(opset: int, wanted: int, own: int) -> None:
    assert normalise(load_ir(model(opset, ir_version=own))).ir_version == wanted


def test_what_is_written_has_it_too() -> None:
    """ONNX Runtime 1.20 and 1.22, which know the opset, refuse format 11."""
    output = onnx.load(BUNDLED).graph.output[0].name
    assert onnxsal.compile(BUNDLED, method="grad-cam").ir_version == 10
    assert onnxsal.compile(BUNDLED, method="grad-cam", opset=17).ir_version == 8
    assert onnxsal.gradient(BUNDLED, of=[output], wrt=["picture"]).ir_version == 10
    assert empty(21).model.ir_version == 10
