"""Further inputs: held at what was said or at a stated default; maps against differences of the file itself."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.cli import main
from onnxsal.errors import ImageError, UnsaidError, UnsupportedError, UsageError
from onnxsal.metrics.concentration import sparseness

RNG = np.random.default_rng(0)
HEAD = '<ir_version: 10, opset_import: ["" : 21]> g '

SCALARS = (
    HEAD
    + """(float[B, 4] x, float gain, int64 rate) => (float[B, 3] y) {
    r = Cast <to = 1> (rate) g = Mul (gain, r) a = Mul (x, g) t = Tanh (a) y = MatMul (t, w) }"""
)
STATE = (
    HEAD
    + """(float[batch, 4] x, float[2, batch, 4] h, int64 rate) => (float[batch, 3] y, float[2, batch, 4] hn)
    <int64 first = {0}> {
    s = Gather <axis = 0> (h, first) r = Cast <to = 1> (rate) m = Mul (x, r) a = Add (m, s) t = Tanh (a)
    y = MatMul (t, w) hn = Add (h, t) }"""
)
MASK = (
    HEAD
    + """(float[B, T, 4] x, int64[B, T] attention_mask) => (float[B, 3] y)
    <int64[1] last = {2}, int64[1] time = {1}> {
    m = Cast <to = 1> (attention_mask) u = Unsqueeze (m, last) a = Mul (x, u) s = Sin (a)
    c = ReduceSum <keepdims = 0> (s, time) n = ReduceSum <keepdims = 1> (m, time) q = Div (c, n) y = MatMul (q, w) }"""
)
UNREAD = (
    HEAD
    + """(float[B, 4] x, float[B, 7] left, int64[B] dead) => (float[B, 3] y) {
    d = Add (dead, dead) t = Sin (x) y = MatMul (t, w) }"""
)
PAIR = (
    HEAD
    + """(float[B, 4] one, float[B, 4] two) => (float[B, 3] y, float[B, 4] aside) {
    p = Mul (one, two) t = Tanh (p) y = MatMul (t, w) aside = Sin (two) }"""
)
PICTURE = (
    HEAD
    + """(float[1, 3, 8, 8] x, float[1, 4] other) => (float[1, 3] y) <int64[2] over = {2, 3}> {
    c = Conv <pads = [1, 1, 1, 1]> (x, k) r = Tanh (c) m = ReduceMean <keepdims = 0> (r, over)
    j = Concat <axis = 1> (m, other) t = Tanh (j) y = MatMul (t, v) }"""
)

WEIGHTS = {"w": RNG.normal(0, 1, (4, 3)), "k": RNG.normal(0, 0.4, (4, 3, 3, 3)), "v": RNG.normal(0, 1, (8, 3))}
X = RNG.normal(0, 0.5, (1, 4)).astype(np.float32)


def made(text: str) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(text)
    read = {name for node in proto.graph.node for name in node.input}
    for name, array in WEIGHTS.items():
        if name in read:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return proto


def slope(proto: onnx.ModelProto, feeds: dict[str, Any], name: str, way: np.ndarray, column: int) -> float:
    """Return the slope of a column of y along a way, by the file itself."""
    session = onnxruntime.InferenceSession(proto.SerializeToString())

    def score(step: float) -> float:
        moved = (feeds[name].astype(np.float64) + step * way).astype(np.float32)
        return float(session.run(["y"], {**feeds, name: moved})[0][0, column])

    return (score(1e-2) - score(-1e-2)) / 2e-2


def check(model: onnxsal.Model, proto: onnx.ModelProto, feeds: dict[str, Any], name: str) -> None:
    """The score and the gradient are those of the file with the other inputs fed; so are those of a batch."""
    feeds = {key: np.asarray(value) for key, value in feeds.items()}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    found = onnxsal.explain(model, feeds[name], method="gradient", target=2, score="logit")
    np.testing.assert_allclose(found.logit, session.run(["y"], feeds)[0][0, 2], rtol=1e-5)
    way = RNG.normal(0, 1, feeds[name].shape)
    assert (found.raw.reshape(way.shape) * way).sum() == pytest.approx(
        slope(proto, feeds, name, way, 2), rel=1e-2, abs=1e-3
    )
    smooth = onnxsal.explain(model, feeds[name], method="smoothgrad", target=2, samples=4, noise=0.0, batch_size=4)
    np.testing.assert_allclose(smooth.raw, found.raw, rtol=1e-4, atol=1e-6)
    assert not any("one by one" in note for note in smooth.manifest["notes"])


@pytest.mark.parametrize("rate", [3, "3", np.int64(3), np.array([3], np.int32), [3]])
def test_numbers_are_held(rate: Any) -> None:
    proto = made(SCALARS)
    model = onnxsal.load(proto, inputs={"gain": 0.5, "rate": rate})
    check(model, proto, {"x": X, "gain": np.float32(0.5), "rate": np.int64(3)}, "x")
    roles = {each.name: (each.role, each.at) for each in model.inputs}
    assert roles["x"] == ("explained", "") and roles["gain"] == ("held", "0.5") and roles["rate"][0] == "held"
    assert {each.what for each in model.decided} >= {"input x", "input gain", "input rate"}


def test_a_state_is_zero_unless_it_is_said_and_that_is_said() -> None:
    proto = made(STATE)
    silent = onnxsal.load(proto, inputs={"rate": 2})
    assert any(
        "'h' is held at 0 everywhere (a state: the output 'hn' has its name, shape" in note for note in silent.notes
    )
    check(silent, proto, {"x": X, "h": np.zeros((2, 1, 4), np.float32), "rate": np.int64(2)}, "x")
    state = RNG.normal(0, 1, (2, 1, 4)).astype(np.float32)
    said = onnxsal.load(proto, inputs={"rate": 2, "h": state})
    assert not any("'h' is held" in note for note in said.notes)
    check(said, proto, {"x": X, "h": state, "rate": np.int64(2)}, "x")
    turned = onnxsal.load(proto, explained="h", inputs={"rate": 2, "x": X}, task="regression", head="y")
    assert turned.size == (2, 1, 4), "without a batch in front, as many as the other input has"
    found = onnxsal.explain(turned, state, method="gradient", target=2)
    expected = (1 - np.tanh(2 * X + state[0]) ** 2) * WEIGHTS["w"][:, 2]
    np.testing.assert_allclose(found.raw[0], np.stack([expected, 0 * expected]), rtol=1e-4, atol=1e-6)


def test_a_mask_is_one_unless_it_is_said_and_that_is_said() -> None:
    proto, x = made(MASK), RNG.normal(0, 1, (1, 5, 4)).astype(np.float32)
    silent = onnxsal.load(proto, size=(5, 4))
    assert any("'attention_mask' is held at 1 everywhere (a mask of positions" in note for note in silent.notes)
    check(silent, proto, {"x": x, "attention_mask": np.ones((1, 5), np.int64)}, "x")
    mask = np.array([[1, 1, 0, 1, 0]])
    said = onnxsal.load(proto, inputs={"attention_mask": mask})
    assert said.size == (5, 4), "the mask says how many positions there are"
    check(said, proto, {"x": x, "attention_mask": mask}, "x")
    padding = made(MASK.replace("attention_mask", "padding_mask").replace("Mul (x, u)", "Add (x, u)"))
    with pytest.raises(UsageError, match=r"'padding_mask' .*--input padding_mask=FILE\.npy"):
        onnxsal.load(padding)


SENSES = {
    "multiplied": ("m = Cast <to = 1> (M) u = Unsqueeze (m, last) a = Mul (x, u)", 1),
    "multiplied by the rest": ("n = Cast <to = 1> (M) m = Sub (one, n) u = Unsqueeze (m, last) a = Mul (x, u)", 0),
    "chosen": ("u = Unsqueeze (M, last) b = Cast <to = 9> (u) a = Where (b, x, far)", 1),
    "chosen against": ("u = Unsqueeze (M, last) b = Cast <to = 9> (u) a = Where (b, far, x)", 0),
    "turned and chosen": ("e = Equal (M, nought) u = Unsqueeze (e, last) a = Where (u, x, far)", 0),
    "taken off": ("n = Cast <to = 1> (M) m = Sub (one, n) o = Mul (m, far) u = Unsqueeze (o, last) a = Add (x, u)", 1),
    "with another mask": ("b = Cast <to = 9> (M) u = Unsqueeze (b, last) o = Less (x, one) c = And (u, o) "
                          "f = Where (c, none, far) a = Add (x, f)", 1),
}  # fmt: skip


@pytest.mark.parametrize("way", SENSES)
def test_a_mask_is_held_at_what_leaves_nothing_out(way: str) -> None:
    """What is left out is the same number whatever the text is, so that a mask held wrongly has no slope at all."""
    text, number = SENSES[way]
    name = "padding_mask" if number == 0 else "some_mask"
    held = "int64[1] last = {2}, int64[1] time = {1}, int64 nought = {0}, float one = {1}, float none = {0}"
    proto = made(
        f"{HEAD} (float[B, T, 4] x, int64[B, T] {name}) => (float[B, 3] y) <{held}, float far = {{-10000}}> {{ "
        + text.replace("(M", f"({name}")
        + " t = Tanh (a) s = ReduceSum <keepdims = 0> (t, time) y = MatMul (s, w) }"
    )
    x = RNG.normal(0, 1, (1, 5, 4)).astype(np.float32)
    model = onnxsal.load(proto, size=(5, 4))
    assert any(f"'{name}' is held at {number} everywhere" in note for note in model.notes)
    check(model, proto, {"x": x, name: np.full((1, 5), number)}, "x")
    assert np.abs(onnxsal.explain(model, x, method="gradient", target=2).raw).max() > 1e-2


def test_inputs_that_nothing_reads_are_said_and_need_nothing() -> None:
    proto = made(UNREAD)
    model = onnxsal.load(proto)
    assert any("inputs 'left', 'dead': what is explained is not computed from it" in note for note in model.notes)
    found = onnxsal.explain(model, X, method="gradient", target=0)
    np.testing.assert_allclose(found.raw[0], np.cos(X[0]) * WEIGHTS["w"][:, 0], rtol=1e-5)


def test_inputs_with_a_default_keep_it_and_may_be_held_at_something_else() -> None:
    proto = made(SCALARS)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.25), "gain"))
    check(onnxsal.load(proto, inputs={"rate": 3}), proto, {"x": X, "rate": np.int64(3)}, "x")
    other = onnxsal.load(proto, inputs={"rate": 3, "gain": 2})
    check(other, proto, {"x": X, "rate": np.int64(3), "gain": np.float32(2)}, "x")


def test_one_of_several_is_explained_where_it_is_named() -> None:
    proto, two = made(PAIR), RNG.normal(0, 1, (1, 4)).astype(np.float32)
    with pytest.raises(UsageError) as error:
        onnxsal.load(proto)
    assert "'one' [B, 4] of float, 'two' [B, 4] of float" in str(error.value)
    assert "--explained one --input two=FILE.npy" in str(error.value)
    for name, other, held in (("one", "two", two), ("two", "one", X)):
        model = onnxsal.load(proto, explained=name, inputs={other: held[0]}, head="y")
        check(model, proto, {other: held, name: (X, two)[name == "two"]}, name)
    check(onnxsal.load(proto, inputs={"two": two}, head="y"), proto, {"one": X, "two": two}, "one")


def test_a_head_that_reads_fewer_inputs_needs_no_others() -> None:
    model = onnxsal.load(made(PAIR), head="aside", task="regression")
    assert [each.role for each in model.inputs] == ["unread", "explained"]
    assert any("left out: y" in note for note in model.notes)
    found = onnxsal.explain(model, X, method="gradient", target=1)
    np.testing.assert_allclose(found.raw[0, 1], np.cos(X[0, 1]), rtol=1e-5)


def test_a_batch_of_one_is_freed_with_what_is_held_repeated() -> None:
    proto = made(PICTURE)
    x, other = RNG.normal(0, 1, (1, 3, 8, 8)).astype(np.float32), RNG.normal(0, 1, (1, 4)).astype(np.float32)
    model = onnxsal.load(proto, explained="x", inputs={"other": other})
    assert model.modality.name == "image" and any("was made free" in note for note in model.notes)
    check(model, proto, {"x": x, "other": other}, "x")


def test_a_thing_may_come_with_what_the_other_inputs_are_held_at(tmp_path: Path) -> None:
    proto, two, three = made(PAIR), *RNG.normal(0, 1, (2, 1, 4)).astype(np.float32)
    model = onnxsal.load(proto, explained="one", inputs={"two": two}, head="y")
    for other in (three, two, three):
        found = onnxsal.explain(model, {"one": X, "two": other}, method="gradient", target=2)
        expected = (1 - np.tanh(X * other) ** 2) * other * WEIGHTS["w"][:, 2]
        np.testing.assert_allclose(found.raw[0], expected[0], rtol=1e-4)
    one, again = (model.fitter(model, {"one": X, "two": three}).model for _ in range(2))
    assert one is again or one.anatomy is again.anatomy, "opened once for equal contents"
    onnx.save(made(SCALARS), tmp_path / "net.onnx")
    found = onnxsal.explain(str(tmp_path / "net.onnx"), {"x": X, "gain": 0.5, "rate": 3}, method="gradient", target=0)
    expected = 1.5 * (1 - np.tanh(1.5 * X[0]) ** 2) * WEIGHTS["w"][:, 0]
    np.testing.assert_allclose(found.raw[0], expected, rtol=1e-4)
    with pytest.raises(UsageError, match=r"no input 'tow'; did you mean 'two'\?"):
        onnxsal.explain(model, {"one": X, "tow": two}, method="gradient")
    with pytest.raises(UsageError, match="nothing is given for 'one', which is explained"):
        onnxsal.explain(model, {"two": two}, method="gradient")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"gain": 0.5}, r"takes 'rate' \[\] of int64 beside: 'x' is explained.*Write --input rate=NUMBER"),
        ({"gain": 0.5, "raet": 3}, r"no input 'raet'; did you mean 'rate'\? \(it has 'x', 'gain', 'rate'\)"),
        ({"gain": 0.5, "rate": 3.5}, r"'rate' takes \[\] of int64; it is held at 3.5, float64 \[\]"),
        ({"gain": 0.5, "rate": [3, 4]}, r"'rate' takes \[\] of int64; it is held at \[3, 4\], int64 \[2\]"),
        ({"gain": float("nan"), "rate": 3}, "'gain' is held at NaN, which holds NaN"),
        ({"gain": "half", "rate": 3}, "'half' is neither a file that is there nor numbers$"),
        ({"gain": "1, 2.5", "rate": 3}, r"'1, 2.5' is neither .* nor numbers \(a list is written \[1, 2.5\]\)"),
        ({"gain": object(), "rate": 3}, "numbers, an array or an .npy file; got object"),
        ({"gain": 1, "rate": 3, "x": X}, "every input of the model is held"),
        ({"gain": 1, "rate": np.array(2**40, object), "x": X}, "got ndarray"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.load(made(SCALARS), inputs=inputs)


def test_a_model_without_inputs_has_nothing_to_explain() -> None:
    with pytest.raises(
        UnsupportedError, match="no input that its outputs are computed from: there is nothing to explain"
    ):
        onnxsal.load(made(HEAD + "() => (float[2] y) <float[2] a = {1, 2}> { y = Sin (a) }"))


def test_shapes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    two = RNG.normal(0, 1, (1, 4))
    for held, message in (
        (two[:, :3], r"'two' takes \[B, 4\] of float; it is held at float64 \[1, 3\]"),
        (np.stack([two[0], two[0]]), "axis 0 is the batch of 'one': hold it at one row"),
        (two[None], r"float64 \[1, 1, 4\]"),
    ):
        with pytest.raises(UsageError, match=message):
            onnxsal.load(made(PAIR), explained="one", inputs={"two": held})
    (tmp_path / "bad.npy").write_text("no array")
    with pytest.raises(ImageError, match="no array that NumPy can read"):
        onnxsal.load(made(PAIR), explained="one", inputs={"two": tmp_path / "bad.npy"})
    with pytest.raises(UsageError, match="'one' is explained and held at once"):
        onnxsal.load(made(PAIR), explained="one", inputs={"one": two, "two": two})
    with pytest.raises(
        UsageError, match=r"explained='oen': the model has no such input or value; did you mean 'one'\?"
    ):
        onnxsal.load(made(PAIR), explained="oen")


def test_integers_are_told_what_is_explained_in_their_place() -> None:
    text = HEAD + "(int64[B, 3] ids) => (float[B, 3] y) { e = Cast <to = 1> (ids) t = Sin (e) y = Identity (t) }"
    with pytest.raises(UnsupportedError, match=r"Integers have no gradient: .* behind 'ids', --explained 'e'"):
        onnxsal.load(made(text))


def test_of_several_inputs_of_integers_the_value_behind_one_is_told_and_works(tmp_path: Path) -> None:
    """What the refusal says to write is written, and the map is the closed form: of a sum of tanh it is 1 - tanh²."""
    table, kinds = RNG.normal(size=(9, 4)).astype(np.float32), RNG.normal(size=(2, 4)).astype(np.float32)
    proto = onnx.parser.parse_model(
        HEAD
        + """(int64[B, T] ids, int64[B, T] kind) => (float[B] y) {
        e = Gather (table, ids) k = Gather (kinds, kind) s = Add (e, k) t = Tanh (s)
        y = ReduceSum <keepdims = 0> (t, axes) }"""
    )
    proto.graph.initializer.extend([
        onnx.numpy_helper.from_array(table, "table"), onnx.numpy_helper.from_array(kinds, "kinds"),
        onnx.numpy_helper.from_array(np.array([1, 2]), "axes"),
    ])  # fmt: skip
    with pytest.raises(UnsaidError, match=r"none of floats.* --explained ids --input kind=FILE.npy"):
        onnxsal.load(proto)
    ids, kind = np.array([[3, 1, 8]]), np.array([[0, 1, 1]])
    model = onnxsal.load(proto, explained="ids", inputs={"kind": kind}, task="regression")
    found = onnxsal.explain(model, ids, method="gradient")
    (tmp_path / "kind.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"'kind' is held at numbers, and 'kind.png' is a picture"):
        onnxsal.load(proto, explained="e", inputs={"kind": tmp_path / "kind.png"})
    np.testing.assert_allclose(found.raw.T, 1 - np.tanh(table[ids[0]] + kinds[kind[0]]) ** 2, rtol=1e-4)


def test_it_can_be_pickled_and_compiled_files_say_what_is_fixed() -> None:
    proto = made(PICTURE)
    x, other = RNG.normal(0, 1, (1, 3, 8, 8)).astype(np.float32), RNG.normal(0, 1, (1, 4)).astype(np.float32)
    model = onnxsal.load(proto, explained="x", inputs={"other": other})
    found = onnxsal.explain(model, x, method="grad-cam", target=1)
    again = onnxsal.explain(pickle.loads(pickle.dumps(model)), x, method="grad-cam", target=1)
    np.testing.assert_array_equal(found.raw, again.raw)
    file = onnxsal.compile(model, method="grad-cam", target=1)
    assert [v.name for v in file.graph.input] == ["x", "explain"]
    run = onnxruntime.InferenceSession(file.SerializeToString()).run(["saliency"], {"x": np.repeat(x, 3, axis=0)})[0]
    np.testing.assert_allclose(run, np.repeat(found.saliency[None], 3, axis=0), atol=1e-5)
    said = json.loads({p.key: p.value for p in file.metadata_props}["onnxsal.explainer"])
    assert said["held"]["other"].startswith("float32 [1, 4], SHA-256 ")


def test_a_gradient_graph_has_held_inputs_inside() -> None:
    proto, state = made(STATE), RNG.normal(0, 1, (2, 1, 4)).astype(np.float32)
    graph = onnxsal.gradient(proto, of=["y"], wrt=["x"], inputs={"h": state, "rate": 2})
    assert [v.name for v in graph.graph.input] == ["x", "seed/y"]
    x, seed = np.concatenate([X, 2 * X]), RNG.normal(0, 1, (2, 3)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(graph.SerializeToString()).run(["grad/x"], {"x": x, "seed/y": seed})
    expected = 2 * (1 - np.tanh(2 * x + state[0]) ** 2) * (seed @ WEIGHTS["w"].T)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_command_line_holds_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(made(STATE), "net.onnx")
    np.save("x.npy", X)
    np.save("h.npy", np.zeros((2, 1, 4), np.float32))
    assert main(["explain", "net.onnx", "x.npy", "-m", "gradient", "-t", "2"]) == 2
    assert "Write --input rate=NUMBER" in capsys.readouterr().err
    assert main(["explain", "net.onnx", "x.npy", "-m", "gradient", "-t", "2", "--input", "rate=2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "note: input 'h' is held at 0 everywhere" in err
    manifest = json.loads(out)["explanations"][0]["manifest"]
    assert manifest["decided"]["input rate"].startswith("held at 2")
    assert main(["explain", "net.onnx", "x.npy", "-m", "gradient", "--input", "rate=2", "--input", "h=h.npy",
                 "--explained", "x", "--json"]) == 0  # fmt: skip
    decided = json.loads(capsys.readouterr().out)["explanations"][0]["manifest"]["decided"]
    assert decided["input h"].startswith("held at h.npy, float32 [2, 1, 4], SHA-256 ")
    assert main(["gradient", "net.onnx", "--of", "y", "--wrt", "x", "--input", "rate=2", "-o", "g.onnx"]) == 0
    assert [v.name for v in onnx.load("g.onnx").graph.input] == ["x", "h", "seed/y"]


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (("input", "h0", "output", "hN"), True), (("x", "state_in", "y1", "state_out"), True),
        (("x", "cache", "y1", "new_cache"), True), (("x", "past_k", "y1", "present_k"), True),
        (("x", "lstm_c", "y1", "lstm_cn"), True), (("x", "other", "y1", "features"), False),
        (("audio_in", "state_in", "audio_out", "state_out"), False), (("input", "h", "output", "aside"), False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("open_", [False, True])
def test_a_state_is_known_by_name_shape_and_type_and_else_it_is_asked(names: Any, known: bool, open_: bool) -> None:
    text = (
        HEAD
        + """(float[B, 4] one, float[B, 4] two) => (float[B, 4] first, float[B, 4] second) {
        sum = Add (one, two) first = Tanh (sum) second = Add (two, first) }"""
    )
    for old, new in zip(("one", "two", "first", "second"), names, strict=True):
        text = re.sub(rf"\b{old}\b", new, text)
    if not known:
        with pytest.raises(UnsaidError, match="nothing says which one is explained"):
            onnxsal.load(made(text), task="regression")
        return
    proto = made(text)
    if open_:  # as files of silero-vad are: the number of axes alone
        for size in (d for v in proto.graph.output for d in v.type.tensor_type.shape.dim):
            size.Clear()
    model = onnxsal.load(proto, head=names[2], task="regression")
    assert any("says no shape" in note for note in model.notes) == open_
    assert {each.name: each.role for each in model.inputs} == {names[0]: "explained", names[1]: "held"}


NAMELESS = """<ir_version: 8, opset_import: ["" : 16]> g (float[?, ?] input, float[2, ?, 4] state)
    => (float[?, 4] output, float[?, ?, ?] stateN) <int64[1] front = {0}>
    { m = ReduceMean <axes = [1]> (input) s = ReduceSum (state, front) z = Squeeze (s, front) a = Add (m, z)
      output = Tanh (a) e = Unsqueeze (a, front) stateN = Add (state, e) }"""


def test_the_one_open_axis_of_a_state_is_that_of_the_batch_where_no_axis_has_a_name() -> None:
    """As in silero-vad's file: rows run together have a state each, which is 0, so that scores are tanh of the mean."""
    model = onnxsal.load(onnx.parser.parse_model(NAMELESS), size=(6,), task="regression")
    assert any("'state' is held at 0 everywhere (a state: the output 'stateN'" in note for note in model.notes)
    x = RNG.normal(0, 1, (3, 6)).astype(np.float32)
    file = onnxsal.compile(model, method="gradient", target=1, give="raw").SerializeToString()
    (found,) = onnxruntime.InferenceSession(file).run(["raw"], {"input": x})
    slope = (1 - np.tanh(x.mean(axis=1, keepdims=True)) ** 2) / 6
    np.testing.assert_allclose(found.reshape(3, 6), np.broadcast_to(slope, x.shape), rtol=1e-5)


def test_images_with_another_input_held_are_evaluated(tmp_path: Path) -> None:
    """A journal tells what was held from what is held now."""
    other = RNG.normal(0, 1, (2, 4)).astype(np.float32)
    photo = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    models = [onnxsal.load(made(PICTURE), explained="x", inputs={"other": o}, preprocess="unit") for o in other]
    values = []
    for model, reused in zip([*models, models[0]], (0, 0, 1), strict=True):
        done = onnxsal.evaluate(
            model, photo, methods=["gradient"], metrics=["sparseness"], journal=tmp_path / "journal"
        )
        assert done.reused == reused
        saliency = onnxsal.explain(model, photo, method="gradient").saliency
        assert done.rows[0].value == pytest.approx(sparseness(saliency.astype(np.float64)).value, rel=1e-5)
        values.append(done.rows[0].value)
    assert values[0] == values[2]


BYTES = (
    HEAD
    + """(uint8[B, 8, 8, 3] x, float[B, 4] other) => (float[B, 3] y) <int64[2] over = {2, 3}, float scale = {255}> {
    f = Cast <to = 1> (x) d = Div (f, scale) t = Transpose <perm = [0, 3, 1, 2]> (d)
    c = Conv <pads = [1, 1, 1, 1]> (t, k) r = Tanh (c) m = ReduceMean <keepdims = 0> (r, over)
    j = Concat <axis = 1> (m, other) h = Tanh (j) y = MatMul (h, v) }"""
)


def test_what_is_held_beside_bytes_leaves_the_value_behind_them_explained() -> None:
    """The rows are counted at the input, and the input is not what programs are fed."""
    proto, other = made(BYTES), RNG.normal(0, 1, (1, 4)).astype(np.float32)
    photo = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    model = onnxsal.load(proto, explained="x", inputs={"other": other})
    assert (model.modality.name, model.anatomy.entry.value) == ("image", "t")
    found = onnxsal.explain(model, photo, method="gradient", target=1)
    (score,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(["y"], {"x": photo[None], "other": other})
    assert found.logit == pytest.approx(score[0, 1], rel=1e-5)
    alone = made(BYTES.replace("uint8[B, 8, 8, 3] x,", "float[B, 3, 8, 8] t,").replace(
        "f = Cast <to = 1> (x) d = Div (f, scale) t = Transpose <perm = [0, 3, 1, 2]> (d)", ""))  # fmt: skip
    t, way = photo.transpose(2, 0, 1)[None] / np.float32(255), RNG.normal(0, 1, (1, 3, 8, 8))
    assert (found.raw * way[0]).sum() == pytest.approx(slope(alone, {"t": t, "other": other}, "t", way, 1), rel=2e-2)
    smooth = onnxsal.explain(model, photo, method="smoothgrad", target=1, samples=4, noise=0.0, batch_size=4)
    np.testing.assert_allclose(smooth.raw, found.raw, rtol=1e-4, atol=1e-6)
    file = onnxsal.compile(model, method="gradient", target=1)
    run = onnxruntime.InferenceSession(file.SerializeToString()).run(["saliency"], {"x": np.stack([photo] * 3)})[0]
    np.testing.assert_allclose(run, np.stack([found.saliency] * 3), atol=1e-5)


GRAPH = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["": 17]> g (float[atoms, 3] pos, int64[atoms] kind, float[2, 4] table) '
    "=> (float[atoms, 4] y) { e = Gather (table, kind) r = ReduceSum <keepdims = 0> (pos) n = Mul (pos, pos) "
    "s = ReduceMax <axes = [1], keepdims = 1> (n) t = Mul (e, s) y = Mul (t, r) }"
)
"""Every row of the output hangs on all rows of ``pos``: atoms of one molecule."""


def test_rows_that_held_inputs_have_too_go_in_together() -> None:
    """They are no batch: the map has all of them, and is the file's own slope."""
    rng = np.random.default_rng(0)
    pos, kind, table = rng.normal(0, 1, (5, 3)), rng.integers(0, 2, 5), rng.normal(0, 1, (2, 4))
    held = {"kind": kind, "table": table.astype(np.float32)}
    opened = onnxsal.load(GRAPH, explained="pos", inputs=held)
    assert any("'kind' is held at 5 rows" in note for note in opened.notes)
    assert [d.value for d in opened.decided if d.what == "batch"] == ["none"]
    found = onnxsal.explain(opened, pos.astype(np.float32), target="y[3, 1]", method="gradient")
    assert found.raw.shape[-2:] == (5, 3)

    def number(at: np.ndarray) -> float:
        return float(table[kind[3], 1] * (at[3] ** 2).max() * at.sum())

    assert found.logit == pytest.approx(number(pos), rel=1e-5)
    slopes = np.zeros((5, 3))
    for i in np.ndindex(5, 3):
        step = np.zeros((5, 3))
        step[i] = 1e-6
        slopes[i] = (number(pos + step) - number(pos - step)) / 2e-6
    np.testing.assert_allclose(found.raw.reshape(5, 3), slopes, rtol=1e-4, atol=1e-5)
    for task in ("regression", "embedding", "ordinal", "classification"):
        with pytest.raises(UnsupportedError):
            onnxsal.load(GRAPH, explained="pos", inputs=held, task=task)


def test_rows_that_disagree_are_refused() -> None:
    two = onnx.ModelProto.FromString(GRAPH.SerializeToString())
    two.graph.input.append(onnx.helper.make_tensor_value_info("more", 1, ["atoms"]))
    two.graph.node.insert(0, onnx.helper.make_node("Add", ["pos", "pos"], ["unused"]))
    held = {"kind": [0, 1, 0], "table": np.ones((2, 4)), "more": [1.0, 2.0]}
    with pytest.raises(UsageError, match="hold it at one row"):
        onnxsal.load(two, explained="pos", inputs=held)
