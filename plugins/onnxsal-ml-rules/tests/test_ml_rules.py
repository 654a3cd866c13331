"""The rules against difference quotients: in float64 on onnx's reference evaluator, in float32 on ONNX Runtime.

The schemas type the outputs float32; the evaluator computes in whatever it is fed, so float64 it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxsal

R = np.random.default_rng(5)
X = R.normal(size=(4, 3))
POSITIVE = np.abs(X) + 0.1
W = R.normal(size=6).round(2).tolist()
LINEAR = {"coefficients": W, "intercepts": [0.5, -0.25], "targets": 2}

CASES = [
    ("Normalizer", {"norm": "L1"}, X),
    ("Normalizer", {"norm": "L2"}, X),
    ("Normalizer", {"norm": "MAX"}, POSITIVE),
    ("Normalizer", {}, POSITIVE),
    ("LinearRegressor", LINEAR, X),
]
ON_ORT = [
    *CASES,
    ("Normalizer", {"norm": "MAX"}, -POSITIVE),
    ("LinearRegressor", {**LINEAR, "post_transform": "LOGISTIC"}, X),
    ("LinearRegressor", {**LINEAR, "post_transform": "SOFTMAX"}, X),
]


def model(op_type: str, attributes: dict[str, Any], columns: int) -> onnx.ModelProto:
    """y = op(tanh(x)): an operator of the standard in front shows that the walk goes on."""
    nodes = [
        helper.make_node("Tanh", ["x"], ["t"]),
        helper.make_node(op_type, ["t"], ["y"], domain="ai.onnx.ml", **attributes),
    ]
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", c]) for n, c in (("x", 3), ("y", columns))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def reference(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return ReferenceEvaluator(widened(proto)).run(None, feeds)


def widened(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its float32 constants, and what is cast to float32, as float64."""
    wide = onnx.ModelProto()
    wide.CopyFrom(proto)
    for tensor in wide.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for attribute in (a for node in wide.graph.node if node.op_type == "Cast" for a in node.attribute):
        attribute.i = onnx.TensorProto.DOUBLE if attribute.i == onnx.TensorProto.FLOAT else attribute.i
    return wide


def on_ort(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {k: v.astype(np.float32) for k, v in feeds.items()})


def slope(run: Any, proto: onnx.ModelProto, x: np.ndarray, u: np.ndarray, v: np.ndarray, step: float) -> float:
    ends = [float((u * run(proto, {"x": x + sign * step * v})[0]).sum()) for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * step)


def both(case: tuple[str, dict[str, Any], np.ndarray], run: Any, step: float) -> tuple[float, float]:
    """Return <v, J^T u> and the difference quotient of <u, f> along v."""
    op_type, attributes, x = case
    columns = 2 if op_type == "LinearRegressor" else 3
    proto = model(op_type, attributes, columns)
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=(len(x), columns)), rng.normal(size=x.shape)
    with_gradient = onnxsal.gradient(proto, of=["y"], wrt=["x"])
    *_, grad = run(with_gradient, {"x": x, "seed/y": u})
    return float((v * grad).sum()), slope(run, proto, x, u, v, step)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1].get('norm', '')}")
def test_float64_difference_quotient(case: tuple[str, dict[str, Any], np.ndarray]) -> None:
    got, wanted = both(case, reference, 1e-6)
    assert got == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("case", ON_ORT, ids=lambda c: f"{c[0]}-{c[1].get('norm') or c[1].get('post_transform', '')}")
def test_difference_quotient_on_onnx_runtime(case: tuple[str, dict[str, Any], np.ndarray]) -> None:
    got, wanted = both(case, on_ort, 1e-2)
    assert got == pytest.approx(wanted, rel=2e-3, abs=2e-4)


def test_only_standard_operators_are_written() -> None:
    source = model("Normalizer", {"norm": "L2"}, 3)
    emitted = onnxsal.gradient(source, of=["y"], wrt=["x"]).graph.node
    assert [n.op_type for n in emitted if n.domain] == ["Normalizer"]


def test_a_row_of_zeros_has_gradient_zero() -> None:
    proto = onnxsal.gradient(model("Normalizer", {"norm": "L2"}, 3), of=["y"], wrt=["x"])
    y, grad = on_ort(proto, {"x": np.zeros((1, 3)), "seed/y": np.ones((1, 3))})
    assert (y == 0).all()
    assert (grad == 0).all()


def test_an_unknown_transform_is_refused_by_name() -> None:
    from onnxsal.errors import UnsupportedError

    with pytest.raises(UnsupportedError, match="PROBIT"):
        onnxsal.gradient(model("LinearRegressor", {**LINEAR, "post_transform": "PROBIT"}, 2), of=["y"], wrt=["x"])


def test_a_classifier_with_such_operators_is_explained() -> None:
    """Logit c of a picture normalised to length 1 is w_c . x / |x|; its gradient is orthogonal to the picture."""
    weights, image = R.normal(size=(2, 12)).astype(np.float32), R.normal(size=(3, 2, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Normalizer", ["flat"], ["unit"], domain="ai.onnx.ml", norm="L2"),
        helper.make_node("Reshape", ["unit", "shape"], ["known"]),
        helper.make_node("Gemm", ["known", "w"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 2, 2])],
        [helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([-1, 12]), "shape")],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    classifier = onnxsal.load(helper.make_model(graph, opset_imports=opsets, ir_version=10), preprocess="unit")
    found = onnxsal.explain(classifier, image, method="gradient", target=1).raw.ravel()
    length, flat = np.linalg.norm(image), image.ravel()
    along = flat * (weights[1] @ flat) / length**2
    np.testing.assert_allclose(found, (weights[1] - along) / length, rtol=1e-4, atol=1e-6)
    assert abs(found @ flat) < 1e-5
