"""Mean pictures in a preprocessing's JSON: the numbers that the file is fed, in explain and in a compiled file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

import onnxsal
from onnxsal.errors import ImageError, UsageError
from onnxsal.modalities.image import Preprocess, as_preprocess, read_image
from onnxsal.modalities.image.mean_image import MeanImage

SIZE = (6, 8)
RNG = np.random.default_rng(0)
MEAN = RNG.normal(110, 30, (3, *SIZE)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (*SIZE, 3), np.uint8)

NET = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, %d, %s] x) => (float[B, 2] y)
    { c = Conv <pads = [1, 1, 1, 1]> (x, w) r = Tanh (c) g = GlobalAveragePool (r) f = Flatten (g)
      y = MatMul (f, v) }"""


def net(size: str = "6, 8", channels: int = 3) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(NET % (channels, size))
    rng = np.random.default_rng(1)
    for name, shape in (("w", (4, channels, 3, 3)), ("v", (4, 2))):
        array = (rng.normal(0, 1, shape) * (0.01 if name == "w" else 1)).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, its preprocessing with a mean picture beside it, and a photograph of the model's size."""
    onnx.save(net(), tmp_path / "net.onnx")
    np.save(tmp_path / "mean.npy", MEAN)
    said = {"colour": "BGR", "mean": "mean.npy", "std": [2, 4, 5]}
    (tmp_path / "net.preprocess.json").write_text(json.dumps(said))
    Image.fromarray(PIXELS).save(tmp_path / "photo.png")
    return tmp_path


def fed(pixels: np.ndarray = PIXELS, mean: np.ndarray = MEAN) -> np.ndarray:
    """Return what the model takes, by the formula, blue first."""
    blue_first = pixels[..., ::-1].transpose(2, 0, 1).astype(np.float32)
    return (blue_first - mean) / np.array([2, 4, 5], np.float32)[:, None, None]


def test_the_file_is_found_from_the_json_s_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    model = onnxsal.load(folder / "net.onnx")
    np.testing.assert_array_equal(model.prepare(folder / "photo.png").x, fed())
    scores = onnxruntime.InferenceSession(folder / "net.onnx").run(["y"], {"x": fed()[None]})[0][0]
    found = onnxsal.explain(model, folder / "photo.png", method="gradient", target=1)
    assert found.logit == pytest.approx(scores[1], rel=1e-5)
    np.testing.assert_array_equal(model.black(), fed(np.zeros_like(PIXELS)))


def test_the_manifest_names_it(folder: Path) -> None:
    found = onnxsal.explain(folder / "net.onnx", folder / "photo.png", method="gradient")
    said = found.manifest["preprocess"]["mean"]
    assert (said["file"], said["shape"]) == ("mean.npy", [3, *SIZE])
    assert said["sha256"] == MeanImage.of(MEAN, "", "").digest != MeanImage.of(MEAN + 1, "", "").digest
    json.dumps(found.manifest)
    assert "base64" not in str(onnxsal.load(folder / "net.onnx").decided) and len(str(found.manifest)) < 5000


@pytest.mark.parametrize(
    ("layout", "scaled"), [("CHW", 1.0), ("HWC", 1.0), ("NCHW", 1.0), ("HW", 1.0), ("CHW", 1 / 255)]
)
def test_layouts_and_scales(layout: str, scaled: float) -> None:
    mean = (MEAN if layout != "HW" else MEAN[:1]) * np.float32(scaled)
    given = {"CHW": mean, "HWC": mean.transpose(1, 2, 0), "NCHW": mean[None], "HW": mean[0]}[layout]
    own = as_preprocess({"mean": given, "scale": scaled, "std": 2.0})
    expected = (PIXELS.transpose(2, 0, 1) * scaled - mean) / 2
    np.testing.assert_allclose(own.apply(read_image(PIXELS), SIZE).values, expected, atol=1e-5)
    assert own == as_preprocess(json.loads(own.to_json())) != as_preprocess({"mean": given + 1, "scale": scaled})
    assert pickle.loads(pickle.dumps(own)) == own


def test_range_moves_it() -> None:
    """[low, high] is what black and white become before the mean is taken off."""
    own = as_preprocess({"mean": MEAN / 255, "range": [-1, 1]})
    expected = PIXELS.transpose(2, 0, 1) / 127.5 - 1 - MEAN / 255
    np.testing.assert_allclose(own.apply(read_image(PIXELS), SIZE).values, expected, atol=1e-5)


def test_grey_models_take_its_mean(folder: Path) -> None:
    onnx.save(net(channels=1), folder / "net.onnx")
    (folder / "net.preprocess.json").write_text('{"mean": "mean.npy"}')
    grey = np.asarray(Image.fromarray(PIXELS).convert("L"), np.float32)
    found = onnxsal.load(folder / "net.onnx").prepare(folder / "photo.png").x[0]
    np.testing.assert_allclose(found, grey - MEAN.mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("method", ["gradient", "occlusion", "integrated-gradients"])
def test_a_compiled_file_has_it_inside(folder: Path, method: str) -> None:
    options: dict[str, Any] = {} if method == "gradient" else {"baseline": "black"}
    model = onnxsal.load(folder / "net.onnx")
    wanted = onnxsal.explain(model, PIXELS, method=method, target=1, **options)
    made = onnxsal.compile(model, method=method, target=1, bytes_in=True, **options)
    saliency, y = onnxruntime.InferenceSession(made.SerializeToString()).run(["saliency", "y"], {"x": PIXELS[None]})
    np.testing.assert_allclose(saliency[0], wanted.saliency, atol=1e-5)
    assert y[0, 1] == pytest.approx(wanted.logit, rel=1e-5)


def test_a_compiled_file_that_takes_numbers_says_how_they_are_made(folder: Path, tmp_path: Path) -> None:
    """Without the mean picture's file: what the file says of itself holds it."""
    onnxsal.save(onnxsal.compile(folder / "net.onnx", method="gradient"), tmp_path / "elsewhere.onnx")
    (folder / "mean.npy").unlink()
    again = onnxsal.load(tmp_path / "elsewhere.onnx")
    np.testing.assert_array_equal(again.prepare(folder / "photo.png").x, fed())


def test_it_says_the_size_that_a_file_leaves_open(folder: Path) -> None:
    onnx.save(net("H, W"), folder / "net.onnx")
    assert onnxsal.load(folder / "net.onnx").size == SIZE
    np.testing.assert_array_equal(onnxsal.load(folder / "net.onnx").prepare(folder / "photo.png").x, fed())


def test_sixteen_bits_are_not_cut_to_eight(folder: Path) -> None:
    model = onnxsal.load(folder / "net.onnx")
    words = RNG.integers(0, 65536, (*SIZE, 3), np.uint16)
    np.testing.assert_allclose(model.prepare(words).x, fed(words / np.float32(257)), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 5, 8)), r"its mean picture 'mean.npy' is 5 x 8, and the model takes 6 x 8 \(height x width\)"),
        (np.zeros((2, 6, 8)), r"the mean picture is of 3 channels, or one, for 'BGR'; got \[2, 6, 8\]"),
        (np.full((3, 6, 8), np.nan), "the mean picture mean.npy holds numbers that are not finite"),
        (np.zeros(3), r"a mean picture is \[C, H, W\], \[H, W, C\] or \[H, W\] of numbers; mean.npy is float64 \[3\]"),
        (np.array([["a"]]), "of numbers; mean.npy is <U1"),
    ],
)
def test_what_is_wrong_is_said_when_the_model_is_opened(folder: Path, array: np.ndarray, message: str) -> None:
    np.save(folder / "mean.npy", array)
    with pytest.raises(UsageError, match=message):
        onnxsal.load(folder / "net.onnx")


def test_a_file_that_is_not_there_names_its_nearest(folder: Path) -> None:
    (folder / "mean.npy").rename(folder / "means.npy")
    with pytest.raises(ImageError, match=r"net.preprocess.json, mean: no such file: .*did you mean 'means.npy'"):
        onnxsal.load(folder / "net.onnx")
    with pytest.raises(UsageError, match=r"mean holds no .npy file in base64"):
        as_preprocess({"mean": {"npy": "no base64"}})


def test_a_size_that_is_open_is_held_against_it(folder: Path) -> None:
    onnx.save(net("H, W"), folder / "net.onnx")
    with pytest.raises(UsageError, match="is 6 x 8, and the model takes 12 x 8"):
        onnxsal.load(folder / "net.onnx", size=(12, 8)).prepare(PIXELS)


def test_two_that_take_different_pictures_off_want_different_pixels() -> None:
    one, other = (Preprocess(mean_image=MeanImage.of(MEAN + n, "", "")) for n in (0, 1))
    assert not one.agrees(other) and one.agrees(one)
