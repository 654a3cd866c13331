"""Files without an axis of the batch at their output are read as the same model that keeps its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxsal

X = np.random.default_rng(0).normal(0, 1, (3, 8, 8)).astype(np.float32)
HELD = "int64 first = {0}, int64[1] zero = {0}, int64[1] minus = {-1}"
KEPT = {"logits": "y = Identity(z)", "softmax": "y = Softmax<axis=1>(z)", "sigmoid": "y = Sigmoid(z)"}
TAKEN = {
    "logits": ["y = Gather<axis=0>(z, first)", "y = Reshape(z, minus)", "y = ReduceMean<axes=[0], keepdims=0>(z)"],
    "softmax": ["r = Gather<axis=0>(z, first) y = Softmax<axis=0>(r)", "p = Softmax<axis=1>(z) y = Squeeze(p)"],
    "sigmoid": ["r = Squeeze(z, zero) y = Sigmoid(r)"],
}
PAIRS = [(kept, tail) for kept, tails in TAKEN.items() for tail in tails]


def model(tail: str, shape: str = "", more: str = "", batch: str = "1") -> onnx.ModelProto:
    body = f"a = Conv<pads=[1,1,1,1]>(x, k) m0 = Relu(a) b = Conv<strides=[2,2]>(m0, l) m1 = Relu(b) " \
           f"g = GlobalAveragePool(m1) f = Flatten(g) z = Gemm(f, v) {tail}"  # fmt: skip
    text = f'<ir_version: 8, opset_import: ["": 13]> g (float[{batch},3,8,8] x) => (float{shape} y{more}) <{HELD}>'
    proto = onnx.parser.parse_model(f"{text} {{ {body} }}")
    rng = np.random.default_rng(1)
    for name, size in {"k": (4, 3, 3, 3), "l": (6, 4, 3, 3), "v": (6, 5)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(0, 0.5, size).astype("f"), name))
    return proto


def both(kept: str, tail: str, **how: Any) -> tuple[onnxsal.Model, onnxsal.Model]:
    return onnxsal.load(model(KEPT[kept], "[1,5]"), **how), onnxsal.load(model(tail, "[5]"), **how)


@pytest.mark.parametrize(("kept", "tail"), PAIRS)
@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "occlusion"])
def test_maps_are_those_of_the_model_that_keeps_its_rows(kept: str, tail: str, method: str) -> None:
    one, other = (onnxsal.explain(each, X, method=method) for each in both(kept, tail))
    np.testing.assert_array_equal(other.raw, one.raw)
    assert (other.label, other.logit) == (one.label, one.logit)
    np.testing.assert_equal(other.score, one.score)


@pytest.mark.parametrize(("kept", "tail"), PAIRS)
def test_it_is_told_and_read_as_the_same_task(kept: str, tail: str) -> None:
    plain, found = both(kept, tail)
    assert (found.task.name, found.task.facts()["activation"]) == ("classification", plain.task.facts()["activation"])
    assert any("'y' has no axis of the batch" in note for note in found.notes)
    assert [each.what for each in found.decided if each.value == "y"] == ["rows"]
    assert found.inspect()["outputs"][0]["element"] == "y[0]"


def test_an_element_is_named_as_the_file_has_it() -> None:
    found = onnxsal.load(model(TAKEN["softmax"][0]))
    one = onnxsal.explain(found, X, target="y[3]", method="gradient")
    same = onnxsal.explain(onnxsal.load(model(KEPT["softmax"])), X, target="y[0, 3]", method="gradient")
    np.testing.assert_allclose(one.raw, same.raw, rtol=1e-5)
    with pytest.raises(onnxsal.errors.UsageError, match=r"'y\[0, 3\]' has 2 entries"):
        onnxsal.explain(found, X, target="y[0, 3]", method="gradient")


def test_a_compiled_file_has_the_rows() -> None:
    import onnxruntime

    made = onnxsal.compile(onnxsal.load(model(TAKEN["softmax"][0])), method="grad-cam")
    session = onnxruntime.InferenceSession(made.SerializeToString())
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": np.stack([X, -X])}), strict=True))
    kept = onnxsal.load(model(KEPT["softmax"]))
    for at, x in enumerate((X, -X)):
        np.testing.assert_allclose(found["y"][at], kept.scores(x)[1], rtol=1e-5)
        np.testing.assert_allclose(
            found["saliency"][at], onnxsal.explain(kept, x, method="grad-cam").saliency, atol=1e-5
        )


def test_steps_whose_number_the_file_leaves_open_are_no_classes() -> None:
    """One number a column of the picture, of which there are as many as it is wide: no model keeps classes so."""
    tail = "c = ReduceMean<axes=[1, 2], keepdims=0>(m0) r = Gather<axis=0>(c, first) y = Softmax<axis=0>(r)"
    file = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 13]> g (float[1,3,8,W] x) => (float[W] y) <{HELD}> '
        f"{{ a = Conv<pads=[1,1,1,1]>(x, k) m0 = Relu(a) {tail} }}"
    )
    file.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "k"))
    assert onnxsal.load(file, size=(8, 8)).task.name == "element"


def test_labels_that_fit_show_classes_where_the_rows_are_not_followed() -> None:
    hidden = model('h = Einsum<equation="bi->i">(z) y = Mul(h, h)')
    assert onnxsal.load(hidden).task.name == "element"
    named = onnxsal.load(hidden, labels=list("abcde"))
    assert (named.task.name, named.task.size) == ("classification", 5)
