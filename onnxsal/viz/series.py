"""Channels over time as a picture: a row for each, to be drawn over with a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from onnxsal.viz.caption import INK, PALE, PAPER
from onnxsal.viz.colour import Pixels
from onnxsal.viz.text import fit_line

_WIDTH, _ROW, _LEAST, _MARGIN, _LETTERS = 960, 48, 240, 0.12, 14


def series(values: NDArray[np.floating], names: Sequence[str] | None = None) -> Pixels:
    """Return a picture, uint8 [h, w, 3], of values [C, T]: time from left to right over its width, a row a channel.

    Each row has a scale of its own; one that is constant is a line in the middle. Its name stands at its upper left.
    """
    rows = max(_ROW, -(-_LEAST // len(values)))
    image = Image.new("RGB", (_WIDTH, rows * len(values)), PAPER)
    pen = ImageDraw.Draw(image)
    x = (np.arange(values.shape[1]) + 0.5) * _WIDTH / values.shape[1]
    for number, row in enumerate(np.asarray(values, np.float64)):
        low, span = float(row.min()), float(np.ptp(row))
        share = np.full(len(row), 0.5) if span == 0 else (row - low) / span
        y = rows * (number + 1 - _MARGIN - (1 - 2 * _MARGIN) * share)
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        pen.line(points if len(points) > 1 else points * 2, fill=INK, width=2, joint="curve")
    for number, name in enumerate(names or ()):
        line = fit_line(name, _WIDTH / 4, _LETTERS)
        pen.text((6, rows * number + 4), line.text, font=line.font, fill=PALE, anchor="la")
    return np.asarray(image)
