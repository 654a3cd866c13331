"""The Gaussian blur against a double loop and its closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.kernels.blur import gaussian_blur, gaussian_weights


def reflected(i: int, n: int) -> int:
    period = max(2 * (n - 1), 1)
    i %= period
    return min(i, period - i) if n > 1 else 0


def slow(plane: np.ndarray, kernel: int, sigma: float) -> np.ndarray:
    half, (h, w), out = kernel // 2, plane.shape, np.zeros(plane.shape)
    offsets = range(-half, half + 1)
    weight = {(a, b): np.exp(-(a * a + b * b) / (2 * sigma**2)) for a in offsets for b in offsets}
    for y, x in np.ndindex(h, w):
        out[y, x] = sum(v * float(plane[reflected(y + a, h), reflected(x + b, w)]) for (a, b), v in weight.items())
    return out / sum(weight.values())


@pytest.mark.parametrize("shape", [(13, 9), (4, 20), (1, 6), (3, 2)])
@pytest.mark.parametrize(("kernel", "sigma"), [(11, 5.0), (3, 0.7), (1, 2.0)])
def test_blur_follows_the_definition(shape, kernel, sigma):
    maps = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    found = gaussian_blur(maps, kernel=kernel, sigma=sigma)
    for plane, blurred in zip(maps, found, strict=True):
        np.testing.assert_allclose(blurred, slow(plane, kernel, sigma), rtol=0, atol=1e-6)


def test_the_default_is_kernel_11_sigma_5():
    point = np.zeros((31, 31), np.float32)
    point[15, 15] = 1
    weights = gaussian_weights(11, 5.0)
    np.testing.assert_allclose(gaussian_blur(point)[10:21, 10:21], np.outer(weights, weights), rtol=1e-6)
    assert gaussian_blur(point)[9].max() == 0


def test_a_flat_picture_keeps_its_level():
    np.testing.assert_allclose(gaussian_blur(np.full((3, 12, 12), 7.0)), 7.0, rtol=1e-6)


@pytest.mark.parametrize(("kernel", "sigma"), [(4, 1.0), (0, 1.0), (5, 0.0), (5, float("nan"))])
def test_impossible_kernels_are_refused(kernel, sigma):
    with pytest.raises(UsageError, match="odd"):
        gaussian_blur(np.zeros((5, 5)), kernel=kernel, sigma=sigma)
