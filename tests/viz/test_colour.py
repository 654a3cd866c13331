"""Colours that rise evenly in lightness, from a library, and named errors."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.viz.colour import DIVERGING, SEQUENTIAL, colour_table, colourise


def lightness(table: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours."""
    linear = np.where(table <= 10.31475, table / 3294.6, ((table / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


def test_the_default_rises_evenly_in_lightness() -> None:
    """From the second step on: next to black, whole bytes are too coarse to say."""
    steps = np.diff(lightness(colour_table(SEQUENTIAL).astype(float))[16::16])
    assert steps.min() > 0.8 * steps.mean()
    assert steps.max() < 1.3 * steps.mean()


def test_the_signed_default_is_light_in_the_middle_and_dark_at_both_ends() -> None:
    light = lightness(colour_table(DIVERGING).astype(float))
    assert light.argmax() in range(118, 138)
    np.testing.assert_allclose(light[:118:8], light[::-1][:118:8], atol=12)


def test_ends_and_middle_of_a_map_are_those_of_its_colours() -> None:
    table = colour_table(SEQUENTIAL)
    np.testing.assert_array_equal(colourise(np.array([[0.0, 1.0, 2.0]]))[0], table[[0, 255, 255]])
    signed = colour_table(DIVERGING)
    np.testing.assert_array_equal(colourise(np.array([[-1.0, 0.0, 1.0]]))[0], signed[[0, 128, 255]])
    np.testing.assert_array_equal(colourise(np.array([[0.0, 1.0]]), "viridis")[0], [[68, 1, 84], [253, 231, 37]])


def test_a_signed_map_without_negative_values_has_the_colours_of_one_with_them() -> None:
    table = colour_table(DIVERGING)
    np.testing.assert_array_equal(colourise(np.array([[0.0, 1.0]]), signed=True)[0], table[[128, 255]])


def test_a_name_that_ends_in_r_turns_the_colours_round() -> None:
    np.testing.assert_array_equal(colour_table("viridis_r"), colour_table("viridis")[::-1])


def test_names_that_palettes_share_raise_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        colour_table("coolwarm")
    assert not caplog.records


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'viridis'"):
        colour_table("virids")
