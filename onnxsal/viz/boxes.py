"""Boxes on a photograph: outlined and numbered, with a legend of names and scores below; one box over a map. With them
what else is told of an object: its mask, its keypoints, the corners of a box that is turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from onnxsal.viz.caption import type_size
from onnxsal.viz.colour import Pixels
from onnxsal.viz.overlay import Box as Frame
from onnxsal.viz.overlay import for_display
from onnxsal.viz.regions import COLOURS, Colour, Mask, badge, edges, legend

Sides = Sequence[float]
Points = Sequence[Sequence[float]]
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)
_TINT, _VISIBLE = 0.4, 0.5
"""How strong a mask's colour is; how sure it is from which on that a keypoint is visible."""


@dataclass(frozen=True)
class DrawnBox:
    """A box to draw: left, top, right, bottom in pixels of the photograph, its name, and what stands behind that.

    Args:
        corners: of a box that is turned, in place of its sides.
        points: keypoints: x, y and, where it is known, how sure it is that each is visible. Those that are not are
            rings. bones: pairs of them to draw a line between.
        mask: a column and a row of the photograph, and which pixels from there on are of the object, bool [h, w].
    """

    box: Sides
    name: str
    detail: str = ""
    corners: Points | None = None
    points: Points = ()
    bones: Sequence[tuple[int, int]] = ()
    mask: tuple[int, int, Mask] | None = None


def draw_boxes(photo: Pixels, boxes: Sequence[DrawnBox]) -> Pixels:
    """Return the photograph with boxes on it and a legend below, uint8 [h, w, 3].

    Each has a line that shows on dark and light, and the number of its row in the legend at its upper left corner. The
    first lies on top. Masks are tinted, and have a line of their own round them.
    """
    whole = (0.0, 0.0, float(photo.shape[1]), float(photo.shape[0]))
    shown, at = for_display(photo, whole)
    order = list(reversed(range(len(boxes))))
    for number in order:
        shown = _tinted(shown, boxes[number], COLOURS[number % len(COLOURS)], photo.shape)
    canvas = Image.fromarray(shown)
    draw, letters = ImageDraw.Draw(canvas), type_size(shown.shape[1])
    placed = [_scaled(each, at, photo) for each in boxes]
    for number in order:
        mark(draw, placed[number], COLOURS[number % len(COLOURS)], shown.shape)
    for number in order:
        badge(draw, _first(placed[number]), number, letters)
    return np.vstack([np.asarray(canvas), legend(boxes, shown.shape[1], "nothing is detected")])


def _first(box: DrawnBox) -> tuple[float, float]:
    x, y = (box.corners or [box.box[:2]])[0]
    return x, y


def _scaled(each: DrawnBox, at: Frame, photo: Pixels) -> DrawnBox:
    """Return a box in pixels of what is shown, of a photograph that fills ``at`` there."""
    x, y = at[2] / photo.shape[1], at[3] / photo.shape[0]

    def moved(points: Points) -> list[tuple[float, ...]]:
        return [(at[0] + p[0] * x, at[1] + p[1] * y, *p[2:]) for p in points]

    (left, top), (right, bottom) = moved([each.box[:2], each.box[2:]])
    corners = None if each.corners is None else moved(each.corners)
    return DrawnBox((left, top, right, bottom), each.name, each.detail, corners, moved(each.points), each.bones)


def _tinted(shown: Pixels, each: DrawnBox, colour: Colour, photo: tuple[int, ...]) -> Pixels:
    """Return what is shown with a mask of the photograph over it: each of its pixels takes the one under its middle."""
    if each.mask is None:
        return shown
    left, top, mask = each.mask
    ends = zip((top, left), mask.shape, shown.shape[:2], photo[:2], strict=True)
    rows, columns = (_under(start, count, size, whole) for start, count, size, whole in ends)
    inside = np.zeros(shown.shape[:2], bool)
    inside[np.ix_(rows[0], columns[0])] = mask[np.ix_(rows[1], columns[1])]
    line, outer = edges(inside, max(1, round(max(shown.shape[:2]) / 400)))
    mixed = shown.astype(np.float32)
    mixed[inside] += (np.asarray(colour, np.float32) - mixed[inside]) * _TINT
    mixed[outer] = _DARK
    mixed[line] = colour
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def _under(start: int, count: int, size: int, whole: int) -> tuple[Any, Any]:
    """Return which of the shown rows lie on some of the photograph's, and on which of these each does."""
    place = np.floor((np.arange(size) + 0.5) * whole / size).astype(np.intp) - start
    shown = np.flatnonzero((place >= 0) & (place < count))
    return shown, place[shown]


def mark(draw: ImageDraw.ImageDraw, each: DrawnBox, colour: Colour, shape: tuple[int, ...]) -> None:
    """Draw a box's line, turned where it is, and its keypoints."""
    if each.corners is None:
        outline(draw, each.box, colour, shape)
    else:
        _turned(draw, each.corners, colour, shape)
    wide = _wide(shape)
    for one, other in each.bones:
        ends = [each.points[i][:2] for i in (one, other) if i < len(each.points)]
        if len(ends) > 1:
            _line(draw, [*ends[0], *ends[1]], colour, wide)
    for point in each.points:
        dot(draw, point, colour, wide + 2)


def dot(draw: ImageDraw.ImageDraw, point: Sequence[float], colour: Colour, radius: float) -> None:
    """Draw a keypoint: a disc in a dark line; a ring where it is not visible."""
    x, y = point[:2]
    seen = len(point) < 3 or point[2] >= _VISIBLE
    draw.ellipse((x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1), outline=_DARK, width=3)
    draw.ellipse(
        (x - radius, y - radius, x + radius, y + radius), fill=colour if seen else None, outline=colour, width=1
    )


def _turned(draw: ImageDraw.ImageDraw, corners: Points, colour: Colour, shape: tuple[int, ...]) -> None:
    _line(draw, [n for p in (*corners, *corners[:2]) for n in p[:2]], colour, _wide(shape))


def _line(draw: ImageDraw.ImageDraw, places: Sequence[float], colour: Colour, wide: int) -> None:
    draw.line(list(places), fill=_DARK, width=wide + 2, joint="curve")
    draw.line(list(places), fill=colour, width=wide, joint="curve")


def _wide(shape: tuple[int, ...]) -> int:
    return max(2, round(max(shape[:2]) / 300))


def outline(draw: ImageDraw.ImageDraw, box: Sides, colour: Colour, shape: tuple[int, ...]) -> None:
    """Draw a box's line, inside a dark one; what hangs over the picture is cut off."""
    height, width = shape[:2]
    wide = _wide(shape)
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = max(min(box[2], width - 1), left), max(min(box[3], height - 1), top)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_DARK, width=wide + 2)
    draw.rectangle((left, top, right, bottom), outline=colour, width=wide)


def boxed(
    image: Pixels, box: Sides, corners: Points | None = None, points: Points = (), mask: Mask | None = None
) -> Pixels:
    """Return a picture with one box on it, its line light in dark, uint8 [h, w, 3]; in the picture's own pixels.

    Args: corners, points: as of a ``DrawnBox``. mask: the object's pixels, bool of any size; their edge is drawn.
    """
    drawn = image if mask is None else _edged(image, mask)
    canvas = Image.fromarray(drawn)
    mark(ImageDraw.Draw(canvas), DrawnBox(box, "", corners=corners, points=points), _LIGHT, image.shape)
    return np.asarray(canvas)


def boxed_in_view(shown: Pixels, box: Sides, view: Frame) -> Pixels:
    """Return a model's picture with a box of the photograph on it, uint8 [h, w, 3].

    Args: shown: the picture, at any size. view: left, top, width and height of what it shows of the photograph.
    """
    left, top, width, height = view
    x, y = shown.shape[1] / width, shown.shape[0] / height
    return boxed(shown, [(box[0] - left) * x, (box[1] - top) * y, (box[2] - left) * x, (box[3] - top) * y])


def outlined(photo: Pixels, common: Sequence[Sides], alone: Sequence[Sides], one: Colour, two: Colour) -> Pixels:
    """Return the photograph with boxes of two kinds on it, each kind in a colour, uint8 [h, w, 3]."""
    shown, at = for_display(photo, (0.0, 0.0, float(photo.shape[1]), float(photo.shape[0])))
    canvas = Image.fromarray(shown)
    draw = ImageDraw.Draw(canvas)
    for boxes, colour in ((common, one), (alone, two)):
        for box in boxes:
            outline(draw, _scaled(DrawnBox(box, ""), at, photo).box, colour, shown.shape)
    return np.asarray(canvas)


def _edged(image: Pixels, mask: Mask) -> Pixels:
    rows, columns = (_under(0, a, b, a)[1] for a, b in zip(mask.shape, image.shape[:2], strict=True))
    line, outer = edges(mask[np.ix_(rows, columns)], _wide(image.shape) - 1)
    drawn = image.copy()
    drawn[outer], drawn[line] = _DARK, _LIGHT
    return drawn


__all__ = ["DrawnBox", "boxed", "draw_boxes", "outlined"]
