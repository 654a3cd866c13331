"""Explanations of texts, and of rows of tables, as pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxsal.explanation.columns import attribution_of, is_of_row
from onnxsal.explanation.figure import caption_of, score_of, title_of
from onnxsal.explanation.words import words_of
from onnxsal.viz.columns.page import fragment as of_columns
from onnxsal.viz.words.page import Said, fragment, whole
from onnxsal.viz.words.shades import Scale


def page_of(explanations: Sequence[Any], *, colours: str | None = None) -> str:
    """Return the HTML page of texts or rows, one below the other.

    Raises: UnsupportedError: one is of something else.
    """
    first = explanations[0]
    parts = [part_of(each, colours=colours) for each in explanations]
    return whole(parts, f"{title_of(first)} {score_of(first)}".strip())


def part_of(explanation: Any, *, colours: str | None = None) -> str:
    """Return the part of a page that shows one of them. Raises: as ``page_of``."""
    told = caption_of(explanation)
    said = Said(told.title, told.value, told.detail)
    if is_of_row(explanation):
        return of_columns(attribution_of(explanation), said, colours=colours)
    words = words_of(explanation)
    scale = Scale.of(words, signed=explanation.signed, colours=colours)
    return fragment(str(explanation.sample.text), words, scale, said)
