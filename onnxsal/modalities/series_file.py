"""Series in text files: a row a step, a column a channel, with the channels' names above where there are any."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError
from onnxsal.files import nearest_file

SUFFIXES = (".csv", ".tsv")

_BETWEEN = (",", ";", "\t", "|", " ")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
"""A number with a decimal comma, which is none where commas stand between cells."""

_SHOWN = 24


@dataclass(frozen=True)
class SeriesFile:
    """The numbers of a file, [T, C], and what its channels are called."""

    values: NDArray[np.float64]
    names: tuple[str, ...] | None


def is_series_file(thing: object) -> bool:
    """Return whether a thing names a text file of series."""
    return isinstance(thing, str | os.PathLike) and Path(thing).suffix.lower() in SUFFIXES


def read_series(path: str | os.PathLike[str]) -> SeriesFile:
    """Return what a text file of series holds.

    Cells are parted by what is found most often outside of quotes on the first line: a comma, semicolon, tab, bar or
    blank; where that is no comma, numbers may have decimal commas. A first row without any number names the channels.
    Raises: ImageError: it cannot be read, is empty, or a line holds something else; the message says which.
    """
    text, about = text_of(path, "series"), f"the series {os.fspath(path)!r}"
    lines = text.rstrip().split("\n") if text.strip() else []
    if not lines:
        raise ImageError(f"{about} is empty: it holds a row for each step, with a number for each channel")
    between = delimiter(lines[0])
    first = _cells(lines[0], between, f"{about}, line 1")
    numeric = [_number(cell, between) is not None for cell in first]
    if any(numeric) and not all(numeric):
        cell = first[numeric.index(False)]
        raise ImageError(
            f"{about}, line 1: {quoted(cell)} is no number; names of channels are a first row without any number"
        )
    names = None if all(numeric) else tuple(cell or f"column {i + 1}" for i, cell in enumerate(first))
    rows = lines if names is None else lines[1:]
    if not rows:
        raise ImageError(f"{about} has names of channels ({', '.join(first)}) and no row below them")
    head = len(lines) - len(rows)
    values = _all_at_once(rows, between, len(first))
    if values is None:
        values = np.array([_row(line, between, names or len(first), f"{about}, line {head + 1 + i}")
                           for i, line in enumerate(rows)])  # fmt: skip
    return SeriesFile(values, names)


def text_of(source: str | os.PathLike[str], what: str) -> str:
    """Return what a text file holds. Args: what: it is, as messages say. Raises: ImageError: it cannot be read."""
    path = Path(source)
    if not path.is_file():
        raise ImageError(f"no such file: {str(path)!r}{nearest_file(path)}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ImageError(f"the {what} {str(path)!r} is no text in UTF-8") from None
    except OSError as error:
        raise ImageError(f"the {what} {str(path)!r} cannot be read: {error.strerror or error}") from None


def delimiter(line: str) -> str:
    """Return what parts the cells of a line; a comma where nothing does, for then there is one."""
    outside = re.sub(r'"[^"]*"', "", line).strip()
    counts = [outside.count(mark) for mark in _BETWEEN]
    if counts[0] and (others := [n for n in counts[1:4] if n]) and max(others) + 1 >= counts[0]:
        counts[0] = 0  # decimal commas: "1,5;2,5" has one more of them than it has marks
    best = max(range(4), key=lambda i: counts[i])
    return _BETWEEN[best] if counts[best] else " " if counts[4] else ","


def _cells(line: str, between: str, where: str) -> list[str]:
    try:
        (row,) = csv.reader([line.rstrip("\r")], delimiter=between, skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        raise ImageError(f"{where}: {error}") from None
    return [cell.strip() for cell in (row if between != " " else filter(None, row))]


def _number(cell: str, between: str) -> float | None:
    if between != "," and DECIMAL_COMMA.fullmatch(cell):
        cell = cell.replace(",", ".")
    try:
        return float(cell)
    except ValueError:
        return None


def _all_at_once(rows: Sequence[str], between: str, count: int) -> NDArray[np.float64] | None:
    """Return the numbers where all is well, a hundred times as fast; None where lines have to be looked at."""
    try:
        found = np.loadtxt(rows, delimiter=between if between != " " else None, comments=None, ndmin=2)
    except ValueError:
        return None
    whole = found.shape == (len(rows), count) and bool(np.isfinite(found).all())
    return found if whole else None


def _row(line: str, between: str, columns: Sequence[str] | int, where: str) -> list[float]:
    """Return the numbers of one line. Raises: ImageError: it holds others, or not as many as the first has."""
    names = [f"column {i + 1}" for i in range(columns)] if isinstance(columns, int) else columns
    cells = _cells(line, between, where) if line.strip() else []
    if len(cells) != len(names):
        what = "is blank" if not cells else f"has {len(cells)} cell{'s' if len(cells) > 1 else ''}"
        raise ImageError(f"{where} {what}, and line 1 has {len(names)}")
    found = [_number(cell, between) for cell in cells]
    for name, cell, number in zip(names, cells, found, strict=True):
        if number is None or not math.isfinite(number):
            what = "is empty" if not cell else f"holds {quoted(cell)}, which is no {'finite ' if number else ''}number"
            raise ImageError(f"{where}: {name!r} {what}")
    return [number for number in found if number is not None]


def quoted(cell: str) -> str:
    """Return a cell as messages show it."""
    return repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…")
