"""Regions in pixels of models that crop, flip, pad or resize a picture themselves: by the file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import onnxsal
from onnxsal.cli.run import main
from onnxsal.errors import NotSeenError
from onnxsal.modalities.frame import Frame

HEIGHT, WIDTH = 16, 24
PICTURE = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

NET = """<ir_version: 10, opset_import: ["" : 21]> g (float[%s, 3, %s] x) => (float[B, 2, h, w] y)
    <int64[2] first = {4, 6}, int64[2] end = {14, 22}, int64[2] axes = {2, 3}, int64[1] last = {-1},
     int64[1] least = {-1000}, int64[1] back = {-1}, int64[1] w = {3}, int64[1] h = {2}, int64[4] sides = {1, 2, 3, 4},
     int64[4] cut = {-1, -2, -1, -2}, float[4] half = {1, 1, 0.5, 0.5}, int64[4] to = {1, 3, 8, 12}>
    { %s c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (s, k) t = Tanh (c) z = Conv (t, u) y = Sigmoid (z) }"""


@dataclass(frozen=True)
class Inner:
    """What a graph does to its picture: its text, and from a place in the picture (y, x) to that behind it."""

    text: str
    behind: Callable[[float, float], tuple[float, float]]
    grid: tuple[int, int]


CASES = {
    "nothing": Inner("s = Identity (x)", lambda y, x: (y, x), (8, 12)),
    "crop": Inner("s = Slice (x, first, end, axes)", lambda y, x: (y - 4, x - 6), (5, 8)),
    "flip": Inner("s = Slice (x, last, least, w, back)", lambda y, x: (y, 24 - x), (8, 12)),
    "upside down": Inner("s = Slice (x, last, least, h, back)", lambda y, x: (16 - y, x), (8, 12)),
    "margins": Inner("s = Pad (x, sides, , axes)", lambda y, x: (y + 1, x + 2), (10, 15)),
    "crop of a flip": Inner(
        "f = Slice (x, last, least, w, back) s = Slice (f, first, end, axes)", lambda y, x: (y - 4, 18 - x), (5, 8)
    ),
    "half": Inner('s = Resize <mode = "linear"> (x, , half)', lambda y, x: (y / 2, x / 2), (4, 6)),
    "half, and its middle": Inner(
        'r = Resize <mode = "linear"> (x, , half) s = Pad (r, cut, , axes)', lambda y, x: (y / 2 - 1, x / 2 - 2), (3, 4)
    ),
}


def net(text: str, size: str = "16, 24", batch: object = "B") -> onnx.ModelProto:
    proto, rng = onnx.parser.parse_model(NET % (batch, size, text)), np.random.default_rng(7)
    read = {name for node in proto.graph.node for name in node.input}
    for tensor in [each for each in proto.graph.initializer if each.name not in read]:
        proto.graph.initializer.remove(tensor)
    for name, shape in (("k", (4, 3, 3, 3)), ("u", (2, 4, 1, 1))):
        array = rng.normal(0, 0.01 if name == "k" else 1, shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def logits(proto: onnx.ModelProto, picture: np.ndarray = PICTURE) -> np.ndarray:
    """Return the file's own logits of its first class, [rows, columns]."""
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    whole.graph.output.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, None))
    x = picture.transpose(2, 0, 1)[None].astype(np.float32)
    return onnxruntime.InferenceSession(whole.SerializeToString()).run(["z"], {"x": x})[0][0, 0]


def counted(inner: Inner, box: tuple[float, float, float, float], fine: int = 8) -> np.ndarray:
    """Return how much of a box lies on each position, by points of a fine grid in each pixel."""
    left, top, right, bottom = box
    found = np.zeros(inner.grid)
    for y in np.arange(top, bottom, 1 / fine) + 0.5 / fine:
        for x in np.arange(left, right, 1 / fine) + 0.5 / fine:
            row, column = (int(np.floor(place / 2)) for place in inner.behind(y, x))
            if 0 <= row < inner.grid[0] and 0 <= column < inner.grid[1]:
                found[row, column] += 1 / fine**2
    return found


BOX = (9.0, 5.0, 14.0, 11.0)


@pytest.mark.parametrize("name", CASES)
def test_a_region_lies_where_the_photograph_has_it(name: str) -> None:
    inner, proto = CASES[name], net(CASES[name].text)
    model, own = onnxsal.load(proto, preprocess="raw"), logits(proto)
    assert own.shape == inner.grid == model.task.grid  # type: ignore[attr-defined]
    weights = counted(inner, BOX)
    found = onnxsal.explain(model, PICTURE, method="gradient", target=onnxsal.Region(0, box=BOX, pixels=True))
    assert found.logit == pytest.approx((own * weights).sum() / weights.sum(), rel=1e-4)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:11, 9:14] = True
    same = onnxsal.explain(model, PICTURE, method="gradient", target=onnxsal.Region(0, mask=mask, pixels=True))
    assert same.logit == pytest.approx(found.logit, rel=1e-5)
    x, y = 10.4, 9.2
    row, column = (int(np.floor(place / 2)) for place in inner.behind(y, x))
    there = onnxsal.explain(model, PICTURE, method="gradient", target=onnxsal.Region(0, point=(x, y), pixels=True))
    assert there.logit == pytest.approx(own[row, column], rel=1e-5)
    assert "assumed" not in str(there.manifest)


def test_a_square_that_is_drawn_is_where_the_map_is() -> None:
    """The gradient of the region lies on the square, seen through a crop of a flipped picture."""
    model, drawn = (
        onnxsal.load(net(CASES["crop of a flip"].text), preprocess="raw"),
        np.full((HEIGHT, WIDTH, 3), 60, "u1"),
    )
    drawn[6:10, 8:12] = (250, 20, 20)
    found = onnxsal.explain(model, drawn, method="gradient", target=onnxsal.Region(0, box=(8, 6, 12, 10), pixels=True))
    energy, on = np.abs(found.raw).sum(0), np.zeros((HEIGHT, WIDTH), bool)
    on[5:11, 7:13] = True  # the square and what its positions see around it
    assert energy[~on].sum() == 0 < energy[6:10, 8:12].min()


def test_what_the_model_cuts_off_is_not_seen() -> None:
    model = onnxsal.load(net(CASES["crop"].text), preprocess="raw")
    for region in (
        onnxsal.Region(0, point=(2, 2), pixels=True),
        onnxsal.Region(0, box=(0, 0, 6, 4), pixels=True),
    ):
        with pytest.raises(NotSeenError, match=r"no position .* sees the columns 6 to 22 and the rows 4 to 14"):
            onnxsal.explain(model, PICTURE, method="gradient", target=region)


def test_a_compiled_file_has_the_region_where_its_input_has_it() -> None:
    inner, proto = CASES["crop"], net(CASES["crop"].text)
    model = onnxsal.load(proto, preprocess="raw")
    made = onnxsal.compile(model, method="gradient", target=onnxsal.Region(0, box=BOX, pixels=True), give="raw")
    x = PICTURE.transpose(2, 0, 1)[None].astype(np.float32)
    raw = onnxruntime.InferenceSession(made.SerializeToString()).run(["raw"], {"x": x})[0][0]
    way, weights = np.random.default_rng(1).normal(0, 1, x.shape), counted(inner, BOX)
    ends = [logits(proto, (x + step * way)[0].transpose(1, 2, 0)) for step in (0.5, -0.5)]
    assert (raw * way[0]).sum() == pytest.approx(((ends[0] - ends[1]) * weights).sum() / weights.sum(), rel=2e-2)


def test_metrics_have_the_region_on_the_picture() -> None:
    """The share of a map on the region: the region is that of the crop, at its place."""
    model, box = onnxsal.load(net(CASES["crop"].text), preprocess="raw"), (8.0, 6.0, 14.0, 12.0)
    region = onnxsal.Region(0, box=box, pixels=True)
    found = onnxsal.evaluate(model, [PICTURE], methods=["occlusion[patch=2]"], metrics=["mask-share"], target=region)
    on = np.zeros((HEIGHT, WIDTH), bool)
    on[6:12, 8:14] = True
    saliency = np.abs(onnxsal.explain(model, PICTURE, method="occlusion", patch=2, target=region).saliency)
    assert found.rows[0].value == pytest.approx(saliency[on].sum() / saliency.sum(), rel=1e-5)
    assert found.rows[0].details["area"] == pytest.approx(on.mean())


def test_any_size_is_resized_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = net('s = Resize <mode = "linear"> (x, , , to)', "H, W", batch=1)
    onnx.save(proto, tmp_path / "net.onnx")
    photo = np.random.default_rng(5).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    model = onnxsal.load(tmp_path / "net.onnx", preprocess="raw")
    own = logits(proto, photo)
    assert model.any_size and own.shape == (4, 6)
    target = onnxsal.Region(0, point=(13.0, 31.0), pixels=True)
    found = onnxsal.explain(model, tmp_path / "photo.png", method="gradient", target=target)
    assert found.logit == pytest.approx(own[3, 2], rel=1e-4)
    judged = onnxsal.evaluate(model, tmp_path / "photo.png", methods=["gradient"], metrics=["deletion"], target=target)
    assert judged.rows[0].curve[0][1] == pytest.approx(1 / (1 + np.exp(-own[3, 2])), rel=1e-4)  # type: ignore[index]
    name = [str(tmp_path / "net.onnx"), str(tmp_path / "photo.png"), "--preprocess", "raw"]
    assert main(["evaluate", *name, "-m", "gradient", "-t", "0@13,31", "--metrics", "mask-share", "--json", "-",
                 "--journal", str(tmp_path / "j")]) == 0  # fmt: skip
    assert '"area": 0.0416' in capsys.readouterr().out  # one of 24 positions


def test_a_frame_of_stretches_is_that_of_its_parts() -> None:
    """Rolled by half: what lies first in the output is the picture's second half."""
    rolled = ((0.0, 0.5, 0.5, 1.0), (0.5, 1.0, 0.0, 0.5))
    frame = Frame((8, 4), (0.0, 0.0, 8.0, 4.0), columns=rolled)
    mask = np.random.default_rng(2).random((4, 8)) < 0.5
    np.testing.assert_allclose(frame.of_mask(mask, (4, 8)), np.roll(mask, 4, axis=1))
    np.testing.assert_array_equal(frame.onto(np.roll(mask, 4, axis=1), (4, 8)), mask)
    assert [frame.position(x, 0.5, (4, 8)) for x in (0.5, 4.0, 7.9)] == [(0, 4), (0, 0), (0, 3)]
