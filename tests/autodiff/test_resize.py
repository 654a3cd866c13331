"""Rules of resizing against difference quotients: every mode, every coordinate transformation, up and down."""

from __future__ import annotations

import numpy as np
import pytest
from checker import Case, check

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
