"""Labels of tokens, the next token, likeness to another text: against closed forms and the file in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_texts as tiny
from numpy.typing import NDArray

import onnxsal
from onnxsal.errors import NotSeenError, UsageError

TEXT = "Obama lives in Paris, not Berlin"
MASKED = "Obama lives in [MASK], not Berlin"
WORDS = ["Obama", "lives", "in", "Paris", ",", "not", "Berlin"]
FIRST = [1, 3, 4, 5, 6, 7, 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


@pytest.fixture(scope="module")
def tagger(folder: Path) -> onnxsal.Model:
    return onnxsal.load(tiny.written(folder / "tagger", tiny.proto("labels"), config={"id2label": tiny.LABELS}))


@pytest.fixture(scope="module")
def writer(folder: Path) -> onnxsal.Model:
    return onnxsal.load(tiny.written(folder / "writer", tiny.proto("vocabulary", tiny.SUM)))


def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def test_predict_lists_words_with_the_label_of_their_first_token(tagger: onnxsal.Model) -> None:
    held = softmax(tiny.hidden(TEXT) @ tiny.HEAD)
    wanted = [(f"{list(tiny.LABELS.values())[held[t].argmax()]} at {word} (#{t})", held[t].max())
              for t, word in zip(FIRST, WORDS, strict=True) if held[t].argmax()]  # fmt: skip
    found = tagger.predict(TEXT, top=99)
    second = [p for p in found if p.label.endswith("Obama (#2)")]  # where the first token of a word says nothing
    assert [p.label for p in found if p not in second] == [label for label, _ in wanted]
    np.testing.assert_allclose([p.probability for p in found if p not in second], [p for _, p in wanted], rtol=1e-5)
    assert tagger.task.name == "token-labels" and 0 < len(wanted) < 9


@pytest.mark.parametrize(
    ("target", "terms", "label"),
    [
        ("B-PER at Obama", [(1, 1, 1)], "B-PER at Obama (#1)"),
        ("b-loc at #3", [(3, 2, 1)], "B-LOC at lives (#3)"),
        ("B-PER at #0", [(0, 1, 1)], "B-PER at #0"),  # [CLS] is no word of the text
        (("B-PER at Obama", "O at Berlin"), [(1, 1, 1), (8, 0, -1)], "B-PER at Obama (#1) minus O at Berlin (#8)"),
        ("B-LOC at paris minus O at paris", [(5, 2, 1), (5, 0, -1)], "B-LOC at Paris (#5) minus O at Paris (#5)"),
        ("B-LOC minus O at paris", [(5, 2, 1), (5, 0, -1)], "B-LOC at Paris (#5) minus O at Paris (#5)"),
        ("B-LOC at #5 minus O", [(5, 2, 1), (5, 0, -1)], "B-LOC at Paris (#5) minus O at Paris (#5)"),
    ],
)
def test_a_label_at_a_token_has_the_slope_of_its_logit(
    tagger: onnxsal.Model, target: str, terms: list[tuple[int, int, int]], label: str
) -> None:
    found = onnxsal.explain(tagger, TEXT, method="gradient", target=target)
    wanted = sum(sign * tiny.slope(TEXT, t, tiny.HEAD[:, k]) for t, k, sign in terms)
    np.testing.assert_allclose(found.raw, wanted, rtol=1e-4, atol=1e-6)
    logits = tiny.hidden(TEXT) @ tiny.HEAD
    assert found.label == label and found.logit == pytest.approx(sum(s * logits[t, k] for t, k, s in terms), rel=1e-4)
    assert found.manifest["sign"] == "norm"  # slopes along the axes of a vector do not add up
    assert dict(found.words())["Paris"] == pytest.approx(np.linalg.norm(wanted[:, 5]), rel=1e-4)
    again = onnxsal.explain(tagger, TEXT, method="gradient", target=found.target)
    np.testing.assert_array_equal(again.raw, found.raw)


@pytest.mark.parametrize("text", [TEXT, f"{TEXT} {TEXT}"])
def test_an_element_is_that_of_the_text_s_own_length(folder: Path, text: str) -> None:
    """The model is opened for eight tokens: of a longer text an element beyond them is one, and no row is another."""
    model = onnxsal.load(tiny.written(folder / "plain", tiny.proto("labels")), task="element")
    last = tiny.ids(text).shape[1] - 1
    found = onnxsal.explain(model, text, method="gradient", target=f"logits[0, {last}, 1]")
    np.testing.assert_allclose(found.raw, tiny.slope(text, last, tiny.HEAD[:, 1]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["attnlrp", "input-x-gradient"])
def test_a_word_s_share_is_the_sum_over_its_vector(tagger: onnxsal.Model, method: str) -> None:
    found = onnxsal.explain(tagger, TEXT, method=method, target="B-PER at Obama")
    assert found.manifest["sign"] == "signed"
    assert dict(found.words())["Paris"] == pytest.approx(found.raw[:, 5].sum(), rel=1e-4)


def test_without_a_token_a_label_is_asked_for_where_it_is_surest(tagger: onnxsal.Model) -> None:
    held = softmax(tiny.hidden(TEXT) @ tiny.HEAD)
    assert onnxsal.explain(tagger, TEXT, method="gradient", target="B-LOC").target == f"B-LOC at #{held[:, 2].argmax()}"
    seen = np.where(held.argmax(1) > 0, held.max(1), 0)
    assert onnxsal.explain(tagger, TEXT, method="gradient").target.endswith(f"at #{seen.argmax()}")
    at = onnxsal.explain(tagger, TEXT, method="gradient", target="at Paris")
    assert at.target == f"{list(tiny.LABELS.values())[held[5].argmax()]} at #5"
    assert at.score == pytest.approx(held[5].max(), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "target", "error", "says"),
    [
        (TEXT, "B-PER at Rome", NotSeenError, "no word 'Rome'"),
        ("a bad film and a good film", "O at film", UsageError, "2 words 'film'.*#3, #7"),
        (TEXT, "X at Obama", UsageError, "no class is called 'X'"),
        (TEXT, "O at #99", UsageError, "#0 to #9"),
    ],
)
def test_what_is_not_there_is_said(tagger: onnxsal.Model, text: str, target: str, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        onnxsal.explain(tagger, text, method="gradient", target=target)


def test_the_next_token_is_that_of_the_files_last_row(writer: onnxsal.Model) -> None:
    session = onnxruntime.InferenceSession(tiny.proto("vocabulary", tiny.SUM).SerializeToString())
    logits = session.run(None, {"input_ids": tiny.ids(TEXT)})[0][0, -1].astype(np.float64)
    names = (*tiny.ADDED, *tiny.WORDS)
    found = writer.predict(TEXT, top=3)
    assert [p.label for p in found] == [repr(names[i]) for i in np.argsort(-logits)[:3]]
    np.testing.assert_allclose([p.probability for p in found], np.sort(softmax(logits))[:-4:-1], rtol=1e-5)
    assert writer.task.name == "next-token" and any("reads from the front" in d.why for d in writer.decided)
    for target, index in ((None, logits.argmax()), ("next", logits.argmax()), ("paris", 9), (7, 7)):
        made = onnxsal.explain(writer, TEXT, method="input-x-gradient", target=target)
        assert (made.target, made.label) == (index, repr(names[index]))
        assert made.logit == pytest.approx(logits[index], rel=1e-5)
        assert made.manifest["sign"] == "signed"
        assert sum(score for _, score in made.words()) == pytest.approx(made.raw.sum(), abs=1e-5)
    with pytest.raises(UsageError, match="'zebra' is no token"):
        onnxsal.explain(writer, TEXT, method="gradient", target="zebra")


@pytest.mark.parametrize(("looks", "name"), [(tiny.SUM, "next-token"), (tiny.MEAN, "token-labels")])
def test_int8_that_is_scaled_by_what_comes_in_tells_no_token_of_others(tmp_path: Path, looks: str, name: str) -> None:
    """One scale for all tokens moves the scores of the first one with the last one, in a model that does not look."""
    proto = tiny.proto("vocabulary", looks)
    proto.graph.node.pop()
    last = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, T, 6] s) => (float[B, T, 20] logits) {
        bytes, scale, zero = DynamicQuantizeLinear (s) i = MatMulInteger (bytes, weights, zero) f = Cast <to = 1> (i)
        both = Mul (scale, step) logits = Mul (f, both) }"""
    proto.graph.node.extend(onnx.parser.parse_model(last).graph.node)
    step = np.float32(np.abs(tiny.TO_IDS).max() / 127)
    weights = {"weights": np.round(tiny.TO_IDS / step).astype(np.int8), "step": step}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items())
    assert onnxsal.load(tiny.written(tmp_path, proto)).task.name == name


def test_a_model_that_looks_both_ways_fills_in_masked_tokens(folder: Path) -> None:
    model = onnxsal.load(tiny.written(folder / "filler", tiny.proto("vocabulary")))
    logits = tiny.hidden(MASKED) @ tiny.TO_IDS
    (shown,) = model.predict(MASKED)
    best = (*tiny.ADDED, *tiny.WORDS)[logits[5].argmax()]
    assert shown.label == f"{best!r} at [MASK] (#5)"
    found = onnxsal.explain(model, MASKED, method="gradient", target="paris at [MASK]")
    np.testing.assert_allclose(found.raw, tiny.slope(MASKED, 5, tiny.TO_IDS[:, 9]), rtol=1e-4, atol=1e-6)
    assert onnxsal.explain(model, MASKED, method="gradient").label == shown.label
    with pytest.raises(UsageError, match="has 0 of them"):
        onnxsal.explain(model, TEXT, method="gradient")


@pytest.mark.parametrize(
    ("end", "modes", "pooled"),
    [
        ("pooled", None, np.mean),
        ("vectors", None, np.mean),
        ("vectors", ["pooling_mode_mean_tokens"], np.mean),
        ("vectors", ["pooling_mode_cls_token"], lambda h, axis: h[0]),
    ],
)
def test_a_text_is_like_another_one(tmp_path: Path, end: str, modes: list[str] | None, pooled: object) -> None:
    """The cosine and its completeness over a step are those of the vectors by hand, whoever pools them."""
    path = tiny.written(tmp_path, tiny.proto(end))
    if modes is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(f'{{"{modes[0]}": true, "word_embedding_dimension": 6}}')
    asked = {"task": "embedding"} if end == "vectors" and modes is None else {}
    model = onnxsal.load(path, **asked)
    assert not asked or any("--task embedding" in note for note in onnxsal.load(path).notes)
    a, b = (pooled(tiny.hidden(text), axis=0) for text in (TEXT, "a bad film"))  # type: ignore[operator]
    found = onnxsal.explain(model, TEXT, method="gradient", target=onnxsal.Like("a bad film"))
    assert found.logit == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-5)
    assert found.label == "like a bad film" and found.target == "like:a bad film"
    assert any("how they become one" in note for note in model.notes) == bool(asked)
    pair = onnxsal.explain(model, TEXT, method="gradient", target="like:a bad film minus like:zzz qqq")
    of_text, of_reference = ([n for n in each.manifest["notes"] if "every token" in n] for each in (found, pair))
    assert not of_text and [n[:31] for n in of_reference] == ["the reference 'zzz qqq': every "]
    # Of the mean over T tokens the slope at one of them is that of its own h, of all through what each looks at.
    unit = (b / np.linalg.norm(b) - found.logit * a / np.linalg.norm(a)) / np.linalg.norm(a)
    count = len(tiny.hidden(TEXT))
    weights = [1 if pooled is not np.mean and t == 0 else 1 / count if pooled is np.mean else 0 for t in range(count)]
    wanted = sum(w * tiny.slope(TEXT, t, unit) for t, w in enumerate(weights))
    np.testing.assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-6)
