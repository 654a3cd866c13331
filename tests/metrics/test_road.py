"""ROAD on scores whose answers are known, and its filled pixels."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.kernels.impute import impute
from onnxsal.metrics.road import road, road_lerf, road_morf

RNG = np.random.default_rng(5)
X = RNG.random((2, 16, 16)).astype(np.float32)
SPOT = np.zeros((16, 16))
SPOT[6, 9] = 1
SPOT += RNG.random((16, 16)) / 1000


def kept(images: np.ndarray) -> np.ndarray:
    """Return 1 while the pixel that matters is untouched, else 0.2."""
    return np.where(images[:, 0, 6, 9] == X[0, 6, 9], 1.0, 0.2)


def test_the_pixel_that_matters_goes_first_or_last() -> None:
    assert road_morf(kept, X, SPOT).value == pytest.approx(0.2)
    assert road_lerf(kept, X, SPOT).value == 1
    assert road(kept, X, SPOT).value == pytest.approx(0.8)
    assert road(kept, X, -SPOT).value == pytest.approx(-0.8)


def test_curves_begin_with_the_picture_and_stand_at_true_shares() -> None:
    judged = road_morf(kept, X, SPOT, shares=(0.5, 0.101))
    np.testing.assert_allclose(judged.curve, [[0, 1], [26 / 256, 0.2], [0.5, 0.2]])
    np.testing.assert_allclose(road(kept, X, SPOT, shares=(0.5,)).curve, [[0, 0], [0.5, 0.8]])


def test_pixels_are_filled_from_around_with_noise_on_them_alone() -> None:
    seen: list[np.ndarray] = []

    def watch(images: np.ndarray) -> np.ndarray:
        seen.append(images.copy())
        return kept(images)

    road_morf(watch, X, SPOT, 7, shares=(0.3,), noise=0)
    gone = np.sort(SPOT, axis=None)[-77] <= SPOT
    np.testing.assert_array_equal(seen[0][1], impute(X, gone))
    road_morf(watch, X, SPOT, 7, shares=(0.3,), noise=0.02)
    added = seen[1][1] - seen[0][1]
    assert (added[:, ~gone] == 0).all()
    assert added[:, gone].std() == pytest.approx(0.02 * np.ptp(X), rel=0.2)
    road_morf(watch, X, SPOT, 7, shares=(0.3,), noise=0.02)
    np.testing.assert_array_equal(seen[2], seen[1])


def test_every_map_meets_the_same_noise() -> None:
    mean = lambda images: images.mean(axis=(1, 2, 3))
    one, other = road_morf(mean, X, np.stack([SPOT, SPOT * 2]))
    assert one.value == other.value
    assert one.value != road_morf(mean, X, SPOT, 1).value


@pytest.mark.parametrize("shares", [(), (0.0,), (1.0,), (0.5, 1.5)])
def test_shares_leave_something_to_fill_from(shares: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match=r"above 0 and below 1"):
        road(kept, X, SPOT, shares=shares)
