"""Which detection is which true box: greedily by score, as COCO's evaluation does it.

Source: COCO's evaluation (Lin et al. 2014, arXiv:1405.0312; cocoeval's evaluateImg) at one IoU, without its limit of
100 detections. Deviation: a box that is ignored for another reason than being a crowd may be met by several detections,
as in Pascal VOC's evaluation (Everingham et al. 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxsal.evaluation.annotations import CROWD
from onnxsal.evaluation.items import Outline
from onnxsal.tasks.detection.box import Sides
from onnxsal.tasks.detection.overlap import iou

LEAST = 0.5
"""The IoU from which on a detection is on a true box."""

TRUE, FALSE, IGNORED, UNKNOWN = "true", "false", "ignored", "unknown"
"""What a detection is: on a true box of its class; on none; on a box that is ignored; of a class, or on a picture, that
the annotations say nothing of."""


@dataclass(frozen=True)
class Truth:
    """A true box in pixels of the photograph, its class (None where nothing says one), and why it is ignored."""

    box: Sides
    index: int | None
    ignored: str = ""
    outline: Outline | None = None
    """Its corners, where it is turned."""


@dataclass(frozen=True)
class Matched:
    """What a detection is, and the box that it is on with their overlap, where it is on one."""

    verdict: str
    at: int | None = None
    overlap: float = 0.0


def matched(found: Sequence[tuple[int, Sides]], truths: Sequence[Truth]) -> list[Matched]:
    """Return what each detection is; a true box has one detection, the surest that overlaps it enough.

    Args: found: class and box of each detection, best first.
    """
    taken, verdicts = set[int](), list[Matched]()
    for index, box in found:
        verdict = _one(box, [at for at, t in enumerate(truths) if t.index in (index, None)], truths, taken)
        if verdict.verdict == TRUE and verdict.at is not None:
            taken.add(verdict.at)
        verdicts.append(verdict)
    return verdicts


def _one(box: Sides, mine: Sequence[int], truths: Sequence[Truth], taken: set[int]) -> Matched:
    for verdict in (TRUE, IGNORED):
        left = [at for at in mine if bool(truths[at].ignored) == (verdict == IGNORED) and at not in taken]
        overlaps = [_overlap(box, truths[at]) for at in left]
        best = max(overlaps, default=0.0)
        if best >= LEAST:
            last = len(overlaps) - 1 - overlaps[::-1].index(best)  # of equal ones the last, as there
            return Matched(verdict, left[last], best)
    return Matched(FALSE)


def _overlap(box: Sides, truth: Truth) -> float:
    """Return the IoU; of a crowd the share of the detection that lies on it."""
    one, other = np.array([box]), np.array([truth.box])
    if truth.ignored != CROWD:
        return float(iou(one, other)[0])
    common = _area(np.concatenate([np.maximum(one[0, :2], other[0, :2]), np.minimum(one[0, 2:], other[0, 2:])]))
    area = _area(one[0])
    return common / area if area > 0 else 0.0


def _area(box: NDArray[np.float64]) -> float:
    return float((box[2:] - box[:2]).clip(0).prod())
