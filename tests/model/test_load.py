"""Opening files: names, sizes, what lies beside them; and those exported for one picture, which give what they gave."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
import tiny_models

import onnxsal
from onnxsal.errors import ModelError, OnnxsalError, UnsupportedError, UsageError

X = np.random.default_rng(0).normal(0, 1, (2, 3, 16, 16)).astype(np.float32)

FREED = "the batch, fixed to 1 in the file, was made free (verified by running)"
ALONE = "the batch is fixed to 1 in the file: images run one by one"

TAILS = {
    "z.squeeze()": ("y = Squeeze(z)", FREED),
    "softmax of z.squeeze()": ("q = Squeeze(z) y = Softmax<axis=-1>(q)", FREED),
    "softmax, then squeeze": ("q = Softmax<axis=1>(z) y = Squeeze(q)", FREED),
    "an empty list of axes": ("y = Squeeze(z, nothing)", FREED),
    "squeezed [1, 1, 3]": ("q = Unsqueeze(z, zero) y = Squeeze(q)", FREED),
    "flattened to [3]": ("y = Reshape(z, minus)", FREED),
    "flattened features": ("q = Squeeze(p) u = Unsqueeze(q, zero) y = Gemm<transB=1>(u, w, b)", ALONE),
    "a slice of the batch": ("q = Slice(z, zero, one, zero) y = Squeeze(q)", FREED),
    "the first row, kept": ("y = Gather(z, zero)", ALONE),
    "softmax over everything": ("q = Flatten<axis=0>(z) y = Softmax<axis=1>(q)", ALONE),
    "softmax by hand, over everything": ("m = ReduceMax<keepdims=1>(z) d = Sub(z, m) e = Exp(d) "
                                         "t = ReduceSum<keepdims=1>(e) y = Div(e, t)", ALONE),
    "softmax over the first axis": ("q = Squeeze(z) y = Softmax<axis=0>(q)", FREED),
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
    assert TAILS[tail][1] in opened.notes
    for x, expected in zip(X, rows(proto), strict=True):
        numbers = opened.outputs(x)
        kind = "probability" if "oftmax" in tail or "sigmoid" in tail else next(iter(numbers))
        np.testing.assert_allclose(numbers[kind][-expected.size :], expected, rtol=1e-4, atol=1e-5)


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
    if FREED in opened.notes:
        together = run(compiled, x=X)["y"]
        np.testing.assert_allclose(together.reshape(2, -1), rows(proto), rtol=1e-4, atol=1e-5)


def test_an_output_of_one_number_an_image_is_regression():
    proto = model("y = Gather<axis=1>(z, zero0)")
    opened = onnxsal.load(proto)
    assert (opened.task.name, opened.task.size) == ("regression", 1)
    found = [opened.outputs(x)["value"] for x in X]
    np.testing.assert_allclose(np.stack(found), rows(proto), rtol=1e-4, atol=1e-5)


def classifier(*changes, preset="unit"):
    """The classifier of colours, whose batch is free, with parts of its text replaced."""
    text = tiny_models.BODY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return tiny_models.build(text, tiny_models.weights(), preset=preset)


def scores_of(proto, x):
    (name,) = [i.name for i in proto.graph.input]
    return run(proto, **{name: x[None]})[proto.graph.output[0].name][0]


@pytest.mark.parametrize(
    "name",
    ["score", "saliency", "logits", "sal/target", "sal/coefficients", "sal/x", "sal/logits", "sal/values", "x", "a/b"],
)
@pytest.mark.parametrize("where", ["r1", "flat", "w2"])
def test_names_that_onnxsal_uses_itself_may_stand_inside(where, name):
    """Values, and weights; a file that onnxsal wrote has them too."""
    old = classifier()
    proto = classifier()
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if each == where else "own_logits" if each == name else each for each in names]
    for each in (*proto.graph.initializer, *proto.graph.output):
        each.name = name if each.name == where else "own_logits" if each.name == name else each.name
    onnx.checker.check_model(proto, full_check=True)
    opened = onnxsal.load(proto)
    np.testing.assert_allclose(opened.scores(opened.prepare(X[0]).x)[0], scores_of(old, X[0]), rtol=1e-5)
    maps = [onnxsal.explain(m, X[0], method="gradient", target=1).raw for m in (opened, old)]
    np.testing.assert_allclose(*maps, rtol=1e-5)


@pytest.mark.parametrize("name", ["sal/target", "sal/coefficients", "sal/x"])
def test_an_output_with_the_name_of_what_is_fed_is_refused(name):
    proto = classifier()
    proto.graph.output[0].name = proto.graph.node[-1].output[0] = name
    with pytest.raises(UnsupportedError, match=f"an output of the model is called '{name}'.*rename it in the file"):
        onnxsal.load(proto)


@pytest.mark.parametrize(("shape", "size"), [("H, W", (224, 224)), ("16, W", (16, 224)), ("16, 16", (16, 16))])
def test_height_and_width_that_are_open_are_the_usual_ones(shape, size):
    proto = classifier(("N, 3, 16, 16", f"N, 3, {shape}"))
    opened = onnxsal.load(proto)
    assert opened.size == size
    x = np.random.default_rng(1).uniform(0, 1, (3, *size)).astype(np.float32)
    np.testing.assert_allclose(opened.scores(x)[0], scores_of(proto, x), rtol=1e-4, atol=1e-6)


def test_a_declared_batch_of_two_is_overruled_where_running_proves_it():
    proto = classifier()
    opened = onnxsal.load(classifier(("N, 3, 16", "2, 3, 16"), ("N, 4", "2, 4")))
    assert "the batch, fixed to 2 in the file, was made free (verified by running)" in opened.notes
    np.testing.assert_allclose(opened.scores(X[0])[0], scores_of(proto, X[0]), rtol=1e-4, atol=1e-6)


def test_any_element_of_a_model_of_a_declared_batch_is_that_of_the_file():
    proto = classifier()
    opened = onnxsal.load(classifier(("N, 3, 16", "2, 3, 16"), ("N, 4", "2, 4")), task="element")
    assert opened.notes[-2] == "the batch, fixed to 2 in the file, was made free (verified by running)"
    found = onnxsal.explain(opened, X[0], method="gradient", target="logits[0, 2]")
    way = np.sign(found.raw)
    up, down = (scores_of(proto, X[0] + step * way).reshape(-1)[2] for step in (1e-3, -1e-3))
    np.testing.assert_allclose((found.raw * way).sum(), (up - down) / 2e-3, rtol=1e-2)
    np.testing.assert_allclose(found.logit, scores_of(proto, X[0]).reshape(-1)[2], rtol=1e-4)


def test_a_batch_of_two_whose_pictures_are_mixed_is_refused():
    mixed = (
        "logits = Gemm (flat, w3, b3)",
        "m = ReduceMean <axes = [0], keepdims = 1> (flat)\n d = Sub (flat, m)\n logits = Gemm (d, w3, b3)",
    )
    with pytest.raises(ModelError, match="the model's batch is fixed to 2; export it with batch 1 or a free"):
        onnxsal.load(classifier(("N, 3, 16", "2, 3, 16"), ("N, 4", "2, 4"), mixed))
    with pytest.raises(ModelError, match="the model's batch is fixed to 2"):
        onnxsal.load(classifier(("N, 3, 16", "2, 3, 16"), ("N, 4", "2, 4"), mixed), task="element")


CONFIG = {
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.5, 0.5, 0.25], "do_resize": True, "size": {"height": 16, "width": 16}, "do_center_crop": False,
}  # fmt: skip


def prepared(path, **said):
    """What a grey picture of the model's own size becomes."""
    return onnxsal.load(path, **said).prepare(np.full((16, 16, 3), 51, np.uint8)).x[:, 0, 0]


def test_what_was_said_goes_before_the_metadata_and_they_before_what_lies_beside(tmp_path):
    silent, speaks = tmp_path / "silent.onnx", tmp_path / "speaks.onnx"
    onnx.save(classifier(preset=None), silent)
    onnx.save(classifier(preset="unit"), speaks)
    with pytest.raises(UsageError, match="does not say how it wants its pictures"):
        prepared(silent)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CONFIG))
    beside = (0.2 - np.array(CONFIG["image_mean"])) / CONFIG["image_std"]
    np.testing.assert_allclose(prepared(silent), beside, rtol=1e-5)
    np.testing.assert_allclose(prepared(speaks), [0.2] * 3, rtol=1e-6)
    for path in (silent, speaks):
        np.testing.assert_allclose(prepared(path, preprocess="raw"), [51] * 3, rtol=1e-6)


def test_labels_that_were_given_go_before_those_of_the_file_and_must_be_as_many(tmp_path):
    proto = classifier()
    assert onnxsal.load(proto).label(3) == tiny_models.LABELS[3]
    assert onnxsal.load(proto, labels=[*"abcd"]).label(3) == "d"
    (tmp_path / "names.txt").write_text("\n".join("wxyz"))
    assert onnxsal.load(proto, labels=tmp_path / "names.txt").label(0) == "w"
    with pytest.raises(UsageError, match="3 labels, but the model has 4 classes"):
        onnxsal.load(proto, labels=[*"abc"])


def test_a_file_and_what_it_holds_are_the_same_model(tmp_path):
    onnx.save(classifier(), tmp_path / "m.onnx")
    a, b, c = (onnxsal.load(each) for each in (classifier(), tmp_path / "m.onnx", str(tmp_path / "m.onnx")))
    assert b.digest == c.digest
    assert (a.name, b.name) == ("", str(tmp_path / "m.onnx"))
    for opened in (b, c):
        np.testing.assert_array_equal(opened.scores(X[0]), a.scores(X[0]))


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4 no model"])
def test_what_is_no_model_is_one_message_that_names_the_file(tmp_path, content):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OnnxsalError) as caught:
        onnxsal.load(path)
    assert "m.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("thing", [3, None, b"bytes", ["m.onnx"], np.zeros(3)])
def test_what_is_neither_a_path_nor_a_model_is_refused(thing):
    with pytest.raises(UsageError, match=type(thing).__name__):
        onnxsal.load(thing)


def test_a_provider_that_there_is_not_is_told_before_the_file_is_read(tmp_path):
    with pytest.raises(OnnxsalError, match="warp"):
        onnxsal.load(tmp_path / "there is none.onnx", provider="warp")


TWO_HEADS = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    two (float[N, 3, 16, 16] x) => (float[N, 4] coarse, float[N, 6] fine) <float[1,3,1,1] s = {1,2,3}> {
        c = Mul (x, s)
        p = ReduceMean <axes = [2, 3], keepdims = 0> (c)
        coarse = MatMul (p, a)
        fine = MatMul (p, b)
    }""")
for _name, _wide in (("a", 4), ("b", 6)):
    TWO_HEADS.graph.initializer.append(
        onnx.numpy_helper.from_array(np.random.default_rng(_wide).normal(size=(3, _wide)).astype("f"), _name)
    )


@pytest.mark.parametrize("head", ["coarse", "fine"])
def test_the_output_that_is_named_is_explained(head):
    opened = onnxsal.load(TWO_HEADS, head=head)
    assert opened.task.output == head
    np.testing.assert_allclose(opened.scores(opened.prepare(X[0]).x)[0], run(TWO_HEADS, x=X[:1])[head][0], rtol=1e-5)
    again = onnxsal.load(TWO_HEADS).reopened(head=head)
    np.testing.assert_array_equal(
        *(onnxsal.explain(each, X[0], method="gradient", target=1).raw for each in (opened, again))
    )
    assert again.reopened(head=head) is again


def test_an_output_that_there_is_not_names_those_that_there_are():
    with pytest.raises(UsageError, match="head='fin': the model has no such output; did you mean 'fine'"):
        onnxsal.load(TWO_HEADS, head="fin")
