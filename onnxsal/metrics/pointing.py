"""Pointing: how much of a map lies on the object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.metrics.judgement import UNDEFINED, Doubles, Judgement
from onnxsal.metrics.registry import metric
from onnxsal.options import Level


@metric(
    "energy-pointing",
    paper="Wang et al. 2020, arXiv:1910.01279, section 4.3 (energy-based pointing game)",
    when="maps that lie on the object, whatever its size; compare with the object's share of the picture",
    ends=(0, 1),
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
    return Judgement(float(energy[inside].sum() / energy.sum()), details={"region": region})


@metric(
    "pointing-game",
    paper="Zhang et al. 2016, arXiv:1608.00507",
    when="maps whose highest pixel is on the object or beside it; the mean over pictures is the paper's number",
    ends=(0, 1),
)
def pointing_game(
    saliency: Doubles,
    mask: NDArray[np.bool_] | None = None,
    boxes: Doubles | None = None,
    *,
    tolerance: Level = 15.0,
) -> Judgement:
    """Return 1 where the highest pixel lies within ``tolerance`` pixels of the object, else 0; NaN for a flat map.

    Of several highest pixels the share that hits. Pixels are those of the model's input.
    """
    inside, region = on_object(saliency.shape, mask, boxes)
    if inside is None or not np.ptp(saliency):
        return UNDEFINED
    near = distance_to(inside, tolerance) <= tolerance
    return Judgement(float(near[saliency == saliency.max()].mean()), details={"region": region})


@metric(
    "grid-pointing",
    paper="Boehle et al. 2021, arXiv:2104.00032 (localisation metric)",
    when="maps that stay in the cell of a mosaic that shows the class; chance is the cell's share, a quarter",
    ends=(0, 1),
)
def grid_pointing(saliency: Doubles, cell: NDArray[np.bool_]) -> float:
    """Return the share of a map's positive values in the right cell of a mosaic, [0, 1]; NaN for a map of none."""
    positive = np.maximum(saliency, 0.0)
    return float(positive[cell].sum() / positive.sum()) if positive.any() else float("nan")


def distance_to(inside: NDArray[np.bool_], reach: float) -> Doubles:
    """Return each pixel's distance to the nearest one inside, [H, W], in pixels; infinite beyond ``reach``."""
    along = _along_rows(inside)
    nearest = along**2
    for step in range(1, min(int(reach), len(inside) - 1) + 1):
        nearest[step:] = np.minimum(nearest[step:], along[:-step] ** 2 + step**2)
        nearest[:-step] = np.minimum(nearest[:-step], along[step:] ** 2 + step**2)
    return np.where(nearest <= reach**2, np.sqrt(nearest), np.inf)


def _along_rows(inside: NDArray[np.bool_]) -> Doubles:
    columns = np.arange(inside.shape[1], dtype=np.float64)
    before = np.maximum.accumulate(np.where(inside, columns, -np.inf), axis=1)
    after = np.minimum.accumulate(np.where(inside, columns, np.inf)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(columns - before, after - columns)


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
