"""Texts: words, files and ids of a small classifier, its maps against closed forms, and what does not fit it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.cli import main
from onnxsal.errors import ImageError, UnsaidError, UnsupportedError, UsageError

tokenizers = pytest.importorskip("tokenizers", reason="words need the extra text")

RNG = np.random.default_rng(0)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *["a", "fine", "film", "but", "not", "plot"]]
MOST, WIDTH = 12, 4
TABLE, PLACES, KINDS = (RNG.normal(0, 1, (n, WIDTH)).astype(np.float32) for n in (len(WORDS), MOST, 2))
W = RNG.normal(0, 1, (WIDTH, 3)).astype(np.float32)

MODEL = """<ir_version: 10, opset_import: ["" : 21]> g (int64[B, T] input_ids, int64[B, T] attention_mask,
int64[B, T] token_type_ids) => (float[B, 3] logits) <int64[1] one = {1}, int64[1] two = {2}, int64[1] nought = {0}> {
    e = Gather (table, input_ids)
    n = Shape <start = 1> (input_ids)
    p = Slice (places, nought, n, nought)
    k = Gather (kinds, token_type_ids)
    ep = Add (e, p)
    epk = Add (ep, k)
    t = Tanh (epk)
    m = Cast <to = 1> (attention_mask)
    u = Unsqueeze (m, two)
    tm = Mul (t, u)
    s = ReduceSum <keepdims = 0> (tm, one)
    logits = MatMul (s, w)
}"""
PAST = """<ir_version: 10, opset_import: ["" : 21]> g (int64[B, T] input_ids) => (float[B, 3] logits)
<int64[1] one = {1}, int64[1] two = {2}, int64 nought = {0}, int64 axis = {1}> {
    e = Gather (table, input_ids)
    pad = Equal (input_ids, nought)
    some = Not (pad)
    c = Cast <to = 7> (some)
    at = CumSum (c, axis)
    p = Gather (places, at)
    ep = Add (e, p)
    t = Tanh (ep)
    s = ReduceSum <keepdims = 0> (t, one)
    logits = MatMul (s, w)
}"""

ROWS = """<ir_version: 10, opset_import: ["" : 21]> g (int64[1, 12] input_ids, int64[1, 12] attention_mask)
=> (float[1, 12, 3] p) <int64[1] one = {1}, int64[1] two = {2}> {
    e = Gather (table, input_ids)
    m = Cast <to = 1> (attention_mask)
    u = Unsqueeze (m, two)
    em = Mul (e, u)
    s = ReduceSum (em, one)
    es = Add (e, s)
    z = MatMul (es, w)
    p = Softmax <axis = -1> (z)
}"""

STEP = """<ir_version: 10, opset_import: ["" : 21]> g (int64[batch, sequence] input_ids,
int64[batch, all_of_them] attention_mask, int64[batch, sequence] position_ids,
float[batch, 2, past_sequence_length, 2] past_key_values_0_key) => (float[batch, sequence, 3] logits,
float[batch, 2, all_of_them, 2] present_0_key)
<int64[4] heads = {0, -1, 2, 2}, int64[3] joined = {0, 1, 4}, int64[1] two = {2}> {
    e = Gather (table, input_ids)
    r = Reshape (e, heads)
    k = Transpose <perm = [0, 2, 1, 3]> (r)
    present_0_key = Concat <axis = 2> (past_key_values_0_key, k)
    s = ReduceSum <keepdims = 0> (present_0_key, two)
    f = Reshape (s, joined)
    p = Gather (places, position_ids)
    ep = Add (e, p)
    t = Tanh (ep)
    m = Cast <to = 1> (attention_mask)
    u = Unsqueeze (m, two)
    tm = Mul (t, u)
    q = Add (tm, f)
    logits = MatMul (q, w)
}"""
"""One step of a decoder: keys of what came before and of the text are summed, [B, 1, C], beside a token's own."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return saved(tmp_path, MODEL)


def saved(folder: Path, text: str) -> str:
    proto = onnx.parser.parse_model(text)
    read = {name for node in proto.graph.node for name in node.input}
    arrays = {"table": TABLE, "places": PLACES, "kinds": KINDS, "w": W}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items() if n in read)
    onnx.save(proto, folder / "model.onnx")
    own = tokenizers.Tokenizer(tokenizers.models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    own.add_special_tokens(WORDS[:4])
    own.save(str(folder / "tokenizer.json"))
    return str(folder / "model.onnx")


def inside(ids: list[int], places: np.ndarray, kinds: np.ndarray | None = None) -> np.ndarray:
    """What is read by tanh, [T, C]."""
    kinds = KINDS[[0] * len(ids)] if kinds is None else kinds
    return TABLE[ids].astype(np.float64) + places + kinds


def test_methods_are_closed_forms_on_words(path: str) -> None:
    """logits = W sum tanh(e + place + kind): slopes, path integrals and what a token takes with it in closed form.

    What stands for nothing is [PAD] where no token was added.
    """
    model, text = onnxsal.load(path), "a fine film but not"
    ids = [2, 4, 5, 6, 7, 8, 3]
    at = inside(ids, PLACES[:7])
    kept = np.array([True, *[False] * 5, True])
    off = np.where(kept[:, None], at, inside([0] * 7, PLACES[:7]))
    slope, rise = W[:, 1] * (1 - np.tanh(at) ** 2), W[:, 1] * (np.tanh(at) - np.tanh(off))
    wanted = {
        "gradient": slope,
        "input-x-gradient": slope * TABLE[ids],
        "integrated-gradients": rise,
        "smoothgrad": slope,
        "occlusion": rise.sum(1),
    }
    for method, expected in wanted.items():
        more = {"noise": 1e-5, "samples": 4} if method == "smoothgrad" else {}
        found = onnxsal.explain(model, text, method=method, target=1, score="logit", **more)
        np.testing.assert_allclose(found.raw, expected.T, rtol=2e-4, atol=2e-5, err_msg=method)
        assert found.logit == pytest.approx((W[:, 1] * np.tanh(at)).sum(), rel=1e-5)
    masks = onnxsal.explain(model, text, method="rise", target=1, score="logit", samples=2000)
    own = np.flatnonzero(~kept)
    assert np.corrcoef(masks.raw[own], rise.sum(1)[own])[0, 1] > 0.95
    assert {"baseline": "pad", "grid": 7}.items() <= masks.manifest["variant"].items()
    assert found.sample is not None and found.sample.text == text
    assert [(p.text, p.start, p.added) for p in found.sample.pieces][:3] == [
        ("[CLS]", 0, True), ("a", 0, False), ("fine", 2, False)
    ]  # fmt: skip


def test_vectors_in_place_of_a_text_have_what_stands_for_nothing_too(path: str) -> None:
    """Of each of them it is [PAD], since none is known to be added; a model is made warm with such."""
    model, ids = onnxsal.load(path), [2, 4, 5, 6, 3]
    (warmed,) = model.warm("integrated-gradients")
    found = onnxsal.explain(model, TABLE[ids], method="integrated-gradients", target=1)
    rise = W[:, 1] * (np.tanh(inside(ids, PLACES[:5])) - np.tanh(inside([0] * 5, PLACES[:5])))
    np.testing.assert_allclose(found.raw, rise.T, rtol=1e-3, atol=1e-5)
    assert warmed.method == "integrated-gradients"


def test_texts_of_other_lengths_open_nothing_anew(path: str) -> None:
    """One graph serves them: its slopes are the closed form at every length, and those of the graph of that length."""
    model = onnxsal.load(path)
    opened = []
    for ids in ([2, 4, 3], [2, 4, 5, 6, 7, 8, 4, 5, 3], [4] * 8, [2, 4, 5, 3]):
        for method in ("gradient", "integrated-gradients"):
            found = onnxsal.explain(model, np.array(ids), method=method, target=1)
        opened.append(model.fitter(model, np.array(ids)).model.opened)
        at = inside(ids, PLACES[: len(ids)])
        kept = np.isin(ids, [2, 3])[:, None]
        wanted = np.where(kept, 0, np.tanh(at) - np.tanh(inside([0] * len(ids), PLACES[: len(ids)]))) * W[:, 1]
        np.testing.assert_allclose(found.raw, wanted.T, rtol=1e-3, atol=1e-5)
        own = onnxsal.explain(model.at_size((len(ids),)), np.array(ids), method=method, target=1)
        np.testing.assert_allclose(found.raw, own.raw, rtol=1e-5, atol=1e-7)
    assert opened[0] == opened[1] == opened[3]
    assert onnxsal.explain(model, np.array([2, 4, 3]), method="grad-cam", target=1).saliency.shape == (3,)


def test_ids_types_and_files_are_the_same_text(path: str, tmp_path: Path) -> None:
    model, ids = onnxsal.load(path), np.array([2, 4, 5, 3])
    np.save(tmp_path / "ids.npy", ids)
    (tmp_path / "words.txt").write_text("a fine")
    maps = [
        onnxsal.explain(model, thing, method="gradient", target=0)
        for thing in ("a fine", ids, ids[None], {"input_ids": ids}, tmp_path / "ids.npy", tmp_path / "words.txt")
    ]
    for each in maps:
        np.testing.assert_array_equal(each.raw, maps[0].raw)
        assert [p.text for p in each.sample.pieces] == ["[CLS]", "a", "fine", "[SEP]"]
    types = np.array([[0, 0, 1, 1]])
    other = onnxsal.explain(model, {"input_ids": ids, "token_type_ids": types}, method="gradient", target=0)
    slope = W[:, 0] * (1 - np.tanh(inside(ids.tolist(), PLACES[:4], KINDS[types[0]])) ** 2)
    np.testing.assert_allclose(other.raw, slope.T, rtol=1e-4, atol=1e-6)


def test_ids_that_are_read_past_their_vectors_are_those_of_the_text(tmp_path: Path) -> None:
    """Positions are counted in the graph, from the ids; a pad inside the text is not counted. Pads alone are told
    apart, so that texts without any are explained on one graph. The table ends at 12, and counting begins at 1.
    """
    model = onnxsal.load(saved(tmp_path, PAST))
    opened: list[int] = []
    for ids in ([2, 4, 0, 6, 3], [4, 5], [2, 4, 5, 6, 0, 3], [4, 5, 6], [6] * 11):
        places = PLACES[np.cumsum(np.array(ids) != 0)]
        slope = W[:, 2] * (1 - np.tanh(TABLE[ids] + places) ** 2)
        found = onnxsal.explain(model, np.array(ids), method="gradient", target=2)
        np.testing.assert_allclose(found.raw, slope.T, rtol=1e-4, atol=1e-6)
        opened += [] if 0 in ids else [model.fitter(model, np.array(ids)).model.opened]
    assert opened[0] == opened[1] == opened[2]
    with pytest.raises(UsageError, match="has 12 ids, and the model takes 11 at most"):
        onnxsal.explain(model, np.full(12, 4))
    assert onnxsal.explain(model, "a fine film " * 9, method="gradient").sample.ids.size == 11
    other = onnxsal.load(saved(tmp_path, PAST.replace("Equal (input_ids, nought)", "Less (input_ids, one)")))
    assert (
        "'input_ids' is read past 'e' too: there it is the text's, and what it does there is not explained"
        in other.notes
    )
    with pytest.raises(UsageError, match="has 12 ids, and the model takes 11 at most"):
        onnxsal.explain(other, np.full(12, 4))


def test_a_text_shorter_than_the_file_takes_is_filled_up(tmp_path: Path) -> None:
    """With pads, which the mask leaves out; where there is none they are read, and get no score; else it is refused."""
    file = {"masked": MODEL.replace("B, T", f"B, {MOST}"), "read": PAST.replace("B, T", "B, 8"), "its owners'": PAST}
    for name, text in file.items():
        said = {"model_type": "siglip_text_model", "max_position_embeddings": 8} if name == "its owners'" else {}
        (tmp_path / "config.json").write_text(json.dumps(said))
        model, ids = onnxsal.load(saved(tmp_path, text)), [2, 4, 5, 3]
        found = onnxsal.explain(model, "a fine", method="gradient", target=1, score="logit")
        places = PLACES[:4] if name == "masked" else PLACES[1:5]
        at = inside(ids, places, None if name == "masked" else np.zeros(WIDTH))
        np.testing.assert_allclose(found.raw, (W[:, 1] * (1 - np.tanh(at) ** 2)).T, rtol=1e-4, atol=1e-6)
        pads = 0 if name == "masked" else 4 * np.tanh(TABLE[0] + PLACES[4].astype(np.float64))
        assert found.logit == pytest.approx((W[:, 1] * (np.tanh(at).sum(0) + pads)).sum(), rel=1e-5)
        assert [word for word, _ in found.words()] == ["[CLS]", "a", "fine", "[SEP]"]
        (note,) = [each for each in found.manifest["notes"] if "filled up" in each]
        assert f"with '[PAD]', as {'config.json' if said else 'the file'} has it" in note
        assert ("'attention_mask' leaves these out" if name == "masked" else "reads these too") in note
    rows = onnxsal.load(saved(tmp_path, ROWS), task="next-token")
    found = onnxsal.explain(rows, "a fine", method="gradient", target=1, score="logit")
    own = TABLE[ids].astype(np.float64)
    assert found.logit == pytest.approx((own[-1] + own.sum(0)) @ W[:, 1], rel=1e-5)
    np.testing.assert_allclose(found.raw, np.outer(W[:, 1], [1, 1, 1, 2]), rtol=1e-5)
    model = onnxsal.load(saved(tmp_path, file["read"]))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match="nothing says which token fills it up"):
        onnxsal.explain(model, np.array(ids), method="gradient")


MIXED = PAST.replace("t = Tanh (ep)", "m = ReduceMean (ep, one) em = Add (ep, m) t = Tanh (em)")
SOME = MIXED.replace("Equal (input_ids, nought)", "Less (input_ids, more)").replace("nought = {0}", "more = {5}")
PADDED = PAST.replace("] input_ids)", "] input_ids, int64[B, T] attention_mask)").replace(
    "t = Tanh (ep)",
    """mf = Cast <to = 1> (attention_mask) v = Unsqueeze (mf, two) n = ReduceSum (v, one) ew = Mul (ep, v)
    sm = ReduceSum (ew, one) m = Div (sm, n) em = Add (ep, m) t0 = Tanh (em) t = Mul (t0, v)""",
)


@pytest.mark.parametrize(
    ("text", "method", "options"),
    [
        (MIXED, "gradient", {}),
        (MIXED, "integrated-gradients", {"steps": 3}),
        (SOME.replace("[B, T]", "[B, 5]"), "occlusion", {"baseline": "zero"}),
        (PADDED, "rise", {"samples": 9}),
    ],
)
def test_a_compiled_file_reads_the_ids_that_go_in_past_their_vectors_too(
    tmp_path: Path, text: str, method: str, options: dict[str, object]
) -> None:
    """Its maps are those of explain: of two lengths, with pads inside, in front and behind, or padded with a mask."""
    asked, masked = {"method": method, "target": 2, **options}, text is PADDED
    model = onnxsal.load(saved(tmp_path, text))
    file = onnxsal.compile(model, **asked, give="raw", mask_in=masked)
    session = onnxruntime.InferenceSession(file.SerializeToString())
    for batch in ([[2, 4, 0, 6, 3], [2, 4, 5, 6, 3], [0, 0, 7, 6, 0]], [[0, 8, 9], [4, 5, 0]])[: 1 + ("B, T" in text)]:
        ids = np.array(batch)
        kept = (ids != 0) | (not masked)
        fed = {"input_ids": ids, **({"attention_mask": kept.astype(np.int64)} if masked else {})}
        for own, counts, found in zip(ids, kept, session.run(["raw"], fed)[0], strict=True):
            expected = onnxsal.explain(model, own[counts], **asked).raw
            np.testing.assert_allclose(found[..., counts], expected, rtol=1e-4, atol=1e-6)


def test_a_file_of_one_text_that_reads_ids_past_their_vectors_is_not_compiled(tmp_path: Path) -> None:
    model = onnxsal.load(saved(tmp_path, MIXED.replace("B, ", "1, ")))
    with pytest.raises(UnsupportedError, match=r"reads ids past the vectors .* with batch and length left open"):
        onnxsal.compile(model, method="gradient", target=2)


def test_an_output_of_ids_alone_is_left_out_and_opens_nothing_anew(tmp_path: Path) -> None:
    """What it reads of ids is no part of what is explained: one graph for all texts, and a compiled file for all."""
    text = PAST.replace("=> (float[B, 3] logits)", "=> (float[B, 3] logits, int64[B, T] twice)")
    text = text.replace("e = Gather", "twice = Add (input_ids, input_ids) e = Gather")
    model = onnxsal.load(saved(tmp_path, text))
    opened = [model.fitter(model, np.array(ids)).model.opened for ids in ([4, 5], [6, 7, 8])]
    assert opened[0] == opened[1] and not any("is read past" in note for note in model.notes)
    assert [each.name for each in onnxsal.compile(model, method="gradient").graph.output] == ["logits", "saliency"]


def test_a_decoder_begins_with_the_text(tmp_path: Path) -> None:
    """Nothing came before, positions count from 0 and all tokens count: slopes of a token's logit in closed form."""
    model, ids = onnxsal.load(saved(tmp_path, STEP)), [2, 4, 5, 6, 3]
    held = {each.name: each.at for each in model.inputs if each.role == "held"}
    assert held == {"attention_mask": "1 everywhere", "position_ids": "0, 1, 2 ...", "past_key_values_0_key": "nothing"}
    found = onnxsal.explain(model, np.array(ids), method="gradient", target="logits[0, 3, 1]")
    wanted = np.tile(W[:, 1], (5, 1))
    wanted[3] += W[:, 1] * (1 - np.tanh(TABLE[6] + PLACES[3]) ** 2)
    np.testing.assert_allclose(found.raw, wanted.T, rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_said(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnxsal.load(path)
    with pytest.raises(UsageError, match=r"holds the id 99, and the model knows ids from 0 to 9"):
        onnxsal.explain(model, np.array([1, 99]))
    for number in (-1, 1 << 40):  # which the tokenizer cannot be asked for
        with pytest.raises(UsageError, match=rf"holds the id {number}, and the model knows ids from 0 to 9"):
            onnxsal.explain(model, np.array([1, number]))
    for length in (2, 5):  # a text is not cut to what somebody gave for another one
        with pytest.raises(UsageError, match=rf"has 4 tokens, and 'token_type_ids' is held at numbers for {length}"):
            onnxsal.explain(model, {"input_ids": "a fine", "token_type_ids": np.zeros((1, length), np.int64)})
    for floats in (np.array([1.0, 4]), np.array([[1, np.nan]])):
        with pytest.raises(UsageError, match=r"'array' is float64 .*: ids of tokens are whole numbers, \[T\] or"):
            onnxsal.explain(model, floats)
    with pytest.raises(UsageError, match="is empty"):
        onnxsal.explain(model, " ")
    monkeypatch.chdir(tmp_path)
    Path("film").mkdir()
    with pytest.raises(ImageError, match=r"'film': it is a folder; name the files in it; .*--text says so"):
        onnxsal.explain(model, "film")
    assert onnxsal.explain(model, {"input_ids": "film"}, method="gradient").sample.text == "film"
    with pytest.raises(ImageError, match=r"no such file: 'gone.txt'.*--text says so"):
        onnxsal.explain(model, "gone.txt")
    assert onnxsal.explain(model, {"input_ids": "gone.txt"}, method="gradient").sample.text == "gone.txt"
    unknown = onnxsal.explain(model, "zzz yyy", method="gradient")
    assert any("every token of the text is unknown" in note for note in unknown.manifest["notes"])
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"are words, and there is no tokenizer.json.*or give ids of tokens"):
        onnxsal.explain(model, "a fine")


def test_ids_of_several_inputs_are_asked_for_and_each_can_be_explained() -> None:
    """A decoder with its encoder in one file: what is asked for is what is written, and explained."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (int64[B, S] input_ids, int64[B, T] decoder_input_ids) =>
        (float[B, T, 3] logits) <int64[1] one = {1}> {
        e = Gather (table, input_ids) d = Gather (table, decoder_input_ids)
        m = ReduceMean (e, one) s = Mul (d, m) logits = MatMul (s, w) }"""
    )
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in (("table", TABLE), ("w", W)))
    with pytest.raises(UnsaidError, match=r"'input_ids', 'decoder_input_ids' become vectors: .* --input decoder_"):
        onnxsal.load(proto)
    own, other = np.array([[4, 5]]), np.array([[6, 7, 8]])
    for name, ids, held, scale in (
        ("decoder_input_ids", own, {"input_ids": other}, TABLE[other[0]].mean(0)),
        ("input_ids", other, {"decoder_input_ids": own}, TABLE[own[0, 1]] / 3),
    ):
        model = onnxsal.load(proto, explained=name, inputs=held)
        found = onnxsal.explain(model, ids, method="gradient", target="logits[0, 1, 2]")
        slope = np.tile(W[:, 2] * scale, (ids.size, 1))
        slope[: 1 if name == "decoder_input_ids" else 0] = 0
        np.testing.assert_allclose(found.raw, slope.T, rtol=1e-4, atol=1e-6)


def test_a_text_longer_than_the_model_takes_is_cut_and_that_is_said(path: str) -> None:
    """Positions end at 12: of words ten are left between the tokens that are added; ids are refused."""
    model, long = onnxsal.load(path), "a fine film " * 9
    found = onnxsal.explain(model, long, method="gradient", target=1)
    ids = [2, *([4, 5, 6] * 9)[: MOST - 2], 3]
    assert found.sample.ids.tolist() == ids
    assert f"the text has 29 tokens and was cut to {MOST}" in found.manifest["notes"]
    slope = W[:, 1] * (1 - np.tanh(inside(ids, PLACES)) ** 2)
    np.testing.assert_allclose(found.raw, slope.T, rtol=1e-4, atol=1e-6)
    with pytest.raises(UsageError, match=rf"has 13 ids, and the model takes {MOST} at most"):
        onnxsal.explain(model, np.full(13, 4))


def test_the_command_line_takes_words_files_and_what_comes_in(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "words.txt").write_text("a fine film")
    monkeypatch.setattr("sys.stdin", io.StringIO("a fine film"))
    output = ["-o", str(tmp_path / "out.png"), "--json", "-m", "gradient", "-t", "1"]
    for given in (["a fine film"], [str(tmp_path / "words.txt")], ["-"], ["a fine film", "--text"]):
        assert main(["explain", path, *given, *output]) == 0
        (said,) = json.loads(capsys.readouterr().out)["explanations"]
        at = inside([2, 4, 5, 6, 3], PLACES[:5])
        assert said["logit"] == pytest.approx((W[:, 1] * np.tanh(at)).sum(), rel=1e-5)
    folder = tmp_path / "texts"  # what is meant where no method is named is known of whatever holds the words
    folder.mkdir()
    (folder / "b.txt").write_text("a fine film")
    (folder / "a.md").write_text("not a film")
    np.save(tmp_path / "ids.npy", np.array([2, 4, 5, 6, 3]))
    names = ["--npz", str(tmp_path / "{stem}.{method}.npz"), "--json", "-t", "1", "-O", "steps=9"]
    assert main(["explain", path, str(folder), str(tmp_path / "ids.npy"), *names]) == 0
    each = json.loads(capsys.readouterr().out)["explanations"]
    assert [Path(one["image"]).name for one in each] == ["a.md", "b.txt", "ids.npy"]
    assert {one["method"] for one in each} == {"integrated-gradients"} and each[1]["words"] == each[2]["words"]
    assert (tmp_path / "b.integrated-gradients.npz").is_file()
    assert main(["predict", path, "zzz yyy"]) == 0
    assert "every token of the text is unknown" in capsys.readouterr().err
    assert main(["explain", path, str(tmp_path / "gone.txt")]) == 1
    assert "gone.txt" in capsys.readouterr().err
