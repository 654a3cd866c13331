"""Masks, keypoints and turned boxes: what is told of them, and their scores, by what ONNX Runtime gives of the file."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from detector_decoders import Found, rotated
from detectors import FORMS
from drawn_objects import PICTURES, picture
from numpy.typing import NDArray
from PIL import Image

import onnxsal
from onnxsal import errors
from onnxsal.anatomy import X
from onnxsal.explanation.target import resolve_target
from onnxsal.model import Model
from onnxsal.runtime.environment import onnxruntime
from onnxsal.tasks.detection import BoxPrediction, oriented
from onnxsal.tasks.detection.masks import of_runs

SEED, SIDE, GRID = PICTURES[0], 96, 24
PHOTO = {"preset": "unit", "fit": "pad"}
PARTS = [("segment", "mask"), ("pose", "keypoint 2"), ("pose", "keypoint 2 y"), ("obb", "angle"), ("obb", "left"),
         ("v8", "bottom")]  # fmt: skip


@functools.cache
def model(name: str) -> Model:
    """Return a form; of keypoints with words of their names."""
    proto = FORMS[name].model()
    if name == "pose":
        names = {k: ["middle", "upper left", "upper right", "lower right", "lower left"] for k in range(3)}
        onnx.helper.set_model_props(proto, {**FORMS[name].metadata, "kpt_names": str(names)})
    return onnxsal.load(proto, preprocess=PHOTO)


@functools.cache
def session(name: str) -> Any:
    return onnxruntime().InferenceSession(FORMS[name].model().SerializeToString(), providers=["CPUExecutionProvider"])


def outputs(name: str, x: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return what ONNX Runtime gives of a form's file for a picture [3, 96, 96]."""
    names = [v.name for v in session(name).get_outputs()]
    return {n: v[0].astype(float) for n, v in zip(names, session(name).run(names, {"images": x[None]}), strict=True)}


def found(name: str) -> tuple[Found, list[BoxPrediction]]:
    """Return what a form's own reader reads of a picture, and what is predicted of it."""
    predicted = model(name).predict(picture(SEED)[None], top=9)
    return FORMS[name].found(picture(SEED)), [p for p in predicted if isinstance(p, BoxPrediction)]


def resized(logits: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return numbers over a picture as its pixels, by Pillow: bilinear between middles."""
    whole = Image.fromarray(logits.astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(whole)


# What is told.


def test_masks_are_the_prototypes_sums_inside_their_boxes() -> None:
    read, predicted = found("segment")
    out = outputs("segment", picture(SEED))
    for p, row in zip(predicted, read.extra, strict=True):
        column = int(np.abs(out["output0"][4 + p.index] - p.probability).argmin())
        logits = np.tensordot(out["output0"][7:, column], out["output1"], 1)
        y, x = np.indices((SIDE, SIDE)) + 0.5
        inside = (x > p.box[0]) & (x < p.box[2]) & (y > p.box[1]) & (y < p.box[3])
        assert p.mask is not None
        wanted = (resized(logits, (SIDE, SIDE)) > 0) & inside
        assert (p.mask.pixels() == wanted).mean() > 0.9999  # sums of another order differ where they are all but 0
        runs = p.mask.runs()
        assert sum(runs["counts"]) == SIDE**2
        np.testing.assert_array_equal(of_runs(runs), p.mask.pixels())
        flags = np.repeat(np.arange(len(runs["counts"])) % 2, runs["counts"])  # as COCO's tools read them
        np.testing.assert_array_equal(flags.reshape(SIDE, SIDE).T, p.mask.pixels())
        target = resolve_target(model("segment"), f"#{p.number} mask", model("segment").outputs(picture(SEED)))
        np.testing.assert_array_equal(target.fed["sal/mask"][0].ravel() > 0, row > 0)


SAID = {
    "segment": {"masks": "output0[:, 7:, :]", "prototypes": "output1"},
    "pose": {"keypoints": "output0[:, 7:, :]"},
    "obb": {"angle": "output0[:, 7:8, :]"},
}


@pytest.mark.parametrize("name", SAID)
def test_parts_that_nothing_proves_are_described_beside_a_file(name: str, tmp_path: Path) -> None:
    """Behind an operator through which nothing is seen, and without words in the file: as with them."""
    proto = FORMS[name].model()
    del proto.metadata_props[:]
    last = next(node for node in proto.graph.node if "output0" in node.output)
    last.output[0] = "hidden"
    proto.graph.node.append(onnx.helper.make_node("Max", ["hidden"], ["output0"]))
    onnx.save(proto, tmp_path / "own.onnx")
    said = {"boxes": "output0[:, 0:4, :]", "format": "cxcywh", "scores": "output0[:, 4:7, :]", **SAID[name]}
    (tmp_path / "own.detection.json").write_text(json.dumps(said))
    numbers, wanted = onnxsal.load(tmp_path / "own.onnx").outputs(picture(SEED)), model(name).outputs(picture(SEED))
    kinds = {"segment": ("mask", "prototype"), "pose": ("keypoint",), "obb": ("angle", "oriented", "box")}[name]
    for kind in kinds:
        np.testing.assert_allclose(numbers[kind], wanted[kind], rtol=1e-5, atol=1e-4)


def test_keypoints_and_corners_are_the_forms_own() -> None:
    read, predicted = found("pose")
    np.testing.assert_allclose([p.keypoints for p in predicted], read.extra.reshape(-1, 5, 3), atol=1e-3)
    assert predicted[0].keypoint_names[1] == "upper left"
    read, predicted = found("obb")
    np.testing.assert_allclose([p.corners for p in predicted], rotated(read.boxes, read.extra[:, 0]), atol=1e-3)
    np.testing.assert_allclose([p.angle for p in predicted], read.extra[:, 0], atol=1e-5)


@pytest.mark.parametrize("name", ["segment", "pose", "obb"])
def test_a_letterbox_is_undone(name: str) -> None:
    """A photograph of twice the width and the model's height: half of it is shown, 24 pixels below the top."""
    drawn = (picture(SEED).transpose(1, 2, 0)[24:72].repeat(2, 0).repeat(2, 1) * 255).astype(np.uint8)
    own = model(name)
    sample = own.prepare(drawn)
    inside, outside = own.task.predict(own.outputs(sample.x), own.labels, 9), own.predict(drawn, top=9)
    assert outside
    for a, b in zip(inside, outside, strict=True):
        assert isinstance(a, BoxPrediction) and isinstance(b, BoxPrediction)
        for one, other in ((a.corners, b.corners), (a.keypoints, b.keypoints)):
            if one is not None and other is not None:
                moved = 2 * (np.array(one)[:, :2] - (0, 24))
                np.testing.assert_allclose(np.array(other)[:, :2], moved, atol=1e-3)
        if a.mask is not None and b.mask is not None:
            y, x = np.indices((SIDE, 2 * SIDE)) + 0.5
            box = (x > b.box[0]) & (x < b.box[2]) & (y > b.box[1]) & (y < b.box[3])
            whole = resized(a.mask.logits.astype(float), (2 * SIDE, 2 * SIDE))[48:144] > 0
            assert (b.mask.pixels() == (whole & box)).mean() > 0.9999
            np.testing.assert_array_equal(of_runs(b.mask.runs()), b.mask.pixels())


def test_turned_boxes_overlap_as_their_normal_distributions_do() -> None:
    """The Hellinger distance by matrices (Llerena et al. 2021), for thin boxes too; a quarter turn changes sides."""
    random = np.random.default_rng(0)
    boxes = np.column_stack([random.uniform(0, 30, (40, 2)), random.uniform(1, 40, (40, 2)), random.uniform(-4, 4, 40)])

    def covariance(w: float, h: float, angle: float) -> NDArray[np.float64]:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.asarray(turn @ np.diag([w**2 / 12, h**2 / 12]) @ turn.T)

    for box in boxes[:5]:
        one = covariance(*box[2:])
        for other, share in zip(boxes, oriented.overlap(boxes, box[None]), strict=True):
            two, way = covariance(*other[2:]), other[:2] - box[:2]
            both = (one + two) / 2
            spread = np.log(np.linalg.det(both) / np.sqrt(np.linalg.det(one) * np.linalg.det(two))) / 2
            distance = way @ np.linalg.solve(both, way) / 8 + spread
            assert share == pytest.approx(1 - np.sqrt(1 - np.exp(-max(distance, 0))), abs=1e-6)
    turned = boxes[:, [0, 1, 3, 2, 4]] + (0, 0, 0, 0, np.pi / 2)
    np.testing.assert_allclose(oriented.overlap(boxes[:, None], turned[:, None])[:, 0], 1, atol=1e-7)


# Scores.


def held(name: str, part: str) -> Callable[[NDArray[np.float32]], float]:
    """Return the number that is explained of the last detection, which is less sure than float32 tells from 1, out of
    what ONNX Runtime gives of the file."""
    read, out = FORMS[name].found(picture(SEED)), outputs(name, picture(SEED))
    row = int(out["output0"][4 + read.labels[2]].argmax())
    mask = read.extra[2] > 0 if part == "mask" else None

    def number(x: NDArray[np.float32]) -> float:
        found = outputs(name, x)
        own = found["output0"][:, row]
        if mask is not None:
            return float((own[7:] @ found["output1"].reshape(6, -1))[mask].mean())
        if part == "left":
            middle, size = own[:2], own[2:4]
            box = np.concatenate([middle - size / 2, middle + size / 2])[None]
            return float(rotated(box, own[7:8])[0, :, 0].min())
        if part == "bottom":
            return float(own[1] + own[3] / 2)
        return float(own[{"angle": -1, "keypoint 2": -7, "keypoint 2 y": -8}[part]])

    return number


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_gradients_are_the_files_own_central_differences(name: str, part: str) -> None:
    number, x = held(name, part), picture(SEED)
    explained = onnxsal.explain(model(name), x[None], method="gradient", target=f"#3 {part}")
    told = explained.score if part == "keypoint 2" else explained.logit
    assert told == pytest.approx(number(x), rel=1e-4)
    slopes = explained.raw.reshape(3, SIDE, SIDE).astype(np.float64)
    rng = np.random.default_rng(SEED)
    for _ in range(3):
        way = np.kron(rng.normal(0, 1, (3, 24, 24)), np.ones((4, 4)))
        way = np.float32(way / np.linalg.norm(way))
        difference = (number(x + 0.02 * way) - number(x - 0.02 * way)) / 0.04
        assert float((slopes * way).sum()) == pytest.approx(difference, rel=0.05, abs=2e-3 * np.linalg.norm(slopes))


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_in_changed_pictures_it_is_that_of_the_candidate_that_is_matched_anew(name: str, part: str) -> None:
    own, clean = model(name), picture(SEED)
    target = own.task.aimed(resolve_target(own, f"#1 {part}", own.outputs(clean)), "match")
    changed = np.stack([clean, np.roll(clean, 8, 2), clean[::-1], np.zeros_like(clean)])
    feeds = {key: np.repeat(value, len(changed), axis=0) for key, value in target.feeds.items()}
    program = own.score("match", target)
    by_graph = own._sessions(program).run({X: changed, **{n: v for n, v in feeds.items() if n in program.inputs}})
    by_pick = own.session(program).run({X: changed, **feeds})["score"]
    wanted = [anew(name, part, x) for x in changed]
    np.testing.assert_allclose(by_graph["score"], wanted, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(by_pick, wanted, rtol=1e-3, atol=1e-4)


def anew(name: str, part: str, x: NDArray[np.float32]) -> float:
    """Return the score of a part by the file's outputs alone, matched with the first detection of the clean picture."""
    first, out = FORMS[name].found(picture(SEED)), outputs(name, x)
    rows = out["output0"].T
    boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1)
    own = rows[:, 4 + first.labels[0]]
    if name == "obb":
        box = [*(first.boxes[0, :2] + first.boxes[0, 2:]) / 2, *(first.boxes[0, 2:] - first.boxes[0, :2])]
        shares = oriented.overlap(rows[:, [0, 1, 2, 3, 7]], np.array([[*box, first.extra[0, 0]]]))
    else:
        common = np.minimum(boxes[:, 2:], first.boxes[0, 2:]) - np.maximum(boxes[:, :2], first.boxes[0, :2])
        both, area = common.clip(0).prod(1), (first.boxes[0, 2:] - first.boxes[0, :2]).prod()
        shares = both / ((boxes[:, 2:] - boxes[:, :2]).prod(1) + area - both)
    at = int((shares * own).argmax())
    if part == "mask":
        middle = (np.arange(GRID) + 0.5) * SIDE / GRID
        left, top, right, bottom = boxes[at]
        inside = ((middle > top) & (middle < bottom))[:, None] & (middle > left) & (middle < right)
        mine = (np.tensordot(rows[at, 7:], out["output1"], 1) > 0) & inside
        clean = first.extra[0].reshape(GRID, GRID) > 0
        return float(own[at] * (mine & clean).sum() / (mine | clean).sum())
    if part == "left":
        return float(rotated(boxes[at : at + 1], rows[at, 7:8])[0, :, 0].min())
    if part == "bottom":
        return float(boxes[at, 3])
    sure = (shares * own)[at]
    return float({"angle": rows[at, -1], "keypoint 2": sure * rows[at, -7], "keypoint 2 y": rows[at, -8]}[part])


@pytest.mark.parametrize(
    ("name", "part", "method"),
    [("segment", "mask", "gradient"), ("segment", "mask", "occlusion"), ("pose", "keypoint 2", "occlusion"),
     ("pose", "keypoint 2 y", "gradient"), ("obb", "angle", "gradient")],
)  # fmt: skip
def test_a_compiled_file_explains_a_part_of_the_best_detection(name: str, part: str, method: str) -> None:
    own, x, options = model(name), picture(SEED)[None], {"patch": 24, "stride": 24} if method == "occlusion" else {}
    label = FORMS[name].labels[FORMS[name].found(picture(SEED)).labels[0]]
    made = onnxsal.compile(own, method=method, target=part if method == "gradient" else f"{label} {part}", **options)
    file = onnxruntime().InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    explained = onnxsal.explain(own, x, method=method, target=f"#1 {part}", **options)
    np.testing.assert_allclose(file.run(["saliency"], {"images": x})[0][0], explained.saliency, atol=2e-4)


# What may be asked for.


def test_keypoints_are_asked_for_by_number_or_name() -> None:
    own = model("pose")
    same = {"#1 keypoint 2 x", "#1 keypoint upper right x", "keypoint upper right x"}
    values = [onnxsal.explain(own, picture(SEED)[None], method="gradient", target=each) for each in sorted(same)]
    assert len({(each.logit, each.detection["point"][0]) for each in values if each.detection}) == 1


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("pose", "#1 keypoint 5", "no keypoint '5'; they are 0 to 4 .middle, upper left"),
        ("pose", "#1 keypoint uper left", "did you mean 'upper left'"),
        ("pose", "#1 mask", "it has no masks of instances"),
        ("segment", "#1 angle", "its boxes are upright"),
        ("v8", "#1 keypoint 0", "it has no keypoints"),
        ("v8", onnxsal.Box("disc", (0, 0, 9, 9), "keypoints"), "expected left, top, right, bottom, angle, mask, or"),
    ],
)
def test_what_there_is_not_is_refused(name: str, target: Any, message: str) -> None:
    with pytest.raises(errors.UsageError, match=message):
        onnxsal.explain(model(name), picture(SEED)[None], method="gradient", target=target)


# By proof.


@pytest.mark.parametrize("name", ["segment", "pose", "obb"])
def test_without_words_only_what_the_graph_shows_is_told(name: str) -> None:
    """Maps of another output prove coefficients; nothing proves that fifteen numbers are keypoints, or one an angle."""
    proto = FORMS[name].model()
    del proto.metadata_props[:]
    (first, *_) = onnxsal.load(proto, preprocess=PHOTO, labels=["a", "b", "c"]).predict(picture(SEED)[None])
    assert isinstance(first, BoxPrediction)
    assert (first.mask is not None, first.keypoints, first.corners) == (name == "segment", None, None)
