"""Embeddings: the cosine to a reference, against closed forms, the file in ONNX Runtime and central differences."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

import onnxsal
from onnxsal.errors import ImageError, ModelError, UnsupportedError, UsageError
from onnxsal.explanation.target import looked_at
from onnxsal.metrics.registry import get

RNG = np.random.default_rng(0)
WIDTH, SIDE = 8, 12
W1 = RNG.normal(0, 0.3, (6, 3, 3, 3)).astype(np.float32)
W2 = RNG.normal(0, 0.3, (WIDTH, 6, 3, 3)).astype(np.float32)
X, A, B = (RNG.normal(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32) for _ in range(3))
METHODS = ("gradient", "input-x-gradient", "grad-cam", "occlusion", "similarity-map")


def model(end: str = "e = LpNormalization <axis = 1> (f)", output: str = f"float[B, {WIDTH}] e") -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, {SIDE}, {SIDE}] x) => ({output}) {{
        c = Conv <pads = [1, 1, 1, 1]> (x, w1) r = Relu (c) d = Conv <pads = [1, 1, 1, 1]> (r, w2) a = Relu (d)
        m = GlobalAveragePool (a) f = Flatten (m) {end} }}"""
    )
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(w, n) for n, w in (("w1", W1), ("w2", W2)))
    onnx.helper.set_model_props(proto, {"onnxsal.preprocess": '{"preset": "unit", "fit": "squash"}'})
    return proto


NET = model()
SESSION = onnxruntime.InferenceSession(NET.SerializeToString())


def vector(x: NDArray[np.float32]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = SESSION.run(None, {"x": x.astype(np.float32)})[0].astype(np.float64)
    return found[0]


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def net() -> onnxsal.Model:
    return onnxsal.load(NET)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{name}.png" for name in ("one", "two", "three")]
    for path in paths:
        Image.fromarray(RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    return paths


def test_the_score_is_the_cosine_to_a_reference_however_it_is_given(net: onnxsal.Model, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", 7 * vector(A)[None])
    expected = cosine(vector(X), vector(A))
    given = [A, vector(A), 3 * vector(A)[None, :, None, None], list(vector(A)), tmp_path / "v.npy"]
    for reference in given:
        found = onnxsal.explain(net, X, method="gradient", target=onnxsal.Like(reference))
        assert found.logit == pytest.approx(expected, abs=1e-6)
        assert np.isnan(found.score)
    text = onnxsal.explain(net, X, method="gradient", target=f"like:{tmp_path / 'v.npy'}")
    assert (text.logit, text.label, text.target) == (
        pytest.approx(expected, abs=1e-6), "like v.npy", f"like:{tmp_path / 'v.npy'}",
    )  # fmt: skip
    assert (text.task, text.manifest["score"]) == ("embedding", "cosine")


def test_a_reference_has_a_length_of_its_own(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, T] x) => (float[B, 5] e) {
        c = Conv <pads = [1, 1]> (x, w) r = Relu (c) m = GlobalAveragePool (r) f = Flatten (m)
        e = LpNormalization <axis = 1> (f) }"""
    proto = onnx.parser.parse_model(text)
    weights = RNG.normal(0, 1, (5, 3, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    long, short = (RNG.normal(0, 1, (1, 3, n)).astype(np.float32) for n in (20, 12))
    np.save(tmp_path / "short.npy", short)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    a, b = (session.run(None, {"x": x})[0][0].astype(np.float64) for x in (long, short))
    for target in (onnxsal.Like(short), f"like:{tmp_path / 'short.npy'}"):
        found = onnxsal.explain(onnxsal.load(proto), long, method="gradient", target=target)
        assert found.logit == pytest.approx(cosine(a, b), abs=1e-6)


def test_a_pair_is_a_difference(net: onnxsal.Model, tmp_path: Path) -> None:
    expected = cosine(vector(X), vector(A)) - cosine(vector(X), vector(B))
    for name, each in (("a", A), ("b", B)):
        np.save(tmp_path / f"{name}.npy", vector(each))
    pairs = [
        onnxsal.Like(A) - onnxsal.Like(B),
        (onnxsal.Like(vector(A)), onnxsal.Like(B)),
        f"like:{tmp_path / 'a.npy'} minus like:{tmp_path / 'b.npy'}",
    ]
    for pair in pairs:
        assert onnxsal.explain(net, X, method="gradient", target=pair).logit == pytest.approx(expected, abs=1e-6)
    assert onnxsal.explain(net, X, method="gradient", target=pairs[2]).label == "like a.npy minus like b.npy"


@pytest.mark.parametrize("pair", [False, True])
def test_its_gradient_is_that_of_central_differences(net: onnxsal.Model, pair: bool) -> None:
    def score(x: NDArray[np.float64]) -> float:
        seen = vector(x.astype(np.float32))
        return cosine(seen, vector(A)) - (cosine(seen, vector(B)) if pair else 0.0)

    target = onnxsal.Like(A) - onnxsal.Like(B) if pair else onnxsal.Like(A)
    found = onnxsal.explain(net, X, method="gradient", target=target).raw.astype(np.float64)
    for _ in range(3):
        way = RNG.normal(0, 1, X.shape)
        way, step = way / np.linalg.norm(way), 0.02
        expected = (score(X + step * way) - score(X - step * way)) / (2 * step)
        assert float((found * way[0]).sum()) == pytest.approx(expected, rel=2e-2, abs=2e-5)


def test_the_gradient_of_the_cosine_of_a_linear_model_is_the_closed_form() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 12, 12] x) => (float[B, 8] e)
        { c = Conv <strides = [12, 12]> (x, w) e = Flatten (c) }"""
    )
    weight = RNG.normal(0, 1, (WIDTH, 3, SIDE, SIDE)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    reference = RNG.normal(0, 1, WIDTH)
    found = onnxsal.explain(
        onnxsal.load(proto, task="embedding"), X, method="gradient", target=onnxsal.Like(reference)
    )  # fmt: skip
    f = np.tensordot(weight.astype(np.float64), X[0].astype(np.float64), 3)
    r, length = reference / np.linalg.norm(reference), np.linalg.norm(f)
    by_vector = (r - cosine(f, r) * f / length) / length
    np.testing.assert_allclose(found.raw, np.tensordot(by_vector, weight, 1), atol=1e-6)


def test_a_zero_vector_is_like_nothing_and_has_no_direction(net: onnxsal.Model) -> None:
    dark = np.zeros_like(X)  # without a bias, black is 0 behind the last ReLU
    score = net.score("cosine", net.task.resolve(onnxsal.Like(vector(A)), {}, None))
    feeds = net.task.resolve(onnxsal.Like(vector(A)), {}, None).feeds
    assert net.session(score).run({"sal/x": dark, **feeds})["score"].tolist() == [0.0]
    with pytest.raises(ModelError, match="the embedding is 0 in all its numbers"):
        onnxsal.explain(net, dark, method="gradient", target=onnxsal.Like(A))
    path = onnxsal.explain(net, X, method="integrated-gradients", target=onnxsal.Like(A))  # begins at 0
    assert np.isfinite(path.raw).all()
    with pytest.raises(UsageError, match="its vector is 0 in all its numbers"):
        onnxsal.explain(net, X, method="gradient", target=onnxsal.Like(dark))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "an embedding is no class.*-t like:FILE"),
        ("cat", "a target of an embedding is a reference; got 'cat'"),
        (3, "is a reference; got 3"),
        ((onnxsal.Like(A),), r"a pair of references \(a, b\) means a minus b; got 1"),
        (onnxsal.Like(np.ones(5)), "a vector of 5 numbers, and the embedding has 8"),
        (onnxsal.Like(np.zeros(8)), "is 0 in all its numbers"),
        (onnxsal.Like([1.0] * 7 + [float("nan")]), "1 of its numbers are not finite"),
        (onnxsal.Like(np.ones((3, 8))), "holds 3 vectors of 8 numbers"),
        (onnxsal.Like(np.ones(8)) - onnxsal.Like(2 * np.ones(8)), "have one direction"),
        (onnxsal.Like(["a"] * 8), "which are no numbers"),
    ],
)  # fmt: skip
def test_bad_references_are_refused(net: onnxsal.Model, target: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.explain(net, X, method="gradient", target=target)


def test_a_reference_that_cannot_be_read_is_refused(net: onnxsal.Model, tmp_path: Path) -> None:
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(ImageError, match=r"the reference: '.*broken.npy' is no array that NumPy can read"):
        onnxsal.explain(net, X, target=f"like:{tmp_path / 'broken.npy'}")
    with pytest.raises(ImageError, match=r"the reference: no such file: 'missing.npy'"):
        onnxsal.explain(net, X, target="like:missing.npy")
    with pytest.raises(ImageError, match="no such picture"):
        onnxsal.explain(net, X, target="like:missing.png")
    with pytest.raises(TypeError):
        onnxsal.Like(A) - 3  # type: ignore[operator]


def test_references_are_photographs_too_and_are_seen_once(net: onnxsal.Model, photos: list[Path]) -> None:
    one, two, three = photos
    seen = [vector(np.asarray(Image.open(p), np.float32).transpose(2, 0, 1)[None] / 255) for p in photos]
    target = looked_at(net, onnxsal.Like(two) - onnxsal.Like(Image.open(three)))
    found = onnxsal.explain(net, [one, two], method="gradient", target=target)
    expected = [cosine(v, seen[1]) - cosine(v, seen[2]) for v in seen[:2]]
    np.testing.assert_allclose([each.logit for each in found], expected, atol=1e-5)
    assert found[0].label == "like two.png minus like three.png"


@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_file_is_what_explain_gives(net: onnxsal.Model, method: str) -> None:
    both = np.concatenate([X, B])
    options = {"patch": 4, "stride": 4} if method == "occlusion" else {}
    for target in (onnxsal.Like(A), onnxsal.Like(A) - onnxsal.Like(X + A)):
        made = onnxruntime.InferenceSession(
            onnxsal.compile(net, method=method, target=target, **options).SerializeToString()
        )
        expected = [onnxsal.explain(net, x[None], method=method, target=target, **options).saliency for x in both]
        np.testing.assert_allclose(made.run(["saliency"], {"x": both})[0], expected, atol=2e-5)


@pytest.mark.parametrize("method", ["gradient", "similarity-map"])
def test_a_compiled_file_takes_references(net: onnxsal.Model, method: str) -> None:
    made = onnxruntime.InferenceSession(onnxsal.compile(net, method=method, target="input").SerializeToString())
    assert [(i.name, i.type) for i in made.get_inputs()][1] == ("reference", "tensor(float)")
    both, each = np.concatenate([X, X]), np.stack([4 * vector(A), vector(B)]).astype(np.float32)
    expected = [onnxsal.explain(net, X, method=method, target=onnxsal.Like(r)).saliency for r in (A, B)]
    np.testing.assert_allclose(made.run(["saliency"], {"x": both, "reference": each})[0], expected, atol=2e-6)
    for_all = made.run(["saliency"], {"x": both, "reference": each[:1]})[0]
    np.testing.assert_allclose(for_all, [expected[0]] * 2, atol=2e-6)
    with pytest.raises(UsageError, match="a compiled file of an embedding needs a reference"):
        onnxsal.compile(net, method=method)


def test_predicting_tells_its_length_and_how_like_things_are(net: onnxsal.Model) -> None:
    raw = model("e = Identity (f)")
    found = onnxsal.load(raw, task="embedding")
    seen = [found.outputs(found.prepare(each).x) for each in (X, A, B)]
    (told,) = found.predict(X)
    own = onnxruntime.InferenceSession(raw.SerializeToString()).run(None, {"x": X})[0]
    assert told.logit == pytest.approx(np.linalg.norm(own), rel=1e-5)
    assert told.label == "length of 'e', a vector of 8 numbers"
    expected = [[cosine(vector(p), vector(q)) for q in (X, A, B)] for p in (X, A, B)]
    np.testing.assert_allclose(found.task.compared(seen), expected, atol=1e-6)


def test_the_dot_product_is_another_score(net: onnxsal.Model) -> None:
    raw = onnxsal.load(model("e = Identity (f)"), task="embedding")
    score = raw.score("dot", raw.task.resolve(onnxsal.Like(vector(A)), {}, None))
    feeds = raw.task.resolve(onnxsal.Like(vector(A)), {}, None).feeds
    own = onnxruntime.InferenceSession(model("e = Identity (f)").SerializeToString()).run(None, {"x": X})[0][0]
    got = raw.session(score).run({"sal/x": X, **feeds})["score"]
    np.testing.assert_allclose(got, own @ vector(A) / np.linalg.norm(vector(A)), rtol=1e-5)
    assert onnxsal.explain(raw, X, method="gradient", target=onnxsal.Like(A), score="dot").manifest["score"] == "dot"


def test_the_layer_in_front_of_the_pooling_is_chosen(net: onnxsal.Model) -> None:
    """The reference weighs its maps: no operator with weights has to lie behind it, as in a classifier."""
    assert onnxsal.explain(net, X, method="grad-cam", target=onnxsal.Like(A)).manifest["layer"] == "a"
    as_classes = onnxsal.load(model("e = Identity (f)"))
    assert as_classes.task.name == "classification"
    assert onnxsal.explain(as_classes, X, method="grad-cam").manifest["layer"] == "r"


@pytest.mark.parametrize("name", ["image_embeds", "sentence_embedding", "Embedding", "pooler_output"])
def test_an_output_that_is_called_an_embedding_is_one_with_a_note(name: str) -> None:
    found = onnxsal.load(model(f"{name} = Identity (f)", f"float[B, {WIDTH}] {name}"))
    assert (found.task.name, found.task.output) == ("embedding", name)
    assert found.notes == (
        f"the output {name!r} is taken for an embedding: it is called so in the file; if it holds classes or numbers, "
        "say so: --task classification or regression (task=)",
    )
    said = onnxsal.load(model(f"{name} = Identity (f)", f"float[B, {WIDTH}] {name}"), task="embedding")
    assert (said.task.name, onnxsal.load(model(), task="classification").task.name) == ("embedding", "classification")


def test_classes_go_before_the_embedding_that_stands_beside_them() -> None:
    end = "embedding = LpNormalization <axis = 1> (f) p = Softmax (f)"
    outputs = f"float[B, {WIDTH}] embedding, float[B, {WIDTH}] p"
    found = onnxsal.load(model(end, outputs))
    assert (found.task.name, found.task.output) == ("classification", "p")
    asked = onnxsal.load(model(end, outputs), task="embedding")
    assert (asked.task.name, asked.task.output, asked.task.logit) == ("embedding", "embedding", "f")
    named = onnxsal.load(model(end, outputs), head="embedding")
    assert named.task.name == "embedding"


def test_what_is_no_vector_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"no output is one vector: 'a' is \['B', 8, 12, 12\]"):
        onnxsal.load(model("", "float[B, 8, 12, 12] a"), task="embedding")
    with pytest.raises(UnsupportedError, match="no output is one vector"):
        onnxsal.load(model("e = ReduceSum <keepdims = 1> (m)", "float[s, t, u, v] e"), task="embedding")


def test_a_model_that_was_pickled_embeds_alike(net: onnxsal.Model) -> None:
    again = pickle.loads(pickle.dumps(net))
    first, second = (onnxsal.explain(each, X, target=onnxsal.Like(A)) for each in (net, again))
    np.testing.assert_array_equal(first.raw, second.raw)


@pytest.mark.parametrize("target", [onnxsal.Like(np.ones(8)), "like:a.png", (onnxsal.Like(A), onnxsal.Like(B))])
def test_a_model_of_something_else_is_like_nothing(target: object) -> None:
    with pytest.raises(UsageError, match=r"the output .e. is taken for classification.*--task embedding"):
        onnxsal.explain(onnxsal.load(model("e = Identity (f)")), X, method="gradient", target=target)


def test_the_page_on_tasks_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: list[Path]
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (block,) = (each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "embedder" in each)
    monkeypatch.chdir(tmp_path)
    onnx.save(NET, "embedder.onnx")
    for photo, name in zip(photos, ("dog", "wolf", "cat"), strict=True):
        Image.open(photo).save(f"{name}.jpg", format="PNG")
    scope: dict[str, Any] = {}
    exec(block, scope)
    dog, wolf, cat = (vector(np.asarray(Image.open(p), np.float32).transpose(2, 0, 1)[None] / 255) for p in photos)
    assert scope["found"].logit == pytest.approx(cosine(dog, wolf), abs=1e-5)
    assert scope["why"].logit == pytest.approx(cosine(dog, wolf) - cosine(dog, cat), abs=1e-5)
    assert float(scope["where"].raw.sum()) == pytest.approx(cosine(dog, wolf), abs=1e-5)


def test_methods_are_judged_by_the_cosine(net: onnxsal.Model, photos: list[Path], tmp_path: Path) -> None:
    options: dict[str, Any] = {"methods": ["gradient", "similarity-map"], "journal": tmp_path / "j.jsonl"}
    asked = {**options, "metrics": ["deletion[steps=4]"], "target": onnxsal.Like(photos[1])}
    found = onnxsal.evaluate(net, photos, **asked)
    assert {(row.target, row.label) for row in found.rows} == {(f"like:{photos[1]}", "like two.png")}
    assert found.failures == ()
    (row,) = (r for r in found.rows if (r.image, r.method) == ("one.png", "similarity-map"))
    seen = [np.asarray(Image.open(p), np.float32).transpose(2, 0, 1)[None] / 255 for p in photos]
    made = onnxsal.explain(net, photos[0], method="similarity-map", target=onnxsal.Like(photos[1]))

    def score(images: NDArray[np.float32]) -> NDArray[np.float64]:
        vectors = [vector(x[None]) for x in images]  # without a bias, black is 0: like nothing
        return np.array([cosine(v, vector(seen[1])) if v.any() else 0.0 for v in vectors])

    by_hand = get("deletion")(score=score, x=seen[0][0], saliency=made.saliency, baseline=np.zeros(3, "f"), steps=4)
    assert row.value == pytest.approx(by_hand.value, abs=1e-5)
    again = onnxsal.evaluate(net, photos, **asked)
    assert again.reused == len(found.rows) == 6
    other = onnxsal.evaluate(net, photos, **{**asked, "target": onnxsal.Like(photos[2])})
    assert other.reused == 0
    other.report(tmp_path / "page.html")
    other.to_csv(tmp_path / "rows.csv")
    with pytest.raises(UsageError, match="an embedding is no class"):
        onnxsal.evaluate(net, photos, **{**asked, "target": "predicted"})


TWO_MODALITIES = """<ir_version: 10, opset_import: ["" : 21]>
    clip (int64[T, L] input_ids, float[B, 3, 8, 8] pixel_values,
    int64[T, L] attention_mask) => (float[B, T] logits_per_image, float[T, B] logits_per_text, float[T, 6] text_embeds,
    float[B, 6] image_embeds)
    <int64[1] one = {1}, int64[1] last = {-1}, float scale = {14.3}> {
    words = Gather (table, input_ids) there = Cast <to = 1> (attention_mask) each = Unsqueeze (there, last)
    kept = Mul (words, each) sum = ReduceSum <keepdims = 0> (kept, one) n = ReduceSum <keepdims = 1> (there, one)
    text = Div (sum, n) tl = ReduceL2 <keepdims = 1> (text, one) text_embeds = Div (text, tl)
    c = Conv (pixel_values, w) r = Relu (c) m = GlobalAveragePool (r) f = Flatten (m) image = MatMul (f, projection)
    il = ReduceL2 <keepdims = 1> (image, one) image_embeds = Div (image, il)
    turned = Transpose <perm = [1, 0]> (image_embeds) dots = MatMul (text_embeds, turned)
    logits_per_text = Mul (dots, scale) logits_per_image = Transpose <perm = [1, 0]> (logits_per_text) }"""
"""The inputs and outputs of an exported CLIP, in their order."""


def two_modalities() -> onnx.ModelProto:
    proto = onnx.parser.parse_model(TWO_MODALITIES)
    weights = {"table": (20, 6), "w": (5, 3, 3, 3), "projection": (5, 6)}
    rng = np.random.default_rng(4)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), n) for n, shape in weights.items()
    )
    return proto


@pytest.mark.parametrize("texts", [1, 2])
def test_texts_that_are_held_are_no_batch_of_pictures_however_many(texts: int) -> None:
    proto = two_modalities()
    ids = np.array([[1, 2, 3, 0], [4, 5, 0, 0]])[:texts]
    held, x = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}, X[:, :, :8, :8]
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    logits = session.run(["logits_per_image"], {**held, "pixel_values": x})[0]
    model = onnxsal.load(proto, inputs=held)
    assert (model.task.output, model.task.size) == ("logits_per_image", texts)
    assert sorted(p.logit for p in model.predict(x)) == pytest.approx(sorted(logits[0].tolist()), rel=1e-5)
    assert "outputs that are not computed from 'pixel_values' are left out: text_embeds" in model.notes
    found = onnxsal.explain(model, x, method="gradient", target=texts - 1)
    way = RNG.normal(0, 1, x.shape).astype(np.float32)
    ends = [session.run(["logits_per_image"], {**held, "pixel_values": x + step * way})[0] for step in (5e-3, -5e-3)]
    assert float((found.raw * way[0]).sum()) == pytest.approx(float((ends[0] - ends[1])[0, texts - 1]) / 1e-2, rel=0.02)


def test_an_output_that_what_is_explained_does_not_move_is_refused() -> None:
    ids = np.array([[1, 2, 3, 0]])
    held = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    with pytest.raises(UsageError, match="not computed from 'pixel_values', and 'input_ids', 'attention_mask' is held"):
        onnxsal.load(two_modalities(), inputs=held, head="text_embeds")
    with pytest.raises(
        UsageError, match=r"head='text_embeds': it is not computed from 'pixel_values', .*'image_embeds'"
    ):
        onnxsal.load(two_modalities(), inputs=held, head="text_embeds", explained="pixel_values")


def test_a_model_of_two_modalities_is_explained_by_a_text_in_three_ways() -> None:
    proto = two_modalities()
    ids = np.array([[1, 2, 3, 0], [4, 5, 0, 0], [7, 7, 8, 9]])
    held, x = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}, X[:, :, :8, :8]
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    logits, _, texts, images = session.run(None, {**held, "pixel_values": x})
    as_classes = onnxsal.load(proto, explained="pixel_values", inputs=held)
    of_class = onnxsal.explain(as_classes, x, method="gradient", target=1)
    assert of_class.logit == pytest.approx(float(logits[0, 1]), rel=1e-5)
    by_element = onnxsal.explain(as_classes, x, method="gradient", target="logits_per_image[0, 1]")
    np.testing.assert_allclose(by_element.raw, of_class.raw, atol=1e-6)
    embedder = onnxsal.load(proto, explained="pixel_values", inputs=held, task="embedding")
    assert (embedder.task.output, embedder.task.logit, embedder.task.size) == ("image_embeds", "image", 6)
    by_vector = onnxsal.explain(embedder, x, method="gradient", target=onnxsal.Like(texts[1]))
    assert by_vector.logit == pytest.approx(float(images[0] @ texts[1]), abs=1e-6)
    np.testing.assert_allclose(14.3 * by_vector.raw, of_class.raw, atol=2e-6)
    parts = onnxsal.explain(embedder, x, method="similarity-map", target=onnxsal.Like(texts[1]))
    assert float(14.3 * parts.raw.sum()) == pytest.approx(float(logits[0, 1]), rel=1e-5)


def test_of_two_pictures_that_are_compared_inside_one_is_held() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]>
        g (float[B, 3, 12, 12] one, float[1, 3, 12, 12] two) => (float[B] s)
        <int64[1] last = {1}> {
        c = Conv (one, w1) a = Relu (c) m = GlobalAveragePool (a) f = Flatten (m) u = LpNormalization <axis = 1> (f)
        d = Conv (two, w1) b = Relu (d) n = GlobalAveragePool (b) g = Flatten (n) v = LpNormalization <axis = 1> (g)
        p = Mul (u, v) s = ReduceSum <keepdims = 0> (p, last) }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(W1, "w1"))
    session = onnxruntime.InferenceSession(proto.SerializeToString())

    def score(x: NDArray[np.float64]) -> float:
        return float(session.run(None, {"one": x.astype(np.float32), "two": A})[0][0])

    compared = onnxsal.load(proto, explained="one", inputs={"two": A})
    found = onnxsal.explain(compared, X, method="gradient")
    assert (found.task, found.logit) == ("regression", pytest.approx(score(X), abs=1e-6))
    way, step = RNG.normal(0, 1, X.shape), 0.02
    way /= np.linalg.norm(way)
    expected = (score(X + step * way) - score(X - step * way)) / (2 * step)
    assert float((found.raw * way[0]).sum()) == pytest.approx(expected, rel=3e-2, abs=2e-5)
