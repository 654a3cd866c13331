"""Explanations of texts as pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxsal.explanation.figure import caption_of, score_of, title_of
from onnxsal.explanation.words import words_of
from onnxsal.viz.words.page import Said, fragment, whole
from onnxsal.viz.words.shades import Scale


def page_of(explanations: Sequence[Any], *, colours: str | None = None) -> str:
    """Return the HTML page of texts, one below the other. Raises: UnsupportedError: one is of something else."""
    first = explanations[0]
    parts = [part_of(each, colours=colours) for each in explanations]
    return whole(parts, f"{title_of(first)} {score_of(first)}".strip())


def part_of(explanation: Any, *, colours: str | None = None) -> str:
    """Return the part of a page that shows one text. Raises: as ``page_of``."""
    words, said = words_of(explanation), caption_of(explanation)
    scale = Scale.of(words, signed=explanation.signed, colours=colours)
    return fragment(str(explanation.sample.text), words, scale, Said(said.title, said.value, said.detail))
