"""OpenCV's INTER_LINEAR: the bytes of cv2.resize itself, parts of a picture, and levels that are not rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from onnxsal.modalities.image.fit import draw, place
from onnxsal.modalities.image.opencv import linear

PHOTO = (np.arange(7 * 9 * 3).reshape(7, 9, 3) * 7919 % 256).astype(np.uint8)

# cv2.resize(photo, size).tobytes().hex() of opencv-python 5.0.0, and of 4.12.0 just so; x86.
THEIRS: dict[str, tuple[NDArray[np.uint8], tuple[int, int], str]] = {
    "smaller": (PHOTO, (4, 3), ("39b2a190806f287766ab9a897f6e5d0cdbca9a897827766565cab98877662ab9a8a29180")),
    "larger, one channel": (
        PHOTO[:, :, 0],
        (11, 8),
        (
            "0095b1875e340a83b78d682b297db2895f352a70b89359343671b78d643a3566c18863393870bc92683f3360b691673e"
            "2e7aac966d431e95aa966c42197fa89b714d1385ae9a70471d78afa07b3e197bc59c72481e69cba6"
        ),
    ),
    "half": (PHOTO[:6, :8], (4, 3), ("41b09f9b8a793564538fbead6b5a4945b4a39f8e7d39685795c4b36f5e4d49b8a7a39281")),
}


@pytest.mark.parametrize("name", THEIRS)
def test_bytes_are_those_of_opencv(name: str) -> None:
    photo, size, theirs = THEIRS[name]
    found = linear(photo, size, (0, 0, *size))
    assert found.dtype == np.uint8
    assert found.shape == (size[1], size[0], *photo.shape[2:])
    assert found.tobytes().hex() == theirs
    for left, top, right, bottom in ((1, 0, 3, 2), (0, 2, size[0], 3)):
        part = found[top:bottom, left:right]
        np.testing.assert_array_equal(linear(photo, size, (left, top, right, bottom)), part)


def test_levels_lie_between_their_four_neighbours() -> None:
    """A slope keeps its numbers between the outermost middles, and the outermost beyond them; bytes are off by one."""
    rows, columns = np.mgrid[:6, :10].astype(np.float32)
    slope = 20 * rows + 7 * columns
    for size in ((3, 4), (25, 18)):
        found = linear(slope, size, (0, 0, *size))
        x = np.clip((np.arange(size[0]) + 0.5) * 10 / size[0] - 0.5, 0, 9)
        y = np.clip((np.arange(size[1]) + 0.5) * 6 / size[1] - 0.5, 0, 5)
        np.testing.assert_allclose(found, 20 * y[:, None] + 7 * x, rtol=1e-5, atol=1e-4)
        whole = linear(slope.astype(np.uint8), size, (0, 0, *size))
        assert np.abs(whole - found).max() <= 1


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_only_what_is_seen_is_made(fit: Any) -> None:
    photo = Image.fromarray(PHOTO)
    placement = place(photo.size, (5, 4), fit, 0.8)
    whole, left, top = linear(PHOTO, placement.scaled, (0, 0, *placement.scaled)), *placement.offset
    wanted = np.full((4, 5, 3), 114, np.uint8)
    rows, columns = np.mgrid[:4, :5]
    inside = (
        (rows + top >= 0) & (rows + top < whole.shape[0]) & (columns + left >= 0) & (columns + left < whole.shape[1])
    )
    wanted[inside] = whole[(rows + top)[inside], (columns + left)[inside]]
    np.testing.assert_array_equal(np.asarray(draw(photo, placement, "opencv-linear", (114,) * 3)), wanted)


def test_a_strip_that_would_fill_the_memory_is_made_in_part() -> None:
    strip = Image.new("RGB", (400_000, 4))
    strip.paste((200, 100, 50), (199_990, 0, 200_010, 4))
    placement = place(strip.size, (224, 224), "crop", 0.875)
    assert draw(strip, placement, "opencv-linear", (0, 0, 0)).getpixel((112, 112)) == (200, 100, 50)
