"""Which detection is which true box: greedily by score, as COCO's evaluation does it.

Source: COCO's evaluation (Lin et al. 2014, arXiv:1405.0312; cocoeval's evaluateImg) at one IoU, without its limit of
100 detections. Deviations: a box that is ignored for another reason than being a crowd may be met by several
detections, as in Pascal VOC's evaluation (Everingham et al. 2010); where one of two boxes is turned, the IoU is that of
their polygons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxsal.evaluation.annotations import CROWD
from onnxsal.evaluation.items import Outline
from onnxsal.tasks.detection.box import Sides
from onnxsal.tasks.detection.overlap import area_of, common_area, iou

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


def matched(
    found: Sequence[tuple[int, Sides]], truths: Sequence[Truth], corners: Sequence[Outline | None] = ()
) -> list[Matched]:
    """Return what each detection is; a true box has one detection, the surest that overlaps it enough.

    Args: found: class and box of each detection, best first. corners: of each, where boxes are turned.
    """
    taken, verdicts = set[int](), list[Matched]()
    for (index, box), outline in zip(found, corners or (None,) * len(found), strict=True):
        mine = [at for at, t in enumerate(truths) if t.index in (index, None)]
        verdict = _one(Truth(box, index, outline=outline), mine, truths, taken)
        if verdict.verdict == TRUE and verdict.at is not None:
            taken.add(verdict.at)
        verdicts.append(verdict)
    return verdicts


def _one(found: Truth, mine: Sequence[int], truths: Sequence[Truth], taken: set[int]) -> Matched:
    for verdict in (TRUE, IGNORED):
        left = [at for at in mine if bool(truths[at].ignored) == (verdict == IGNORED) and at not in taken]
        overlaps = [_overlap(found, truths[at]) for at in left]
        best = max(overlaps, default=0.0)
        if best >= LEAST:
            last = len(overlaps) - 1 - overlaps[::-1].index(best)  # of equal ones the last, as there
            return Matched(verdict, left[last], best)
    return Matched(FALSE)


def _overlap(found: Truth, truth: Truth) -> float:
    """Return the IoU, of the polygons where one is turned; of a crowd the share of the detection that lies on it."""
    if truth.ignored != CROWD and found.outline is None and truth.outline is None:
        return float(iou(np.array([found.box]), np.array([truth.box]))[0])
    one, other = _outline(found), _outline(truth)
    common, area = common_area(one, other), area_of(one)
    whole = area if truth.ignored == CROWD else area + area_of(other) - common
    return common / whole if whole > 0 else 0.0


def _outline(of: Truth) -> Outline:
    """Return the corners of a box, turned or not."""
    left, top, right, bottom = of.box
    return of.outline or ((left, top), (right, top), (right, bottom), (left, bottom))
