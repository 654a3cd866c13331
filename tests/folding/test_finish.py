"""Saliency, drawings and bytes in standard operators against their twins in numpy, and where maps are degenerate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from PIL import Image

from onnxsal.folding import Finish, finish_map, fuse, values_of_bytes
from onnxsal.folding.baselines import BaselineMaker
from onnxsal.graph import empty
from onnxsal.graph.program import Trace
from onnxsal.kernels.blur import gaussian_blur
from onnxsal.kernels.placement import WHOLE, Placement, chained, mirrored, part
from onnxsal.modalities.image.preprocess import PRESETS, Preprocess
from onnxsal.viz.maps import cam_saliency, pixel_saliency


def run(make: Callable[[Trace, ir.Value], ir.Value], x: np.ndarray) -> np.ndarray:
    op = empty(21)
    source = op.input("x", ir.DataType.from_numpy(x.dtype), ["B", *x.shape[1:]])
    model = op.finish(y=make(op, source)).to_proto()
    return ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


def layer_maps() -> np.ndarray:
    rng = np.random.default_rng(0)
    flat = np.full((5, 7), 3.25)
    return np.stack([rng.normal(size=(5, 7)), flat, np.zeros((5, 7)), flat + 1e-7, rng.normal(size=(5, 7)) * 1e30,
                     rng.normal(size=(5, 7)) * 1e-30]).astype(np.float32)  # fmt: skip


QUARTER, HALF = Fraction(1, 4), Fraction(1, 2)
ROLLED = chained([(part(WHOLE, HALF, Fraction(1)), 1), (part(WHOLE, Fraction(0), HALF), 1)]) or WHOLE


@pytest.mark.parametrize(
    "placement",
    [Placement(mirrored(WHOLE)), Placement(part(WHOLE, QUARTER, HALF), ROLLED),
     Placement(part(WHOLE, -HALF, Fraction(2)), WHOLE)],
)  # fmt: skip
def test_maps_of_a_layer_that_lies_elsewhere(placement: Placement) -> None:
    how = Finish((32, 48), None, placement=placement, grid=(5, 7))
    found = run(lambda op, x: finish_map(op, x, how), layer_maps())
    for one, raw in zip(found, layer_maps(), strict=True):
        np.testing.assert_allclose(one, cam_saliency(raw, (32, 48), placement), rtol=0, atol=1e-6)


def test_maps_of_a_layer() -> None:
    found = run(lambda op, x: finish_map(op, x, Finish((32, 48), None)), layer_maps())
    for one, raw in zip(found, layer_maps(), strict=True):
        np.testing.assert_allclose(one, cam_saliency(raw, (32, 48)), rtol=0, atol=1e-6)
    assert found[1:4].any() == False  # noqa: E712


@pytest.mark.parametrize("sign", ["absolute", "signed", "positive", "negative"])
@pytest.mark.parametrize("percentile", [99.0, 50.0, 100.0, 0.5])
def test_maps_of_pixels(sign: str, percentile: float) -> None:
    rng = np.random.default_rng(1)
    lonely = np.zeros((3, 16, 12))
    lonely[1, 3, 4] = -2.5  # fewer pixels than the percentile leaves out
    maps = np.stack([rng.normal(size=(3, 16, 12)), np.full((3, 16, 12), 0.5), lonely]).astype(np.float32)
    found = run(lambda op, x: finish_map(op, x, Finish((16, 12), sign, percentile)), maps)
    for one, raw in zip(found, maps, strict=True):
        np.testing.assert_allclose(one, pixel_saliency(raw, sign, percentile), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("how", "twin"), [("mean", np.mean), ("max", np.max)])
def test_fusing(how: str, twin: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    found = run(lambda op, v: fuse(op, [v, op.Neg(v), op.Mul(v, 2.0)], how), x)
    np.testing.assert_allclose(found, twin(np.stack([x, -x, 2 * x]), axis=0), rtol=1e-6)


@pytest.mark.parametrize("preprocess", [PRESETS["imagenet"], PRESETS["caffe"], PRESETS["imagenet"].for_channels(1)])
def test_bytes_become_the_values_of_preprocessing(preprocess: Preprocess) -> None:
    from onnxsal.modalities.image import read_image

    pixels = np.random.default_rng(3).integers(0, 256, (2, 6, 5, 3), np.uint8)
    table, reverse = preprocess.table(), preprocess.colour == "BGR"
    found = run(lambda op, x: values_of_bytes(op, x, table, reverse=reverse), pixels)
    for one, image in zip(found, pixels, strict=True):
        fitted = preprocess.apply(read_image(Image.fromarray(image)), (6, 5))
        np.testing.assert_array_equal(one, fitted.values)


def test_the_blurred_baseline() -> None:
    x = np.random.default_rng(4).normal(size=(2, 3, 20, 24)).astype(np.float32)
    maker = BaselineMaker("blur", (3, 20, 24), np.zeros(3, np.float32), (0, 0))
    np.testing.assert_allclose(run(maker, x), gaussian_blur(x), rtol=0, atol=1e-6)
