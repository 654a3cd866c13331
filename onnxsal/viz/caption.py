"""A bar below a picture that says what it shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from onnxsal.viz.colour import Pixels
from onnxsal.viz.text import Line, fit_line, ink

PAPER, INK, PALE = (255, 255, 255), (24, 26, 31), (104, 110, 120)
_LEAST, _MOST = 15, 34


@dataclass(frozen=True)
class Caption:
    """What a bar says: ``title`` at the left, ``value`` (a score) at the right, ``detail`` small in a second line."""

    title: str
    value: str = ""
    detail: str = ""


def type_size(width: int) -> int:
    """Return the size of a caption's letters for a picture of that width. Units: pixels."""
    return max(_LEAST, min(_MOST, round(width * 0.042)))


def with_caption(image: Pixels, caption: Caption, *, size: int | None = None) -> Pixels:
    """Return the picture with a caption bar below it, uint8 [h + bar, w, 3].

    Text that is too long is set smaller, then shortened with an ellipsis; the value is always whole.
    """
    width = image.shape[1]
    letters = size or type_size(width)
    bar = caption_bar(caption, width, letters, margin=round(letters * 0.7))
    return np.vstack([image, bar])


def caption_bar(caption: Caption, width: int, letters: int, *, margin: int) -> Pixels:
    """Return the bar alone, uint8 [bar, width, 3]; ``letters`` is the size of the title, ``margin`` left and right."""
    small = max(11, round(letters * 0.74))
    lines = _lines(caption, width - 2 * margin, letters, small)
    height = round(letters * (1.9 if not caption.detail else 2.05) + (small * 1.25 if caption.detail else 0))
    image = Image.new("RGB", (width, height), PAPER)
    baseline = round(letters * 1.32)
    for line, colour, right, lower in lines:
        mask, left, top = ink(line, "rs" if right else "ls")
        image.paste(colour, ((width - margin if right else margin) + left, baseline + lower + top), mask)
    return np.asarray(image)


def _lines(
    caption: Caption, width: int, letters: int, small: int
) -> list[tuple[Line, tuple[int, int, int], bool, int]]:
    """Each line with its colour, whether it stands at the right, and how far below the first baseline."""
    value = fit_line(caption.value, width, letters)
    room = width - (value.width + letters if caption.value else 0)
    title = fit_line(caption.title, max(room, letters), letters)
    detail = fit_line(caption.detail, width, small)
    return [(title, INK, False, 0), (value, INK, True, 0), (detail, PALE, False, round(small * 1.45))]
