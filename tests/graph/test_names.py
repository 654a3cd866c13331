"""Messages say of which domain an operator is, wherever it is not the standard's."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.autodiff import gradient
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph.names import node_title, qualified


def custom(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info("x", 1, [2, 3]), helper.make_tensor_value_info("y", 1, [2, 3])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(np.float32(1), "w")])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.acme", 1), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize(
    ("domain", "wanted"),
    [("", "Add"), ("ai.onnx", "Add"), ("com.acme", "com.acme.Add"), ("ai.onnx.ml", "ai.onnx.ml.Add")],
)
def test_the_standard_needs_no_domain(domain: str, wanted: str) -> None:
    assert qualified(domain, "Add") == wanted


def test_a_node_without_a_name_has_that_of_its_output() -> None:
    node = ir.node("Conv", [], outputs=[ir.Value(name="c")], domain="com.acme")
    assert node_title(node) == "com.acme.Conv 'c'"


@pytest.mark.parametrize("domain", ["com.acme", "com.microsoft"])
def test_what_has_no_rule_is_named_with_its_domain(domain: str) -> None:
    """Also where the standard has an operator of that name."""
    nodes = [helper.make_node("Softplus", ["x"], ["a"], domain=domain), helper.make_node("Relu", ["a"], ["y"])]
    with pytest.raises(UnsupportedError, match=rf"{domain}\.Softplus 'a' \(no rule\)"):
        gradient(ir.from_proto(custom(*nodes)), of=["y"], wrt=["x"])


QUANTISED = ["QEmbedLayerNormalization", "MatMulBnb4", "GatherBlockQuantized", "QMoE", "MatMulInteger16",
             "QLinearReduceMean", "QOrderedMatMul", "QuantizeBFP", "GemmFloat8", "MulInteger"]  # fmt: skip


@pytest.mark.parametrize("op_type", QUANTISED)
def test_quantised_operators_without_a_rule_are_refused_by_name(op_type: str) -> None:
    """What ONNX Runtime has for quantised files beyond those that are served."""
    node = helper.make_node(op_type, ["x"], ["a"], name="here", domain="com.microsoft")
    with pytest.raises(UnsupportedError, match=rf"com\.microsoft\.{op_type} 'here' \(no rule\)"):
        gradient(ir.from_proto(custom(node, helper.make_node("Relu", ["a"], ["y"]))), of=["y"], wrt=["x"])


def test_what_reads_a_lost_value_is_named_with_its_domain() -> None:
    with pytest.raises(ModelError, match=r"'lost', read by com\.acme\.Sort 'sorter'"):
        onnxsal.load(custom(helper.make_node("Sort", ["x", "lost"], ["y"], name="sorter", domain="com.acme")))
