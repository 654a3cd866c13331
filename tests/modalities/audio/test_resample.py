"""Other rates: against the sum that a polyphase filter is, written out, and sines that are known at any rate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxsal.modalities.audio.resample import resample


def written_out(samples: np.ndarray, before: int, after: int) -> np.ndarray:
    """Zeros put between, one filter over all, every so-manieth taken: the definition, in O(n^2)."""
    common = math.gcd(before, after)
    up, down = after // common, before // common
    half = 10 * max(up, down)
    at = np.arange(-half, half + 1)
    taps = np.sinc(at / max(up, down)) * np.kaiser(2 * half + 1, 5.0)
    wide = np.zeros(len(samples) * up)
    wide[::up] = samples
    whole = np.convolve(wide, taps * up / taps.sum())[half : half + len(wide)]
    return whole[::down]


@pytest.mark.parametrize(("before", "after"), [(44_100, 16_000), (8_000, 16_000), (22_050, 44_100), (3, 2), (5, 7)])
def test_it_is_the_filter_written_out(before: int, after: int) -> None:
    samples = np.random.default_rng(0).normal(size=501)
    found = resample(samples, before, after)
    assert len(found) == -(-501 * after // before)
    np.testing.assert_allclose(found, written_out(samples, before, after), atol=1e-12)


def test_what_both_rates_hold_stays_and_what_only_the_higher_one_holds_goes() -> None:
    t = np.arange(44_100) / 44_100
    low, high = np.sin(2 * np.pi * 1_000 * t), np.sin(2 * np.pi * 12_000 * t)
    inner = slice(200, -200)
    kept = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(resample(low, 44_100, 16_000)[inner], kept[inner], atol=2e-3)
    assert np.abs(resample(high, 44_100, 16_000)[inner]).max() < 2e-3
    np.testing.assert_array_equal(resample(low, 16_000, 16_000), low)
