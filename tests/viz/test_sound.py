"""Pictures of sound: where a sample, a bin and a second stand in them, and in which colours."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.viz.agg import _BELOW, _LEFT, _TOP
from onnxsal.viz.colour import colour_table
from onnxsal.viz.sound import BINS, WAVE, WIDTH, Scales, Style, spectrogram, waveform

SCALES = Scales((0.0, 2.0), "seconds", ((0.25, "100"), (0.75, "1000")), "hertz")


def plot_of(picture: np.ndarray) -> np.ndarray:
    return picture[_TOP:-_BELOW, _LEFT : _LEFT + WIDTH].astype(int)


def test_a_curve_stands_where_its_samples_are_and_has_the_maps_colour_there() -> None:
    samples = np.zeros(4_400)
    samples[2_200:2_420] = 0.5  # columns 440 to 483
    saliency = np.zeros(44)
    saliency[22:24] = 1.0
    plot = plot_of(waveform(samples, saliency, SCALES, Style()))
    assert plot.shape == (WAVE, WIDTH, 3)
    top, middle = int(0.05 * WAVE / 2), WAVE // 2
    strongest = colour_table("inferno")[-1].astype(int)
    np.testing.assert_array_equal(plot[top, 460], strongest)  # the loudest sample, in its own colour
    assert np.abs(plot[middle - 1 : middle + 2, 100].max(0) - [112, 114, 122]).max() <= 1  # silence, unexplained: grey
    ground = plot[5, 100]
    assert (plot[: middle - 3, 100] == ground).all() and (plot[middle + 3 :, 460] == ground).all()


def test_signed_maps_spread_and_the_product_is_a_curve_of_its_own() -> None:
    samples = np.sin(np.arange(3_000) / 7)
    signed = np.repeat([-1.0, 0.0, 1.0], 10)
    plot = plot_of(waveform(samples, signed, SCALES, Style(signed=True)))
    left, right = plot[WAVE // 2, 100], plot[WAVE // 2, 780]
    assert left[2] > left[0] and right[0] > right[2]  # blue against, red for
    product = plot_of(waveform(samples, signed, SCALES, Style(kind="product")))
    assert (product[: WAVE // 2 - 4, 440] == product[5, 440]).all()  # where the map is 0, silence
    heat = plot_of(waveform(samples, signed, SCALES, Style(kind="heat", signed=True)))
    assert (heat[0] == heat[-1]).all()


@pytest.mark.parametrize("kind", ["overlay", "heat"])
def test_low_bins_stand_below_and_early_frames_at_the_left(kind: str) -> None:
    values, saliency = np.zeros((8, 11)), np.zeros((8, 11))
    values[0, 0], saliency[1, 9] = 1.0, 1.0
    plot = plot_of(spectrogram(values, saliency, SCALES, Style(kind=kind)))
    bright = plot.sum(2)
    row, column = np.unravel_index(bright.argmax(), bright.shape)
    if kind == "heat":
        assert row // (BINS // 8) == 6 and column // (WIDTH // 11) == 9  # bin 1 is the second from below
    assert bright[BINS - 5, 5] > bright[5, 5] or kind == "heat"
    grey = plot_of(spectrogram(values, None, SCALES, Style()))
    assert grey[BINS - 1, 0].min() == 255 and grey[0, 0].max() == 0


def test_axes_say_seconds_and_hertz() -> None:
    """What stands beside the plot changes with the scales, and nothing of the plot does."""
    values = np.random.default_rng(0).normal(size=(8, 11))
    one = spectrogram(values, None, SCALES, Style())
    other = spectrogram(values, None, Scales((0.0, 3.0), "samples", (), ""), Style())
    np.testing.assert_array_equal(plot_of(one), plot_of(other))
    assert (one[:, :_LEFT] != other[:, :_LEFT]).any() and (one[-_BELOW:] != other[-_BELOW:]).any()
