"""Rules of resizing against difference quotients: every mode, every coordinate transformation, up and down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from checker import Case, Run, check, problem, run_ort, run_reference
from onnx import helper

import onnxsal.autodiff as autodiff
from onnxsal.errors import UnsupportedError

R = np.random.default_rng(4)
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
EMPTY = np.zeros(0, np.float32)


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def scaled(*scales: float, shape: tuple[int, ...] = (2, 3, 4, 5), symbolic: bool = False, **kw: object) -> Case:
    inputs = [normal(*shape), None, np.array(scales, np.float32)]
    return Case("Resize", inputs, kw, wrt=[0], symbolic=symbolic)


def sized(*sizes: int, shape: tuple[int, ...] = (2, 3, 4, 5), symbolic: bool = False, **kw: object) -> Case:
    return Case("Resize", [normal(*shape), None, None, np.array(sizes)], kw, wrt=[0], symbolic=symbolic)


CASES = [
    case
    for mode in ("nearest", "linear", "cubic")
    for coordinates in COORDINATES
    for case in (
        scaled(1, 1, 2, 1.6, mode=mode, coordinate_transformation_mode=coordinates),
        sized(2, 3, 3, 7, mode=mode, coordinate_transformation_mode=coordinates),
    )
]
CASES += [
    scaled(1, 1, 2, 2, mode="nearest", nearest_mode=nearest, coordinate_transformation_mode=coordinates)
    for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    for coordinates in ("half_pixel", "asymmetric")
]
CASES += [
    scaled(1, 1, 3, 2, mode="nearest"),
    scaled(1, 1, 3, 4, mode="nearest", nearest_mode="round_prefer_ceil"),
    scaled(1, 1, 2, 4, mode="nearest", coordinate_transformation_mode="half_pixel_symmetric"),
    scaled(1, 1, 2, 4, mode="nearest", coordinate_transformation_mode="pytorch_half_pixel"),
    scaled(1, 1, 3, 2, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    sized(2, 3, 8, 10, mode="nearest"),
    scaled(1, 1, 2.3, 2.2, mode="nearest"),
    scaled(1, 1, 2, 2, mode="nearest", symbolic=True),
    scaled(1, 1, 2, 2, mode="linear", symbolic=True),
    sized(2, 3, 8, 9, mode="linear", symbolic=True),
    scaled(1, 1, 0.6, 0.6, mode="linear", antialias=1),
    scaled(1, 1, 0.6, 0.6, mode="cubic", antialias=1),
    scaled(1, 1, 2, 2, mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1),
    scaled(1, 1, 2, mode="linear", shape=(2, 3, 5)),
    scaled(1, 1, 2, 1, 3, mode="linear", shape=(1, 2, 3, 3, 2)),
    scaled(2, 3, mode="linear", axes=[3, 2]),
    sized(7, 8, mode="nearest", axes=[2, 3], keep_aspect_ratio_policy="not_larger"),
    sized(7, 8, mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_smaller"),
]
CROP = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 3.0}
ROI = np.array([0, 0, 0.4, -0.2, 1, 1, 1.2, 0.8], np.float32)
CASES += [
    Case("Resize", [normal(1, 1, 4, 5), ROI, None, np.array([1, 1, 6, 4])], {**CROP, "mode": mode}, wrt=[0], note="roi")
    for mode in ("nearest", "linear", "cubic")
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slope(case: Case) -> None:
    check(case)


def keys(d: float, a: float) -> float:
    d = abs(d)
    if d >= 2:
        return 0.0
    return (a + 2) * d**3 - (a + 3) * d**2 + 1 if d < 1 else a * (d**3 - 5 * d**2 + 8 * d - 4)


def crop_matrix(ends: np.ndarray, before: int, after: int, mode: str, **kw: float) -> np.ndarray:
    """Tap by tap, as the operator's page has it: the evaluator's own rounds places to float32."""
    matrix = np.zeros((after, before))
    for i in range(after):
        place = (ends.sum() / 2 if after == 1 else ends[0] + i * (ends[1] - ends[0]) / (after - 1)) * (before - 1)
        if not 0 <= place <= before - 1:
            continue
        low = int(np.floor(place))
        for cell in range(low - 1, low + 3):
            if kw.get("exclude_outside") and not 0 <= cell < before:
                continue
            linear = max(0.0, 1 - abs(place - cell))
            weight = linear if mode == "linear" else keys(place - cell, kw.get("cubic_coeff_a", -0.75))
            matrix[i, min(max(cell, 0), before - 1)] += weight
        matrix[i] /= matrix[i].sum()
    return matrix


def cropped(x: np.ndarray, roi: np.ndarray, sizes: tuple[int, int], **kw: object) -> np.ndarray:
    rows, columns = (crop_matrix(roi[d::2], x.shape[2 + d], sizes[d], **kw) for d in (0, 1))
    return np.einsum("ih,jw,bchw->bcij", rows, columns, x)


@pytest.mark.parametrize(
    ("mode", "kw"), [("linear", {}), ("cubic", {}), ("cubic", {"exclude_outside": 1, "cubic_coeff_a": -0.5})]
)
@pytest.mark.parametrize("roi", [[0.4, -0.2, 1.2, 0.83], [0.15, 0.05, 0.93, 0.9]], ids=["out", "in"])
@pytest.mark.parametrize("sizes", [(6, 4), (1, 7)], ids=str)
@pytest.mark.parametrize("symbolic", [False, True], ids=["static", "symbolic"])
def test_the_region_moves(mode: str, kw: dict, roi: list[float], sizes: tuple[int, int], symbolic: bool) -> None:
    attributes = {**CROP, "mode": mode, "axes": [2, 3], **kw}
    x, ends, given = normal(2, 2, 4, 6), np.array(roi), np.array(sizes)
    p = problem(Case("Resize", [x, ends, None, given], attributes, wrt=[1], symbolic=symbolic))
    found = run_reference(p.gradient(), p.all_feeds())["grad/x1"]
    step = 1e-6 * p.directions["x1"]
    high, low = (cropped(x, ends + sign * step, sizes, mode=mode, **kw) for sign in (1, -1))
    slope = (p.seeds["y0"] * (high - low)).sum() / 2e-6
    assert (found * p.directions["x1"]).sum() == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_the_region_of_nearest_moves_nothing_until_it_jumps() -> None:
    p = problem(replace(CASES[-1], inputs=[normal(1, 1, 4, 5), ROI.astype(float), None, np.array([1, 1, 6, 4])],
                        attributes={**CROP, "mode": "nearest"}, wrt=[1]))  # fmt: skip
    assert not run_reference(p.gradient(), p.all_feeds())["grad/x1"].any()


def test_by_scales_is_refused_by_name() -> None:
    case = Case("Resize", [normal(1, 1, 4, 5), None, np.array([1, 1, 2, 1.6])], {"mode": "linear"}, wrt=[2])
    with pytest.raises(UnsupportedError, match="no gradient by its scales"):
        problem(case).gradient()


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scales", [(1, 1, 2, 1.2), (1, 1, 1, 1.2), (1, 1, 1.2, 1.2)])
@pytest.mark.parametrize("run", [run_ort, run_reference])
def test_a_scale_that_leaves_the_size_as_it_is(mode: str, scales: tuple[float, ...], run: Run) -> None:
    """By 1.2 three pixels stay three, and are interpolated; ONNX Runtime copies where that holds for all axes.

    Resizing is linear, so the gradient is what the unit vectors give, in the same runtime.
    """
    shape = (1, 1, 4, 3)
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode=mode)
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    given = onnx.numpy_helper.from_array(np.array(scales, np.float32), "scales")
    graph = helper.make_graph([node], "resize", [x], [y], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    units = np.eye(12, dtype=np.float32).reshape(12, *shape)
    images = np.stack([run(model, {"x": unit})["y"] for unit in units])
    seed = normal(*images.shape[1:]).astype(np.float32)
    built = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"])
    found = run(built, {"x": normal(*shape).astype(np.float32), "seed/y": seed})["grad/x"]
    np.testing.assert_allclose(found.reshape(-1), (images * seed).sum(axis=(1, 2, 3, 4)), rtol=1e-4, atol=1e-5)
