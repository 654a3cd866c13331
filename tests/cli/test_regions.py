"""A segmenter on the command line: predict draws, explain asks for places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

import onnxsal

Run = Callable[..., Any]
WEIGHTS = np.array([[4, -2, -2], [-2, -2, 4], [0.3, 0.3, 0.3]], np.float32).reshape(3, 3, 1, 1)
"""Red is class 0, blue class 1; what is neither, class 2."""


@pytest.fixture
def segmenter(folder: Path) -> Path:
    proto = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, 20, 30] x) => (float[n, 3, 20, 30] y) {
      t = Relu (x)
      l = Conv (t, w)
      y = Softmax <axis = 1> (l)
    }""")
    proto.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "w"))
    onnx.save(proto, folder / "seg.onnx")
    (folder / "names.txt").write_text("red\nblue\nbackground\n")
    return folder


HOW = ("--preprocess", "squash.json", "--labels", "names.txt")


@pytest.fixture(autouse=True)
def _squash(segmenter: Path) -> None:
    (segmenter / "squash.json").write_text(json.dumps({"fit": "squash", "scale": 1 / 255}))


def share_of_red() -> float:
    """By the file's own logits."""
    model = onnxsal.load("seg.onnx", preprocess="squash.json")
    logits = model.outputs(model.prepare("red.png").x)["logit"].reshape(3, 20, 30)
    return float((logits.argmax(axis=0) == 0).mean())


def test_predict_draws_and_lists(run: Run) -> None:
    ended = run("predict", "seg.onnx", "red.png", "blue.png", *HOW, "-o", "{stem}.regions.png")
    assert ended.status == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "red.png"
    assert lines[3] == "  red.regions.png"
    assert any(f"red, {100 * share_of_red():.3g} % of the picture" in line for line in lines[1:3])
    drawn = np.asarray(Image.open("red.regions.png").convert("RGB")).astype(int)
    photo = np.asarray(Image.open("red.png").convert("RGB")).astype(int)
    assert drawn.shape[1] == 480  # enlarged eight times, the legend below
    middle, corner = drawn[8 * 12, 8 * 18], drawn[8 * 2, 8 * 58]
    assert np.abs(middle - photo[12, 18]).max() > 20
    assert np.abs(corner - photo[2, 58]).max() > 20  # background is a region as well


def test_json_has_shares_and_the_picture(run: Run) -> None:
    ended = run("predict", "seg.onnx", "red.png", *HOW, "-o", "r.png", "--json")
    (result,) = json.loads(ended.out)["results"]
    assert result["picture"] == "r.png"
    by_name = {each["name"]: each for each in result["classes"]}
    assert by_name["red"]["share"] == pytest.approx(share_of_red())
    assert by_name.keys() == {"red", "background"}
    assert "mask" not in by_name["red"]
    bare = json.loads(run("predict", "seg.onnx", "red.png", *HOW, "--json").out)
    assert "picture" not in bare["results"][0]


@pytest.mark.parametrize(
    ("more", "message"),
    [(("-o", "r.xyz"), "pictures are written as"), (("-o", "red.png"), "it is read"),
     (("-o", "{method}.png"), "{method} is of explain"), (("blue.png", "-o", "r.png"), "more than once")],
)  # fmt: skip
def test_what_cannot_be_written_is_said_first(run: Run, more: tuple[str, ...], message: str) -> None:
    ended = run("predict", "missing.onnx", "red.png", *more)
    assert ended.status == 2
    assert message in ended.err


def test_there_is_nothing_to_draw_of_a_classifier(run: Run) -> None:
    ended = run("predict", "model.onnx", "red.png", "--preprocess", "unit", "-o", "r.png")
    assert ended.status == 2
    assert "-o draws regions and boxes, and model.onnx is of the task 'classification'" in ended.err


def test_a_picture_needs_one_preset(run: Run) -> None:
    ended = run("predict", "seg.onnx", "red.png", "-o", "r.png")
    assert ended.status == 2
    assert "--preprocess" in ended.err
    assert not Path("r.png").exists()
    assert "nothing" not in run("predict", "seg.onnx", "red.png").out


def test_presets_under_which_nothing_is_seen(run: Run, segmenter: Path) -> None:
    proto = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, 20, 30] x) => (float[n, 1, 20, 30] y) { l = Conv (x, w, b) y = Sigmoid (l) }""")
    arrays = {"w": np.full((1, 3, 1, 1), 1e-2, np.float32), "b": np.array([-3], np.float32)}
    proto.graph.initializer.extend(numpy_helper.from_array(a, k) for k, a in arrays.items())
    onnx.save(proto, "text.onnx")
    ended = run("predict", "text.onnx", "blue.png")
    assert ended.status == 0, ended.err
    lines = {line.split()[0]: line for line in ended.out.splitlines() if line.strip()}
    assert "nothing is seen" in lines["unit"]
    assert "% of" not in lines["unit"]
    alone = run("predict", "text.onnx", "blue.png", "--preprocess", "unit", "-o", "b.png")
    assert "  nothing is seen: the highest probability is 0.04" in alone.out
    assert Path("b.png").exists()


def test_explain_asks_for_places(run: Run) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 20:40] = 255
    Image.fromarray(mask).save("place.png")
    goals = ("red@30,15", "red@20,10,40,20", "red@place.png", "red@30,15 minus blue")
    asked = [part for goal in goals for part in ("-t", goal)]
    ended = run("explain", "seg.onnx", "red.png", *HOW, "-m", "gradient", *asked, "--json")
    assert ended.status == 0, ended.err
    point, box, file, pair = json.loads(ended.out)["explanations"]
    assert point["label"] == "red at 30, 15"
    assert box["logit"] == pytest.approx(file["logit"], rel=1e-5)
    assert file["manifest"]["region"]["mask"]["file"] == "place.png"
    model = onnxsal.load("seg.onnx", preprocess="squash.json", labels="names.txt")
    logits = model.outputs(model.prepare("red.png").x)["logit"].reshape(3, 20, 30)
    assert point["logit"] == pytest.approx(float(logits[0, 7, 15]), rel=1e-5)
    assert box["logit"] == pytest.approx(float(logits[0, 5:10, 10:20].mean()), rel=1e-5)
    assert pair["logit"] == pytest.approx(float(logits[0, 7, 15] - logits[1, 7, 15]), rel=1e-5)
    assert Path("red.gradient.red-30-15.png").exists()


def test_explain_says_what_is_no_place(run: Run) -> None:
    for goal, message in (("red@1,2,3", "a region's point is x, y"),
                          ("red@500,2", "the model sees the columns 0 to 60"),
                          ("red@none.png", "the mask: no such file: 'none.png'"), ("green@1,1", "green"),
                          ("red@names.txt", "behind the @"), ("red@1,1 minus red@1,1", "0 whatever")):  # fmt: skip
        ended = run("explain", "seg.onnx", "red.png", *HOW, "-m", "gradient", "-t", goal)
        assert ended.status in (1, 2)
        assert message in ended.err


def test_a_region_is_compiled(run: Run) -> None:
    assert run("compile", "seg.onnx", *HOW, "-m", "gradient", "-t", "red@4,4,9,9", "-o", "out.onnx").status == 0
    listed = run("inspect", "out.onnx")
    assert listed.status == 0
    assert "target     0, box 4, 4, 9, 9 (pixels of the photograph)" in listed.out
