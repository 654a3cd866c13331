"""Regions of classes on a photograph: tinted, outlined and numbered, with a legend of names and shares below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from onnxsal.errors import UsageError
from onnxsal.viz.caption import INK, PALE, PAPER, type_size
from onnxsal.viz.colour import Pixels
from onnxsal.viz.overlay import Box, for_display
from onnxsal.viz.text import fit_line

Mask = NDArray[np.bool_]
Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
                               (213, 94, 0), (204, 121, 167))  # fmt: skip
"""Told apart with any kind of colour vision (Okabe & Ito 2008); of more regions the next seven are striped."""

_TINT, _UNSEEN, _FADE = 0.5, 0.45, 0.35
_STRIPE = 14
"""Pixels from one stripe to the next."""

_FEW = 7
"""Rows of the legend in large letters."""


class Named(Protocol):
    """What a legend has a row for."""

    @property
    def name(self) -> str: ...
    @property
    def detail(self) -> str: ...


@dataclass(frozen=True)
class Drawn:
    """A region to draw: positions over the model's picture, bool [h, w], its name, and what stands behind that."""

    mask: Mask
    name: str
    detail: str = ""


def draw_regions(photo: Pixels, regions: Sequence[Drawn], box: Box | None = None) -> Pixels:
    """Return the photograph with regions on it and a legend below, uint8 [h, w, 3].

    Each is tinted, has a line round it that shows on dark and light, and the number of its row in the legend where it
    is broadest, so that no colour has to be told from another. Smaller regions lie on larger ones. What the model did
    not see of the photograph is dark.

    Args:
        regions: in the order of the legend.
        box: left, top, width, height of the model's picture in pixels of the photograph; by default all of it.
    Raises: UsageError: a mask is not bool [h, w].
    """
    for each in regions:
        if each.mask.ndim != 2 or each.mask.dtype != np.bool_:
            raise UsageError(f"a region's mask is bool [h, w]; got {each.mask.dtype} {list(each.mask.shape)}")
    shown, at = for_display(photo, box)
    spread = [_spread(each.mask, at, shown.shape[:2]) for each in regions]
    drawn = _tinted(shown, spread, _spread(np.ones((1, 1), bool), at, shown.shape[:2]))
    numbered = _numbered(drawn, spread)
    return np.vstack([numbered, legend(regions, shown.shape[1], "no region")])


def _spread(mask: Mask, box: Box, shape: tuple[int, ...]) -> Mask:
    """Return a mask on the photograph's pixels: each takes the position under its middle."""
    left, top, width, height = box
    y = np.floor((np.arange(shape[0]) + 0.5 - top) / height * mask.shape[0]).astype(np.intp)
    x = np.floor((np.arange(shape[1]) + 0.5 - left) / width * mask.shape[1]).astype(np.intp)
    inside = ((y >= 0) & (y < mask.shape[0]))[:, None] & ((x >= 0) & (x < mask.shape[1]))[None]
    found: Mask = mask[y.clip(0, mask.shape[0] - 1)[:, None], x.clip(0, mask.shape[1] - 1)[None]] & inside
    return found


def _tinted(photo: Pixels, masks: Sequence[Mask], seen: Mask) -> Pixels:
    exact = photo.astype(np.float32)
    grey = exact.mean(axis=2, keepdims=True)
    mixed = np.where(seen[..., None], exact + (grey - exact) * _FADE, grey * _UNSEEN)
    order = _largest_first(masks)
    for at in order:
        tint = np.asarray(COLOURS[at % len(COLOURS)], np.float32)
        strength = _TINT * _pattern(at // len(COLOURS), photo.shape[:2]) * masks[at]
        mixed = mixed + (tint - mixed) * strength[..., None]
    width = max(1, round(max(photo.shape[:2]) / 400))
    for at in order:
        inner, outer = edges(masks[at], width)
        mixed[outer] = (20, 20, 20)
        mixed[inner] = COLOURS[at % len(COLOURS)]
    drawn: Pixels = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return drawn


def _largest_first(masks: Sequence[Mask]) -> list[int]:
    return sorted(range(len(masks)), key=lambda at: -int(masks[at].sum()))


def _pattern(turn: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return how strong the tint is: even for the first colours, in stripes of another slope for the next."""
    if turn == 0:
        return np.ones(shape, np.float32)
    y, x = np.indices(shape)
    slope = (x + y, x - y, x, y)[(turn - 1) % 4]
    return np.where(slope % _STRIPE < _STRIPE // 2, 1.3, 0.25).astype(np.float32)


def edges(mask: Mask, width: int) -> tuple[Mask, Mask]:
    """Return the line along a region's edge, inside of it, and a dark one round that."""
    return mask & ~_shrunk(mask, width), ~mask & ~_shrunk(~mask, width)


def _shrunk(mask: Mask, by: int) -> Mask:
    """Return the pixels whose neighbours up to so far, and along the picture's edge itself, are in a mask."""
    for _ in range(by):
        near = np.pad(mask, 1, mode="edge")
        mask = mask & near[:-2, 1:-1] & near[2:, 1:-1] & near[1:-1, :-2] & near[1:-1, 2:]
    return mask


def _numbered(image: Pixels, masks: Sequence[Mask]) -> Pixels:
    canvas = Image.fromarray(image)
    draw, letters = ImageDraw.Draw(canvas), type_size(image.shape[1])
    top = _on_top(masks)
    for at, mask in enumerate(masks):
        if mask.any():
            y, x = _broadest(mask & (top == at) if (mask & (top == at)).any() else mask)
            badge(draw, (x, y), at, letters)
    return np.asarray(canvas)


def _on_top(masks: Sequence[Mask]) -> NDArray[np.intp]:
    """Return which region is seen at each pixel: the smallest."""
    found = np.full(masks[0].shape if masks else (1, 1), -1, np.intp)
    for at in _largest_first(masks):
        found[masks[at]] = at
    return found


def _broadest(mask: Mask) -> tuple[int, int]:
    """Return a pixel (y, x) of a mask that is far from its edge: the last that is left as it shrinks."""
    step = max(1, max(mask.shape) // 160)
    coarse = mask[::step, ::step]
    coarse, step = (coarse, step) if coarse.any() else (mask, 1)
    padded = np.pad(coarse, 1)
    while (left := _shrunk(padded, 1)).any():
        padded = left
    ys, xs = np.nonzero(padded)
    middle = int(np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2))
    return (int(ys[middle]) - 1) * step, (int(xs[middle]) - 1) * step


def badge(draw: ImageDraw.ImageDraw, at: tuple[float, float], number: int, letters: int) -> None:
    """Draw a number on a disc of its colour, moved into the picture where it would hang over."""
    size = round(letters * 0.78)
    line = fit_line(str(number + 1), 1e9, size)
    radius = max(line.width, size) * 0.5 + size * 0.28
    width, height = draw.im.size
    x, y = (min(max(n, radius + 1), side - radius - 1) for n, side in zip(at, (width, height), strict=True))
    colour = COLOURS[number % len(COLOURS)]
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=(20, 20, 20), width=2)
    draw.text((x, y), line.text, font=line.font, fill=_ink_on(colour), anchor="mm")


def _ink_on(colour: Colour) -> Colour:
    return INK if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 120 else PAPER


@dataclass(frozen=True)
class _Row:
    """Where a row of the legend begins, its room, and the size of its letters, in pixels."""

    x: float
    y: float
    room: float
    letters: int


def legend(regions: Sequence[Named], width: int, nothing: str) -> Pixels:
    """Return a row a region, in as many columns as fit: number on its colour, name, detail; ``nothing`` of none."""
    letters = type_size(width) if len(regions) <= _FEW else round(type_size(width) * 0.72)
    high, margin = round(letters * 1.75), round(letters * 0.7)
    entries: list[Named] = list(regions) or [Drawn(np.zeros((1, 1), bool), nothing)]
    wide = max(fit_line(f"{each.name} {each.detail}", 1e9, letters).width for each in entries) + 3.5 * letters
    columns = max(1, min(len(entries), int((width - margin) // wide)))
    rows, across = -(-len(entries) // columns), (width - margin) // columns
    canvas = Image.new("RGB", (width, rows * high + margin), PAPER)
    for at, each in enumerate(entries):
        x, y = margin + (at // rows) * across, margin // 2 + (at % rows) * high + high // 2
        row = _Row(x, y, across - 2.5 * letters - margin, letters)
        _entry(ImageDraw.Draw(canvas), row, each, at if regions else None)
    return np.asarray(canvas)


def _entry(draw: ImageDraw.ImageDraw, row: _Row, each: Named, number: int | None) -> None:
    x = row.x
    if number is not None:
        badge(draw, (x + row.letters * 0.75, row.y), number, round(row.letters * 0.95))
        x += row.letters * 2
    behind = fit_line(each.detail, row.room, row.letters)
    line = fit_line(each.name, max(row.letters * 3, row.room - behind.width - row.letters), row.letters)
    draw.text((x, row.y), line.text, INK, line.font, "lm")
    draw.text((x + line.width + row.letters * 0.6, row.y), behind.text, PALE, behind.font, "lm")
