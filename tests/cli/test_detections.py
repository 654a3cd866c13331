"""Detectors on a command line: what predict lists and draws, what explain takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from detectors import FORMS
from drawn_objects import PICTURES, scene
from PIL import Image
from tiny_detectors import NAMES, detector

import onnxsal
from onnxsal.cli import main
from onnxsal.tasks.detection.masks import of_runs
from onnxsal.tasks.detection.overlap import iou
from onnxsal.viz.regions import COLOURS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(detector("v8", metadata={"onnxsal.labels": "\n".join(NAMES)}), "detector.onnx")
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[8:24, 8:24, 0] = 255
    photo[32:48, 40:56, 1] = 255
    Image.fromarray(photo).save("blobs.png")
    return tmp_path


def run(*arguments: str) -> int:
    return int(main(list(arguments)) or 0)


def test_predict_lists_every_detection_with_its_box(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "detector.onnx", "blobs.png", "--json", "-o", "boxes.png") == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    found: list[dict[str, Any]] = result["detections"]
    assert "classes" not in result
    assert len(found) > 5
    assert set(found[0]) == {"label", "index", "score", "logit", "box"}
    for each in found:
        blob = {"red": [8.0, 8, 24, 24], "green": [40.0, 32, 56, 48]}[each["label"]]
        assert iou(np.array([each["box"]]), np.array([blob]))[0] > 0, each
    with Image.open("boxes.png") as drawn:
        assert drawn.width == 512
        assert drawn.height > drawn.width  # the legend
    assert run("predict", "detector.onnx", "blobs.png", "--threshold", "0.9") == 0
    lines = capsys.readouterr().out
    assert "#1 green (1) at" in lines
    assert len(lines.splitlines()) < 5 + len(found)


@pytest.mark.parametrize("form", ["segment", "pose", "obb"])
def test_json_and_the_picture_have_masks_keypoints_and_corners(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    proto, photo = FORMS[form].model(), tmp_path / "drawn.png"
    onnx.save(proto, tmp_path / "detector.onnx")
    Image.fromarray(scene(PICTURES[0]).image).save(photo)
    command = (str(tmp_path / "detector.onnx"), str(photo), "--preprocess", "unit")
    assert run("predict", *command, "--json", "-o", str(tmp_path / "boxes.png")) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    first = result["detections"][0]
    more = {"segment": {"mask"}, "pose": {"keypoints"}, "obb": {"corners", "angle"}}[form]
    assert set(first) == {"label", "index", "score", "logit", "box"} | more
    left, top, right, bottom = first["box"]
    if form == "segment":
        inside = of_runs(first["mask"])
        assert 0.5 < inside[round(top) : round(bottom), round(left) : round(right)].mean() < 0.99
        assert inside.sum() == inside[int(top) : int(bottom) + 1, int(left) : int(right) + 1].sum()
    x, y = (5 * n for n in (first["corners"][0] if form == "obb" else (left, (top + bottom) / 2)))
    with Image.open(tmp_path / "boxes.png") as drawn:
        assert drawn.width == 5 * 96
        near = np.asarray(drawn)[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].reshape(-1, 3).tolist()
        assert list(COLOURS[0]) in near


def test_predict_says_what_the_best_candidate_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save("black.png")
    assert run("predict", "detector.onnx", "black.png") == 0
    assert "nothing is detected above 0.25: the best candidate is" in capsys.readouterr().out
    assert run("predict", "detector.onnx", "blobs.png", "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)["results"]
    assert not shown.keys() & {"best", "why"}
    assert run("predict", "detector.onnx", "blobs.png", "--json", "--threshold", "0.99999999") == 0
    (hidden,) = json.loads(capsys.readouterr().out)["results"]
    assert (hidden["detections"], hidden["best"]) == ([], shown["detections"][0])
    assert hidden["why"].startswith("nothing is detected above 0.99999999: the best candidate is 'green' with 0.9")


def test_explain_takes_numbers_boxes_and_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("explain", "detector.onnx", "blobs.png", "-m", "gradient", "-t", "#2", "-t", "blue@40,32,56,48", "--json")
        == 0
    )
    second, box = json.loads(capsys.readouterr().out)["explanations"]
    assert (second["label"], box["label"]) == ("green", "blue")
    told = box["manifest"]["detection"]
    assert told["asked_box"] == [40, 32, 56, 48]
    assert told["iou"] == pytest.approx(iou(np.array([told["box"]]), np.array([[40, 32, 56, 48]]))[0], abs=1e-3)
    assert run("explain", "detector.onnx", "blobs.png", "-m", "gradient", "-t", "blue@40,32,56,48") == 0
    place = ",".join(str(round(n)) for n in told["box"])
    assert f"matched with the candidate at {place} (IoU {told['iou']:.2f})" in capsys.readouterr().out
    assert run("explain", "detector.onnx", "blobs.png", "-m", "gradient", "-t", "all", "--threshold", "0.9") == 0
    written = sorted(path.name for path in folder.glob("blobs.gradient.all-*.png"))
    assert written == [f"blobs.gradient.all-{k}.png" for k in range(1, len(written) + 1)]
    assert len(written) > 1


def test_all_needs_a_name_for_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "detector.onnx", "blobs.png", "-m", "gradient", "-t", "all", "-o", "one.png") == 2
    assert "{target}" in capsys.readouterr().err
    assert not Path("one.png").exists()


def test_inspect_tells_of_a_detector(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", "detector.onnx") == 0
    assert f"detection, {len(NAMES)} classes: " in capsys.readouterr().out


def test_a_detector_of_one_picture_that_lists_what_it_finds_is_inspected(folder: Path) -> None:
    """Of other pictures its lists are of other lengths: rows that no array holds together."""
    onnx.save(detector("three"), "lists.onnx")
    assert run("inspect", "lists.onnx", "--json") == 0


def test_a_level_that_an_object_has_no_share_of_is_no_fault() -> None:
    """A disc that the coarse grid of the bundled detector finds: the map of the fine one is empty, as it should be."""
    models = Path(__file__).resolve().parents[2] / "models"
    found = onnxsal.explain(models / "detector.onnx", models / "demo_boxes.png", method="layercam", target="#2")
    assert found.raw.any()
    assert not [note for note in found.manifest["notes"] if "is empty" in note]


def test_inspect_says_boxes_what_is_beside_them_and_the_layers_of_every_level(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What explain takes: two maps of one forward and backward, and no method that it refuses."""
    path = tmp_path / "segment.onnx"
    onnx.save(FORMS["segment"].model(), path)
    known = onnxsal.load(str(path)).inspect()
    costs = {each["method"]: each for each in known["methods"]}
    black = np.zeros((96, 96, 3), np.uint8)
    explained = onnxsal.explain(str(path), black, method="layercam", target="disc@0,0,96,96")
    assert known["levels"] == explained.manifest["layer"] and len(known["levels"]) == 2
    assert costs["layercam"]["forwards"] == explained.manifest["forwards"] == costs["layercam"]["backwards"]
    assert [name for name in ("cam", "ablation-cam", "recipro-cam", "layercam") if costs[name]["applies"]] == [
        "layercam"
    ]
    assert run("inspect", str(path)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "boxes cxcywh in pixels; beside them masks of 6 prototypes:" in shown
    assert f"by default {' + '.join(known['levels'])}" in shown


def test_of_a_folder_what_has_no_detection_is_named_and_the_others_are_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "album").mkdir()
    Image.new("RGB", (64, 64)).save("album/a.png")
    (folder / "blobs.png").rename(folder / "album" / "b.png")
    arguments = ["explain", "detector.onnx", "album", "-t", "all", "--threshold", "0.6", "--dtype", "float32", "--out"]
    assert run(*arguments, "maps/") == 1
    assert "onnxsal: album/a.png: nothing is detected above 0.6" in capsys.readouterr().err.replace("\\", "/")
    model = onnxsal.load("detector.onnx", threshold=0.6)
    kept = list(onnxsal.read_maps("maps"))
    for one, each in zip(kept, onnxsal.explain(model, "album/b.png", target=["all"]), strict=True):
        assert (one.id, one.score, one.detection) == ("b.png", each.score, each.detection)
        np.testing.assert_array_equal(one.raw, each.raw, strict=True)
    assert run(*arguments, "none/", "--strict") == 2
