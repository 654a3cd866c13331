"""Elements of any output, against the file itself in ONNX Runtime and its finite differences."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal import Element
from onnxsal.anatomy import X as EXPLAINED
from onnxsal.anatomy.select import select
from onnxsal.errors import ModelError, UnsupportedError, UsageError

SIDE, STEP = 6, 0.02
RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (1, 2, SIDE, SIDE)).astype(np.float32)
WEIGHTS = {
    "w": RNG.normal(0, 0.5, (4, 2, 3, 3)), "v": RNG.normal(0, 1, (4, 5)), "axis1": np.array([1]),
    "axis2": np.array([2]),
    "start": np.array([0]), "many": np.array([1000]), "first": np.array(0),
}  # fmt: skip
JSON = '{"1": "1_minute_timer", "2": "a[0], b"}'


def model(outputs: str, nodes: str, batch: str = "B") -> onnx.ModelProto:
    """Return a file whose ``maps`` are [B, 4, 6, 6], ``z`` [B, 5]."""
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[{batch}, 2, {SIDE}, {SIDE}] x) => ({outputs})
        {{ c = Conv <pads = [1, 1, 1, 1]> (x, w) maps = Tanh (c) g = GlobalAveragePool (maps) f = Flatten (g)
           z = MatMul (f, v) {nodes} }}"""
    )
    read = {name for node in proto.graph.node for name in node.input}
    for name, array in WEIGHTS.items():
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        if name in read:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(kind), name))
    return proto


TWO = model("float[B, 5] p, float[B, 4, 6, 6] maps", "p = Softmax (z)")
TEXT = "a = ReduceMean <keepdims = 0> (maps, axis2) t = Transpose <perm = [2, 0, 1]> (a)"
READER = model("float[6, B, 4] t", TEXT)
HIDDEN = model(
    "float[6, M, 4] y",
    f"{TEXT} e = Equal (x, x) i = Cast <to = 7> (e) s = ReduceMax <keepdims = 0> (i) n = Mul (s, many) "
    "y = Slice (t, start, n, axis1)",
)
"""The batch is on axis 1, and no graph tells: where a Slice ends is worked out of the picture."""

ONE = model("float[5] y", "y = Gather <axis = 0> (z, first)", batch="1")


def given(file: onnx.ModelProto, name: str, x: Any = X) -> Any:
    session = onnxruntime.InferenceSession(file.SerializeToString())
    return session.run([name], {"x": np.asarray(x, np.float32)})[0]


def assert_slope(
    file: onnx.ModelProto, target: Any, output: str, index: Any, task: str | None = None
) -> onnxsal.Explanation:
    """The gradient of an element is the file's own central difference, and its score the file's own number."""
    opened = file if isinstance(file, onnxsal.Model) else onnxsal.load(file, task=task)
    found = onnxsal.explain(opened, X, method="gradient", target=target)
    along = np.random.default_rng(1).normal(0, 1, X.shape)
    ends = [float(given(file, output, X + sign * STEP * along)[index].sum()) for sign in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * STEP)
    assert float((found.raw * along[0]).sum()) == pytest.approx(expected, rel=5e-3, abs=5e-4)
    assert found.score == found.logit == pytest.approx(float(given(file, output)[index].sum()), rel=1e-5)
    return found


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("maps[0, 1, 2, 3]", (0, 1, 2, 3)),
        ("maps[0,-1,2,-6]", (0, -1, 2, -6)),
        ("maps[0, 1, :, 3]", (0, 1, slice(None), 3)),
        ("maps[0, 1:3, ::2, -2:]", (0, slice(1, 3), slice(None, None, 2), slice(-2, None))),
        ("maps[..., 3]", (..., 3)),
        ("maps[-1, 2, ...]", (-1, 2, ...)),
        ("p[0, 4]", (0, 4)),
        ("p[:, ::-2]", (slice(None), slice(None, None, -2))),
    ],
)
def test_an_index_selects_by_numpys_rules_of_any_output(text: str, index: Any) -> None:
    output = text.partition("[")[0]
    found = assert_slope(TWO, text, output, index)
    again = onnxsal.explain(onnxsal.load(TWO), X, method="gradient", target=Element(output, *index))
    np.testing.assert_array_equal(found.raw, again.raw)
    assert (found.task, found.label) == ("element", str(Element(output, *index)))
    assert found.target == found.manifest["target"] == found.label


def test_a_pair_is_the_one_minus_the_other() -> None:
    found = onnxsal.explain(onnxsal.load(TWO), X, method="occlusion", patch=3, stride=3, target=("p[0, 1]", "p[0, :2]"))
    probabilities = given(TWO, "p")[0]
    assert found.score == pytest.approx(-probabilities[0], abs=1e-6)
    parts = []
    for top, left in ((0, 0), (0, 3), (3, 0), (3, 3)):
        x = X.copy()
        x[:, :, top : top + 3, left : left + 3] = 0
        parts.append(given(TWO, "p", x)[0, 0] - probabilities[0])
    np.testing.assert_allclose(found.raw.reshape(-1), parts, atol=1e-5)
    with pytest.raises(UsageError, match="of one output"):
        onnxsal.explain(onnxsal.load(TWO), X, target=("p[0, 1]", "maps[0, 0, 0, 0]"))


HEADS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "classification": ("float[B, 5] y", "y = Softmax (z)", {}),
    "classification, labelled": ("float[B, 5] y", "y = Identity (z)", {"labels": list("abcde")}),
    "ordinal": ("float[B, 5] y", "y = Sigmoid (z)", {"task": "ordinal"}),
    "regression": ("float[B, 5] y", "y = Identity (z)", {"task": "regression"}),
    "embedding": ("float[B, 5] y", "n = ReduceL2 <keepdims = 1> (z, axis1) y = Div (z, n)", {}),
    "dense": ("float[B, 4, 6, 6] y", "y = Softmax <axis = 1> (c)", {}),
    "element": ("float[B, 4, 6, 6] y", "y = Identity (maps)", {}),
}


@pytest.mark.parametrize("head", HEADS)
def test_one_element_minus_another_is_text_whatever_the_head(head: str) -> None:
    outputs, nodes, said = HEADS[head]
    file = model(outputs, nodes)
    opened = onnxsal.load(file, **said)
    assert opened.task.name == head.partition(",")[0]
    rest: tuple[Any, ...] = (2, slice(3)) if "4, 6" in outputs else ()
    text = "y[0, 3, 2, :3] minus y[0, :2, 2, :3]" if rest else "y[0, 3] minus y[0, :2]"
    difference = lambda x: given(file, "y", x)[0, 3, *rest].sum() - given(file, "y", x)[0, :2, *rest].sum()
    found = onnxsal.explain(opened, X, method="gradient", target=text)
    assert (found.target, found.label, found.task) == (text, text, "element")
    assert not [note for note in found.manifest["notes"] if "any element of it can be explained" in note]
    assert found.logit == found.score == pytest.approx(difference(X), rel=1e-4, abs=1e-6)
    along = np.random.default_rng(1).normal(0, 1, X.shape)
    expected = (difference(X + STEP * along) - difference(X - STEP * along)) / (2 * STEP)
    assert float((found.raw * along[0]).sum()) == pytest.approx(expected, rel=5e-3, abs=5e-4)


@pytest.mark.parametrize("name", ["a[0]", "a minus b", "a[0, 1] minus b", "up/to/[1, 2]", JSON, "x:0", "[0]"])
def test_a_name_may_have_any_signs(name: str) -> None:
    file = model("float[B, 5] p", "p = Softmax (z)")
    file.graph.output[0].name = file.graph.node[-1].output[0] = name
    opened = onnxsal.load(file)
    pair = onnxsal.explain(opened, X, method="gradient", target=f"{name}[0, 3] minus {name}[0, 1]")
    assert pair.score == pytest.approx(given(TWO, "p")[0, 3] - given(TWO, "p")[0, 1], rel=1e-5)
    found = onnxsal.explain(opened, X, method="gradient", target=f"{name}[0, 3]")
    assert (found.target, found.score) == (f"{name}[0, 3]", pytest.approx(given(TWO, "p")[0, 3], rel=1e-5))
    assert pickle.loads(pickle.dumps(Element(name, 0, slice(2)))) == Element(name, 0, slice(2))


def test_targets_of_several_outputs_and_classes_go_together() -> None:
    opened = onnxsal.load(TWO)
    targets = ["maps[0, 1, 2, 3]", 2, Element("p", 0, 2), "maps[0, 0, 0, :]"]
    found = onnxsal.explain(opened, X, method="gradient", target=targets)
    assert [each.task for each in found] == ["element", "classification", "element", "element"]
    alone = [onnxsal.explain(opened, X, method="gradient", target=target).raw for target in targets]
    np.testing.assert_array_equal([each.raw for each in found], alone)


def test_layers_are_those_in_front_of_the_output() -> None:
    opened = onnxsal.load(
        model("float[B, 5] p, float[B, 4, 6, 6] c2", "p = Softmax (z) c2 = Conv <pads=[1,1,1,1]> (x, w)")
    )
    assert onnxsal.explain(opened, X, method="grad-cam", target="p[0, 0]").manifest["layer"] == "maps"
    with pytest.raises(UnsupportedError, match="no layer"):
        onnxsal.explain(opened, X, method="grad-cam", target="c2[0, 0, 0, 0]")


@pytest.mark.parametrize(("file", "output"), [(READER, "t"), (HIDDEN, "y")])
def test_the_batch_may_be_on_another_axis(file: onnx.ModelProto, output: str) -> None:
    opened = onnxsal.load(file)
    assert (opened.task.name, opened.task.alone, opened.task.by_running) == ("element", False, output == "y")
    assert_slope(file, f"{output}[4, 0, :]", output, (4, 0, slice(None)))
    occluded = onnxsal.explain(opened, X, method="occlusion", patch=3, stride=3, target=f"{output}[5, 0, 3]")
    x = X.copy()
    x[:, :, :3, :3] = 0
    expected = given(file, output)[5, 0, 3] - given(file, output, x)[5, 0, 3]
    assert occluded.raw[0, 0] == pytest.approx(expected, abs=1e-5)
    randomised = opened.reopened()
    assert randomised is opened


def test_an_output_without_a_batch_runs_one_by_one() -> None:
    opened = onnxsal.load(ONE)
    assert opened.task.name != "element" or opened.task.alone
    assert_slope(ONE, "y[3]", "y", 3)
    free = model("float[5] y", "s = ReduceMean <keepdims = 0> (z, start) y = Exp (s)")
    lone = onnxsal.load(free, task="element")
    assert "one by one" in lone.notes[-1]
    assert_slope(free, "y[-1]", "y", -1)


def test_one_number_needs_no_index() -> None:
    file = model("float y", "y = ReduceMean <keepdims = 0> (z)")
    opened = onnxsal.load(file, task="element")
    for target in (None, "y", Element("y")):
        assert assert_slope(file, target, "y", (), task="element").label == "y"
    assert [each.logit for each in opened.predict(X)] == [pytest.approx(float(given(file, "y")))]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("maps", r"which element .* \[1, 4, 6, 6\].*-t 'maps\[0, 2, 3, 3\]'"),
        (None, r"which element .* \[1, 4, 6, 6\]"),
        ("maps[0, 1, 2]", r"3 entries, .* 4 axes \[1, 4, 6, 6\]"),
        ("maps[0, 1, 2, 3, 4]", "5 entries"),
        ("maps[0, 4, 0, 0]", "4 is out of range for axis 1"),
        ("maps[1, 0, 0, 0]", "1 is out of range for axis 0"),
        ("maps[0, 0, 0, -7]", "-7 is out of range for axis 3"),
        ("maps[0, 0, 0, 3:3]", "selects nothing"),
        ("maps[0, 0, 0, a]", r"'a' is no index, in 'maps\[0, 0, 0, a\]'"),
        ("maps[0, 0, 0, 1.5]", "'1.5' is no index"),
        ("maps[..., ...]", "0 entries"),
        (Element("maps", 0, 0, 0, True), "numbers, slices"),
        (Element("maps", 0, 0, 0, slice(0, 1, 0)), "step"),
        (Element("mops", 0), "no output 'mops'; did you mean 'maps'"),
        (("maps[0, 0, 0, 0]", 3), "of two classes or of two elements"),
        (7, "no element of it"),
        ("maps[0, 0, 0, ::-1] minus maps[0, 0, 0, :]", "is 0 whatever goes in"),
    ],
)
def test_what_is_no_element_is_told(target: Any, message: str) -> None:
    opened = onnxsal.load(TWO, head="maps", task="element")
    with pytest.raises(UsageError, match=message):
        onnxsal.explain(opened, X, method="gradient", target=target)


def test_what_is_not_finite_is_refused_there_alone() -> None:
    file = model("float[B, 5] y", "r = Relu (z) y = Log (r)")
    opened = onnxsal.load(file, task="element")
    values = given(file, "y")[0]
    best, worst = int(values.argmax()), int(values.argmin())
    assert np.isfinite(values[best]) and not np.isfinite(values[worst])
    assert_slope(file, Element("y", 0, best), "y", (0, best))
    with pytest.raises(ModelError, match=rf"'y\[0, {worst}\]' is not finite"):
        onnxsal.explain(opened, X, method="gradient", target=Element("y", 0, worst))


def test_integers_are_refused_with_the_floats_behind() -> None:
    file = model("int64[B] label", "label = ArgMax <axis = 1, keepdims = 0> (z)")
    with pytest.raises(UnsupportedError, match=r"'label' holds int64, made of the floats 'z' .*--of 'z' --wrt"):
        onnxsal.load(file, task="element")


def test_predict_lists_the_largest_numbers_as_targets() -> None:
    opened = onnxsal.load(TWO, head="maps", task="element")
    values = given(TWO, "maps")
    found = opened.predict(X, top=3)
    order = np.argsort(-values.reshape(-1), kind="stable")[:3]
    np.testing.assert_allclose([each.logit for each in found], values.reshape(-1)[order], rtol=1e-6)
    for each in found:
        assert np.isnan(each.probability)
        assert onnxsal.explain(opened, X, method="gradient", target=each.label).score == pytest.approx(each.logit)


def test_a_compiled_file_has_it_inside_or_as_its_input() -> None:
    opened = onnxsal.load(TWO)
    for target in ("maps[0, 1, :, 3]", "p[0, 2]"):
        made = onnxsal.compile(opened, method="gradient", target=target)
        (saliency,) = onnxruntime.InferenceSession(made.SerializeToString()).run(["saliency"], {"x": X})[0]
        np.testing.assert_allclose(
            saliency, onnxsal.explain(opened, X, method="gradient", target=target).saliency, atol=1e-5
        )
    element = onnxsal.load(TWO, head="maps", task="element")
    session = onnxruntime.InferenceSession(
        onnxsal.compile(element, method="gradient", target="input").SerializeToString()
    )
    fed = session.run(["saliency"], {"x": X, "target": np.array([36 + 2 * 6 + 3])})[0][0]
    wanted = onnxsal.explain(element, X, method="gradient", target="maps[0, 1, 2, 3]").saliency
    np.testing.assert_allclose(fed, wanted, atol=1e-5)


def test_a_program_has_its_own_score_told() -> None:
    opened = onnxsal.load(TWO)
    op = select(opened.anatomy, "logit").extend()
    total = op.ReduceSum(op.Mul(op["maps"], op["maps"]), [1, 2, 3], keepdims=0)
    program = op.finish(score=total)
    program.model.graph.inputs[:] = [v for v in program.model.graph.inputs if v.name == EXPLAINED]
    found = onnxsal.explain(opened, X, method="gradient", target=program)
    expected = float((given(TWO, "maps") ** 2).sum())
    assert (found.score, found.logit) == (pytest.approx(expected, rel=1e-5), found.score)
