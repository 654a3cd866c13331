"""Pictures of sizes of their own, and targets of any kind, in evaluate, diff and experiments: by the file itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import onnxsal
from onnxsal.anatomy.select import entered
from onnxsal.cli.run import main
from onnxsal.errors import UsageError
from onnxsal.experiments.base import Case
from onnxsal.experiments.catalogue import get
from onnxsal.experiments.diff import How, compare

RNG = np.random.default_rng(0)
SIZES = ((12, 16), (20, 10))
ARRAYS = [RNG.normal(0, 1, (3, *size)).astype(np.float32) for size in SIZES]
PHOTOS = [RNG.integers(0, 256, (*size, 3), np.uint8) for size in ((30, 40), (25, 20))]

HEAD = '<ir_version: 10, opset_import: ["" : 21]> g '
OPEN = (
    HEAD
    + """(float[B, 3, H, W] x) => (float[B, 3] y, float[B, 4] f)
    { c = Conv <pads = [1, 1, 1, 1]> (x, w) r = Relu (c) g = GlobalAveragePool (r) f = Flatten (g) z = MatMul (f, v)
      y = Softmax (z) }"""
)
RESIZED = (
    HEAD
    + """(float[1, 3, H, W] x) => (float[1, 3] y) <int64[4] to = {1, 3, 8, 12}>
    { s = Resize <mode = "linear"> (x, , , to) c = Conv <pads = [1, 1, 1, 1]> (s, w) r = Relu (c)
      g = GlobalAveragePool (r) f = Flatten (g) z = MatMul (f, v) y = Softmax (z) }"""
)


def net(text: str) -> onnx.ModelProto:
    proto, rng = onnx.parser.parse_model(text), np.random.default_rng(1)
    for name, shape in (("w", (4, 3, 3, 3)), ("v", (4, 3))):
        scale = 0.01 if name == "w" and text == RESIZED else 1
        array = (rng.normal(0, 1, shape) * scale).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def run(proto: onnx.ModelProto, x: np.ndarray, name: str = "y") -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run([name], {"x": x[None].astype(np.float32)})[0][0]


def as_input(photo: np.ndarray) -> np.ndarray:
    return photo.transpose(2, 0, 1)


CASES: dict[str, tuple[str, list[np.ndarray], Callable[[np.ndarray], np.ndarray], dict[str, Any]]] = {
    "arrays": (OPEN, ARRAYS, lambda thing: thing, {}),
    "photographs resized inside": (RESIZED, PHOTOS, as_input, {"preprocess": "raw"}),
}


@pytest.mark.parametrize("name", CASES)
def test_each_picture_is_judged_at_its_own_size(name: str) -> None:
    """The first point of a deletion curve is the file's probability of the picture, the last that of black."""
    text, things, feed, options = CASES[name]
    proto = net(text)
    model = onnxsal.load(proto, **options)
    found = onnxsal.evaluate(
        model, things, methods=["gradient", "grad-cam"], metrics=["deletion", "sparseness"], target=1
    )
    assert not found.failures
    for thing, image in zip(things, dict.fromkeys(row.image for row in found.rows), strict=True):
        for row in (r for r in found.rows if r.image == image):
            own = float(run(proto, feed(thing))[1])
            assert row.probability == pytest.approx(own, rel=1e-4)
            if row.metric == "deletion":
                black = float(run(proto, np.zeros_like(feed(thing)))[1])
                assert [row.curve[0][1], row.curve[-1][1]] == pytest.approx([own, black], rel=1e-4)  # type: ignore[index]
            else:
                saliency = onnxsal.explain(model, thing, method=row.method, target=1).saliency
                assert saliency.shape == feed(thing).shape[1:]
                again = onnxsal.evaluate(
                    onnxsal.load(proto, size=saliency.shape, **options), [thing], methods=[row.method],
                    metrics=["sparseness"], target=1,
                )  # fmt: skip
                assert row.value == pytest.approx(again.rows[0].value, rel=1e-5)


def test_weights_drawn_anew_are_drawn_anew_at_each_size() -> None:
    """A map of a model without what it learnt is not that of the file, whatever the size."""
    found = onnxsal.evaluate(
        onnxsal.load(net(OPEN)), ARRAYS, methods=["gradient"], metrics=["randomisation"], stages=1, target=1
    )
    assert not found.failures and all(row.value < 0.9 for row in found.rows)


def test_maps_made_elsewhere_are_of_each_picture_s_size(tmp_path: Path) -> None:
    onnx.save(net(RESIZED), tmp_path / "net.onnx")
    model = onnxsal.load(tmp_path / "net.onnx", preprocess="raw")
    (tmp_path / "maps").mkdir()
    for at, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(tmp_path / f"{at}.png")
        np.save(tmp_path / "maps" / f"{at}.npy", onnxsal.explain(model, photo, method="gradient").saliency)
    files = [tmp_path / f"{at}.png" for at in range(len(PHOTOS))]
    found = onnxsal.evaluate(model, files, methods=["gradient"], maps=tmp_path / "maps", metrics=["sparseness"])
    values = [[r.value for r in found.rows if r.image == file.name] for file in files]
    assert not found.failures and all(a == pytest.approx(b, rel=1e-6) for a, b in values)


def test_two_models_are_compared_at_each_picture_s_size() -> None:
    proto = net(RESIZED)
    models = onnxsal.load(proto, preprocess="raw"), onnxsal.load(proto, preprocess="raw")
    found = compare(models, PHOTOS, How("gradient", {}, (None, None), None, 0))  # type: ignore[arg-type]
    assert not found.failures
    shown = {tuple(np.shape(pair.first.saliency)): pair.probabilities for pair in found.pairs}
    for photo in PHOTOS:
        own = run(proto, as_input(photo)).max()
        assert shown[photo.shape[:2]] == pytest.approx((own, own), rel=1e-4)


@pytest.mark.parametrize("name", ["fluctuation", "feature-maps", "score-variants"])
def test_experiments_open_the_model_for_their_picture(name: str, tmp_path: Path) -> None:
    onnx.save(net(RESIZED), tmp_path / "net.onnx")
    Image.fromarray(PHOTOS[0]).save(tmp_path / "a.png")
    seen = list[onnxsal.Model]()

    def opened(path: str) -> onnxsal.Model:
        seen.append(onnxsal.load(path, preprocess="raw"))
        return seen[-1]

    options = {"fluctuation": {"steps": 4, "pixel": (29, 39)}, "feature-maps": {"samples": 2, "count": 1},
               "score-variants": {"samples": 1, "steps": 2}}  # fmt: skip
    found = get(name)
    case = Case(str(tmp_path / "net.onnx"), (str(tmp_path / "a.png"),), opened, 1)
    outcome = found.run(case, **found.check(options[name]))
    assert outcome.table.rows and case.fitted(str(tmp_path / "a.png")).model.size == (30, 40)


# Targets of any kind, the same of all pictures


def test_elements_are_judged_by_their_own_value() -> None:
    """Insertion and deletion of the score, where that is a number of another output than the classes'."""
    proto = net(OPEN)
    model = onnxsal.load(proto)
    for target, value in (
        (onnxsal.Element("f", 0, 2), lambda f: f[2]), ("f[0, 1:3]", lambda f: f[1] + f[2]),
        (("f[0, 1]", "f[0, 3]"), lambda f: f[1] - f[3]),
    ):  # fmt: skip
        found = onnxsal.evaluate(model, ARRAYS, methods=["gradient"], metrics=["deletion", "insertion"], target=target)
        assert not found.failures
        for row in found.rows:
            thing = ARRAYS[list(dict.fromkeys(r.image for r in found.rows)).index(row.image)]
            whole = float(value(run(proto, thing, "f")))
            at = 0 if row.metric == "deletion" else -1
            assert row.curve[at][1] == pytest.approx(whole, rel=1e-4, abs=1e-5)  # type: ignore[index]
            assert np.isnan(row.probability)


def test_a_score_of_one_s_own_is_judged_by_itself() -> None:
    own = onnxsal.load(net(OPEN), size=SIZES[0])
    op = entered(own.anatomy).extend()
    score = op.finish(score=op.ReduceSum(op.Mul(op["f"], op["f"]), [1], keepdims=0))
    found = onnxsal.evaluate(own, ARRAYS[:1], methods=["gradient"], metrics=["deletion"], target=score)
    assert found.rows[0].curve[0][1] == pytest.approx(float((run(net(OPEN), ARRAYS[0], "f") ** 2).sum()), rel=1e-4)  # type: ignore[index]


def test_elements_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(net(RESIZED), tmp_path / "net.onnx")
    Image.fromarray(PHOTOS[0]).save(tmp_path / "a.png")
    named = [str(tmp_path / "net.onnx"), str(tmp_path / "a.png"), "--preprocess", "raw", "-m", "gradient"]
    asked = ["-t", "y[0, 2]", "--metrics", "deletion", "--json", "-", "--journal", str(tmp_path / "j")]
    status = main(["evaluate", *named, *asked])
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert status == 0 and row["target"] == "y[0, 2]"
    assert row["curve"][0][1] == pytest.approx(float(run(net(RESIZED), as_input(PHOTOS[0]))[2]), rel=1e-4)


@pytest.mark.parametrize(
    ("target", "metric", "message"),
    [
        (onnxsal.Region(0, point=(1, 1), pixels=True), "deletion", "regions are of models of regions"),
        ((onnxsal.Region(0, point=(1, 1), pixels=True), 1), "deletion", "regions are of models of regions"),
        (onnxsal.Like(np.ones(4)), "deletion", "only embeddings are like something"),
        ("q[0, 1]", "deletion", "q"),
        ("f[0, 9]", "deletion", "9"),
        ("f[0, 1]", "mask-share", "asks for the region that is explained, and the task 'element' has none"),
        (1, "mask-share", "asks for the region that is explained, and the task 'classification' has none"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_picture(target: Any, metric: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.evaluate(onnxsal.load(net(OPEN)), ARRAYS, methods=["gradient"], metrics=[metric], target=target)


def test_a_journal_keeps_what_was_asked_of_a_file_apart(tmp_path: Path) -> None:
    """Another size of the same file gives other values, which are not taken for these."""
    journal, photo = tmp_path / "j", PHOTOS[0]
    values = [
        onnxsal.evaluate(
            onnxsal.load(net(OPEN), size=size, preprocess="raw"), [photo], methods=["gradient"], metrics=["sparseness"],
            journal=journal, target=1,
        ).rows[0].value
        for size in ((16, 16), (24, 24), (16, 16))
    ]  # fmt: skip
    assert values[0] == values[2] != values[1]
