"""Pooling of regions against difference quotients of ONNX Runtime's own kernels."""

from __future__ import annotations

import numpy as np
import pytest
from checker import Case, check, close, feeds_of, gradient_model, model_of, quotient, run_ort

from onnxsal.errors import UnsupportedError

R = np.random.default_rng(6)
ROIS = np.array([[0.3, 1.1, 6.2, 7.4], [2.1, 0.6, 5.7, 3.9], [-1.9, -3.2, 9.4, 11.3]])
IMAGES = np.array([0, 1, 1])
DEFORM = {"kernel_shape": [2, 3], "pads": [1, 0, 1, 1], "strides": [2, 1], "group": 2, "offset_group": 2}
SAMPLED = [
    Case("Col2Im", [R.normal(size=(2, 3 * 4, 12)), np.array([5, 4]), np.array([2, 2])], wrt=[0]),
    Case("Col2Im", [R.normal(size=(1, 2 * 6, 9)), np.array([6, 5]), np.array([2, 3])],
         {"strides": [2, 1], "dilations": [1, 2], "pads": [1, 1, 0, 1]}, wrt=[0]),
    Case("DeformConv", [R.normal(size=(2, 4, 5, 6)), R.normal(size=(4, 2, 2, 3)), R.normal(size=(2, 24, 3, 5)) * 0.7,
                        R.normal(size=4), R.uniform(size=(2, 12, 3, 5))], DEFORM, exact=False),
    Case("DeformConv", [R.normal(size=(1, 2, 5, 5)), R.normal(size=(3, 2, 2, 2)), R.normal(size=(1, 8, 4, 4)) * 0.7],
         exact=False),  # the evaluator's places are float32
]  # fmt: skip
ALIGN = {"output_height": 3, "output_width": 2, "sampling_ratio": 2}


@pytest.mark.parametrize("case", SAMPLED, ids=str)
def test_slope(case: Case) -> None:
    check(case, step=1e-6)


def aligned(wrt: list[int], **extra: object) -> Case:
    x = R.normal(size=(2, 3, 7, 8))
    return Case("RoiAlign", [x, ROIS, IMAGES], {**ALIGN, **extra}, wrt=wrt, exact=False)


@pytest.mark.parametrize("wrt", [[0], [1]], ids=["picture", "regions"])
@pytest.mark.parametrize("mode", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("extra", [{}, {"spatial_scale": 0.6, "sampling_ratio": 3}], ids=["plain", "scaled"])
def test_roi_align(wrt: list[int], mode: str, extra: dict[str, object]) -> None:
    case = aligned(wrt, coordinate_transformation_mode=mode, **extra)
    model, feeds = model_of(case, np.dtype(np.float64)), feeds_of(case, np.dtype(np.float64))
    rng = np.random.default_rng(1)
    seeds = {"y0": rng.normal(size=run_ort(model, feeds)["y0"].shape)}
    directions = {f"x{i}": rng.normal(size=feeds[f"x{i}"].shape) for i in wrt}
    slope = quotient(model, feeds, seeds, directions, 1e-6, run_ort)
    graph = gradient_model(model, ["y0"], list(directions))
    found = run_ort(graph, {**feeds, **{f"seed/{k}": v for k, v in seeds.items()}})  # all of it in float64
    got = sum(float((found[f"grad/{k}"] * v).sum()) for k, v in directions.items())
    close(got, slope, 1e-5, 1.0)


@pytest.mark.parametrize("extra", [{"mode": "max"}, {"sampling_ratio": 0}], ids=str)
def test_grids_that_differ_are_refused_by_name(extra: dict[str, object]) -> None:
    model = model_of(aligned([0], **extra), np.dtype(np.float32))
    with pytest.raises(UnsupportedError, match=r"RoiAlign .*no gradient with"):
        gradient_model(model, ["y0"], ["x0"])


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_max_roi_pool(scale: float) -> None:
    x = R.permutation(2 * 3 * 7 * 8).reshape(2, 3, 7, 8).astype(np.float32)
    rois = np.concatenate([IMAGES[:, None], ROIS * [1, 1, 1.4, 1.3]], axis=1).astype(np.float32)
    case = Case("MaxRoiPool", [x, rois], {"pooled_shape": [3, 2], "spatial_scale": scale}, wrt=[0])
    model, feeds = model_of(case, np.dtype(np.float32)), feeds_of(case, np.dtype(np.float32))
    y = run_ort(model, feeds)["y0"]
    u, v = R.normal(size=y.shape).astype(np.float32), R.normal(size=x.shape).astype(np.float32)
    found = run_ort(gradient_model(model, ["y0"], ["x0", "x1"]), {**feeds, "seed/y0": u})
    high, low = (run_ort(model, {**feeds, "x0": x + h * v})["y0"] for h in (0.05, -0.05))  # no maximum changes
    assert (found["grad/x0"] * v).sum() == pytest.approx((u * (high - low)).sum() / 0.1, rel=1e-3, abs=1e-2)
    assert np.abs(found["grad/x0"]).max() > 0
    assert not found["grad/x1"].any()
