"""Regions as targets, against NumPy and difference quotients of the file itself in ONNX Runtime."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from PIL import Image

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.tasks.dense import Dense, Region, RegionPrediction

SIDE, CLASSES = 12, 4
X = np.random.default_rng(5).normal(size=(3, SIDE, SIDE)).astype(np.float32)
LABELS = ["background", "cat", "dog", "sky"]


def file(end: str, classes: int = CLASSES, shape: str = "", dtype: str = "float") -> onnx.ModelProto:
    """Logits l [n, classes, 12, 12] of two convolutions, and what comes behind them."""
    rng = np.random.default_rng(1)
    shape = shape or f"n, {classes}, {SIDE}, {SIDE}"
    proto = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, {SIDE}, {SIDE}] x) => ({dtype}[{shape}] y) {{
      a = Conv <pads = [1, 1, 1, 1]> (x, w)
      t = Tanh (a)
      l = Conv <pads = [1, 1, 1, 1]> (t, u, b)
      {end}
    }}""")
    arrays = {"w": rng.normal(size=(5, 3, 3, 3)), "u": rng.normal(0, 0.6, (classes, 5, 3, 3)),
              "b": np.linspace(1.5, 0, classes)}  # fmt: skip
    proto.graph.initializer.extend(numpy_helper.from_array(a.astype(np.float32), k) for k, a in arrays.items())
    return proto


SOFTMAX = file("y = Softmax <axis = 1> (l)")
FORMS = {
    "softmax": SOFTMAX,
    "argmax": file("y = ArgMax <axis = 1, keepdims = 0> (l)", shape=f"n, {SIDE}, {SIDE}", dtype="int64"),
    "softmax, argmax": file(
        "p = Softmax <axis = 1> (l) y = ArgMax <axis = 1, keepdims = 1> (p)",
        shape=f"n, 1, {SIDE}, {SIDE}",
        dtype="int64",
    ),
    "log softmax": file("y = LogSoftmax <axis = 1> (l)"),
    "classes last": file(
        "q = Transpose <perm = [0, 2, 3, 1]> (l) y = Softmax <axis = -1> (q)", shape=f"n, {SIDE}, {SIDE}, {CLASSES}"
    ),
}


def logits_of(x: np.ndarray, proto: onnx.ModelProto = SOFTMAX) -> np.ndarray:
    """Return the file's own logits [classes, 12, 12], in ONNX Runtime."""
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    del whole.graph.output[:]
    whole.graph.output.append(onnx.helper.make_tensor_value_info("l", onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x[None]})[0][0])


def run(made: onnx.ModelProto, **feeds: Any) -> np.ndarray:
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["raw"], {"x": X[None], **feeds})[0][0])


LOGITS = logits_of(X)
SEEN = LOGITS.argmax(axis=0)
"""The class of every position."""


@pytest.mark.parametrize("form", FORMS)
def test_where_the_scores_are(form: str) -> None:
    model = onnxsal.load(FORMS[form])
    assert isinstance(model.task, Dense)
    assert (model.task.classes, model.task.grid, model.task.activation) == (CLASSES, (SIDE, SIDE), "softmax")
    numbers = model.outputs(X)
    powers = np.exp(LOGITS - LOGITS.max(axis=0))
    np.testing.assert_allclose(numbers["logit"].reshape(LOGITS.shape), LOGITS, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numbers["probability"].reshape(LOGITS.shape), powers / powers.sum(axis=0), atol=1e-6)


def test_prediction_lists_the_classes_that_are_seen_by_their_shares() -> None:
    found = onnxsal.load(SOFTMAX, labels=LABELS).predict(X)
    counts = np.bincount(SEEN.reshape(-1), minlength=CLASSES)
    assert [p.index for p in found] == [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    for each in found:
        assert isinstance(each, RegionPrediction)
        assert each.share == pytest.approx(counts[each.index] / SIDE**2)
        assert each.logit == pytest.approx(float(LOGITS[each.index][each.index == SEEN].mean()), rel=1e-5)
        assert each.label.startswith(LABELS[each.index])


TARGETS = {
    "a class": (1, {1: 1.0}, SEEN == 1),
    "a class minus another": ((1, 3), {1: 1.0, 3: -1.0}, SEEN == 1),
    "a box": (Region(2, box=(0.25, 0.5, 0.75, 1.0)), {2: 1.0}, np.s_[6:, 3:9]),
    "a mask": (Region("dog", mask=SEEN == 0), {2: 1.0}, SEEN == 0),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_gradient_of_a_region_is_its_difference_quotient(name: str) -> None:
    """The oracle is the file's own logits: the region is held while the picture moves."""
    target, signs, where = TARGETS[name]
    found = onnxsal.explain(onnxsal.load(SOFTMAX, labels=LABELS), X, method="gradient", target=target)

    def score(x: np.ndarray) -> float:
        values = logits_of(x).astype(np.float64)
        return float(sum(sign * values[index][where].mean() for index, sign in signs.items()))

    way = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    step = 2e-3
    quotient = (score(X + step * way) - score(X - step * way)) / (2 * step)
    assert float((found.raw * way).sum()) == pytest.approx(quotient, rel=2e-3, abs=1e-4)
    assert found.logit == pytest.approx(score(X), rel=1e-4)


def test_nothing_is_the_largest_region_that_is_no_background() -> None:
    largest = int(np.bincount(SEEN.reshape(-1), minlength=CLASSES).argmax())
    assert largest == 0
    assert onnxsal.explain(onnxsal.load(SOFTMAX), X, method="gradient").target == 0
    named = onnxsal.explain(onnxsal.load(SOFTMAX, labels=LABELS), X, method="gradient")
    assert named.target == 1 + int(np.bincount(SEEN.reshape(-1), minlength=CLASSES)[1:].argmax())


def test_occlusion_is_what_the_region_loses() -> None:
    """By hand: every patch covered by black, the mean over the held region anew."""
    found = onnxsal.explain(onnxsal.load(SOFTMAX), X, method="occlusion", target=1, score="logit", patch=4, stride=4)
    for i, j in np.ndindex(3, 3):
        covered = X.copy()
        covered[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4] = 0
        lost = (LOGITS[1] - logits_of(covered)[1])[SEEN == 1].mean()
        assert found.raw[i, j] == pytest.approx(float(lost), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("method", "options"),
    [("gradient", {}), ("grad-cam", {"layer": "t"}), ("score-cam", {"layer": "t"}), ("occlusion", {"patch": 4}),
     ("smoothgrad", {"samples": 3})],
)  # fmt: skip
@pytest.mark.parametrize("form", ["softmax", "classes last"])
def test_a_compiled_file_finds_the_region_itself(method: str, options: dict[str, Any], form: str) -> None:
    model = onnxsal.load(FORMS[form], labels=LABELS)
    for target, feeds in ((None, {}), (1, {}), ("input", {"target": np.array([1])})):
        made = onnxsal.compile(model, method=method, target=target, give="raw", **options)
        wanted = onnxsal.explain(model, X, method=method, target=None if target is None else 1, **options)
        np.testing.assert_allclose(run(made, **feeds), wanted.raw, rtol=1e-4, atol=1e-6)


def test_one_logit_a_position_is_a_sigmoid() -> None:
    proto = file("y = Sigmoid (l)", 1)
    model = onnxsal.load(proto)
    logits = logits_of(X, proto)[0]
    assert isinstance(model.task, Dense)
    assert (model.task.activation, model.task.classes) == ("sigmoid", 1)
    (seen,) = model.predict(X)
    assert isinstance(seen, RegionPrediction)
    assert seen.share == pytest.approx((logits > 0).mean())
    found = onnxsal.explain(model, X, method="gradient")
    assert found.logit == pytest.approx(float(logits[logits > 0].mean()), rel=1e-5)
    np.testing.assert_allclose(run(onnxsal.compile(model, method="gradient", give="raw")), found.raw, rtol=1e-5)


def test_classes_with_a_sigmoid_overlap() -> None:
    proto = file("y = Sigmoid (l)", 4)
    logits, model = logits_of(X, proto), onnxsal.load(proto)
    assert [(p.index, p.share) for p in model.predict(X) if isinstance(p, RegionPrediction)] == [
        (int(i), pytest.approx((logits[i] > 0).mean()))
        for i in np.argsort(-(logits > 0).mean(axis=(1, 2)), kind="stable")
    ]
    found = onnxsal.explain(model, X, method="gradient", target=2)
    made = onnxsal.compile(model, method="gradient", target=2, give="raw")
    np.testing.assert_allclose(run(made), found.raw, rtol=1e-5, atol=1e-7)


def test_what_is_not_proven_is_asked_and_may_be_said() -> None:
    bare = file("y = Identity (l)")
    with pytest.raises(UsageError, match=r"which element .*--task dense"):
        onnxsal.explain(onnxsal.load(bare), X, method="gradient")
    model = onnxsal.load(bare, task="dense")
    assert isinstance(model.task, Dense)
    found = onnxsal.explain(model, X, method="gradient", target=1)
    np.testing.assert_array_equal(found.raw, onnxsal.explain(onnxsal.load(SOFTMAX), X, method="gradient", target=1).raw)


def test_a_sigmoid_in_the_shape_of_the_picture_proves_no_classes() -> None:
    image = file("y = Sigmoid (l)", 3)
    assert "nothing proves what the output 'y'" in onnxsal.load(image).notes[0]
    with pytest.raises(UsageError, match=r"which element .*--task dense"):
        onnxsal.explain(onnxsal.load(image), X, method="gradient")
    named = onnxsal.load(image, task="dense").task
    assert isinstance(named, Dense)
    assert (named.classes, named.activation) == (3, "sigmoid")


def test_what_is_nowhere_is_refused_with_a_way_out() -> None:
    model = onnxsal.load(file("y = Softmax <axis = 1> (l)", 2), labels=["background", "cat"])
    white = np.zeros_like(X)
    assert [p.index for p in model.predict(white)] == [0]
    with pytest.raises(UsageError, match="nothing on this picture but background: say where with a Region"):
        onnxsal.explain(model, white, method="gradient")
    with pytest.raises(UsageError, match=r"'cat' nowhere on this picture.*Region"):
        onnxsal.explain(model, white, method="gradient", target="cat")
    assert onnxsal.explain(model, white, method="gradient", target=Region("cat", box=(0, 0, 1, 1))).raw.any()


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(1), "a mask or a box"), (Region(1, mask=np.ones((3, 3))), r"height and width \[12, 12\]; got \[3, 3\]"),
        (Region(1, box=(0.2, 0.2, 0.2, 0.9)), "no position"), (Region(9, box=(0, 0, 1, 1)), "0 to 3"),
    ],
)  # fmt: skip
def test_a_region_that_is_none_is_refused(region: Region, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.explain(onnxsal.load(SOFTMAX), X, method="gradient", target=region)


def test_metrics_ask_for_the_region() -> None:
    """The first value of a deletion curve is the whole picture's: the mean probability over the region."""
    model = onnxsal.load(SOFTMAX)
    found = onnxsal.evaluate(model, [X], methods=["gradient"], metrics=["deletion"])
    powers = np.exp(LOGITS - LOGITS.max(axis=0))
    (row,) = found.rows
    assert row.target == 0
    assert row.probability == pytest.approx(float((powers / powers.sum(axis=0))[0][SEEN == 0].mean()), rel=1e-5)
    assert np.isfinite(row.value)


def test_a_real_detector_of_text(tmp_path: Path) -> None:
    shared = Path(os.environ.get("ONNXSAL_SHARED", ""))
    path = shared / "reach" / "ppocr4_det.onnx"
    if not os.environ.get("ONNXSAL_SHARED") or not path.is_file():
        pytest.skip("the reference material is not here (ONNXSAL_SHARED)")
    model = onnxsal.load(path)
    rng = np.random.default_rng(0)
    x = np.full((3, *model.size), 2.0, np.float32) + rng.normal(0, 0.02, (3, *model.size)).astype(np.float32)
    for at in range(40, 180, 14):  # strokes, as of letters in a line
        x[:, 100:124, at : at + 5] = -1.8
        x[:, 110:114, at : at + 10] = -1.8
    (seen,) = model.predict(x)
    assert isinstance(seen, RegionPrediction)
    assert 0.02 < seen.share < 0.3
    found = onnxsal.explain(model, x, method="gradient")
    made = onnxsal.compile(model, method="gradient", give="raw")
    onnx.save(made, tmp_path / "made.onnx")  # ONNX Runtime up to 1.28 loads it from a file, and from bytes it does not
    session = ort.InferenceSession(tmp_path / "made.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["raw"], {"x": x[None]})[0][0], found.raw, rtol=1e-3, atol=1e-6)
    assert np.abs(found.raw[:, 90:134]).mean() > 3 * np.abs(found.raw[:, :60]).mean()


def test_the_page_on_tasks_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (block,) = (each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "segmenter" in each)
    monkeypatch.chdir(tmp_path)
    onnx.save(SOFTMAX, "segmenter.onnx")
    image = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(image).save("street.png")
    scope: dict[str, Any] = {}
    exec(block, scope)
    logits = logits_of(image.transpose(2, 0, 1).astype(np.float32) / 255)
    powers = np.exp(logits - logits.max(axis=0))
    shares, seen = (powers / powers.sum(axis=0))[1], logits.argmax(axis=0) == 1
    assert 0 < seen.sum() < seen.size
    assert scope["found"].score == pytest.approx(shares[seen].mean(), rel=1e-4)
    assert scope["left"].score == pytest.approx(shares[:, : SIDE // 2].mean(), rel=1e-4)
    assert scope["there"].score == scope["same"].score == pytest.approx(shares[9, 4], rel=1e-4)
    assert f"cat, {100 * seen.mean():.3g} % of the picture" in capsys.readouterr().out
