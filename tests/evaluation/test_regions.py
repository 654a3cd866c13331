"""Evaluation of models of regions: metrics of the region that is explained, held while the picture changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tiny_models
from onnx import numpy_helper

import onnxsal
from onnxsal.errors import UsageError

SIDE = 8
RNG = np.random.default_rng(2)
PICTURES = [RNG.normal(size=(3, 2 * SIDE, 2 * SIDE)).astype(np.float32) for _ in range(3)]


def file(bias: float = 0.0) -> onnx.ModelProto:
    """One class, at half the picture's size."""
    proto = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, 16, 16] x) => (float[n, 1, 8, 8] y) {
      a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w)
      t = Tanh (a)
      l = Conv (t, u, b)
      y = Sigmoid (l)
    }""")
    rng = np.random.default_rng(6)
    arrays = {"w": rng.normal(size=(4, 3, 3, 3)), "u": rng.normal(size=(1, 4, 1, 1)), "b": np.array([bias])}
    proto.graph.initializer.extend(numpy_helper.from_array(a.astype(np.float32), k) for k, a in arrays.items())
    return proto


def probabilities(x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(file().SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x[None]})[0][0, 0])


def evaluated(model: onnxsal.Model, metrics: list[str]) -> Any:
    return onnxsal.evaluate(model, PICTURES, methods=["gradient", "grad-cam"], metrics=metrics, layer="t")


def test_the_share_of_a_map_on_its_region() -> None:
    model = onnxsal.load(file())
    found = evaluated(model, ["mask-share", "region-pointing[tolerance=0]"])
    assert len(found.rows) == 3 * 2 * 2
    by_name = dict(zip(dict.fromkeys(row.image for row in found.rows), PICTURES, strict=True))
    for row in found.rows:
        x = by_name[row.image]
        region = np.kron(probabilities(x) > 0.5, np.ones((2, 2), bool)).astype(bool)
        options = {"layer": "t"} if row.method == "grad-cam" else {}
        saliency = np.abs(onnxsal.explain(model, x, method=row.method, **options).saliency)
        wanted = saliency[region].sum() / saliency.sum()
        if row.metric.startswith("region"):
            wanted = region[saliency == saliency.max()].mean()
        assert row.value == pytest.approx(float(wanted), rel=1e-5)
        assert row.details["area"] == pytest.approx(region.mean())


def test_deletion_is_of_the_region_that_the_picture_had() -> None:
    """Its first value is the mean probability over the region, its last that of black over the same region."""
    found = onnxsal.evaluate(
        onnxsal.load(file()), PICTURES[:1], methods=["gradient"], metrics=["deletion", "insertion"]
    )
    region = probabilities(PICTURES[0]) > 0.5
    whole, black = (float(probabilities(x)[region].mean()) for x in (PICTURES[0], np.zeros_like(PICTURES[0])))
    deletion, insertion = (next(r for r in found.rows if r.metric == name) for name in ("deletion", "insertion"))
    assert [deletion.curve[0][1], deletion.curve[-1][1]] == pytest.approx([whole, black], rel=1e-4)
    assert insertion.curve[-1][1] == pytest.approx(whole, rel=1e-4)
    assert deletion.probability == pytest.approx(whole, rel=1e-5)


def test_a_picture_on_which_nothing_is_seen_is_a_failure_of_its_own() -> None:
    """The others are judged all the same."""
    white = np.zeros((3, 16, 16), np.float32)
    bias = -1e-3  # where nothing is there the logit is the bias
    found = onnxsal.evaluate(onnxsal.load(file(bias)), [white, *PICTURES], methods=["gradient"], metrics=["mask-share"])
    assert len(found.rows) == 3
    (failure,) = found.failures
    assert "sees nothing on this picture: say where with a Region" in failure.message


def test_models_without_regions_are_told_so() -> None:
    with pytest.raises(
        UsageError, match=r"'mask-share' asks for the region.*'classification' has none.*energy-pointing"
    ):
        onnxsal.evaluate(onnxsal.load(tiny_models.classifier()), PICTURES, methods=["gradient"], metrics=["mask-share"])
