"""Series of CSV files, arrays and scans under maps that were kept: the same drawing as that of the explanation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_models
from PIL import Image

import onnxsal
from onnxsal.errors import ImageError, OnnxsalError, UsageError
from onnxsal.maps.record import record_of
from onnxsal.maps.rows import row_and_run


def test_a_series_is_drawn_again_with_its_names_and_a_map_for_each_channel(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 6] x) => (float[B, 2] y)
        <float[2, 2, 3] w = {1, -2, 3, 1, 0, 2, -1, 2, 1, 0, 3, 1}>
        { f = Conv <kernel_shape = [3]> (x, w) a = Constant <value_ints = [2]> ()
          y = ReduceSum <keepdims = 0> (f, a) }"""
    )
    values = np.random.default_rng(0).normal(0, 1, (6, 2)).astype(np.float32)
    path = tmp_path / "x.csv"
    np.savetxt(path, values, delimiter=",", header="left,right", comments="", fmt="%.9g")
    found = onnxsal.explain(onnxsal.load(proto), path, method="occlusion", patch=1, stride=1, by="cell", target=0)
    record = record_of(*row_and_run(found, "x.csv", dtype="float32"))
    again = record.on(path)
    for one, other in zip(again.drawn(), found.drawn(), strict=True):
        one, other = (getattr(each, "image", each) for each in (one, other))
        assert np.array_equal(one, other)
    assert len(again.drawn()[1]) > 1  # a row of the map for each channel
    path.write_text("left,right\n" + "1,2\n" * 6)
    with pytest.raises(ImageError, match="does not hold what was explained"):
        record.on(path)
    with pytest.raises(ImageError, match="no such file"):
        record.on(tmp_path / "y.csv")
    with pytest.raises(UsageError, match="expected the path of what was explained, got ndarray"):
        record.on(values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("manifest", "file", "message"),
    [
        ({}, "none.png", "no such picture"),
        ({}, "broken.png", "is damaged or truncated"),
        ({}, "small.png", "is 4 x 4 pixels, and the picture that was explained"),
        ({"preprocess": {"colour": "red"}}, "whole.png", "colour"),
        ({"preprocess": ...}, "whole.png", "the map of 'whole.png' is damaged"),
    ],
)
def test_what_a_map_of_a_picture_cannot_be_drawn_on_is_said(
    tmp_path: Path, manifest: dict[str, Any], file: str, message: str
) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "whole.png")
    Image.fromarray(photo[:4, :4]).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    found = onnxsal.explain(tiny_models.classifier(), tmp_path / "whole.png", method="gradient")
    record = record_of(*row_and_run(found, "whole.png", dtype="float32"))
    said = {k: v for k, v in {**record.manifest, **manifest}.items() if v is not ...}
    with pytest.raises(OnnxsalError, match=message):
        replace(record, manifest=said).on(tmp_path / file)


def test_a_volume_is_drawn_again_on_its_slices_and_written_on_its_grid(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 1, 4, 5, 6] x) => (float[B, 2] y)
        { f = Conv <kernel_shape = [2, 2, 2]> (x, w) r = Relu (f) m = GlobalAveragePool (r) y = Flatten (m) }"""
    )
    rng = np.random.default_rng(0)
    proto.graph.initializer.append(
        onnx.numpy_helper.from_array(rng.normal(0, 1, (2, 1, 2, 2, 2)).astype(np.float32), "w")
    )
    values = rng.normal(0, 1, (4, 5, 6)).astype(np.float32)
    np.save(tmp_path / "v.npy", values)
    nibabel.save(nibabel.Nifti1Image(values.T, np.diag([2.0, 1, 3, 1])), tmp_path / "v.nii")
    for name, axes in (("v.npy", None), ("v.nii", "zyx")):
        path = tmp_path / name
        loaded = onnxsal.load(proto, activation="softmax", preprocess=axes)
        found = onnxsal.explain(loaded, path, method="gradient", target=0)
        again = record_of(*row_and_run(found, name, dtype="float32")).on(path)
        assert np.array_equal(again.drawn()[0].image, found.drawn()[0].image)
        assert np.array_equal(again.drawn()[1], found.drawn()[1])
    again.save(tmp_path / "map.nii")
    assert np.array_equal(nibabel.load(tmp_path / "map.nii").get_fdata().T, found.saliency)
