"""What a comparison of two models looks like: the picture of where they differ most, and the report."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from onnxsal._version import __version__
from onnxsal.evaluation.report import (
    Axis,
    Cell,
    Column,
    Figure,
    Interval,
    Row,
    Section,
    Table,
    intervals,
    page,
    part,
)
from onnxsal.experiments.diff import AGREEMENTS, PREDICTED, Drift, Pair, says
from onnxsal.experiments.drawn import over
from onnxsal.experiments.statistics import Estimate
from onnxsal.files import replacing
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels, colourise
from onnxsal.viz.grid import Tile, grid
from onnxsal.viz.layout import Labels, beside, board, figure
from onnxsal.viz.overlay import for_display
from onnxsal.viz.plot import Axis as PlotAxis
from onnxsal.viz.plot import Value, values

_IN_REPORT = 24
"""Pictures shown in a report: those that differ most, and the one that agrees most."""


def tiles(pair: Pair) -> tuple[Pixels, Pixels, Pixels, Pixels]:
    """Return the picture, the first map on it, the second map on it, and the second minus the first."""
    shown = for_display(pair.first.canvas().image)[0]
    return (
        shown,
        over(pair.first.canvas().image, pair.first),
        over(pair.first.canvas().image, pair.second),
        for_display(colourise(pair.difference, signed=True))[0],
    )


def drawn(drift: Drift, names: tuple[str, str], *, most: int = 4) -> Pixels:
    """Return the figure: the pictures that differ most, and the agreement over all."""
    pairs = drift.pairs[:most]
    cells = [tiles(pair) for pair in pairs]
    rows = ["one map is flat" if math.isnan(pair.cosine) else f"cosine {pair.cosine:.2f}" for pair in pairs]
    maps = board(cells, Labels(["the picture", *names, "second minus first"], rows), cell=215)
    labelled = {"cosine": "cosine", "ssim": "SSIM", "rank": "rank correlation"}
    estimates = [(labelled[name], drift.agreement(name)) for name in AGREEMENTS]
    chart = values(
        [_value(*each) for each in (*estimates, ("same class", drift.same_class))],
        x=PlotAxis("1: the same", None, 1), title=f"Agreement over {len(drift.pairs)} pictures", width=760,
    )  # fmt: skip
    heading = Caption("Where two models look at different things", detail=explained(drift))
    return figure([maps, beside([chart])], heading)


def explained(drift: Drift) -> str:
    """Return by which method maps were made, and for which class."""
    given = drift.settings["target"] != PREDICTED
    return f"{drift.settings['method']}, for {drift.pairs[0].first.label if given else PREDICTED}"


def _value(name: str, found: Estimate) -> Value:
    known = math.isfinite(found.low)
    return Value(name, found.value, found.low if known else found.value, found.high if known else found.value)


def write_report(drift: Drift, names: tuple[str, str], path: str | os.PathLike[str]) -> None:
    """Write the report. Raises: OutputError: it cannot be written."""
    content = report(drift, names)
    with replacing(path) as part:
        part.write_text(content, encoding="utf-8")


def report(drift: Drift, names: tuple[str, str]) -> str:
    """Return the report as a page of HTML."""
    lead = f"{names[0]} against {names[1]} on {len(drift.pairs)} pictures, by {explained(drift)}."
    rows = [(name, drift.agreement(name)) for name in AGREEMENTS]
    found = [_interval(*each) for each in (*rows, ("same class", drift.same_class))]
    chart = intervals("Agreement of the two, 1 for the same", found, x=Axis("agreement", None, 1.0))
    summary = ". ".join(map(_capital, says(drift))) + "."
    settings = json.dumps(drift.settings, indent=2, default=str)
    sections = [
        Section("Summary", part("charts", "charts", [chart]), summary),
        Section("Where they differ most", part("pictures", "gallery", _figures(drift, names)),
                "Lowest cosine first. A click enlarges."),
        Section("All pictures", part("tables", "filtered", _table(drift), "Filter pictures"),
                "A click on a head sorts."),
        Section("Settings", part("blocks", "code", settings)),
    ]  # fmt: skip
    if drift.failures:
        left_out = "\n".join(f"{image}: {why}" for image, why in drift.failures)
        sections.insert(3, Section("Left out", part("blocks", "code", left_out)))
    return page("Do two models look at the same things?", sections, lead=lead, foot=f"Made by onnxsal {__version__}.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _interval(name: str, found: Estimate) -> Interval:
    value = _value(name, found)
    return Interval(name, value.value, value.low, value.high)


def _figures(drift: Drift, names: tuple[str, str]) -> list[Figure]:
    figures = []
    for pair in drift.pairs[:_IN_REPORT]:
        words = ("the picture", *names, "second minus first")
        four = grid([Tile(image, title) for image, title in zip(tiles(pair), words, strict=True)], columns=2)
        figures.append(Figure(four, Path(pair.image).name, f"{agreement(pair)}; {_classes(pair)}"))
    return figures


def agreement(pair: Pair) -> str:
    """Return how two maps agree, in words."""
    if math.isnan(pair.cosine):
        return "one of the maps is flat"
    return f"cosine {pair.cosine:.2f}, SSIM {pair.ssim:.2f}, rank {pair.rank:.2f}"


def _classes(pair: Pair) -> str:
    first, second = pair.told
    same = pair.same_class and pair.predicted[0][0] == pair.predicted[1][0]
    return f"{first} and {second.removeprefix(pair.predicted[1][0]).strip()}" if same else f"{first}, {second}"


def _table(drift: Drift) -> Table:
    columns = [
        Column("picture"),
        *(Column(name, numeric=True) for name in ("cosine", "SSIM", "rank")),
        Column("first predicts"), Column("second predicts"), Column("same class"),
    ]  # fmt: skip
    return Table(columns, [Row(_cells(pair)) for pair in drift.pairs], "pictures")


def _cells(pair: Pair) -> Sequence[Cell | str]:
    found = [getattr(pair, name) for name in AGREEMENTS]
    numbers = [Cell("flat" if math.isnan(value) else f"{value:.3f}", value) for value in found]
    return [Path(pair.image).name, *numbers, *pair.told, "yes" if pair.same_class else "no"]
