"""Ordinal heads against numpy, the file itself in ONNX Runtime, and differences."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError

SIDE = 5
RNG = np.random.default_rng(4)
X = RNG.normal(0, 1, (1, 1, SIDE, SIDE)).astype(np.float32)
W = RNG.normal(0, 0.4, (SIDE * SIDE, 1)).astype(np.float32)
BIASES = np.array([[3, 1.5, 0.5, -1.5]], np.float32)
NAMES = ["none", "mild", "moderate", "severe", "worst"]


def model(end: str, **weights: np.ndarray) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[n, 1, {SIDE}, {SIDE}] x) => (float[n, 4] y)
        {{ a = Tanh(x) f = Flatten(a) z = MatMul(f, w) {end} }}"""
    )
    given = {"w": W, "b": BIASES, "wide": np.repeat(W, 4, axis=1), **weights}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in given.items())
    return proto


def above(x: np.ndarray = X) -> np.ndarray:
    """P(rank > k), [4], by the definition."""
    z = np.tanh(x.astype(np.float64)).reshape(1, -1) @ W.astype(np.float64)
    found: np.ndarray = 1 / (1 + np.exp(-(z + BIASES)))[0]
    return found


def difference(of: object, direction: np.ndarray, eps: float = 1e-4) -> float:
    return float((of(X + eps * direction) - of(X - eps * direction)) / (2 * eps))  # type: ignore[operator]


PROVEN = {
    "CORAL": "c = Add(z, b) y = Sigmoid(c)",
    "its logits": "y = Add(b, z)",
    "thresholds": "n = Neg(b) c = Sub(z, n) y = Sigmoid(c)",
    "one weight vector, repeated": "o = Gemm(f, wide, b) y = Sigmoid(o)",
}


@pytest.mark.parametrize("end", PROVEN.values(), ids=PROVEN)
def test_one_number_with_a_constant_for_each_rank_is_proof(end: str) -> None:
    opened = onnxsal.load(model(end), labels=NAMES)
    assert (opened.task.name, opened.decided[0].what, opened.notes) == ("ordinal", "task", ())
    p = above()
    values = opened.outputs(opened.prepare(X).x)["value"]
    np.testing.assert_allclose(values[:5], [p.sum(), *p], rtol=1e-5)
    np.testing.assert_allclose(values[5:], -np.diff([1, *p, 0]), rtol=1e-4, atol=1e-6)
    first, *rest = opened.predict(X, top=9)
    assert first.index == int((p > 0.5).sum())
    assert (np.isnan(first.probability), first.logit) == (True, pytest.approx(p.sum(), rel=1e-5))
    np.testing.assert_allclose([each.probability for each in rest], p, rtol=1e-5)


def test_targets_and_their_gradients() -> None:
    opened = onnxsal.load(model(PROVEN["CORAL"]), labels=NAMES)
    direction = RNG.normal(0, 1, X.shape)
    cases = {
        None: lambda x: above(x).sum(),
        "rank >= 3": lambda x: above(x)[2],
        "rank < 2": lambda x: -above(x)[1],
        "moderate": lambda x: above(x)[1] - above(x)[2],
        4: lambda x: above(x)[3],
        0: lambda x: 1 - above(x)[0],
    }
    for target, of in cases.items():
        found = onnxsal.explain(opened, X, method="gradient", target=target)
        assert (found.raw * direction[0]).sum() == pytest.approx(difference(of, direction), rel=1e-3, abs=1e-6)
        if target is not None:
            assert found.score == pytest.approx(of(X) + (target == "rank < 2"), rel=1e-4)
    refused = {
        "rank >= 5": "out of range", 9: "the model has the ranks 0 to 4", "dreadful": "no class is called",
        (0, 1): "no pairs",
    }  # fmt: skip
    for target, message in refused.items():
        with pytest.raises(UsageError, match=message):
            onnxsal.explain(opened, X, method="gradient", target=target)


@pytest.mark.parametrize("target", [None, "rank >= 2", 3])
def test_its_compiled_file_is_what_explain_gives(target: object) -> None:
    opened = onnxsal.load(model(PROVEN["CORAL"]))
    made = onnxsal.compile(opened, method="gradient", target=target, give="raw")
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = onnxsal.explain(opened, X, method="gradient", target=target).raw
    np.testing.assert_allclose(session.run(["raw"], {"x": X})[0][0], wanted, rtol=1e-4, atol=1e-7)


def test_at_most_a_rank_is_told_from_above_it_by_the_order() -> None:
    """A proportional-odds model: sigmoid(threshold - z) is how sure the rank is not above."""
    rising = -BIASES
    opened = onnxsal.load(model("c = Sub(t, z) y = Sigmoid(c)", t=rising))
    np.testing.assert_allclose(opened.outputs(opened.prepare(X).x)["value"][1:5], above(), rtol=1e-4)


def test_other_sigmoids_are_ranks_where_somebody_says_so() -> None:
    free = model("o = MatMul(f, v) y = Sigmoid(o)", v=RNG.normal(0, 0.4, (SIDE * SIDE, 4)).astype(np.float32))
    assert onnxsal.load(free).task.name == "classification"
    p = onnxruntime.InferenceSession(free.SerializeToString()).run(["y"], {"x": X})[0][0]
    plain = onnxsal.load(free, task="ordinal")
    np.testing.assert_allclose(plain.outputs(plain.prepare(X).x)["value"][1:5], p, rtol=1e-5)
    nested = onnxsal.load(free, task="ordinal-conditional")
    values = nested.outputs(nested.prepare(X).x)["value"]
    np.testing.assert_allclose(values[1:5], np.cumprod(p), rtol=1e-4)
    assert nested.predict(X)[0].index == int((np.cumprod(p) > 0.5).sum())
    unordered = model(PROVEN["CORAL"], b=np.array([[1, 2, 0, 3]], np.float32))
    assert onnxsal.load(unordered).task.name == "classification"
    with pytest.raises(UnsupportedError, match=r"no output is \[batch, K - 1\]"):
        onnxsal.load(model("s = ReduceSum<keepdims=0>(z) y = Sigmoid(s)"), task="ordinal")
