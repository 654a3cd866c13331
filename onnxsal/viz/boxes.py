"""Boxes on a photograph: outlined and numbered, with a legend of names and scores below; one box over a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from onnxsal.viz.caption import type_size
from onnxsal.viz.colour import Pixels
from onnxsal.viz.overlay import Box as Frame
from onnxsal.viz.overlay import for_display
from onnxsal.viz.regions import COLOURS, badge, legend

Sides = Sequence[float]
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)


@dataclass(frozen=True)
class DrawnBox:
    """A box to draw: left, top, right, bottom in pixels of the photograph, its name, and what stands behind that."""

    box: Sides
    name: str
    detail: str = ""


def draw_boxes(photo: Pixels, boxes: Sequence[DrawnBox]) -> Pixels:
    """Return the photograph with boxes on it and a legend below, uint8 [h, w, 3].

    Each has a line that shows on dark and light, and the number of its row in the legend at its upper left corner. The
    first lies on top.
    """
    whole = (0.0, 0.0, float(photo.shape[1]), float(photo.shape[0]))
    shown, at = for_display(photo, whole)
    canvas = Image.fromarray(shown)
    draw, letters = ImageDraw.Draw(canvas), type_size(shown.shape[1])
    placed = [_placed(each.box, at, photo) for each in boxes]
    for number in reversed(range(len(boxes))):
        outline(draw, placed[number], COLOURS[number % len(COLOURS)], shown.shape)
    for number in reversed(range(len(boxes))):
        badge(draw, (placed[number][0], placed[number][1]), number, letters)
    return np.vstack([np.asarray(canvas), legend(boxes, shown.shape[1], "nothing is detected")])


def _placed(box: Sides, at: Frame, photo: Pixels) -> tuple[float, float, float, float]:
    """Return a box in pixels of what is shown, of a photograph that fills ``at`` there."""
    x, y = at[2] / photo.shape[1], at[3] / photo.shape[0]
    return at[0] + box[0] * x, at[1] + box[1] * y, at[0] + box[2] * x, at[1] + box[3] * y


def outline(draw: ImageDraw.ImageDraw, box: Sides, colour: tuple[int, int, int], shape: tuple[int, ...]) -> None:
    """Draw a box's line, inside a dark one; what hangs over the picture is cut off."""
    height, width = shape[:2]
    wide = max(2, round(max(height, width) / 300))
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = max(min(box[2], width - 1), left), max(min(box[3], height - 1), top)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_DARK, width=wide + 2)
    draw.rectangle((left, top, right, bottom), outline=colour, width=wide)


def boxed(image: Pixels, box: Sides) -> Pixels:
    """Return a picture with one box on it, its line light in dark, uint8 [h, w, 3]; in the picture's own pixels."""
    canvas = Image.fromarray(image)
    outline(ImageDraw.Draw(canvas), box, _LIGHT, image.shape)
    return np.asarray(canvas)


def boxed_in_view(shown: Pixels, box: Sides, view: Frame) -> Pixels:
    """Return a model's picture with a box of the photograph on it, uint8 [h, w, 3].

    Args: shown: the picture, at any size. view: left, top, width and height of what it shows of the photograph.
    """
    left, top, width, height = view
    x, y = shown.shape[1] / width, shown.shape[0] / height
    return boxed(shown, [(box[0] - left) * x, (box[1] - top) * y, (box[2] - left) * x, (box[3] - top) * y])


def outlined(
    photo: Pixels, common: Sequence[Sides], alone: Sequence[Sides], one: tuple[int, int, int], two: tuple[int, int, int]
) -> Pixels:
    """Return the photograph with boxes of two kinds on it, each kind in a colour, uint8 [h, w, 3]."""
    shown, at = for_display(photo, (0.0, 0.0, float(photo.shape[1]), float(photo.shape[0])))
    canvas = Image.fromarray(shown)
    draw = ImageDraw.Draw(canvas)
    for boxes, colour in ((common, one), (alone, two)):
        for box in boxes:
            outline(draw, _placed(box, at, photo), colour, shown.shape)
    return np.asarray(canvas)
