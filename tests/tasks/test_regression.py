"""Regression: numbers that are no scores of classes, against the file in ONNX Runtime and closed forms."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError

SIDE = 6
RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (1, 1, SIDE, SIDE)).astype(np.float32)
W = RNG.normal(0, 1, (SIDE * SIDE, 2)).astype(np.float32)


def model(outputs: str, end: str) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[B, 1, {SIDE}, {SIDE}] x) => ({outputs})
        <int64[1] last = {{1}}> {{ c = Relu (x) f = Flatten (c) z = MatMul (f, w) {end} }}"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(W, "w"))
    return proto


AGE = model("float[B] age", "age = ReduceSum <keepdims = 0> (z, last)")


@pytest.fixture(scope="module")
def age() -> onnxsal.Model:
    return onnxsal.load(AGE)


def test_one_number_a_picture_is_proven(age: onnxsal.Model) -> None:
    assert (age.task.name, age.task.output, age.task.size) == ("regression", "age", 1)
    (found,) = age.predict(X)
    expected = onnxruntime.InferenceSession(AGE.SerializeToString()).run(None, {"x": X})[0]
    assert (found.label, np.isnan(found.probability)) == ("age", True)
    np.testing.assert_allclose(found.logit, expected[0], rtol=1e-6)


def test_its_gradient_is_the_closed_form(age: onnxsal.Model) -> None:
    found = onnxsal.explain(age, X, method="gradient")
    expected = (W.sum(axis=1).reshape(SIDE, SIDE) * (X[0, 0] > 0))[None]
    np.testing.assert_allclose(found.raw, expected, rtol=1e-6)
    assert (found.task, found.label, found.target) == ("regression", "age", 0)
    assert np.isnan(found.score)
    np.testing.assert_allclose(found.logit, np.maximum(X, 0).reshape(1, -1) @ W.sum(axis=1), rtol=1e-5)


def test_occlusion_of_a_linear_model_is_what_lay_there(age: onnxsal.Model) -> None:
    found = onnxsal.explain(age, X, method="occlusion", patch=2, stride=2)
    parts = (np.maximum(X[0, 0], 0) * W.sum(axis=1).reshape(SIDE, SIDE)).reshape(3, 2, 3, 2).sum(axis=(1, 3))
    np.testing.assert_allclose(found.raw, parts, rtol=1e-3, atol=1e-5)


def test_its_compiled_file_is_what_explain_gives(age: onnxsal.Model) -> None:
    made = onnxsal.compile(age, method="gradient")
    session = onnxruntime.InferenceSession(made.SerializeToString())
    saliency = session.run(["saliency"], {"x": X})[0][0]
    np.testing.assert_allclose(saliency, onnxsal.explain(age, X, method="gradient").saliency, atol=1e-6)


def test_several_numbers_are_classes_unless_somebody_says_so() -> None:
    proto = model("float[B, 2] y", "y = Identity (z)")
    assert onnxsal.load(proto).task.name == "classification"
    said = onnxsal.load(proto, task="regression")
    values = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": X})[0][0]
    np.testing.assert_allclose([each.logit for each in said.predict(X)], values, rtol=1e-6)
    pair = onnxsal.explain(said, X, method="gradient", target=(0, 1))
    np.testing.assert_allclose(
        pair.raw, ((W[:, 0] - W[:, 1]).reshape(SIDE, SIDE) * (X[0, 0] > 0))[None], rtol=1e-5, atol=1e-7
    )
    assert pair.label == "y 0 minus y 1"
    for target, message in ((2, "out of range"), ("y", "index of a number"), ((0,), "a minus b"), (True, "index")):
        with pytest.raises(UsageError, match=message):
            onnxsal.explain(said, X, method="gradient", target=target)


def test_what_puts_out_no_number_is_refused() -> None:
    proto = model("float[B, 1, 6, 6] y", "y = Identity (c)")
    with pytest.raises(UnsupportedError, match=r"no output holds one number: 'y' is"):
        onnxsal.load(proto, task="regression")


def test_as_many_numbers_as_are_found_in_a_picture_are_no_number_a_picture() -> None:
    """An open axis of its own, such as that of boxes that are left: nothing proves that it is the batch."""
    end = "n = NonZero (c) t = Transpose (n) s = ReduceSum <keepdims = 0> (t, last) y = Cast <to = 1> (s)"
    proto = model("float[found] y", end)
    unsaid = onnxsal.load(proto)
    assert unsaid.task.name == "element" and "--task regression" in unsaid.notes[0]
    assert onnxsal.load(proto, task="regression").task.size == 1
