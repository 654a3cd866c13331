"""Compiled files and gradient files of quantised weights: loaded, valid, and their scores are the deployed file's."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal

D = 32
X = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
FORMS = {
    "int8, one scale": ("INT8", None, 0), "int8, rows": ("INT8", 0, 0), "int8, columns": ("INT8", 1, 0),
    "int8, blocks": ("INT8", 0, 16), "uint8, columns": ("UINT8", 1, 0), "int4, one scale": ("INT4", None, 0),
    "int4, columns": ("INT4", 1, 0), "int4, blocks": ("INT4", 0, 16), "uint4, blocks": ("UINT4", 0, 32),
    "int16, columns": ("INT16", 1, 0), "float8": ("FLOAT8E4M3FN", None, 0), "float8 of 5 bits": ("FLOAT8E5M2", None, 0),
}  # fmt: skip
LEVELS = {"INT8": (-128, 127), "UINT8": (0, 255), "INT4": (-8, 7), "UINT4": (0, 15), "INT16": (-300, 300)}


def node(op_type: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], name=output, **attributes)


def quantised(name: str, form: tuple[str, int | None, int], rng: np.random.Generator) -> list[onnx.TensorProto]:
    """A matrix [D, D], its scales and its zero points, which are in the middle of unsigned types."""
    kind, axis, block = form
    steps = () if axis is None else (D // block, D) if block else (D,)
    dtype = getattr(TensorProto, kind)
    low, high = LEVELS.get(kind, (-2, 2))
    numbers = rng.uniform(low, high, D * D)
    if kind in LEVELS:
        numbers = np.rint(numbers).astype(int)
    middle = (high + 1) // 2 if low == 0 else 0
    scale = rng.uniform(0.5, 1, steps).astype(np.float32) / np.float32(high)
    return [
        helper.make_tensor(f"{name}_q", dtype, (D, D), numbers.tolist()),
        numpy_helper.from_array(np.asarray(scale, np.float32), f"{name}_s"),
        helper.make_tensor(f"{name}_z", dtype, steps, [middle] * int(np.prod(steps, dtype=int))),
    ]


def transformer(form: tuple[str, int | None, int]) -> onnx.ModelProto:
    """One attention over four patches and a class token, its matrices quantised."""
    rng, (_, axis, block) = np.random.default_rng(0), form
    held = [
        numpy_helper.from_array(v, k)
        for k, v in {
            "patch": rng.normal(0, 0.3, (D, 3, 4, 4)).astype(np.float32), "rows": np.array([0, D, 4]),
            "cls": rng.normal(size=(1, 1, D)).astype(np.float32), "first": np.array(0),
            "head": rng.normal(0, 0.3, (D, 5)).astype(np.float32),
        }.items()
    ]  # fmt: skip
    nodes = [
        node("Conv", "x patch", "p", strides=[4, 4]), node("Reshape", "p rows", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1]), node("Concat", "cls t", "h", axis=1),
    ]  # fmt: skip
    given = {} if axis is None else {"axis": axis}
    given |= {"block_size": block} if block else {}
    for name in "QKV":
        held += quantised(name, form, rng)
        nodes += [
            node("DequantizeLinear", f"{name}_q {name}_s {name}_z", f"{name}_w", **given),
            node("MatMul", f"h {name}_w", name),
        ]
    nodes += [
        node("Transpose", "K", "Kt", perm=[0, 2, 1]), node("MatMul", "Q Kt", "a"), node("Softmax", "a", "s"),
        node("MatMul", "s V", "o"), node("Gather", "o first", "c", axis=1), node("MatMul", "c head", "logits"),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", X.shape), ("logits", (1, 5)))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def ran(proto: onnx.ModelProto, *names: str) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"x": X, "seed/logits": np.ones((1, 5), np.float32)}
    asked = {i.name for i in session.get_inputs()}
    return session.run(list(names) or None, {k: v for k, v in feeds.items() if k in asked})


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_the_deployed_files(form: str) -> None:
    proto = transformer(FORMS[form])
    deployed = ran(proto)[0]
    assert np.isfinite(deployed).all()
    found, slope = ran(onnxsal.gradient(proto, of=["logits"], wrt=["x"]), "logits", "grad/x")
    np.testing.assert_array_equal(found, deployed)
    assert np.abs(slope).max() > 0
    model = onnxsal.load(proto)
    for method in ("grad-cam", "score-cam"):
        file = onnxsal.compile(model, method=method, target=1)
        onnx.checker.check_model(file, full_check=True)
        found, saliency = ran(file, "logits", "saliency")
        np.testing.assert_array_equal(found, deployed)
        explained = onnxsal.explain(model, X[0], method=method, target=1)
        assert explained.logit == deployed[0, 1]
        np.testing.assert_allclose(saliency[0], explained.saliency, atol=1e-5)


def test_the_slope_is_that_of_the_dequantised_weights() -> None:
    """By differences of the float function, which the runtime computes by the same weights written as floats."""
    proto = transformer(FORMS["uint4, blocks"])
    slope = ran(onnxsal.gradient(proto, of=["logits"], wrt=["x"]), "grad/x")[0]
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    direction = np.random.default_rng(4).normal(size=X.shape).astype(np.float32)
    ends = [session.run(None, {"x": X + np.float32(s * 1e-3) * direction})[0].astype(np.float64).sum() for s in (1, -1)]
    np.testing.assert_allclose((slope * direction).sum(), (ends[0] - ends[1]) / 2e-3, rtol=0.02)
