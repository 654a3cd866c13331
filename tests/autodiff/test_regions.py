"""Pooling of regions against difference quotients of ONNX Runtime's own kernels."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from able import NO_AXES, ask
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
@pytest.mark.parametrize("extra", [{}, {"spatial_scale": 0.6, "sampling_ratio": 3}, {"sampling_ratio": 0},
                                   {"spatial_scale": 0.7, "sampling_ratio": 0}],
                         ids=["plain", "scaled", "own grids", "own grids, scaled"])  # fmt: skip
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


def test_regions_of_no_size_and_outside_have_no_samples_of_their_own() -> None:
    """A region turned inside out has none, and is 0 in ONNX Runtime too; one outside has some, of which none counts."""
    rois = np.array([[3.0, 3.0, 2.0, 2.0], [-9.0, 1.0, -4.0, 5.0], [1.0, 1.0, 6.0, 4.0]])
    case = Case("RoiAlign", [R.normal(size=(2, 3, 7, 8)), rois, IMAGES], {**ALIGN, "sampling_ratio": 0}, wrt=[0, 1])
    model, feeds = model_of(case, np.dtype(np.float64)), feeds_of(case, np.dtype(np.float64))
    seed = np.ones(run_ort(model, feeds)["y0"].shape)
    found = run_ort(gradient_model(model, ["y0"], ["x0", "x1"]), {**feeds, "seed/y0": seed})
    assert not found["grad/x0"][0].any() and not found["grad/x1"][:2].any()
    assert not run_ort(model, feeds)["y0"][:2].any()
    assert found["grad/x0"].sum() == pytest.approx(3 * 2 * 3)  # each bin of each channel is a mean


@pytest.mark.parametrize("ratio", [2, 0])
def test_no_region_at_a_level(ratio: int) -> None:
    """As torchvision's exports have it: the picture's number is a column of the regions."""
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]> g (float[2, 3, 7, 8] x, float[n, 5] r)
        => (float[n, 3, 3, 2] y) {{
        a = Constant<value_ints = [1, 4]> () first, rois = Split<axis = 1> (r, a) one = Constant<value_ints = [1]> ()
        flat = Squeeze (first, one) images = Cast<to = 7> (flat)
        y = RoiAlign<output_height = 3, output_width = 2, sampling_ratio = {ratio}> (x, rois, images) }}""")
    graph, x = gradient_model(model, ["y"], ["x", "r"]), R.normal(size=(2, 3, 7, 8)).astype(np.float32)
    if ratio == 0:
        ask(NO_AXES)
    for count in (0, 1, 4):
        boxes = np.abs(R.normal(size=(count, 5)) * [0, 1, 1, 1, 1] + [1, 0, 0, 4, 4]).astype(np.float32)
        y = run_ort(model, {"x": x, "r": boxes})["y"]
        found = run_ort(graph, {"x": x, "r": boxes, "seed/y": np.ones_like(y)})
        assert found["grad/r"].shape == boxes.shape and not found["grad/x"][0].any()
        assert found["grad/x"].sum() == pytest.approx(y.size, rel=1e-4)


def test_the_largest_of_samples_is_refused_by_name() -> None:
    model = model_of(aligned([0], mode="max"), np.dtype(np.float32))
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
