"""Heatmaps lie where the model looked: against closed forms, and as FiftyOne keeps them, where it is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_detectors
from onnxsal_fiftyone import PLUGIN, on_photo
from onnxsal_fiftyone.apply import heatmap_of, upright_size
from onnxsal_fiftyone.heatmaps import range_of
from PIL import Image

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError

MODEL = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 32, 32] x) => (float[B, 2] y)
    <float[2, 3, 1, 1] w = {1, 0, 0, 0, 0, 1}, float[2, 2] v = {1, 0, 0, 1}>
    { a = Conv (x, w) r = Relu (a) p = GlobalAveragePool (r) f = Flatten (p) y = MatMul (f, v) }"""


def model(fit: str) -> onnxsal.Model:
    """Return a model whose first class is red, its second one blue, and which takes its pictures so."""
    return onnxsal.load(
        onnx.parser.parse_model(MODEL), preprocess={"preset": "unit", "fit": fit}, labels=["red", "blue"],
        activation="softmax",
    )  # fmt: skip


def photo(width: int, height: int) -> np.ndarray:
    """Return a grey photograph with a red square in it, at a quarter of its width and the middle of its height."""
    found = np.full((height, width, 3), 60, np.uint8)
    x, y, r = width // 4, height // 2, min(width, height) // 8
    found[y - r : y + r, x - r : x + r] = (250, 10, 10)
    return found


@pytest.mark.parametrize(("width", "height"), [(96, 48), (48, 96), (64, 64)])
@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_the_heatmap_covers_the_photograph(fit: str, width: int, height: int) -> None:
    given = photo(width, height)
    found = onnxsal.explain(model(fit), given, method="hirescam", target="red")
    heatmap = on_photo(found)
    assert heatmap.dtype == np.float32 and found.box is not None
    assert heatmap.shape[1] / heatmap.shape[0] == pytest.approx(width / height * _stretch(found), rel=0.1)
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    square = (given[..., 0] > 200).nonzero()
    seen = fit != "crop" or width <= height
    if seen:  # of a wide photograph the square lies where the crop ends
        place = (x + 0.5) / heatmap.shape[1] * width, (y + 0.5) / heatmap.shape[0] * height
        assert square[1].min() - 2 <= place[0] <= square[1].max() + 3
        assert square[0].min() - 2 <= place[1] <= square[0].max() + 3
    else:
        outside = heatmap[:, : int((found.box[0] - 1) / width * heatmap.shape[1])]
        assert outside.size and not outside.any()


def _stretch(found: onnxsal.Explanation) -> float:
    """Return by how much more columns than rows were shrunk."""
    assert found.box is not None
    return (32 / found.box[2]) / (32 / found.box[3])


def test_where_nothing_is_stretched_nothing_changes() -> None:
    given = photo(32, 32)
    found = onnxsal.explain(model("squash"), given, method="gradient", target="red", sign="signed")
    np.testing.assert_array_equal(on_photo(found), found.saliency)
    assert heatmap_of(found)["range"] == [-1.0, 1.0] == range_of(True)


def test_a_picture_of_the_map_is_the_map_to_half_a_step(tmp_path: Path) -> None:
    found = onnxsal.explain(model("squash"), photo(50, 40), method="hirescam", target="red")
    about = heatmap_of(found, tmp_path / "map.png")
    with Image.open(about["map_path"]) as image:
        np.testing.assert_allclose(np.asarray(image) / 255, on_photo(found), atol=0.5001 / 255)
    assert (about["range"], about["explained"], about["method"]) == ([0.0, 255.0], "red", "hirescam")
    signed = onnxsal.explain(model("squash"), photo(50, 40), method="gradient", target="red", sign="signed")
    with pytest.raises(UsageError, match="no grey picture"):
        heatmap_of(signed, tmp_path / "signed.png")


def test_boxes_are_shares_of_the_photograph_as_it_is_shown(tmp_path: Path) -> None:
    on_its_side = Image.Exif()
    on_its_side[0x0112] = 6
    Image.fromarray(photo(96, 48)).save(tmp_path / "turned.png", exif=on_its_side)
    found = onnxsal.explain(model("pad"), tmp_path / "turned.png", method="gradient", target="red")
    assert upright_size(str(tmp_path / "turned.png")) == found.photo.shape[1::-1] == (48, 96)


def test_what_is_no_photograph_has_no_heatmap() -> None:
    array = np.zeros((3, 32, 32), np.float32)
    with pytest.raises(UnsupportedError, match="heatmaps are for photographs"):
        on_photo(_without_photo(onnxsal.explain(model("squash"), array, method="gradient", target="red")))


def _without_photo(found: onnxsal.Explanation) -> onnxsal.Explanation:
    from dataclasses import replace

    return replace(found, photo=None, box=None)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A data set of FiftyOne with a photograph, a broken one and a class each; its database starts for the test."""
    monkeypatch.setenv("FIFTYONE_DATABASE_DIR", str(tmp_path / "database"))
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", str(tmp_path / "plugins"))
    shutil.copytree(PLUGIN, tmp_path / "plugins" / "onnxsal")
    fo = pytest.importorskip("fiftyone", reason="needs FiftyOne: pip install 'onnxsal-fiftyone[fiftyone]'")
    Image.fromarray(photo(96, 48)).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_text("no picture")
    try:
        found = fo.Dataset("onnxsal-test", overwrite=True)
    except Exception as error:  # noqa: BLE001  whatever says that there is no database
        pytest.skip(f"FiftyOne's database does not start: {type(error).__name__}")
    found.add_samples(
        [fo.Sample(filepath=str(tmp_path / name), truth=fo.Classification(label="blue"))
         for name in ("wide.png", "broken.png")]
    )  # fmt: skip
    yield found
    found.delete()


@pytest.mark.filterwarnings("ignore")  # FiftyOne's own
def test_samples_have_their_heatmaps_from_python_and_from_the_operator(dataset: Any, tmp_path: Path) -> None:
    import fiftyone as fo
    import fiftyone.operators as foo
    from onnxsal_fiftyone import apply_saliency

    assert fo.config.do_not_track
    tiny = model("pad")
    failed = apply_saliency(dataset, tiny, "hirescam", target="red", progress=False)
    assert [Path(each).name for each in failed] == ["broken.png"]
    own = {"target_field": "truth", "label_field": "own", "map_dir": tmp_path / "maps"}
    apply_saliency(dataset, tiny, "hirescam", progress=False, **own)
    dataset.reload()
    first, second = list(dataset)
    found = onnxsal.explain(tiny, first.filepath, method="hirescam", target="red")
    np.testing.assert_array_equal(first.saliency.map, on_photo(found))
    assert (first.saliency.range, first.saliency.explained, second.saliency) == ([0, 1], "red", None)
    assert first.own.explained == "blue" and first.own.get_map().shape == first.saliency.map.shape
    onnx.save(tiny_file("pad"), tmp_path / "model.onnx")
    asked = {"model": str(tmp_path / "model.onnx"), "method": "hirescam", "target": "0", "label_field": "listed"}
    ran = foo.execute_operator("@onnxsal/saliency/apply_saliency", ctx={"dataset": dataset}, params=asked)
    assert ran.result["explained"] == 1 and "broken.png" in ran.result["failed"]
    dataset.reload()
    np.testing.assert_allclose(dataset.first().listed.map, first.saliency.map, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # FiftyOne's own
def test_every_detection_has_the_map_of_its_own(dataset: Any, tmp_path: Path) -> None:
    """Boxes are shares of a photograph that is no square there; the right map is asked for by number, not by box."""
    import fiftyone as fo
    from onnxsal_fiftyone import apply_saliency

    scene = np.uint8(255 * tiny_detectors.picture((0, 2, 3), (2, 18, 16))[0].transpose(1, 2, 0))
    Image.fromarray(np.pad(scene, ((0, 0), (4, 28), (0, 0)))).save(tmp_path / "scene.png")
    detector = onnxsal.load(tiny_detectors.detector("v8"), labels=["red", "green", "blue"])
    wanted = onnxsal.explain(detector, tmp_path / "scene.png", method="layercam", target=["#1", "#2"])
    shares = [np.divide(each.detection["box"], [64, 32, 64, 32]) for each in wanted]
    found = [
        fo.Detection(label=each.label, bounding_box=[x, y, right - x, below - y])
        for each, (x, y, right, below) in zip(wanted, shares, strict=True)
    ]
    dataset.add_sample(fo.Sample(filepath=str(tmp_path / "scene.png"), found=fo.Detections(detections=found)))
    assert apply_saliency(dataset, detector, "layercam", detections_field="found", progress=False) == {}
    dataset.reload()
    sample = dataset.last()
    maps = [on_photo(each) for each in wanted]
    for detection, right in zip(sample.found.detections, maps, strict=True):
        np.testing.assert_allclose(detection.saliency.map, right, atol=1e-6)
    assert np.abs(maps[0] - maps[1]).max() > 0.5
    np.testing.assert_allclose(sample.saliency.map, np.maximum(*maps), atol=1e-6)


def tiny_file(fit: str) -> onnx.ModelProto:
    """Return the same model as a file that says itself how it takes its pictures."""
    proto = onnx.parser.parse_model(MODEL)
    said = {"onnxsal.labels": "red\nblue", "onnxsal.preprocess": f'{{"preset": "unit", "fit": "{fit}"}}',
            "onnxsal.activation": "softmax"}  # fmt: skip
    onnx.helper.set_model_props(proto, said)
    return proto
