"""Where the model's picture lies in the photograph, and the picture itself: crop, squash, pad and cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from onnxsal.modalities.image.opencv import linear

Fit: TypeAlias = Literal["crop", "squash", "pad", "cut"]
Resample: TypeAlias = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming", "opencv-linear"]
Rounding: TypeAlias = Literal["torchvision", "inwards"]
Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[float, float, float, float]

FITS: tuple[str, ...] = get_args(Fit)
RESAMPLES: tuple[str, ...] = get_args(Resample)
PILLOWS = RESAMPLES[:6]  # in the order of its numbers 0 to 5
ROUNDINGS: tuple[str, ...] = get_args(Rounding)
_LARGEST = 1 << 24


@dataclass(frozen=True)
class Placement:
    """The photograph scaled to ``scaled`` (width, height), and the model's picture at ``offset`` (left, top) in it."""

    photo: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]

    @property
    def box(self) -> Box:
        """Left, top, width, height of the model's picture in the photograph. Units: pixels of the photograph."""
        across, down = self.photo[0] / self.scaled[0], self.photo[1] / self.scaled[1]
        return self.offset[0] * across, self.offset[1] * down, self.size[0] * across, self.size[1] * down


@dataclass(frozen=True)
class Whole:
    """How sides and margins become whole pixels.

    Args:
        edge: what the shorter side is scaled to (crop), or both are (squash), in place of the share that stays. The
            model's picture may be larger than that.
        rounding: by default sides are rounded, of an ``edge`` the longer one cut off, and half a pixel of a margin lies
            behind the picture that is cropped, in front of one that is padded. ``torchvision`` cuts off the sides of
            squares, and rounds half a margin to even, or has it behind what is padded. ``inwards`` cuts off margins
            alone, as the classes of transformers do that run on torchvision.
    """

    edge: int | None = None
    rounding: Rounding | None = None

    def target(self, side: int, fraction: float) -> int:
        """Return what a side of the model's picture is of, where it is this share of the scaled photograph's."""
        if self.edge is not None:
            return self.edge
        return max(1, math.floor(side / fraction)) if self.rounding == "torchvision" else _whole(side / fraction)

    @property
    def cuts(self) -> bool:
        """Whether the longer side follows from the shorter one, cut off."""
        return self.edge is not None or self.rounding == "torchvision"

    def margin(self, spare: int) -> int:
        """Return how many pixels of those that are too many lie in front; what is missing is negative."""
        if self.rounding is None:
            return spare // 2
        return round(spare / 2) if self.rounding == "torchvision" and spare > 0 else int(spare / 2)


_PLAIN = Whole()


def place(photo: tuple[int, int], size: tuple[int, int], fit: Fit, fraction: float, whole: Whole = _PLAIN) -> Placement:
    """Return where a model's picture lies in a photograph; both sizes are (width, height).

    crop: scaled until the picture covers ``fraction`` of the tighter side, then the centre. squash: both sides scaled
    on their own, then the centre ``fraction``. pad: scaled until all of the photograph fits, then the centre
    ``fraction``. cut: not scaled, the centre. A photograph of the model's own size stays as it is.
    """
    if photo == size:
        return Placement(photo, photo, (0, 0), size)
    scaled = photo if fit == "cut" else _scaled(photo, fit, whole, [whole.target(side, fraction) for side in size])
    left, top = (whole.margin(have - want) for have, want in zip(scaled, size, strict=True))
    return Placement(photo, scaled, (left, top), size)


def _scaled(photo: tuple[int, int], fit: Fit, whole: Whole, target: Sequence[int]) -> tuple[int, int]:
    across, down = target
    if fit == "squash":
        return across, down
    if fit == "crop" and whole.cuts and across == down:
        return _cut_off(photo, across)
    ratio = (max if fit == "crop" else min)(across / photo[0], down / photo[1])
    return _whole(photo[0] * ratio), _whole(photo[1] * ratio)


def _cut_off(photo: tuple[int, int], edge: int) -> tuple[int, int]:
    """The longer side is cut off to whole pixels, as torchvision and transformers do."""
    short, long = min(photo), max(edge, edge * max(photo) // min(photo))
    return (edge, long) if photo[0] == short else (long, edge)


def _whole(side: float) -> int:
    # 224 / 0.875 / 320 * 320 is not exactly 256: the inner rounding keeps such a side from tipping over.
    return max(1, round(round(side, 6)))


def draw(image: Image.Image, placement: Placement, resample: Resample, padding: Colour | float) -> Image.Image:
    """Return the model's picture; what lies outside the photograph has the colour ``padding``.

    Args: image: in mode RGB, or one plane of floats, whose padding is one level.
    """
    if placement.scaled == placement.photo == placement.size:
        return image
    (left, top), (width, height) = placement.offset, placement.size
    is_scaled = placement.scaled != placement.photo
    if is_scaled and resample not in PILLOWS:
        return _between(image, placement, padding)
    how = Image.Resampling(PILLOWS.index(resample)) if is_scaled else Image.Resampling.NEAREST
    # Of an odd margin nothing may lie in front: sides say whether the photograph covers the picture, not the offset.
    covers = placement.scaled[0] >= width and placement.scaled[1] >= height
    if is_scaled and placement.scaled[0] * placement.scaled[1] > _LARGEST and covers:
        return _strip(image, placement, how)
    scaled = image.resize(placement.scaled, how) if is_scaled else image
    if not covers:
        padded = Image.new(image.mode, placement.size, padding)
        padded.paste(scaled, (-left, -top))
        return padded
    return scaled.crop((left, top, left + width, top + height))


def seen_through(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """Return what lies in a box of a picture at another size (width, height): pixels are means of what they cover."""
    left, top, width, height = box
    return image.resize(size, Image.Resampling.BOX, (left, top, left + width, top + height))


def _between(image: Image.Image, placement: Placement, padding: Colour | float) -> Image.Image:
    """The model's picture as OpenCV resizes it, of the part alone that lies in it."""
    (left, top), (width, height), (whole, tall) = placement.offset, placement.size, placement.scaled
    seen = max(left, 0), max(top, 0), min(left + width, whole), min(top + height, tall)
    scaled = Image.fromarray(linear(np.asarray(image), placement.scaled, seen))
    if scaled.size == placement.size:
        return scaled
    padded = Image.new(image.mode, placement.size, padding)
    padded.paste(scaled, (seen[0] - left, seen[1] - top))
    return padded


def _strip(image: Image.Image, placement: Placement, how: Image.Resampling) -> Image.Image:
    """A long strip would take gigabytes when scaled whole: resize its box alone, the same to one level in 255."""
    left, top, width, height = placement.box
    right, bottom = min(left + width, image.width), min(top + height, image.height)
    return image.resize(placement.size, how, box=(left, top, right, bottom))
