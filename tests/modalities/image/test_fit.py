"""Where the model's picture lies in the photograph: closed forms, and pixels that say where they are from."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from onnxsal.modalities.image.fit import draw, place, seen_through


def test_crop_shows_the_stated_share_of_the_short_side() -> None:
    placement = place((640, 320), (224, 224), "crop", 0.875)
    assert placement.scaled == (512, 256)
    assert placement.box == (180.0, 20.0, 280.0, 280.0)


def test_crop_to_another_shape_is_bound_by_the_tighter_side() -> None:
    placement = place((400, 400), (200, 100), "crop", 1.0)
    assert placement.scaled == (200, 200)
    assert placement.box == (0.0, 100.0, 400.0, 200.0)


def test_squash_takes_all_of_the_photograph_or_its_centre() -> None:
    assert place((640, 320), (224, 224), "squash", 1.0).box == (0.0, 0.0, 640.0, 320.0)
    assert place((640, 320), (224, 224), "squash", 0.875).box == (40.0, 20.0, 560.0, 280.0)


def test_pad_lies_around_the_photograph() -> None:
    placement = place((200, 100), (100, 100), "pad", 1.0)
    assert placement.scaled == (100, 50)
    assert placement.box == (0.0, -50.0, 200.0, 200.0)
    image = np.asarray(draw(Image.new("RGB", (200, 100), (9, 8, 7)), placement, "bilinear", (1, 2, 3)))
    assert (image[25:75] == (9, 8, 7)).all()
    assert (image[:25] == (1, 2, 3)).all()
    assert (image[75:] == (1, 2, 3)).all()


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_a_picture_of_the_models_size_is_not_resized(fit: str) -> None:
    image = Image.effect_noise((30, 20), 80).convert("RGB")
    placement = place((30, 20), (30, 20), fit, 0.5)  # type: ignore[arg-type]
    assert placement.box == (0.0, 0.0, 30.0, 20.0)
    assert draw(image, placement, "bilinear", (0, 0, 0)) is image


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(24, 24), (40, 16), (16, 40)])
def test_pixels_come_from_where_the_box_says(fit: str, size: tuple[int, int]) -> None:
    """On a ramp, bilinear resizing keeps the ramp: each pixel names its own place in the photograph."""
    across, down = np.meshgrid(np.arange(120) * 2.0, np.arange(90) * 2.0)
    ramp = Image.fromarray(np.dstack([across, down, across * 0]).astype(np.uint8))
    placement = place(ramp.size, size, fit, 0.8)  # type: ignore[arg-type]
    left, top, width, height = placement.box
    image = np.asarray(draw(ramp, placement, "bilinear", (255, 255, 255))).astype(float)
    column = (left + (np.arange(size[0]) + 0.5) * width / size[0] - 0.5) * 2
    row = (top + (np.arange(size[1]) + 0.5) * height / size[1] - 0.5) * 2
    inside = slice(size[1] // 2 - 3, size[1] // 2 + 3), slice(size[0] // 2 - 3, size[0] // 2 + 3)
    np.testing.assert_allclose(image[inside][..., 0], np.broadcast_to(column, size[::-1])[inside], atol=1)
    np.testing.assert_allclose(image[inside][..., 1], np.broadcast_to(row[:, None], size[::-1])[inside], atol=1)


def test_a_long_strip_is_cropped_without_scaling_it_whole() -> None:
    strip = Image.new("RGB", (400_000, 4))
    strip.paste((200, 100, 50), (199_990, 0, 200_010, 4))
    placement = place(strip.size, (224, 224), "crop", 0.875)
    assert placement.scaled[0] * placement.scaled[1] > 10**9
    assert draw(strip, placement, "bilinear", (0, 0, 0)).getpixel((112, 112)) == (200, 100, 50)


def test_no_side_vanishes_when_padding_a_strip() -> None:
    assert place((5000, 2), (100, 100), "pad", 1.0).scaled == (100, 1)


def test_what_is_seen_through_a_box_is_the_mean_of_what_each_pixel_covers() -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 20)).astype(np.uint8)
    seen = np.asarray(seen_through(Image.fromarray(values), (4.0, 3.0, 12.0, 9.0), (4, 3))).astype(float)
    means = values[3:12, 4:16].reshape(3, 3, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(seen, means, atol=1)  # rounded once along each side
