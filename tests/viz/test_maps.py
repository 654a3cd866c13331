"""Raw values to saliency: closed forms, and maps at the edge of what floats hold."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import ModelError, UsageError
from onnxsal.viz.maps import cam_saliency, normalise, pixel_saliency

RAMP = np.arange(300, dtype=np.float32).reshape(3, 10, 10) - 120


def test_normalise_stretches_from_minimum_to_maximum() -> None:
    np.testing.assert_allclose(normalise(np.array([[-3.0, 1.0], [0.0, 5.0]])), [[0, 0.5], [0.375, 1]])


def test_cam_is_bilinear_with_half_pixel_centres() -> None:
    """Two columns stretched to eight: flat for half a source pixel at each edge, a straight line in between."""
    saliency = cam_saliency(np.array([[3.0, 7.0]]), (3, 8))
    expected = np.clip((np.arange(8) + 0.5) / 4 - 0.5, 0, 1)
    np.testing.assert_allclose(saliency, np.broadcast_to(expected, (3, 8)), atol=1e-6)
    assert saliency.dtype == np.float32


def test_cam_reaches_0_and_1_after_resizing_down() -> None:
    saliency = cam_saliency(np.arange(64.0).reshape(8, 8), (3, 3))
    assert (saliency.min(), saliency.max()) == (0, 1)


@pytest.mark.parametrize("level", [0.0, -4.5, 0.1, 1e30])
def test_a_constant_map_is_0_even_when_rounding_spreads_it(level: float) -> None:
    flat = np.full((7, 7), level, np.float32)
    flat[3] = np.nextafter(flat[3], np.float32(np.inf))
    if level:
        assert not cam_saliency(flat, (20, 20)).any()
        assert not pixel_saliency(flat[None]).any()
    assert not normalise(np.full((7, 7), level)).any()


@pytest.mark.parametrize("scale", [1e-40, 1e-12, 1e37])
def test_scale_does_not_matter(scale: float) -> None:
    raw = np.random.default_rng(0).normal(size=(3, 7, 7))
    for sign in ("absolute", "signed"):
        np.testing.assert_allclose(pixel_saliency(raw * scale, sign), pixel_saliency(raw, sign), atol=1e-4)
    np.testing.assert_allclose(cam_saliency(raw[0] * scale, (9, 9)), cam_saliency(raw[0], (9, 9)), atol=1e-6)


def test_absolute_is_the_largest_magnitude_over_channels_capped_at_the_percentile() -> None:
    largest = np.abs(RAMP).max(axis=0)
    cap = np.percentile(largest, 90)
    np.testing.assert_allclose(pixel_saliency(RAMP, percentile=90), np.minimum(largest / cap, 1), rtol=1e-6)


def test_the_other_signs_sum_over_channels_first() -> None:
    total = RAMP.sum(axis=0)
    cap = np.percentile(np.abs(total), 99)
    np.testing.assert_allclose(pixel_saliency(RAMP, "signed"), np.clip(total / cap, -1, 1), rtol=1e-6)
    for sign, side in (("positive", total.clip(0)), ("negative", (-total).clip(0))):
        expected = np.minimum(side / np.percentile(side, 99), 1)
        np.testing.assert_allclose(pixel_saliency(RAMP, sign), expected, rtol=1e-6)


def test_one_pixel_in_a_thousand_still_shows() -> None:
    raw = np.zeros((1, 40, 40))
    raw[0, 3, 5] = -2.0
    assert pixel_saliency(raw)[3, 5] == 1
    assert pixel_saliency(raw, "signed")[3, 5] == -1
    assert np.count_nonzero(pixel_saliency(raw)) == 1


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error(wrong: float) -> None:
    raw = np.ones((1, 3, 3))
    raw[0, 1, 1] = wrong
    with pytest.raises(ModelError, match="1 of 9"):
        pixel_saliency(raw)
    with pytest.raises(ModelError, match="not finite"):
        cam_saliency(raw[0], (6, 6))


def test_wrong_options_are_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'absolute'"):
        pixel_saliency(RAMP, "absolut")  # type: ignore[arg-type]
    for percentile in (0.0, 101.0, float("nan")):
        with pytest.raises(UsageError, match="percentile"):
            pixel_saliency(RAMP, percentile=percentile)
    with pytest.raises(UsageError, match="empty"):
        pixel_saliency(np.zeros((3, 0, 4)))
