"""The map lies where the model looked, and the photograph stays visible below it."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.viz.blend import LIFTED, lifted
from onnxsal.viz.colour import SEQUENTIAL, colour_table, colourise
from onnxsal.viz.overlay import for_display, heat_map, overlay, product

PHOTO = np.full((40, 60, 3), (200, 100, 50), np.uint8)
PEAK = colour_table(SEQUENTIAL)[255].astype(float)


def test_the_strongest_place_has_the_stated_opacity() -> None:
    drawn = overlay(PHOTO, np.ones((4, 4)), opacity=0.6)
    np.testing.assert_allclose(drawn[20, 30], 0.4 * PHOTO[0, 0] + 0.6 * PEAK, atol=1)
    np.testing.assert_array_equal(overlay(PHOTO, np.ones((4, 4)), opacity=0), PHOTO)


def test_a_map_of_0_shows_no_colour_of_its_own() -> None:
    drawn = overlay(PHOTO, np.zeros((4, 4)))
    assert (drawn == drawn[0, 0]).all()
    np.testing.assert_array_equal(drawn, overlay(PHOTO, np.zeros((9, 9)), colours="turbo"))


def test_the_map_lies_in_its_box() -> None:
    peak = np.zeros((10, 10))
    peak[5, 5] = 1
    base = overlay(PHOTO, np.zeros((10, 10)), (10, 0, 40, 40)).astype(int)
    changed = np.abs(overlay(PHOTO, peak, (10, 0, 40, 40)).astype(int) - base).sum(axis=2)
    row, column = np.nonzero(changed)
    np.testing.assert_allclose(
        [row.mean(), column.mean()], [21.5, 31.5]
    )  # the middle of the cell (5, 5) of 4 x 4 pixels
    assert (row.max() - row.min(), column.max() - column.min()) == (7, 7)


def test_what_the_model_did_not_see_is_darker_and_carries_no_map() -> None:
    drawn = overlay(PHOTO, np.ones((4, 4)), (10, 5, 40, 30))
    outside = np.ones((40, 60), bool)
    outside[5:35, 10:50] = False
    assert (drawn[outside] == drawn[0, 0]).all()
    assert drawn[0, 0].sum() < PHOTO[0, 0].sum() / 2
    assert (drawn[6:34, 11:49] == drawn[20, 30]).all()


def test_a_line_shows_the_box_even_on_black() -> None:
    drawn = overlay(np.zeros_like(PHOTO), np.zeros((4, 4)), (10, 0, 40, 40))
    lit = np.zeros((40, 60), bool)
    lit[:, [10, 49]] = True
    np.testing.assert_array_equal(drawn[..., 0] > 60, lit)
    assert not overlay(np.zeros_like(PHOTO), np.zeros((4, 4))).any()


def test_a_padded_box_reaches_beyond_the_photograph() -> None:
    """The map's upper quarter lies on padding; the photograph's top shows the second quarter."""
    rows = np.repeat([[0.0], [1.0], [0.0], [0.0]], 4, axis=1)
    drawn = overlay(PHOTO, rows, (0, -20, 60, 80)).astype(float)
    warm = np.abs(drawn - drawn[-1, 0]).sum(axis=(1, 2))
    assert warm.argmax() == pytest.approx(9.5, abs=1)
    np.testing.assert_allclose(drawn[9, 9], 0.35 * PHOTO[0, 0] + 0.65 * PEAK, atol=18)


def test_signed_maps_show_both_ends() -> None:
    grey = np.full((8, 8, 3), 128, np.uint8)
    drawn = overlay(grey, np.array([[-1.0, 1.0], [-1.0, 1.0]])).astype(int)
    assert drawn[4, 0, 2] > drawn[4, 0, 0]
    assert drawn[4, 7, 0] > drawn[4, 7, 2]


def test_heat_map_and_product() -> None:
    saliency = np.array([[0.0, 0.5], [1.0, 0.25]])
    np.testing.assert_array_equal(heat_map(saliency, colours="viridis"), colourise(saliency, "viridis"))
    image = np.full((2, 2, 3), 100, np.uint8)
    np.testing.assert_array_equal(product(image, saliency)[..., 0], [[0, 50], [100, 25]])
    np.testing.assert_array_equal(product(image, -saliency), product(image, saliency))
    with pytest.raises(UsageError, match="differ in size"):
        product(image, np.zeros((3, 3)))


def test_small_pictures_are_enlarged_in_whole_blocks() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (28, 32, 3), np.uint8)
    shown, box = for_display(photo, (2.0, 0.0, 28.0, 28.0))
    assert shown.shape == (420, 480, 3)
    np.testing.assert_array_equal(shown[7::15, 7::15], photo)
    assert box == (30.0, 0.0, 420.0, 420.0)


def test_large_pictures_are_reduced_and_others_left_alone() -> None:
    shown, box = for_display(np.zeros((1000, 4000, 3), np.uint8))
    assert shown.shape == (400, 1600, 3)
    assert box == (0.0, 0.0, 1600.0, 400.0)
    photo = np.zeros((600, 500, 3), np.uint8)
    assert for_display(photo)[0] is photo


@pytest.mark.parametrize(
    ("photo", "saliency", "opacity", "said"),
    [
        (PHOTO.astype(float), np.zeros((2, 2)), 0.5, "uint8"),
        (PHOTO[..., 0], np.zeros((2, 2)), 0.5, "uint8"),
        (PHOTO, np.zeros((1, 2, 2)), 0.5, "saliency"),
        (PHOTO, np.zeros((2, 2)), 1.5, "opacity"),
    ],
)
def test_wrong_input_is_named(photo: np.ndarray, saliency: np.ndarray, opacity: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        overlay(photo, saliency, opacity=opacity)


def plainly(photo: np.ndarray, saliency: np.ndarray, box: tuple, table: np.ndarray, *, signed: bool) -> np.ndarray:
    """Return what an overlay is, by its definition, in float64 and with dense products."""
    weights, inside = [], []
    for pixels, start, length, samples in zip(photo.shape, box[1::-1], box[:1:-1], saliency.shape, strict=False):
        place = (np.arange(pixels) + 0.5 - start) / length
        centre = (place * samples - 0.5).clip(0, samples - 1)
        weights.append(np.maximum(1 - np.abs(centre[:, None] - np.arange(samples)), 0))
        inside.append((place >= 0) & (place <= 1))
    seen = inside[0][:, None] & inside[1]
    spread = weights[0] @ saliency @ weights[1].T
    strength, exact = np.abs(spread)[..., None], photo.astype(float)
    grey = (exact @ [0.299, 0.587, 0.114])[..., None]
    colour = table[np.rint(((spread + 1) / 2 if signed else spread) * 255).astype(int)]
    faint = (exact + (grey - exact) * 0.45) * 0.88
    shown = faint + (exact - faint) * strength
    mixed = np.where(
        seen[..., None], shown + (colour - shown) * 0.65 * strength**0.8, (0.55 * exact + 0.45 * grey) * 0.45
    )
    near = np.pad(seen, 1, mode="edge")
    edge = seen & ~(near[:-2, 1:-1] & near[2:, 1:-1] & near[1:-1, :-2] & near[1:-1, 2:])
    return mixed + (255 - mixed) * 0.4 * edge[..., None]


@pytest.mark.parametrize(
    "box",
    [(0, 0, 200, 150), (20, 10.4, 140, 120), (-30, -10, 260, 170), (0, 20, 200, 100), (80, 149, 9, 30), (900, 0, 9, 9)],
)
@pytest.mark.parametrize("signed", [False, True])
def test_it_is_what_its_definition_says_within_a_level(box: tuple, signed: bool) -> None:
    """Where a value lies at the boundary of two colours, what float32 rounds may take the one beside it."""
    rng = np.random.default_rng(len(str(box)))
    photo, saliency = rng.integers(0, 256, (150, 200, 3), np.uint8), rng.uniform(-signed, 1, (7, 9))
    exact = plainly(photo, saliency, box, colour_table("vik" if signed else SEQUENTIAL), signed=signed)
    away = np.abs(overlay(photo, saliency, box, signed=signed) - exact)
    assert (away > 1).mean() < 1e-4 and away.max() < 4


def test_lifted_strengths_are_powers_within_a_fiftieth_of_a_level() -> None:
    strength = np.concatenate([np.linspace(0, 1, 100_001), np.geomspace(1e-9, 1, 10_001)]).astype(np.float32)
    exact = strength.astype(float) ** LIFTED
    np.testing.assert_allclose(lifted(strength), exact, rtol=0, atol=1.1e-4)
    np.testing.assert_allclose(lifted(strength)[strength > 0.01], exact[strength > 0.01], rtol=0, atol=4e-7)
