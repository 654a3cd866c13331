"""Texts in a terminal: words on the colours of their scores, or the strongest of them as a table."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from onnxsal.cli.text import table, width
from onnxsal.explanation import Explanation
from onnxsal.explanation.explanation import PAGES
from onnxsal.explanation.words import words_of
from onnxsal.files import replacing
from onnxsal.viz.words import strongest
from onnxsal.viz.words.flow import visible
from onnxsal.viz.words.shades import Scale
from onnxsal.viz.words.terminal import Depth, coloured

_LISTED = 12
_DEEP = ("truecolor", "24bit")


def is_page(path: str | os.PathLike[str]) -> bool:
    """Return whether a file's name is that of a page, which texts are written to."""
    return Path(path).suffix.lower() in PAGES


def write_page(explanations: Sequence[Explanation], path: Path, colours: str | None) -> None:
    """Write the page of texts; it appears whole or not at all. Raises: UnsupportedError: one is of something else."""
    from onnxsal.explanation.page import page_of

    made = page_of(explanations, colours=colours)
    with replacing(path) as part:
        part.write_text(made, encoding="utf-8")


def shown_words(explanation: Explanation) -> list[str]:
    """Return the lines of a text: in colours where the terminal has some, else its strongest words with numbers."""
    words, depth = words_of(explanation), colour_depth()
    if depth is None or explanation.sample is None:
        rows = [[f"{word.score:+.3g}", visible(word.text)] for word in strongest(words, _LISTED)]
        return table(rows, right=frozenset({0}))
    scale = Scale.of(words, signed=explanation.signed)
    return coloured(str(explanation.sample.text), words, scale, width=width() - 2, depth=depth)


def colour_depth() -> Depth | None:
    """Return how many colours may be written, None for none: nobody looks, or wants them (``NO_COLOR``)."""
    term = os.environ.get("TERM", "")
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty() or term == "dumb":
        return None
    if os.environ.get("COLORTERM", "").lower() in _DEEP or "WT_SESSION" in os.environ:
        return "true"
    return "256" if term else None
