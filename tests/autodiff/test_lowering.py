"""Models with ``ai.onnx.preview.training.Gradient`` run on ONNX Runtime: the standard's own tests, and closed forms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checker import run_ort
from onnx import TensorProto, helper
from onnx.backend.test.case.model.gradient import Gradient

import onnxsal
from onnxsal.autodiff import lower_gradients
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph import load_ir, to_proto

TRAINING = "ai.onnx.preview.training"
W = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
X = np.array([[1.0, 2.0], [-1.0, 0.5], [0.25, -3.0]], np.float32)


def standard_cases(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Return the backend's cases for the operator by name, as its own module hands them over."""
    found: dict[str, dict[str, Any]] = {}
    module = Gradient.export_gradient_scalar_add.__globals__
    monkeypatch.setitem(module, "expect", lambda model, name, **case: found.update({name: {"model": model, **case}}))
    Gradient.export_gradient_scalar_add()
    Gradient.export_gradient_scalar_add_and_mul()
    return found


@pytest.mark.parametrize("name", ["test_gradient_of_add", "test_gradient_of_add_and_mul"])
def test_the_standards_own_cases(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    case = standard_cases(monkeypatch)[name]
    model = case["model"]
    onnxsal.save(model, tmp_path / "lowered.onnx")
    lowered = onnx.load(tmp_path / "lowered.onnx")
    results = run_ort(lowered, dict(zip([v.name for v in model.graph.input], case["inputs"], strict=True)))
    assert list(results) == [v.name for v in model.graph.output]
    for value, wanted in zip(model.graph.output, case["outputs"], strict=True):
        np.testing.assert_array_equal(results[value.name], wanted)


def gradient_node(inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Gradient", inputs, outputs, domain=TRAINING, name="nabla", **attributes)


def model_of(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str], opset: int = 21) -> onnx.ModelProto:
    """Return a model of x [n, 2] and weights ``w`` [2, 2]."""
    graph = helper.make_graph(
        nodes,
        "training",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(W, "w")],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(TRAINING, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


CUBE = [
    helper.make_node("MatMul", ["x", "w"], ["h"]),
    helper.make_node("Mul", ["h", "h"], ["hh"]),
    helper.make_node("Mul", ["hh", "h"], ["y"]),
]
"""y = (x w)^3, elementwise."""


def lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    proto = to_proto(lower_gradients(load_ir(model)))
    assert {node.domain for node in proto.graph.node} <= {""}
    assert TRAINING not in {entry.domain for entry in proto.opset_import}
    return proto


@pytest.mark.parametrize("opset", [12, 15, 21])
def test_by_an_initializer_and_an_input(opset: int) -> None:
    model = model_of([*CUBE, gradient_node(["x", "w"], ["gx", "gw"], xs=["x", "w"], y="y")], ["y", "gx", "gw"], opset)
    results = run_ort(lowered(model), {"x": X})
    slope = 3 * (X @ W) ** 2
    np.testing.assert_allclose(results["gx"], slope @ W.T, rtol=1e-5)
    np.testing.assert_allclose(results["gw"], X.T @ slope, rtol=1e-5)


def test_by_a_value_inside_with_the_rest_held_fixed() -> None:
    """w is independent of h by the operator's definition: what reaches y through h does not count."""
    total = helper.make_node("ReduceMax", ["w"], ["most"], keepdims=0)
    nodes = [*CUBE[:2], total, helper.make_node("Mul", ["hh", "most"], ["y"])]
    held = model_of([*nodes, gradient_node(["h", "w"], ["gh", "gw"], xs=["h", "w"], y="y")], ["gh", "gw"])
    results = run_ort(lowered(held), {"x": X})
    np.testing.assert_allclose(results["gh"], 2 * (X @ W) * W.max(), rtol=1e-6)
    np.testing.assert_allclose(results["gw"], (W.max() == W) * ((X @ W) ** 2).sum(), rtol=1e-6)


def test_at_another_point() -> None:
    """The values fed take the place of the named ones, in the named graph."""
    nodes = [
        *CUBE,
        helper.make_node("Neg", ["x"], ["minus"]),
        helper.make_node("Add", ["w", "w"], ["twice"]),
        gradient_node(["minus", "twice"], ["gx"], xs=["x"], zs=["w"], y="y"),
    ]
    results = run_ort(lowered(model_of(nodes, ["y", "gx"])), {"x": X})
    np.testing.assert_allclose(results["gx"], (3 * (-X @ (2 * W)) ** 2) @ (2 * W).T, rtol=1e-5)
    np.testing.assert_allclose(results["y"], (X @ W) ** 3, rtol=1e-5)


def test_second_derivative_read_by_a_node_in_front_of_it() -> None:
    nodes = [
        helper.make_node("Neg", ["ghh"], ["down"]),
        gradient_node(["h"], ["ghh"], xs=["h"], y="gh"),
        gradient_node(["h"], ["gh"], xs=["h"], y="y"),
        *CUBE,
    ]
    results = run_ort(lowered(model_of(nodes, ["down"])), {"x": X})
    np.testing.assert_allclose(results["down"], -6 * (X @ W), rtol=1e-5)


def test_independent_values_and_outputs_that_nobody_wants() -> None:
    model = model_of([*CUBE, gradient_node(["x", "w"], ["gx", ""], xs=["x", "w"], y="h")], ["gx"])
    np.testing.assert_allclose(run_ort(lowered(model), {"x": X})["gx"], np.ones((3, 2)) @ W.T, rtol=1e-6)
    apart = model_of([*CUBE, gradient_node(["y"], ["gy"], xs=["y"], y="h")], ["gy"])
    np.testing.assert_array_equal(run_ort(lowered(apart), {"x": X})["gy"], np.zeros((3, 2)))


def test_gradient_of_a_model_that_holds_one() -> None:
    model = model_of([*CUBE, gradient_node(["h"], ["gh"], xs=["h"], y="y")], ["gh"])
    second = onnxsal.gradient(model, of=["gh"], wrt=["x"])
    seed = np.ones((3, 2), np.float32)
    results = run_ort(second, {"x": X, "seed/gh": seed})
    np.testing.assert_allclose(results["grad/x"], (6 * (X @ W)) @ W.T, rtol=1e-5)


def test_models_without_are_left_alone() -> None:
    model = load_ir(model_of(CUBE, ["y"]))
    assert lower_gradients(model) is model


def test_inside_a_function() -> None:
    """The names are those of the function's own body, whatever the caller's values are called."""
    body = [helper.make_node("Mul", ["h", "h"], ["y"]), gradient_node(["h"], ["gh"], xs=["h"], y="y")]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(TRAINING, 1)]
    model = model_of([*CUBE, helper.make_node("Slope", ["y"], ["s"], domain="own")], ["s"])
    model.functions.append(helper.make_function("own", "Slope", ["h"], ["gh"], body, opsets))
    model.opset_import.append(helper.make_opsetid("own", 1))
    np.testing.assert_allclose(run_ort(lowered(model), {"x": X})["s"], 2 * (X @ W) ** 3, rtol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"xs": ["x"], "y": "z"}, "names a value 'z' that is not in its graph"),
        ({"xs": ["x", "w"], "y": "y"}, "has 1 inputs for the 2 values"),
        ({"xs": ["x"]}, "'y'"),
    ],
)
def test_nodes_that_say_too_little(attributes: dict[str, Any], message: str) -> None:
    model = model_of([*CUBE, gradient_node(["x"], ["gx"], **attributes)], ["gx"])
    with pytest.raises(ModelError, match=message):
        lower_gradients(load_ir(model))


def test_inside_a_branch_it_is_refused_by_name() -> None:
    branch = helper.make_graph(
        [gradient_node(["x"], ["gx"], xs=["x"], y="y")],
        "branch",
        [],
        [helper.make_tensor_value_info("gx", TensorProto.FLOAT, None)],
    )
    nodes = [
        *CUBE,
        helper.make_node("ReduceMax", ["y"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["yes"], to=TensorProto.BOOL),
        helper.make_node("If", ["yes"], ["out"], then_branch=branch, else_branch=branch),
    ]
    with pytest.raises(UnsupportedError, match="'nabla' stands inside a subgraph"):
        lower_gradients(load_ir(model_of(nodes, ["out"])))
