"""Integer activations at the end of a model: float scores in front of them, and the model's own output as it was."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxsal
from onnxsal.graph import load_ir, normalise
from onnxsal.tasks.classification import find_head
from onnxsal.tasks.integer import open_heads

WEIGHT = np.random.default_rng(3).normal(0, 40, (6, 4)).astype(np.float32)
SCALE = 0.5
"""Of the logits: wide enough for probabilities that 256 steps round to 0 and 1."""


def model(end, outputs="float[n,6] y", opset=13):
    text = f"""<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> g (float[n,3,8,8] x) => ({outputs}) {{
        c = Conv(x, k) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) z = Gemm<transB=1>(f, v)
        zq = QuantizeLinear(z, zs, zz) {end} }}"""
    proto = onnx.parser.parse_model(text)
    kernel = np.random.default_rng(4).normal(0, 1, (4, 3, 3, 3)).astype(np.float32)
    held = {"k": kernel, "v": WEIGHT, "zs": np.float32(SCALE), "zz": np.uint8(128), "ys": np.float32(1 / 256),
            "yz": np.uint8(0)}  # fmt: skip
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in held.items())
    return proto


def ended(op_type, dressed=True, **attributes):
    given = ",".join(f"{k}={v}" for k, v in attributes.items())
    own = f"com.microsoft.{op_type}{f'<{given}>' if given else ''}(zq, zs, zz, ys, yz)"
    return f"q = {own} y = DequantizeLinear(q, ys, yz)" if dressed else f"y = {own}"


ENDS = {
    "softmax": (ended("QLinearSoftmax", axis=-1, opset=17), "softmax"),
    "softmax, old": (ended("QLinearSoftmax", axis=1, opset=11), "softmax"),
    "sigmoid": (ended("QLinearSigmoid"), "sigmoid"),
}


@pytest.mark.parametrize(("end", "activation"), ENDS.values(), ids=ENDS)
def test_the_logit_is_in_front_of_an_integer_activation(end, activation):
    found = onnxsal.load(model(end))
    x = np.random.default_rng(5).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    logits, probabilities = found.scores(x[0])
    file = ort.InferenceSession(model(end).SerializeToString(), providers=["CPUExecutionProvider"])
    (own,) = file.run(None, {"x": x})
    exact = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    exact = exact if activation == "softmax" else 1 / (1 + np.exp(-logits))
    assert found.task.activation == activation
    assert np.ptp(logits) > 1
    assert np.array_equal(logits / SCALE, np.round(logits / SCALE))
    assert np.abs(probabilities - exact).max() < 1e-6
    assert np.abs(probabilities - own[0]).max() <= 1.01 / 256


def test_an_output_of_integers():
    opened = open_heads(normalise(load_ir(model(ended("QLinearSoftmax", dressed=False, opset=13), "uint8[n,6] y"))))
    head = find_head(opened.graph)
    assert (head.output, head.classes, head.activation) == ("y", 6, "softmax")
    assert [str(v.dtype) for v in opened.graph.outputs] == ["UINT8"]


def test_the_gradient_is_that_of_the_logit():
    """The integer softmax's own gradient is that of a probability: next to nothing where the model is sure."""
    closed, plain = model(ENDS["softmax"][0]), model("y = DequantizeLinear(zq, zs, zz)")
    x = np.random.default_rng(5).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    maps = [onnxsal.explain(onnxsal.load(m), x, method="gradient", target=2).raw for m in (closed, plain)]
    assert np.abs(maps[1]).max() > 0
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-5, atol=1e-7)


def test_gates_inside_the_model_stay_integer():
    inside = "a = com.microsoft.QLinearSigmoid(zq, zs, zz, ys, yz) b = DequantizeLinear(a, ys, yz) y = Mul(b, z)"
    normal = normalise(load_ir(model(inside)))
    assert open_heads(normal) is normal


def test_a_softmax_over_several_axes_stays():
    end = "t = Constant<value=int64[3] {0,2,3}>() zr = Reshape(zq, t) " + ended("QLinearSoftmax", axis=1, opset=11)
    normal = normalise(load_ir(model(end.replace("(zq,", "(zr,").replace("Reshape(zr", "Reshape(zq"), "float y")))
    assert open_heads(normal) is normal
