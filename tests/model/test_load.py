"""Opening files exported for one picture: what is read of them is what they give, and every compiled file runs."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError

X = np.random.default_rng(0).normal(0, 1, (2, 3, 16, 16)).astype(np.float32)

FREED = "the batch, fixed to 1 in the file, was made free (verified by running)"
ALONE = "the batch is fixed to 1 in the file: images run one by one"

TAILS = {
    "z.squeeze()": ("y = Squeeze(z)", FREED),
    "softmax of z.squeeze()": ("q = Squeeze(z) y = Softmax<axis=-1>(q)", FREED),
    "softmax, then squeeze": ("q = Softmax<axis=1>(z) y = Squeeze(q)", FREED),
    "an empty list of axes": ("y = Squeeze(z, nothing)", FREED),
    "squeezed [1, 1, 3]": ("q = Unsqueeze(z, zero) y = Squeeze(q)", FREED),
    "flattened to [3]": ("y = Reshape(z, minus)", ALONE),
    "flattened features": ("q = Squeeze(p) u = Unsqueeze(q, zero) y = Gemm<transB=1>(u, w, b)", ALONE),
    "a slice of the batch": ("q = Slice(z, zero, one, zero) y = Squeeze(q)", ALONE),
    "the first row, kept": ("y = Gather(z, zero)", ALONE),
    "softmax over everything": ("q = Flatten<axis=0>(z) y = Softmax<axis=1>(q)", ALONE),
    "softmax by hand, over everything": ("m = ReduceMax<keepdims=1>(z) d = Sub(z, m) e = Exp(d) "
                                         "t = ReduceSum<keepdims=1>(e) y = Div(e, t)", ALONE),
    "softmax over the first axis": ("q = Squeeze(z) y = Softmax<axis=0>(q)", ALONE),
    "a mean over the batch": ("y = ReduceMean<axes=[0], keepdims=1>(z)", ALONE),
    "a running sum over the batch": ("y = CumSum(z, zero0)", ALONE),
    "one logit without an axis": ("z1 = Slice(z, zero, one, one) y = Squeeze(z1)", FREED),
    "its sigmoid": ("z1 = Slice(z, zero, one, one) q = Squeeze(z1) y = Sigmoid(q)", FREED),
}  # fmt: skip


def model(tail, more="", shape="", opset=13):
    rng = np.random.default_rng(3)
    body = f"a = Conv<pads=[1,1,1,1]>(x, k) r = Relu(a) g = Conv<pads=[1,1,1,1], strides=[2,2]>(r, l) m0 = Relu(g) " \
           f"p = GlobalAveragePool(m0) f = Flatten(p) z = Gemm<transB=1>(f, w, b) {tail}"  # fmt: skip
    held = "int64[0] nothing = {}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] minus = {-1}, int64 zero0 = {0}"
    text = f'<ir_version: 7, opset_import: ["": {opset}]> g (float[1,3,16,16] x) => (float{shape} y{more}) <{held}> '
    proto = onnx.parser.parse_model(f"{text} {{ {body} }}")
    for name, size, wide in (("k", (4, 3, 3, 3), 0.4), ("l", (6, 4, 3, 3), 0.4), ("w", (3, 6), 2), ("b", (3,), 0.3)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(0, wide, size).astype("f"), name))
    return proto


def run(proto, **feeds):
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def rows(proto, name="y"):
    return np.stack([run(proto, x=x[None])[name].reshape(-1) for x in X])


@pytest.mark.parametrize("tail", TAILS, ids=str)
def test_an_output_without_a_batch_axis_is_read_as_the_file_gives_it(tail):
    proto = model(TAILS[tail][0])
    opened = onnxsal.load(proto)
    assert opened.notes == (TAILS[tail][1],)
    for x, expected in zip(X, rows(proto), strict=True):
        logits, probabilities = opened.scores(x)
        given = probabilities if ("oftmax" in tail and "by hand" not in tail) or "sigmoid" in tail else logits
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["grad-cam", "score-cam"])
@pytest.mark.parametrize("tail", TAILS, ids=str)
def test_what_is_compiled_of_it_runs_and_says_what_explain_says(tail, method):
    proto = model(TAILS[tail][0])
    opened = onnxsal.load(proto)
    compiled = onnxsal.compile(opened, method=method)
    onnx.checker.check_model(compiled, full_check=True)
    for x, expected in zip(X, rows(proto), strict=True):
        found = run(compiled, x=x[None])
        np.testing.assert_allclose(found["y"].reshape(-1), expected, rtol=1e-4, atol=1e-5)
        saliency = onnxsal.explain(opened, x, method=method).saliency
        np.testing.assert_allclose(found["saliency"][0], saliency, atol=1e-4)
    if opened.notes == (FREED,):
        together = run(compiled, x=X)["y"]
        np.testing.assert_allclose(together.reshape(2, -1), rows(proto), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "tail", ["y = Gather(z, zero0)", "y = ReduceMean<keepdims=0>(z)", "y = Gather<axis=1>(z, zero0)"]
)
def test_a_head_that_is_not_served_is_named(tail):
    with pytest.raises(UnsupportedError, match="'y' has shape"):
        onnxsal.load(model(tail))
