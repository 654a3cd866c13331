"""Regions as users say them, on the positions of an output: by hand, and against the file itself in ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from PIL import Image

import onnxsal
from onnxsal.errors import ImageError, UsageError
from onnxsal.modalities.image import Preprocess
from onnxsal.tasks.dense import Region
from onnxsal.tasks.dense.region import region_in
from onnxsal.tasks.labels import as_labels

SIDE, CLASSES = 16, 3
LABELS = ["background", "cat", "d@g"]
RNG = np.random.default_rng(4)
WEIGHTS = {"w": RNG.normal(size=(4, 3, 3, 3)), "u": RNG.normal(size=(CLASSES, 4, 1, 1))}


def file(stride: int = 1) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, {SIDE}, {SIDE}] x) => (float[n, {CLASSES}, {SIDE // stride}, {SIDE // stride}] y) {{
      a = Conv <pads = [1, 1, 1, 1], strides = [{stride}, {stride}]> (x, w)
      t = Tanh (a)
      l = Conv (t, u)
      y = Softmax <axis = 1> (l)
    }}""")
    proto.graph.initializer.extend(numpy_helper.from_array(a.astype(np.float32), k) for k, a in WEIGHTS.items())
    return proto


def logits_of(x: np.ndarray, stride: int = 1) -> np.ndarray:
    """Return the file's own logits [classes, h, w], in ONNX Runtime."""
    whole = file(stride)
    del whole.graph.output[:]
    whole.graph.output.append(onnx.helper.make_tensor_value_info("l", onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x[None].astype(np.float32)})[0][0])


PHOTO = RNG.integers(0, 256, (30, 48, 3), np.uint8)
"""Of another size and shape than the model's picture."""


def load(fit: Any = "pad", stride: int = 1) -> onnxsal.Model:
    return onnxsal.load(file(stride), labels=LABELS, preprocess=Preprocess(fit=fit, scale=1 / 255))


def ways() -> dict[str, Any]:
    mask = np.zeros((30, 48), bool)
    mask[9:17, 20:31] = True
    return {"box": Region("cat", box=(20, 9, 31, 17), pixels=True), "mask": Region("cat", mask=mask, pixels=True),
            "text": "cat@20,9,31,17"}  # fmt: skip


@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("way", ways())
def test_pixels_of_the_photograph_are_found_on_the_output(fit: str, stride: int, way: str) -> None:
    """The score is the mean, over the photograph's pixels in the region, of the logit of the position each lies on.

    By hand: each pixel is cut into 64 x 64 points, and the preprocessing's own box says where they lie.
    """
    model = load(fit, stride)
    sample = model.prepare(PHOTO)
    logits = logits_of(sample.x, stride)[1]
    left, top, width, height = sample.image().box
    fine = 64
    y, x = 9 + (np.arange(8 * fine) + 0.5) / fine, 20 + (np.arange(11 * fine) + 0.5) / fine
    rows = np.floor((y - top) / height * len(logits)).astype(int)
    columns = np.floor((x - left) / width * len(logits)).astype(int)
    assert rows.min() >= 0
    assert columns.max() < len(logits)
    wanted = logits[rows[:, None], columns[None]].mean()
    found = onnxsal.explain(model, PHOTO, method="gradient", target=ways()[way])
    assert found.logit == pytest.approx(float(wanted), rel=2e-2, abs=2e-3)
    assert found.label.startswith("cat in ")
    assert found.manifest["region"]["unit"] == "pixels of the photograph"


def test_the_gradient_of_a_region_in_pixels_is_its_difference_quotient() -> None:
    model = load("pad")
    x = model.prepare(PHOTO).x
    region = ways()["box"]
    found = onnxsal.explain(model, PHOTO, method="gradient", target=region)
    frame = model.prepare(PHOTO).image().frame
    weights = frame.of_box(region.box, (SIDE, SIDE))
    weights /= weights.sum()
    way = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    step = 2e-3
    up, down = (float((logits_of(x + s * way)[1].astype(np.float64) * weights).sum()) for s in (step, -step))
    assert float((found.raw * way).sum()) == pytest.approx((up - down) / (2 * step), rel=2e-3, abs=1e-4)


@pytest.mark.parametrize(("fit", "row", "column"), [("pad", 7, 8), ("squash", 7, 8), ("crop", 8, 9)])
def test_a_point_is_the_position_under_it(fit: str, row: int, column: int) -> None:
    """Pad: 48 x 30 goes to 16 x 10 with 3 rows above. Crop: the short side to 18, rows 30 / 18 apart, the middle 16."""
    model = load(fit)
    logits = logits_of(model.prepare(PHOTO).x)
    x, y = {"pad": (25, 13), "squash": (25, 14), "crop": (26, 16)}[fit]
    for target in (f"cat@{x},{y}", Region(1, point=(x, y), pixels=True)):
        found = onnxsal.explain(model, PHOTO, method="gradient", target=target)
        assert found.logit == pytest.approx(float(logits[1, row, column]), rel=1e-5)
    assert found.label == f"cat at {x}, {y}"
    exact = Region(1, point=(x + 0.0123456, y), pixels=True)  # is told as short, and kept as it is
    found = onnxsal.explain(model, PHOTO, method="gradient", target=exact)
    assert (found.label, found.manifest["region"]["point"]) == (f"cat at {x}, {y}", [x + 0.0123456, y])


@pytest.mark.parametrize(("x", "position"), [(0, 0), (28, 28), (29, 29), (57, 57), (99, 99)])
def test_an_edge_belongs_to_the_position_behind_it(x: int, position: int) -> None:
    """29 / 100 * 100 is 28.999999999999996 in binary."""
    found = Region(0, point=(x, 0), pixels=True).placed((1, 100), onnxsal.modalities.frame.Frame.whole((1, 100)))
    assert np.flatnonzero(found.weights).tolist() == [position]


def test_a_point_in_shares() -> None:
    model = load()
    logits = logits_of(model.prepare(PHOTO).x)
    for point, (row, column) in {(0.0, 0.0): (0, 0), (1.0, 1.0): (15, 15), (0.5, 0.26): (4, 8)}.items():
        found = onnxsal.explain(model, PHOTO, method="gradient", target=Region(2, point=point))
        assert found.logit == pytest.approx(float(logits[2, row, column]), rel=1e-5)


@pytest.mark.parametrize("kind", ["bytes", "ones", "palette", "npy", "sixteen bits"])
def test_a_mask_in_a_file(tmp_path: Path, kind: str) -> None:
    model, mask = load(), ways()["mask"].mask
    path = tmp_path / ("m.npy" if kind == "npy" else "m.png")
    if kind == "npy":
        np.save(path, mask)
    elif kind == "palette":
        image = Image.fromarray(mask.astype(np.uint8) * 2, "P")
        image.putpalette([0, 0, 0, 9, 9, 9, 0, 0, 0])  # the third colour is black: its number counts
        image.save(path)
    elif kind == "sixteen bits":
        Image.fromarray(mask.astype(np.uint16) * 40).save(path)
    else:
        Image.fromarray(mask.astype(np.uint8) * (255 if kind == "bytes" else 1)).save(path)
    found = onnxsal.explain(model, PHOTO, method="gradient", target=f"cat@{path}")
    wanted = onnxsal.explain(model, PHOTO, method="gradient", target=ways()["mask"])
    np.testing.assert_array_equal(found.raw, wanted.raw)
    assert found.label == f"cat in {path.name}"
    assert found.manifest["region"]["mask"]["sha256"] == wanted.manifest["region"]["mask"]["sha256"]


def test_a_thin_mask_is_not_lost_on_a_coarse_output() -> None:
    """A line of one pixel, of which no position is covered by half: the mean over its pixels all the same."""
    model = load("squash", stride=2)
    mask = np.zeros((30, 48), bool)
    mask[13, 6:18] = True
    found = onnxsal.explain(model, PHOTO, method="gradient", target=Region(1, mask=mask, pixels=True))
    logits = logits_of(model.prepare(PHOTO).x, 2)
    assert found.logit == pytest.approx(float(logits[1, 3, 1:3].mean()), rel=1e-5)  # 8 x 8 positions of 6 x 3.75 pixels


def test_two_places_and_a_class_over_a_place() -> None:
    model = load()
    logits = logits_of(model.prepare(PHOTO).x)
    two = onnxsal.explain(model, PHOTO, method="gradient", target=("cat@25,13", "2@3,13"))
    assert two.logit == pytest.approx(float(logits[1, 7, 8] - logits[2, 7, 1]), rel=1e-5)
    assert two.target == (1, 2)
    same = onnxsal.explain(model, PHOTO, method="gradient", target=("cat@25,13", "cat@3,13"))
    assert same.logit == pytest.approx(float(logits[1, 7, 8] - logits[1, 7, 1]), rel=1e-5)
    over = onnxsal.explain(model, PHOTO, method="gradient", target=("cat@25,13", "background"))
    assert over.logit == pytest.approx(float(logits[1, 7, 8] - logits[0, 7, 8]), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "region"),
    [("cat@120,80", Region("cat", point=(120, 80), pixels=True)), ("d@g", "d@g"), (" d@g ", " d@g "), ("cat", "cat"),
     ("d@g@1,2", Region("d@g", point=(1, 2), pixels=True)),
     ("1 @ 1.5, 2, 3, 4.5", Region("1", box=(1.5, 2, 3, 4.5), pixels=True)),
     ("cat@a b@c.PNG", Region("cat@a b", mask="c.PNG", pixels=True))],
)  # fmt: skip
def test_text_that_means_a_region(text: str, region: Any) -> None:
    assert region_in(text, as_labels(LABELS, CLASSES)) == region


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(1, box=(1, 1, 5, 5), point=(2, 2)), "one of them; got box, point"),
        (Region(1, box=(0, 0, 20, 20)), r"in shares.*say pixels=True; got \(0, 0, 20, 20\)"),
        (Region(1, point=(20, 20)), "in shares.*pixels=True"), (Region(1, box=(0, 0, 1)), "left, top, right, bottom"),
        (Region(1, point=(float("nan"), 0)), "x, y, finite numbers"), (Region(1, point="ab"), "x, y, finite"),
        (Region(1, box=(9, 9, 9, 12), pixels=True), "right of left and below top"),
        (Region(1, mask=np.ones((30, 48))), r"height and width \[16, 16\]; got \[30, 48\].*say pixels=True"),
        (Region(1, mask=np.ones((16, 16)), pixels=True), r"photograph's height and width \[30, 48\]; got \[16"),
        (Region(1, mask=np.zeros((30, 48)), pixels=True), "mask is 0 everywhere"),
        (Region(1, mask=np.ones(4)), r"an array \[H, W\] of numbers; got float64 \[4\]"),
        ("cat@1,2,3,4,5", "a point X,Y or a box LEFT,TOP,RIGHT,BOTTOM in pixels of the photograph"),
        ("cat@1,2,3", "a region's point is x, y"),
        ("@1,2", "names no class in front of the @"), ("cow@1,2", "cow"), ("cat@a,b", "behind the @ stands"),
    ],
)  # fmt: skip
def test_what_is_no_region_is_refused(region: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.explain(load(), PHOTO, method="gradient", target=region)


def test_what_the_model_does_not_see_is_said_with_what_it_sees() -> None:
    """The crop takes the middle: 48 x 30 to 29 x 18, of which 16 columns and rows."""
    with pytest.raises(UsageError, match=r"no position.*\(48 x 30\) the model sees the columns 9\.93\d to 36\.\d+ and"):
        onnxsal.explain(load("crop"), PHOTO, method="gradient", target="cat@2,13")
    with pytest.raises(UsageError, match=r"no position.*the columns 0 to 48 and the rows 0 to 30"):
        onnxsal.explain(load("pad"), PHOTO, method="gradient", target="cat@20,31")


def test_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_text("no picture")
    np.save(tmp_path / "m.npy", np.zeros((2, 2, 2)))
    for name, message in (
        ("m.png", "cannot be read"),
        ("m.npy", r"not \[H, W\]"),
        ("n.png", "no such file.*did you mean"),
    ):
        with pytest.raises(ImageError, match=message):
            onnxsal.explain(load(), PHOTO, method="gradient", target=f"cat@{tmp_path / name}")


def test_a_compiled_file_takes_its_own_input_for_the_photograph() -> None:
    model = load()
    mask = np.zeros((SIDE, SIDE), bool)
    mask[3:9, 5:7] = True
    x = RNG.normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    for target in ("cat@5,3,7,9", Region("cat", mask=mask), Region("cat", mask=mask, pixels=True)):
        made = onnxsal.compile(model, method="gradient", target=target, give="raw")
        session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        raw = session.run(["raw"], {"x": x})[0]
        for each, found in zip(x, raw, strict=True):
            wanted = onnxsal.explain(model, each, method="gradient", target=Region("cat", mask=mask))
            np.testing.assert_allclose(found, wanted.raw, rtol=1e-4, atol=1e-6)
    (text,) = [entry.value for entry in made.metadata_props if entry.key == "onnxsal.explainer"]
    assert json.loads(text)["region"]["mask"]["size"] == [SIDE, SIDE]
    pair = onnxsal.compile(model, method="gradient", target=("cat@5,3,7,9", "d@g"), give="raw")
    session = ort.InferenceSession(pair.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = onnxsal.explain(model, x[0], method="gradient", target=(Region("cat", mask=mask), "d@g"))
    np.testing.assert_allclose(session.run(["raw"], {"x": x[:1]})[0][0], wanted.raw, rtol=1e-4, atol=1e-6)
