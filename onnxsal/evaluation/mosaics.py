"""Mosaics of four pictures of different classes: where a map should be is known, and nobody had to draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.evaluation.items import Item

SIDE = 2


@dataclass(frozen=True)
class Seen:
    """A picture as the model sees it, uint8 [H, W, 3], with the class that it predicts and how surely."""

    item: Item
    target: int
    probability: float


def grouped(seen: Sequence[Seen], confidence: float) -> list[list[Seen]]:
    """Return groups of four pictures of four classes, in order; what is less sure than ``confidence`` is left out."""
    waiting = [each for each in seen if each.probability >= confidence]
    groups: list[list[Seen]] = []
    while waiting:
        group = _distinct(waiting)
        if len(group) < SIDE * SIDE:
            break
        groups.append(group)
        taken = {each.item.name for each in group}
        waiting = [each for each in waiting if each.item.name not in taken]
    return groups


def _distinct(waiting: Sequence[Seen]) -> list[Seen]:
    first: dict[int, Seen] = {}
    for each in waiting:
        first.setdefault(each.target, each)
    return list(first.values())[: SIDE * SIDE]


def mosaic(images: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> Image.Image:
    """Return four pictures as one of ``size`` (height, width), scaled down, in rows of two."""
    whole = Image.new("RGB", (size[1], size[0]))
    for at, image in enumerate(images):
        left, top, right, bottom = bounds(at, size)
        scaled = Image.fromarray(image).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        whole.paste(scaled, (left, top))
    return whole


def bounds(at: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a cell."""
    row, column = divmod(at, SIDE)
    rows = [round(size[0] * share / SIDE) for share in (row, row + 1)]
    columns = [round(size[1] * share / SIDE) for share in (column, column + 1)]
    return columns[0], rows[0], columns[1], rows[1]


def cell(at: int, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where a cell is, [H, W]."""
    left, top, right, bottom = bounds(at, size)
    inside = np.zeros(size, np.bool_)
    inside[top:bottom, left:right] = True
    return inside
