"""Where the model's picture lies in the photograph, and the picture itself: crop, squash, pad and cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from PIL import Image

Fit: TypeAlias = Literal["crop", "squash", "pad", "cut"]
Resample: TypeAlias = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[float, float, float, float]

FITS: tuple[str, ...] = get_args(Fit)
RESAMPLES: tuple[str, ...] = get_args(Resample)  # in the order of Pillow's numbers 0 to 5
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


def place(
    photo: tuple[int, int], size: tuple[int, int], fit: Fit, fraction: float, edge: int | None = None
) -> Placement:
    """Return where a model's picture lies in a photograph; both sizes are (width, height).

    crop: scaled until the picture covers ``fraction`` of the tighter side, then the centre. squash: both sides scaled
    on their own, then the centre ``fraction``. pad: scaled until all of the photograph fits. cut: not scaled, the
    centre. A photograph of the model's own size stays as it is.

    Args: edge: in place of ``fraction`` what the shorter side is scaled to (crop), or both are (squash). The picture
        may be larger than that.
    """
    if photo == size:
        return Placement(photo, photo, (0, 0), size)
    scaled = _scaled(photo, size, fit, fraction) if edge is None else _to_edge(photo, fit, edge)
    left, top = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    return Placement(photo, scaled, (left, top), size)


def _scaled(photo: tuple[int, int], size: tuple[int, int], fit: Fit, fraction: float) -> tuple[int, int]:
    if fit == "cut":
        return photo
    across, down = _whole(size[0] / fraction) / photo[0], _whole(size[1] / fraction) / photo[1]
    if fit == "crop":
        across = down = max(across, down)
    if fit == "pad":
        across = down = min(size[0] / photo[0], size[1] / photo[1])
    return _whole(photo[0] * across), _whole(photo[1] * down)


def _to_edge(photo: tuple[int, int], fit: Fit, edge: int) -> tuple[int, int]:
    """The longer side is cut off to whole pixels, as torchvision and transformers do."""
    if fit == "squash":
        return edge, edge
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
    how = Image.Resampling(RESAMPLES.index(resample))
    (left, top), (width, height) = placement.offset, placement.size
    is_scaled = placement.scaled != placement.photo
    if is_scaled and placement.scaled[0] * placement.scaled[1] > _LARGEST and min(left, top) >= 0:
        return _strip(image, placement, how)
    scaled = image.resize(placement.scaled, how) if is_scaled else image
    if min(left, top) < 0:
        padded = Image.new(image.mode, placement.size, padding)
        padded.paste(scaled, (-left, -top))
        return padded
    return scaled.crop((left, top, left + width, top + height))


def seen_through(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """Return what lies in a box of a picture at another size (width, height): pixels are means of what they cover."""
    left, top, width, height = box
    return image.resize(size, Image.Resampling.BOX, (left, top, left + width, top + height))


def _strip(image: Image.Image, placement: Placement, how: Image.Resampling) -> Image.Image:
    """A long strip would take gigabytes when scaled whole: resize its box alone, the same to one level in 255."""
    left, top, width, height = placement.box
    right, bottom = min(left + width, image.width), min(top + height, image.height)
    return image.resize(placement.size, how, box=(left, top, right, bottom))
