"""What ``onnxsal diff`` prints and writes of two detectors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from onnxsal._version import __version__
from onnxsal.cli.actions.experiment import plain
from onnxsal.cli.text import shortened, table, wrapped
from onnxsal.experiments.detector_diff import Compared, DetectorDrift, Lone, Twin, says
from onnxsal.experiments.diff import AGREEMENTS

_LISTED = 16
"""Objects that are printed; --json and the report have all."""

Names = tuple[str, str]


def as_text(drift: DetectorDrift, names: Names) -> list[str]:
    """Return the lines that are printed: what was found, and the objects that one finds alone or that differ most."""
    rows = [row for picture in drift.pictures for row in _alone(picture, names)]
    twins = [(picture.image, twin) for picture in drift.pictures for twin in picture.both]
    twins.sort(key=lambda each: -2.0 if math.isnan(each[1].maps.cosine) else each[1].maps.cosine)
    rows += [_both(image, twin) for image, twin in twins]
    head = ("", "label", "found by", names[0], names[1], "IoU", "cosine")
    lines = [line for each in says(drift) for line in wrapped(each, 0)]
    more = [f"and {len(rows) - _LISTED} more"] if len(rows) > _LISTED else []
    shown = table([head, *rows[:_LISTED]], right=frozenset({3, 4, 5, 6})) if rows else []
    return [*lines, "", *shown, *more]


def _name(image: str) -> str:
    return shortened(Path(image).name, 32)


def _alone(picture: Compared, names: Names) -> list[tuple[str, ...]]:
    image = _name(picture.image)
    first = ((image, e.found.label, names[0], f"{e.found.probability:.3f}", _there(e), "", "") for e in picture.first)
    second = ((image, e.found.label, names[1], _there(e), f"{e.found.probability:.3f}", "", "") for e in picture.second)
    return [*first, *second]


def _there(each: Lone) -> str:
    if not each.comparable:
        return "no such class"
    return "none there" if math.isnan(each.there) else f"({each.there:.3f})"


def _both(image: str, twin: Twin) -> tuple[str, ...]:
    cosine = "flat" if math.isnan(twin.maps.cosine) else f"{twin.maps.cosine:.3f}"
    scores = (f"{each.probability:.3f}" for each in (twin.first, twin.second))
    return (_name(image), twin.first.label, "both", *scores, f"{twin.overlap:.3f}", cosine)


def as_document(drift: DetectorDrift, models: Names, written: dict[str, str | None]) -> str:
    """Return the same, of all objects, as one JSON document."""
    document: dict[str, Any] = {
        "onnxsal": __version__, "models": list(models), "settings": dict(drift.settings),
        **{name: drift.count(name) for name in ("both", "first", "second")},
        "found_by_both": plain(drift.shared), "score_change": plain(drift.change), "iou": plain(drift.overlap),
        **{name: plain(drift.agreement(name)) for name in AGREEMENTS},
        "pictures": [_picture(each) for each in drift.pictures], "notes": list(drift.notes),
        "failures": [{"image": image, "error": why} for image, why in drift.failures], **written,
    }  # fmt: skip
    return json.dumps(document, indent=2, default=str)


def _picture(each: Compared) -> dict[str, Any]:
    both = [
        {"label": t.first.label, "detections": [_detection(t.first), _detection(t.second)], "iou": t.overlap,
         **{name: plain(getattr(t.maps, name)) for name in AGREEMENTS}}
        for t in each.both
    ]  # fmt: skip
    return {
        "image": each.image, "both": both, "first": [_lone(e) for e in each.first],
        "second": [_lone(e) for e in each.second],
    }  # fmt: skip


def _lone(each: Lone) -> dict[str, Any]:
    return {**_detection(each.found), "other_score": plain(each.there), "comparable": each.comparable}


def _detection(found: Any) -> dict[str, Any]:
    return {"number": found.number, "label": found.label, "index": found.index, "score": found.probability,
            "box": [round(n, 2) for n in found.box]}  # fmt: skip
