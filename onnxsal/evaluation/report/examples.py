"""Best and worst examples: for each method and metric the pictures where it does best and worst, with their maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from onnxsal.evaluation.report.images import Figure, encoded
from onnxsal.evaluation.report.render import part
from onnxsal.evaluation.results import Results
from onnxsal.evaluation.rows import About, Row
from onnxsal.evaluation.thumbnails import read_image_entry, read_map
from onnxsal.viz.overlay import overlay

EACH = 3
"""Best, and worst, of a method and metric."""

MOST = 60
"""Groups of examples on a page, one of a method and a metric each; a group holds some hundred kilobytes."""


def examples(found: Results) -> Markup:
    """Return galleries of the best and the worst, method by method, that a reader can filter."""
    methods, metrics = found.summary.methods, found.summary.metrics
    kept = _kept(methods, metrics)
    made = [(method, metric, _group(found, method, metric)) for method, metric in kept]
    shown = [(method, metric, figures) for method, metric, figures in made if figures]
    selects = {"method": list(dict.fromkeys(m for m, _, _ in shown)),
               "metric": list(dict.fromkeys(m.name for _, m, _ in shown)), "example": ["best", "worst"]}  # fmt: skip
    groups = [(f"{method}: {metric.name} {'↑' if metric.higher_is_better else '↓'}", figures)
              for method, metric, figures in shown]  # fmt: skip
    return part("evaluation", "examples", groups, selects, _few(len(kept), len(methods) * len(metrics)))


def _few(kept: int, pairs: int) -> str:
    """What is said where there are more pairs than are shown."""
    few = f"Examples of {kept} of the {pairs} pairs of a method and a metric: of every metric some methods, in turn. "
    return few + "All of them would make the page too large." if kept < pairs else ""


def _kept(methods: Sequence[str], metrics: Sequence[About]) -> list[tuple[str, About]]:
    """The pairs that are shown: of every metric as many methods as there is room for, others for the next metric."""
    count = min(len(methods), max(1, MOST // max(1, len(metrics))))
    chosen = [{(at * count + k) % len(methods) for k in range(count)} for at in range(len(metrics))]
    return [(method, metric) for place, method in enumerate(methods)
            for metric, places in zip(metrics, chosen, strict=True) if place in places]  # fmt: skip


def _group(found: Results, method: str, metric: About) -> list[Figure]:
    """The best and the worst of the rows that have a picture and a map; a picture stands on one side only."""
    rows = [r for r in found.rows if r.method == method and r.metric == metric.name and r.value == r.value]
    ordered = sorted(rows, key=lambda row: row.value, reverse=metric.higher_is_better)
    count = min(EACH, len(ordered) // 2 or len(ordered))
    ends = [("best", row) for row in ordered[:count]]
    ends += [("worst", row) for row in ordered[max(count, len(ordered) - count) :]]
    figures = (_figure(found, row, which) for which, row in ends)
    return [each for each in figures if each is not None]


def _figure(found: Results, row: Row, which: str) -> Figure | None:
    entry = found.journal.get("map", row.map_key)
    image = None if entry is None else found.journal.get("picture", entry["picture"])
    if entry is None or image is None:
        return None
    try:
        drawn = _drawn(read_image_entry(image), read_map(entry))
    except (OSError, ValueError, SyntaxError):  # Pillow's, of an image that was damaged in the journal
        return None
    sure = "" if math.isnan(row.probability) else f" {100 * row.probability:.0f} %"
    small = f"{row.name} · {row.label}{sure}"
    data = {"method": row.method, "metric": row.metric, "example": which}
    return Figure(encoded(drawn, quality=76), f"{which}: {row.value:.3f}", small, data)


def _drawn(image: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture and the map on it, side by side."""
    height, width = image.shape[:2]
    spread = np.asarray(Image.fromarray(saliency).resize((width, height), Image.Resampling.BILINEAR))
    return np.concatenate([image, overlay(image, spread)], axis=1)
