"""What clicks and tones tell of a spectrogram, against NumPy's own transforms; and what is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from onnxsal.model.hearing import measure

Run = Callable[[np.ndarray], np.ndarray]


def mel(n: int, rate: int, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Return triangles on the mel scale, [bands, n // 2 + 1], and their middles in hertz."""
    ends = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bands + 2) / 2595) - 1)
    f = np.arange(n // 2 + 1) * rate / n
    low, middle, high = ends[:-2, None], ends[1:-1, None], ends[2:, None]
    return np.maximum(0, np.minimum((f - low) / (middle - low), (high - f) / (high - middle))), ends[1:-1]


def transform(n: int, hop: int, *, centred: bool, bank: np.ndarray | None = None, how: str = "power") -> Run:
    def run(x: np.ndarray) -> np.ndarray:
        x = np.pad(x, n // 2) if centred else x
        frames = np.lib.stride_tricks.sliding_window_view(x, n)[::hop] * np.hanning(n + 1)[:-1]
        power = np.abs(np.fft.rfft(frames)) ** 2
        power = power if bank is None else power @ bank.T
        if how == "power":
            return power.T[None]
        value = np.log(power + 1e-6)
        if how == "turned":
            return value[None, None]  # frames first
        return ((value - value.min()) / (np.ptp(value) + 1e-12)).T[None]  # each sound to the same loudness

    return run


@pytest.mark.parametrize(
    ("n", "hop", "centred", "how", "axes"),
    [
        (400, 160, True, "power", "NFT"),
        (256, 64, False, "power", "NFT"),
        (512, 128, False, "turned", "NCTF"),
        (512, 128, True, "loudness", "NFT"),
    ],
)
def test_a_fourier_transform_is_measured_exactly(n: int, hop: int, centred: bool, how: str, axes: str) -> None:
    found = measure(transform(n, hop, centred=centred, how=how), 8_192)
    assert found is not None and (found.axes, found.hop, found.channels) == (axes, hop, 1)
    np.testing.assert_allclose(found.cycles, np.arange(n // 2 + 1) / n, atol=1e-12)
    assert found.offset == pytest.approx(0 if centred else n / 2, abs=hop / 4)


@pytest.mark.parametrize("how", ["power", "turned"])
def test_mel_bands_are_measured_to_half_a_band(how: str) -> None:
    bank, middles = mel(512, 16_000, 40)
    found = measure(transform(512, 160, centred=True, bank=bank, how=how), 16_384)
    assert found is not None and found.hop == 160
    apart = np.abs(np.array(found.cycles) * 16_000 - middles) / np.gradient(middles)
    assert apart.max() < 0.5


def filtered(x: np.ndarray) -> np.ndarray:
    """Sixteen random filters, rectified: time moves as in a spectrogram, tones do not."""
    rng = np.random.default_rng(0)
    return np.stack([np.maximum(np.convolve(x, rng.normal(size=16))[::8], 0) for _ in range(16)])[None]


@pytest.mark.parametrize("run", [filtered, lambda x: x.reshape(1, 64, -1), lambda x: np.tile(x[::64], (1, 20, 1))])
def test_what_answers_otherwise_is_no_spectrogram(run: Run) -> None:
    assert measure(run, 8_192) is None
