"""Detections: what is predicted, what may be asked for, and scores that are held, or matched anew in every picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from tiny_detectors import NAMES, SIDE, detector, picture

import onnxsal
from onnxsal import Box, errors
from onnxsal.anatomy import TARGET, X
from onnxsal.anatomy.select import BOX, BOXES, PROBABILITIES
from onnxsal.explanation import figure
from onnxsal.explanation.figure import draw
from onnxsal.explanation.target import resolve_target
from onnxsal.graph.program import empty
from onnxsal.model import Model
from onnxsal.runtime.environment import onnxruntime
from onnxsal.tasks.detection import BoxPrediction
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.matched import match
from onnxsal.tasks.detection.overlap import iou, kept
from onnxsal.tasks.detection.rows import Rows

BLOBS = picture((0, 4, 4), (1, 20, 16))


def model(form: str = "v8", **options: Any) -> Model:
    return onnxsal.load(detector(form), labels=list(NAMES), **options)


def seen(own: Model, thing: Any = BLOBS) -> list[BoxPrediction]:
    return [p for p in own.predict(thing, top=300) if isinstance(p, BoxPrediction)]


def score_of(own: Model, kind: str, target: Any, x: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return the score of pictures x [B, C, H, W], of a target of a clean one, as the program itself gives it."""
    resolved = own.task.aimed(resolve_target(own, target, own.outputs(clean[0])), kind)
    session = own._sessions(own.score(kind, resolved))
    feeds = {name: np.repeat(value, len(x), axis=0) for name, value in resolved.feeds.items()}
    return np.asarray(session.run({X: x, **feeds})["score"], np.float64)


# Boxes and how far they overlap.


def test_overlap_of_boxes_by_counting_pixels() -> None:
    random = np.random.default_rng(0)
    first = random.integers(0, 10, (50, 2, 2))
    boxes = np.concatenate([first.min(axis=1), first.max(axis=1)], axis=1).astype(np.float32)
    y, x = np.indices((10, 10))
    inside = np.stack([(x >= b[0]) & (x < b[2]) & (y >= b[1]) & (y < b[3]) for b in boxes])
    for at, box in enumerate(boxes):
        common, both = (inside & inside[at]).sum((1, 2)), (inside | inside[at]).sum((1, 2))
        np.testing.assert_allclose(iou(boxes, box[None]), common / np.maximum(both, 1), atol=1e-12)


def test_of_boxes_that_overlap_the_best_of_each_class_is_left() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 9], [20, 0, 30, 10]], np.float32)
    assert kept(boxes, np.array([0, 0, 1, 0]), 0.5) == [0, 2, 3]
    assert kept(boxes, np.array([0, 0, 1, 0]), 0.9) == [0, 1, 2, 3]


# What is predicted.


def test_detections_are_numbered_best_first_and_lie_on_the_blobs() -> None:
    found = seen(model())
    assert [p.number for p in found] == list(range(1, len(found) + 1))
    assert [p.probability for p in found] == sorted((p.probability for p in found), reverse=True)
    assert {p.label for p in found} == {"red", "green"}
    for p in found:
        left, top = {"red": (4, 4), "green": (20, 16)}[p.label]
        assert iou(np.array([p.box]), np.array([[left, top, left + 8, top + 8]]))[0] > 0


def test_threshold_and_overlap_are_options() -> None:
    own = seen(model())
    assert [p.box for p in seen(model(threshold=0.7))] == [p.box for p in own if p.probability > 0.7]
    assert len(seen(model(iou=1.0))) == len(own) > len(seen(model(iou=0.05)))


@pytest.mark.parametrize("options", [{"threshold": 1.5}, {"iou": -0.1}, {"threshold": "high"}])
def test_limits_are_shares(options: dict[str, Any]) -> None:
    with pytest.raises(errors.UsageError, match="expected a number from 0 to 1"):
        model(**options)


def test_limits_are_of_detectors() -> None:
    import tiny_models

    with pytest.raises(errors.UsageError, match="for detections"):
        onnxsal.load(tiny_models.classifier(), threshold=0.5)


def test_boxes_are_of_the_photograph_behind_a_letterbox() -> None:
    """A photograph of twice the size and half the height is shown on grey: boxes are where its own blobs are."""
    photo = np.zeros((32, 64, 3), np.uint8)
    photo[8:24, 40:56, 1] = 255
    found = seen(model(), photo)[0]
    own = model()
    sample = own.prepare(photo)
    assert sample.seen is not None
    assert sample.seen.box == (0.0, -16.0, 64.0, 64.0)
    inside = own.task.predict(own.outputs(sample.x), own.labels, 1)[0]
    assert isinstance(inside, BoxPrediction)
    np.testing.assert_allclose(found.box, [n * 2 - o for n, o in zip(inside.box, (0, 16, 0, 16), strict=True)])
    assert iou(np.array([found.box]), np.array([[40.0, 8, 56, 24]]))[0] > 0.2


# What may be asked for.


def test_none_is_the_best_a_label_its_best_and_numbers_count_from_one() -> None:
    own = model()
    found = seen(own)
    red = next(p for p in found if p.label == "red")
    for target, wanted in [(None, found[0]), ("red", red), (0, red), ("#3", found[2]), ("#1", found[0])]:
        explained = onnxsal.explain(own, BLOBS, method="gradient", target=target)
        assert explained.detection is not None
        np.testing.assert_allclose(explained.detection["box"], np.round(wanted.box, 2))
        assert (explained.label, explained.target) == (wanted.label, wanted.index)
        assert explained.score == pytest.approx(wanted.probability)
        assert explained.logit == pytest.approx(wanted.logit)


def test_all_is_one_map_of_each() -> None:
    own = model()
    found = onnxsal.explain(own, BLOBS, method="gradient", target=["all"])
    assert [e.detection["box"] for e in found if e.detection] == [
        [pytest.approx(round(n, 2)) for n in p.box] for p in seen(own)
    ]
    with pytest.raises(errors.UsageError, match="stands for several"):
        onnxsal.explain(own, BLOBS, method="gradient", target="all")


def test_a_box_is_asked_for_whether_it_was_detected_or_not() -> None:
    """Where there is a green blob: why is it not blue?"""
    own = model()
    for target in (Box("blue", (20, 16, 28, 24)), "blue@20,16,28,24"):
        explained = onnxsal.explain(own, BLOBS, method="gradient", target=target)
        assert explained.label == "blue"
        assert explained.score < 0.25
        assert explained.detection is not None
        assert explained.detection["asked_box"] == [20, 16, 28, 24]
        assert iou(np.array([explained.detection["box"]]), np.array([[20.0, 16, 28, 24]]))[0] > 0.2


@pytest.mark.parametrize(
    ("target", "thing", "message"),
    [
        (None, picture(), "nothing is detected above 0.25: the best candidate is"),
        ("all", picture(), "nothing is detected above 0.25"),
        ("blue", BLOBS, "no 'blue' is detected on this picture: its best candidate has .*blue@.*--threshold"),
        ("#99", BLOBS, "there is no detection #99: there are"),
        ("#1", picture(), "there is no detection #1: nothing is detected"),
        ("red@40,40,50,50", BLOBS, "outside the picture, which is 32 x 32"),
        ("red@10,10,5,20", BLOBS, "right of left and below top"),
        ("red@10,10", BLOBS, "LABEL@LEFT,TOP,RIGHT,BOTTOM"),
        (Box("red", (0, 0, 4, 4), "middle"), BLOBS, "expected left, top"),
        ("crimson", BLOBS, "no class is called 'crimson'"),
        (("red", "green"), BLOBS, "a pair of detections"),
    ],
)
def test_what_cannot_be_explained_says_why(target: Any, thing: Any, message: str) -> None:
    with pytest.raises(errors.UsageError, match=message):
        onnxsal.explain(model(), thing, method="gradient", target=[target])


# Scores.


@pytest.mark.parametrize("form", ["v8", "segment", "v5", "nms", "end2end", "detr", "ssd"])
@pytest.mark.parametrize("target", ["#1", "#1 right", Box("blue", (20, 16, 28, 24))])
def test_gradients_are_the_differences_of_the_file(form: str, target: Any) -> None:
    """Central differences along random directions, of the very numbers that ONNX Runtime gives for the file."""
    own = model(form)
    kind = own.task.kind("logit")
    random = np.random.default_rng(1)
    x = (0.9 * BLOBS + random.uniform(0.02, 0.1, BLOBS.shape)).astype(np.float32)  # no unit is at its kink
    explained = onnxsal.explain(own, x, method="gradient", target=target, sign="signed")
    for _ in range(3):
        way = random.normal(0, 1, BLOBS.shape).astype(np.float32)
        step = 1e-3
        high, low = (score_of(own, kind, target, x + sign * step * way, x)[0] for sign in (1, -1))
        slope = float((explained.raw.astype(np.float64) * way[0]).sum())
        assert (high - low) / (2 * step) == pytest.approx(
            slope, rel=3e-2, abs=3e-2 * float(np.abs(explained.raw).sum())
        )


@pytest.mark.parametrize("form", ["v8", "v5", "end2end", "nms", "ssd", "three"])
def test_the_matched_score_is_the_best_overlap_times_score(form: str) -> None:
    own = model(form)
    random = np.random.default_rng(2)
    x = np.concatenate([BLOBS, np.clip(BLOBS + random.normal(0, 0.2, BLOBS.shape), 0, 1)]).astype(np.float32)
    x = x[:1] if form in ("nms", "three") else x
    resolved = resolve_target(own, "green@20,16,28,24", own.outputs(BLOBS[0]))
    target = own.task.aimed(resolved, "match")
    program = own.score("match", target)
    feeds = {name: np.repeat(value, len(x), axis=0) for name, value in target.feeds.items()}
    by_program = own._sessions(program).run({X: x, **feeds})["score"]
    by_pick = own.session(program).run({X: x, **feeds})["score"]
    for at, each in enumerate(x):
        numbers = own.outputs(each)
        boxes = numbers["box"].reshape(-1, 4)
        scores = numbers["probability"].reshape(len(boxes), -1)
        green = scores[:, 1] if "label" not in numbers else scores[:, 0] * (numbers["label"] == 1)
        wanted = (iou(boxes, np.array([[20.0, 16, 28, 24]])) * green).max()
        assert by_program[at] == pytest.approx(wanted, rel=1e-4)
        assert by_pick[at] == pytest.approx(wanted, rel=1e-4)


def test_the_matched_score_of_a_compiled_file_is_xaitks() -> None:
    """The same as a graph, on the boxes and scores of tests/data/drise: float32 differs by 1e-7 at most."""
    golden = np.load(Path(__file__).resolve().parents[1] / "data" / "drise" / "drise.npz")
    boxes, scores = (golden["perturbed"][..., part].astype(np.float32) for part in (slice(4), slice(5, None)))
    count, classes = scores.shape[1:]
    op = empty(21)
    op.input(X, ir.DataType.FLOAT, ["B", 3, SIDE, SIDE])
    numbers = {BOXES: op.input(BOXES, ir.DataType.FLOAT, ["B", count * 4]),
               PROBABILITIES: op.input(PROBABILITIES, ir.DataType.FLOAT, ["B", count * classes])}  # fmt: skip
    rows = Rows(("unread",), 2, 0, classes)
    of = Candidates(("unread",), rows, "ltrb", "pixels", probabilities=rows, count=count)
    trace = op.finish(**{name.removeprefix("sal/"): op.Identity(v) for name, v in numbers.items()}).extend()
    made = trace.finish(score=match(trace, of, None).value).to_proto()
    for at, (row, wanted) in enumerate(zip(golden["found"], golden["class"].T, strict=True)):
        kind, box = np.full(len(boxes), row[5:].argmax()), np.tile(row[:4].astype(np.float32), (len(boxes), 1))
        feeds = {BOXES: boxes.reshape(len(boxes), -1), PROBABILITIES: scores.reshape(len(boxes), -1)}
        unread = np.zeros((len(boxes), 3, SIDE, SIDE), np.float32)
        (found,) = run_file(made, {X: unread, **feeds, TARGET: kind, BOX: box}, ["score"])
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-7, err_msg=f"detection {at}")


def test_what_changes_the_picture_is_matched_anew_and_gradients_hold_their_match() -> None:
    kinds = {name: onnxsal.explain(model(), BLOBS, method=name, **options).manifest["score"]
             for name, options in [("rise", {"samples": 4}), ("occlusion", {}), ("gradient", {}), ("layercam", {}),
                                   ("smoothgrad", {"samples": 2}), ("integrated-gradients", {"steps": 2})]}  # fmt: skip
    assert kinds == {"rise": "match", "occlusion": "match", "gradient": "logit", "layercam": "logit",
                     "smoothgrad": "logit", "integrated-gradients": "logit"}  # fmt: skip


def test_masks_of_all_detections_are_run_once_and_give_the_maps_of_each() -> None:
    own = model()
    every = onnxsal.explain(own, BLOBS, method="rise", target=["all"], samples=32)
    assert len(every) > 3
    assert {e.manifest["targets_together"] for e in every} == {len(every)}
    for at in (0, len(every) - 1):
        alone = onnxsal.explain(own, BLOBS, method="rise", target=f"#{at + 1}", samples=32)
        np.testing.assert_allclose(every[at].raw, alone.raw, atol=1e-6)


@pytest.mark.parametrize("form", ["v8", "three"])
def test_occlusion_falls_where_the_object_is(form: str) -> None:
    """Of ``three`` every changed picture has another number of candidates."""
    explained = onnxsal.explain(model(form), BLOBS, method="occlusion", target="green", patch=8, stride=4)
    inside = explained.saliency[16:24, 20:28]
    assert inside.mean() > 3 * explained.saliency.mean()
    assert explained.saliency.shape == (SIDE, SIDE)


@pytest.mark.parametrize("form", ["v8", "v5", "nms", "end2end", "detr"])
def test_activation_maps_are_of_all_levels_by_default(form: str) -> None:
    own = model(form)
    explained = onnxsal.explain(own, BLOBS, method="layercam")
    assert explained.manifest["layer"] == ["fine", "coarse"]
    assert explained.manifest["fuse"] == "max"
    each = [onnxsal.explain(own, BLOBS, method="layercam", layer=name).saliency for name in ("fine", "coarse")]
    both = np.maximum(*each)
    np.testing.assert_allclose(explained.saliency, (both - both.min()) / np.ptp(both), atol=1e-6)


def test_a_layer_can_be_named() -> None:
    explained = onnxsal.explain(model(), BLOBS, method="grad-cam", layer="coarse")
    assert explained.manifest["layer"] == "coarse"


def test_a_layer_of_the_boxes_can_be_named() -> None:
    """A side of a box is a sum of numbers of ``box_0``; the scores do not hang on it, so that it is never chosen."""
    own = model()
    layers, (name,) = own.anatomy.layers, [each.name for each in own.layers if each.name == "box_0"]
    assert name not in [each.name for each in layers.found] and layers.find(f"#{own.layers.index(layers.find(name))}")
    explained = onnxsal.explain(own, BLOBS, method="hirescam", layer=name, target="#1 right")
    row = explained.manifest["detection"]["candidate"]
    wanted = np.zeros(64, np.float32)
    wanted[row] = seen(own)[0].box[2] - 4 * (row % 8 + 0.5)  # it begins at the middle of its cell
    np.testing.assert_allclose(explained.raw.reshape(-1), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(errors.UnsupportedError, match="box_0"):
        onnxsal.explain(own, BLOBS, method="hirescam", layer=name, target="#1")


def test_the_box_is_drawn_and_what_was_detected_is_in_the_manifest() -> None:
    explained = onnxsal.explain(model(), BLOBS, method="gradient")
    assert explained.manifest["detection"] == explained.detection
    with_box = np.asarray(draw(explained, caption=False))
    scale = with_box.shape[1] / SIDE
    assert explained.detection is not None
    left, top, right, _ = (round(n * scale) for n in explained.detection["box"])
    assert with_box[top, (left + right) // 2].tolist() == [255, 255, 255]


def test_a_method_that_does_not_tell_objects_apart_says_so() -> None:
    """Two discs of the bundled detector: of the energy in their boxes nearly all is in the one that was asked for."""
    models = Path(__file__).resolve().parents[2] / "models"
    own, scene = onnxsal.load(models / "detector.onnx"), models / "demo_boxes.png"
    discs = [p.box for p in seen(own, scene) if p.label == "disc"]
    for at, found in enumerate(onnxsal.explain(own, scene, method="layercam", target=["#1", "#2"])):
        inside = [energy(found.saliency, [n / 4 for n in box]) for box in discs]
        assert inside[at] > 0.9 * sum(inside)
        assert not any("as a whole" in note for note in found.manifest["notes"])
    pooled = onnxsal.explain(own, scene, method="grad-cam++", target=["#1", "triangle"])
    said = [[note for note in found.manifest["notes"] if "weighs each feature map as a whole" in note]
            for found in pooled]  # fmt: skip
    assert ["1 more is detected" in note for note in said[0]] == [True]
    assert not said[1]


def energy(saliency: np.ndarray, box: list[float]) -> float:
    left, top, right, bottom = (round(n) for n in box)
    return float(saliency[top:bottom, left:right].sum())


def test_pictures_name_which_detection_they_are_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of one label: each has its number, a box its place, and a sheet of both has no heading of one of them."""
    own, drawn = model(), list[tuple[list[str], Any]]()
    monkeypatch.setattr(figure, "grid", lambda tiles, heading: drawn.append(([t.detail for t in tiles], heading))
                        or np.zeros((4, 4, 3), np.uint8))  # fmt: skip
    labels = [p.label for p in seen(own)]
    second = next(k for k, label in enumerate(labels[1:], 2) if label == labels[0])
    targets = [None, f"#{second}", Box(labels[0], (20, 16, 28.4, 24))]
    found = onnxsal.explain(own, BLOBS, method="gradient", target=targets)
    names = [f"#1 {labels[0]}", f"#{second} {labels[0]}", f"{labels[0]} at 20,16,28,24"]
    assert [figure.caption_of(each).title for each in found] == names
    figure.compare(found)
    figure.compare([found[0], found[0]])
    (details, none), (_, heading) = drawn
    assert none is None
    assert all(detail.startswith(name) for name, detail in zip(names, details[1:], strict=True))
    assert heading.title == names[0]


# What a compiled file holds, and how maps are judged.


@pytest.mark.parametrize(
    ("method", "target", "form"),
    [
        ("gradient", None, "v8"), ("gradient", "red", "v8"), ("layercam", None, "v5"), ("gradient", None, "ssd"),
        ("gradient", "red", "end2end"),
    ],
)  # fmt: skip
def test_a_compiled_file_explains_what_explain_does(method: str, target: Any, form: str) -> None:
    own = model(form)
    made = onnxsal.compile(own, method=method, target=target)
    (saliency,) = run_file(made, {"picture": BLOBS}, ["saliency"])
    explained = onnxsal.explain(own, BLOBS, method=method, target=target)
    np.testing.assert_allclose(saliency[0], explained.saliency, atol=1e-4)


def test_a_compiled_file_takes_a_class_and_explains_its_best_candidate() -> None:
    own = model()
    made = onnxsal.compile(own, method="gradient", target="input")
    for index, name in enumerate(("red", "green")):
        (saliency,) = run_file(made, {"picture": BLOBS, "target": np.array([index])}, ["saliency"])
        explained = onnxsal.explain(own, BLOBS, method="gradient", target=name)
        np.testing.assert_allclose(saliency[0], explained.saliency, atol=1e-4)


@pytest.mark.parametrize(("method", "options"), [("occlusion", {"patch": 8, "stride": 4}), ("gradient", {})])
def test_a_compiled_file_holds_a_box(method: str, options: dict[str, Any]) -> None:
    own, box = model(), Box("green", (20, 16, 28, 24))
    made = onnxsal.compile(own, method=method, target=box, **options)
    (saliency,) = run_file(made, {"picture": BLOBS}, ["saliency"])
    explained = onnxsal.explain(own, BLOBS, method=method, target=box, **options)
    np.testing.assert_allclose(saliency[0], explained.saliency, atol=1e-4)


def run_file(made: Any, feeds: dict[str, np.ndarray], names: list[str]) -> list[np.ndarray]:
    session = onnxruntime().InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(names, feeds))


def test_maps_are_judged_by_the_matched_score() -> None:
    """What deletion begins with is the score that the picture has, and it ends with that of nothing."""
    own = model()
    found = onnxsal.evaluate(own, [BLOBS], methods=["gradient"], metrics=["deletion"])
    (row,) = found.rows
    curve = np.asarray(row.curves["score"]) if hasattr(row, "curves") else None
    assert 0 < row.value < seen(own)[0].probability
    assert curve is None or curve[0] == pytest.approx(seen(own)[0].probability, rel=1e-4)
