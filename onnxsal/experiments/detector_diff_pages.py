"""What a comparison of two detectors looks like: boxes and maps of where they differ most, and the report."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onnxsal._version import __version__
from onnxsal.evaluation.report import Cell, Column, Figure, Row, Section, Table, page, part
from onnxsal.experiments.detector_diff import Compared, DetectorDrift, Lone, Twin, says
from onnxsal.explanation import Explanation
from onnxsal.explanation.figure import draw
from onnxsal.files import replacing
from onnxsal.viz.boxes import outlined
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.grid import Tile, grid
from onnxsal.viz.layout import Labels, board, figure

_IN_REPORT = 24
"""Pictures shown in a report: those that differ most."""

COMMON, ALONE = (0, 158, 115), (230, 159, 0)
"""Colours of boxes that both find, and that one finds alone."""


def tiles(each: Compared) -> tuple[Pixels | None, ...]:
    """Return either model's boxes on the picture, and either map of the object whose maps differ most, if there is
    one."""
    first = outlined(each.photo, [t.first.box for t in each.both], [e.found.box for e in each.first], COMMON, ALONE)
    second = outlined(each.photo, [t.second.box for t in each.both], [e.found.box for e in each.second], COMMON, ALONE)
    worst = _worst(each)
    return (first, second, *((None, None) if worst is None else (_map(worst.maps.first), _map(worst.maps.second))))


def _map(explanation: Explanation) -> Pixels:
    return np.asarray(draw(explanation, caption=False))


def _worst(each: Compared) -> Twin | None:
    return min(each.both, key=lambda t: -2 if math.isnan(t.maps.cosine) else t.maps.cosine, default=None)


def drawn(drift: DetectorDrift, names: tuple[str, str], *, most: int = 4) -> Pixels:
    """Return the figure: the pictures that differ most, boxes and maps."""
    pictures = drift.pictures[:most]
    columns = [f"boxes of {names[0]}", f"boxes of {names[1]}", f"map of {names[0]}", f"map of {names[1]}"]
    body = board([tiles(each) for each in pictures], Labels(columns, [_row(each) for each in pictures]), cell=215)
    detail = f"{drift.settings['method']}; green: found by both, orange: by one alone; maps of the object in the box"
    return figure([body], Caption("Where two detectors differ", detail=detail))


def _row(each: Compared) -> str:
    alone, worst = len(each.first) + len(each.second), _worst(each)
    found = f"{alone} found by one" if alone else "all found by both"
    if worst is None:
        return found
    return f"{found}, {'a map is flat' if math.isnan(worst.maps.cosine) else f'cosine {worst.maps.cosine:.2f}'}"


def write_report(drift: DetectorDrift, names: tuple[str, str], path: str | os.PathLike[str]) -> None:
    """Write the report. Raises: OutputError: it cannot be written."""
    content = report(drift, names)
    with replacing(path) as part_:
        part_.write_text(content, encoding="utf-8")


def report(drift: DetectorDrift, names: tuple[str, str]) -> str:
    """Return the report as a page of HTML."""
    lead = f"{names[0]} against {names[1]} on {len(drift.pictures)} pictures, by {drift.settings['method']}."
    settings = json.dumps(dict(drift.settings), indent=2, default=str)
    sections = [
        Section("Summary", part("blocks", "listed", says(drift))),
        Section("Where they differ most", part("pictures", "gallery", _figures(drift, names)),
                "Green: found by both; orange: by one alone. Maps are of the object in the box. A click enlarges."),
        Section("All objects", part("tables", "filtered", _table(drift, names), "Filter objects"),
                "A click on a head sorts."),
        Section("Settings", part("blocks", "code", settings)),
    ]  # fmt: skip
    if drift.failures:
        left_out = "\n".join(f"{image}: {why}" for image, why in drift.failures)
        sections.insert(3, Section("Left out", part("blocks", "code", left_out)))
    return page("Do two detectors see the same objects?", sections, lead=lead, foot=f"Made by onnxsal {__version__}.")


def _figures(drift: DetectorDrift, names: tuple[str, str]) -> list[Figure]:
    words = (f"boxes of {names[0]}", f"boxes of {names[1]}", f"map of {names[0]}", f"map of {names[1]}")
    figures = []
    for each in drift.pictures[:_IN_REPORT]:
        shown = [Tile(tile, title) for tile, title in zip(tiles(each), words, strict=True) if tile is not None]
        figures.append(Figure(grid(shown, columns=2), Path(each.image).name, _row(each)))
    return figures


def _table(drift: DetectorDrift, names: tuple[str, str]) -> Table:
    columns = [
        Column("picture"), Column("label"), Column("found by"), Column(f"score of {names[0]}", numeric=True),
        Column(f"score of {names[1]}", numeric=True), Column("IoU", numeric=True), Column("cosine", numeric=True),
    ]  # fmt: skip
    rows = [Row(cells) for each in drift.pictures for cells in _cells(each, names)]
    return Table(columns, rows, "objects")


def _cells(each: Compared, names: tuple[str, str]) -> list[Sequence[Cell | str]]:
    name = Path(each.image).name
    both: list[Sequence[Cell | str]] = [
        [name, t.first.label, "both", _number(t.first.probability), _number(t.second.probability), _number(t.overlap),
         _number(t.maps.cosine, "flat")]
        for t in each.both
    ]  # fmt: skip
    return [
        *both,
        *((name, e.found.label, names[0], _number(e.found.probability), _there(e), "", "") for e in each.first),
        *((name, e.found.label, names[1], _there(e), _number(e.found.probability), "", "") for e in each.second),
    ]


def _there(each: Lone) -> Cell:
    return _number(each.there, "none there" if each.comparable else "no such class")


def _number(value: float, none: str = "") -> Cell:
    return Cell(none if math.isnan(value) else f"{value:.3f}", value)
