"""Pointing: how much of a map lies on the object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.metrics.judgement import UNDEFINED, Doubles, Judgement
from onnxsal.metrics.registry import metric


@metric(
    "energy-pointing",
    paper="Wang et al. 2020, arXiv:1910.01279, section 4.3 (energy-based pointing game)",
    when="maps that lie on the object, whatever its size; compare with the object's share of the picture",
)
def energy_pointing(
    saliency: Doubles, mask: NDArray[np.bool_] | None = None, boxes: Doubles | None = None
) -> Judgement:
    """Return the share of a map's energy on the object, [0, 1]; NaN for a map or an object of nothing.

    Of a signed map the absolute value counts. The mask says where the object is, or else its boxes do.
    """
    inside, region = on_object(saliency.shape, mask, boxes)
    energy = np.abs(saliency)
    if inside is None or not energy.any():
        return UNDEFINED
    return Judgement(float(energy[inside].sum() / energy.sum()), {"region": region})


def on_object(
    size: tuple[int, ...], mask: NDArray[np.bool_] | None, boxes: Doubles | None
) -> tuple[NDArray[np.bool_] | None, str]:
    """Return where the object is, bool [H, W] or None, and by what: ``mask`` or ``boxes``."""
    if mask is not None:
        return (mask if mask.any() else None), "mask"
    if boxes is None or not len(boxes):
        return None, "none"
    inside = boxes_mask(boxes, size)
    if not inside.any():
        raise UsageError(f"no box touches the picture of {size[0]} x {size[1]}: {boxes.tolist()}")
    return inside, "boxes"


def boxes_mask(boxes: Doubles, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels whose centre lies in one of the boxes (left, top, right, bottom), bool [H, W]."""
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    found = np.zeros(size, bool)
    for left, top, right, bottom in boxes:
        down, across = (top <= rows) & (rows < bottom), (left <= columns) & (columns < right)
        found |= down[:, None] & across[None]
    return found
