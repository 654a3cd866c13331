"""Series of CSV files, arrays and scans under maps that were kept: the same drawing as that of the explanation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxsal
from onnxsal.errors import ImageError
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
