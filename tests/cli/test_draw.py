"""``onnxsal draw``: what explain drew, drawn again from data, pixel for pixel; what is not there is named."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_detectors
import tiny_models
from onnx import parser
from PIL import Image

from onnxsal.cli.actions import draw
from onnxsal.errors import OutputError
from onnxsal.pipeline import Bounds

SERIES = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 24, 2] x) => (float[B, 2] y)
    <int64[1] last = {2}, float[2, 2, 3] w = {1, 2, -1, 0, 1, 1, 2, 0, 1, -1, 1, 2}, float[2, 2] v = {1, -1, 2, 1}>
    { t = Transpose <perm = [0, 2, 1]> (x) a = Conv <pads = [1, 1]> (t, w) r = Relu (a)
      m = ReduceMean <keepdims = 0> (r, last) y = MatMul (m, v) }"""


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def drawn_twice(run: Callable[..., object], folder: Path, *asked: str, kind: str = "overlay") -> dict[str, np.ndarray]:
    """Draw by explain and again from data; return the largest difference of each picture, by its name."""
    for each in ("one", "two", "maps"):
        shutil.rmtree(folder / each, ignore_errors=True)
    (folder / "one").mkdir(), (folder / "two").mkdir()
    name = "{stem}.{method}.{target}.png"
    first = run("explain", "model.onnx", "photos", *asked, "--kind", kind, "-o", f"one/{name}", "--out", "maps/")
    assert first.status == 0, first.err
    again = run("draw", "maps/", "--images", "photos", "--kind", kind, "-o", f"two/{name}")
    assert (again.status, again.err) == (0, "")
    names = sorted(path.name for path in (folder / "one").iterdir())
    assert names == sorted(path.name for path in (folder / "two").iterdir())
    assert sorted(again.out.split()) == [f"two/{each}" for each in names]
    pairs = {name: [pixels(folder / side / name).astype(int) for side in ("one", "two")] for name in names}
    return {name: np.abs(a - b).max(initial=0) for name, (a, b) in pairs.items()}


@pytest.fixture
def photos(folder: Path) -> Path:
    (folder / "photos" / "deep").mkdir(parents=True)
    shutil.copy(folder / "red.png", folder / "photos" / "deep" / "red.png")
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(noise).save(folder / "photos" / "noise.webp", lossless=True)
    return folder / "photos"


@pytest.mark.parametrize(
    ("kind", "fit", "asked"),
    [
        ("overlay", "pad", ["-m", "grad-cam,layercam", "-t", "red", "-t", "blue minus red"]),
        ("heat", "crop", ["-m", "gradient,grad-cam"]),
        ("product", "pad", ["-m", "layercam", "-l", "r1", "-l", "r2"]),
    ],
)
def test_the_pictures_are_those_of_explain(
    run, folder: Path, photos: Path, kind: str, fit: str, asked: list[str]
) -> None:
    (folder / "own.json").write_text(json.dumps({"preset": "imagenet", "fit": fit, "resample": "bicubic"}))
    exact = drawn_twice(run, folder, "--preprocess", "own.json", "--dtype", "float32", *asked, kind=kind)
    assert len(exact) == 2 * max(1, asked.count("-t")) and set(exact.values()) == {0}


def test_a_model_of_one_channel_saw_grey(run, folder: Path, photos: Path) -> None:
    """Its preset, which is that of three, does not say so."""
    arrays = tiny_models.weights()
    grey = tiny_models.BODY.replace("3, 16, 16", "1, 16, 16")
    tiny_models.write(tiny_models.build(grey, arrays | {"w1": arrays["w1"][:, :1]}), folder / "model.onnx")
    exact = drawn_twice(run, folder, "--preprocess", "imagenet", "--dtype", "float32", kind="product")
    assert len(exact) == 2 and set(exact.values()) == {0}


@pytest.mark.parametrize(("dtype", "levels"), [("float16", 5), ("uint8", 9)])
def test_smaller_types_are_drawn_within_some_levels(run, folder: Path, photos: Path, dtype: str, levels: int) -> None:
    near = drawn_twice(run, folder, "--dtype", dtype)
    assert len(near) == 2 and max(near.values()) <= levels


def test_boxes_and_series_are_drawn_as_well(run, folder: Path, photos: Path) -> None:
    shutil.rmtree(photos / "deep")
    tiny_models.write(tiny_detectors.detector("v8"), folder / "model.onnx")
    scene = np.uint8(255 * tiny_detectors.picture((0, 2, 3), (2, 18, 16))[0].transpose(1, 2, 0))
    Image.fromarray(np.pad(scene, ((3, 9), (0, 0), (0, 0)))).save(photos / "noise.webp", lossless=True)
    found = drawn_twice(run, folder, "-t", "all", "-m", "layercam", "--threshold", "0.6", "--dtype", "float32")
    assert len(found) > 1 and set(found.values()) == {0}
    tiny_models.write(parser.parse_model(SERIES), folder / "model.onnx")
    (photos / "noise.webp").unlink()
    np.save(photos / "steps.npy", np.random.default_rng(0).normal(0, 1, (24, 2)).astype(np.float32))
    found = drawn_twice(run, folder, "-m", "grad-cam", "--dtype", "float32")
    assert len(found) == 1 and set(found.values()) == {0}


def test_pictures_are_drawn_beside_each_other_and_told_of_in_order(
    run, folder: Path, photos: Path, monkeypatch
) -> None:
    """The first waits for the second, which is drawn in another thread; what fails ends it behind those before."""
    shutil.copy(folder / "blue.png", photos)
    assert run("explain", "model.onnx", "photos", "--out", "maps/").status == 0
    monkeypatch.setattr(draw, "bounds", lambda **_: Bounds(2, 3))
    second, save = threading.Event(), draw.save_image

    def late(picture: np.ndarray, path: Path, **options: object) -> None:
        assert path.stem.startswith("red") or second.wait(30)
        save(picture, path, **options)
        if path.stem.startswith("red"):
            second.set()

    monkeypatch.setattr(draw, "save_image", late)
    names = [f"{name}.grad-cam++.png" for name in ("blue", "red", "noise")]
    ended = run("draw", "maps/", "--images", "photos")
    assert (ended.status, ended.out.split()) == (0, names) and second.is_set()

    def full(picture: np.ndarray, path: Path, **options: object) -> None:
        if path.stem.startswith("red"):
            raise OutputError("the disk is full")
        time.sleep(0.1)
        save(picture, path, **options)

    monkeypatch.setattr(draw, "save_image", full)
    ended = run("draw", "maps/", "--images", "photos", "-o", "{stem}.jpg")
    assert (ended.status, ended.err) == (1, "onnxsal: the disk is full\n")
    assert ended.out.split() == sorted(each.name for each in folder.glob("*.jpg")) and "blue.jpg" in ended.out


def test_what_is_not_there_is_named_and_left_out(run, folder: Path, photos: Path) -> None:
    shutil.copy(folder / "blue.png", photos)
    assert run("explain", "model.onnx", "photos", "--out", "maps/").status == 0
    shutil.copytree(photos, folder / "moved" / "twice" / "photos")
    shutil.copy(folder / "blue.png", folder / "moved")
    whole = run("draw", "maps/", "--images", "moved")
    assert (whole.status, whole.err) == (0, "")  # anywhere below, as long as it is one
    shutil.copytree(photos, folder / "moved" / "again")
    Image.new("RGB", (60, 41)).save(folder / "moved" / "blue.png")
    ended = run("draw", "maps/", "--images", "moved", "-o", "{stem}.jpg")
    assert (ended.status, ended.out) == (1, "")
    third, second, first = ended.err.splitlines()
    assert "noise.webp' may be 'moved/again/noise.webp' or 'moved/twice/photos/noise.webp'" in first
    assert "'deep/red.png' may be" in second and "'moved/blue.png' is 60 x 41 pixels, and" in third
    shutil.copy(folder / "red.png", photos / "blue.png")
    shutil.rmtree(photos / "deep")
    ended = run("draw", "maps/", "--images", "photos")
    assert (ended.status, ended.out.split()) == (1, ["blue.grad-cam++.png", "noise.grad-cam++.png"])
    first, second = ended.err.splitlines()
    assert first.startswith("note: blue.png: its pixels are not those that were explained")
    assert "'deep/red.png' is neither in the folder 'photos' nor below" in second


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model.onnx", "--images", "photos"], "'model.onnx' cannot be read as Parquet"),
        (["photos", "--images", "photos"], "holds no maps of onnxsal"),
        (["maps/", "--images", "photo"], "no such folder of images: 'photo'"),
        (["maps/", "--images", "photos", "-o", "a.png"], "'a.png' would be written more than once; tell the pictures"),
        (["maps/", "--images", "photos", "-o", "{stem}.pgn"], "did you mean '.png'"),
        (["maps/", "--images", "photos", "--colours", "infrno"], "did you mean 'inferno'"),
    ],
)
def test_misuse_is_said_before_anything_is_drawn(run, folder: Path, photos: Path, arguments: list, said: str) -> None:
    if arguments[0] == "maps/":
        assert run("explain", "model.onnx", "photos", "--out", "maps/").status == 0
    else:
        pytest.importorskip("pyarrow")
    ended = run("draw", *arguments)
    assert (ended.status, said in ended.err, ended.out) == (2, True, ""), ended.err


def test_what_no_writer_wrote_in_a_manifest_is_a_picture_or_a_message(run, folder: Path, photos: Path) -> None:
    """In whichever field: ``run`` lets nothing through but our own errors."""
    shutil.rmtree(photos / "deep")
    assert run("explain", "model.onnx", "photos", "-m", "grad-cam", "--out", "maps/").status == 0
    (file,), said = (folder / "maps").glob("*.npz"), dict[str, str]()
    with np.load(file) as arrays:
        held = dict(arrays)
    row, whole = json.loads(held["row"].item()), json.loads((folder / "maps" / "manifest.json").read_text())
    about = json.loads(row["about"])
    ((key, own),) = whole["runs"].items()
    for field in (*about, *own):
        runs = {key: {**own, field: -0.5} if field in own else own}
        wrong = {**row, "about": json.dumps({**about, field: -0.5} if field in about else about)}
        (folder / "maps" / "manifest.json").write_text(json.dumps({**whole, "runs": runs}))
        np.savez(file, **{**held, "row": np.array(json.dumps(wrong).encode())})
        found = run("draw", "maps/", "--images", "photos")
        assert found.status == 0 or found.err.startswith("onnxsal: "), (field, found.err)
        said[field] = found.err
    assert not said["seed"] and "the map of 'noise.webp' is damaged: 'float'" in said["layer"]
