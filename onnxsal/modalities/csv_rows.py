"""Rows of a table in text files: a row a thing, a column a feature, with the columns' names above where there are any.

What stands in a file is read here and brought into the order of a model's columns; what a cell means is the model's.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError, nearest
from onnxsal.modalities.series_file import DECIMAL_COMMA, SUFFIXES, delimiter, quoted, text_of

Doubles = NDArray[np.float64]

_MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "#na", "<na>", "null", "none", "-nan"})
"""What stands for nothing where a number is expected, in lower case: as pandas writes and reads it."""

_TRUTH = {"true": 1.0, "false": 0.0}

_INDEX = (("",), ("Unnamed: 0",))
"""What the first of a file's names is where pandas wrote the rows' own numbers."""

_NUMBERED = 3
"""Columns from which a first line 0, 1, 2 ... is no row: pandas writes such names where columns have none."""

_LISTED = 8


@dataclass(frozen=True)
class Rows:
    """The cells of a table as they stand in its file, and what its columns are called there."""

    where: str
    """The file, as messages open."""
    names: tuple[str, ...]
    """Of its columns; empty where the file tells none."""
    cells: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    """Where in the file each row is, from 1."""
    notes: tuple[str, ...] = ()
    comma: bool = field(default=False, repr=False)
    """Whether numbers may have a decimal comma."""

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.cells[0])

    def numbers(self, column: int) -> Doubles:
        """Return a column's numbers, NaN where one is missing. Raises: UsageError: a cell holds something else."""
        cells = [row[column] for row in self.cells]
        if (plain := _plain(cells)) is not None:
            return plain
        cells = [cell.strip() for cell in cells]
        found = [_number(cell, comma=self.comma) for cell in cells]
        if None in found:
            at = found.index(None)
            name = self.names[column] if self.names else f"column {column + 1}"
            raise UsageError(f"{self.where}, line {self.lines[at]}: {name!r} takes a number, not {quoted(cells[at])}")
        return np.array(found, np.float64)

    def texts(self, column: int) -> tuple[str, ...]:
        """Return a column's words, empty where one is missing: blanks round them are theirs, and NA is a word."""
        return tuple(row[column] for row in self.cells)

    def in_order(self, columns: Sequence[str], *, named: bool) -> Rows:
        """Return the rows with a model's columns, in its order, and what was left aside in ``notes``.

        Args: named: the names are the model's own; else they were made up, and the file's take their place.
        Raises: UsageError: a column is missing or there twice, or columns without names are of another number.
        """
        keys = [_key(name) for name in self.names]
        if not self.names or not (named or any(_key(column) in keys for column in columns)):
            return self._by_place(columns, named=named)
        found = [_found(column, self.names, keys, self.where) for column in columns]
        further = [name for at, name in enumerate(self.names) if at not in found]
        note = f"{self.where}: the model does not take {_listed(further)}; left aside"
        as_they_are = found == list(range(self.width))
        cells = self.cells if as_they_are else tuple(tuple([row[at] for at in found]) for row in self.cells)
        return replace(
            self, names=tuple(columns), cells=cells,
            notes=(*self.notes, *([note] if further else [])),
        )  # fmt: skip

    def _by_place(self, columns: Sequence[str], *, named: bool) -> Rows:
        if self.width == len(columns) + 1 and self.names[:1] in _INDEX:
            note = f"{self.where}: the first column, which has no name, counts its rows; left aside"
            below = tuple(row[1:] for row in self.cells)
            return replace(self, names=self.names[1:], cells=below, notes=(*self.notes, note))
        if self.width != len(columns):
            own = f" ({_listed(self.names)})" if self.names else ", and no line with their names"
            raise UsageError(
                f"{self.where} has {_counted(self.width, 'column')}{own}; the model takes {len(columns)}"
                f"{f': {_listed(columns)}' if named else ', and tells no names of them'}"
            )
        if self.names:
            for column in filter(None, self.names):
                _found(column, self.names, self.names, self.where)
            return self
        note = f"{self.where} has no line with names: columns are taken as the model has them, {_listed(columns)}"
        return replace(self, names=tuple(columns), notes=(*self.notes, *([note] if named else [])))


def is_rows_file(thing: object) -> bool:
    """Return whether a thing names a text file of rows."""
    return isinstance(thing, str | os.PathLike) and Path(thing).suffix.lower() in SUFFIXES


def read_rows(path: str | os.PathLike[str], columns: Sequence[str] = ()) -> Rows:
    """Return the rows of a table in a text file.

    Cells are parted by a comma, semicolon, tab or bar, whichever stands most often on the first line. That line names
    the columns where it holds no number, or one of ``columns``, or counts from 0 as pandas does for lack of names.
    Args: columns: what the model's are called, to know the line of names by.
    Raises: ImageError: it cannot be read, is empty, or a line has other cells than the first; the message says which.
    """
    where = os.fspath(path)
    text, about = text_of(path, "table"), f"the table {where!r}"
    if "\0" in text:
        raise ImageError(f"{about} is no text: it holds zero bytes")
    if not text.strip():
        raise ImageError(f"{about} is empty: it holds a line of names, and a row of cells below it for each thing")
    mark = delimiter(text.lstrip().split("\n", 1)[0])
    mark = "," if mark == " " else mark
    table, lines = _split(text, mark, about)
    rows = Rows(Path(path).name, (), tuple(map(tuple, table)), tuple(lines[: len(table)]), comma=mark != ",")
    return _said(_headed(rows, about, {_key(name) for name in columns}), mark)


def _said(rows: Rows, mark: str) -> Rows:
    """Say where numbers have decimal commas: who writes 1,234 may mean a thousand."""
    fulls = (cell for row in rows.cells for cell in row if DECIMAL_COMMA.fullmatch(cell.strip()))
    if not rows.comma or (example := next(fulls, None)) is None:
        return rows
    note = f"{rows.where}: cells are parted by {mark!r}, so {example!r} is taken for a number with a decimal comma"
    return replace(rows, notes=(*rows.notes, note))


def _split(text: str, mark: str, about: str) -> tuple[list[list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text.rstrip("\r\n"), newline=""), delimiter=mark, strict=True)
    table, lines, before = list[list[str]](), list[int](), 0
    try:
        for row in reader:
            if row or table:
                table.append(row or [""])
                lines.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        raise ImageError(f"{about}, line {before + 1}: {error}") from None
    width = len(table[0])
    while width > 1 and len(table[-1]) == 1 and not table[-1][0].strip():
        table.pop()
    for row, line in zip(table, lines, strict=False):
        if len(row) != width:
            what = "is blank" if row == [""] else f"has {_counted(len(row), 'cell')}"
            raise ImageError(f"{about}, line {line} {what}, and line {lines[0]} has {width}")
    return table, lines


def _headed(rows: Rows, about: str, known: set[str]) -> Rows:
    """Return the rows below the line of names, where the first line is one."""
    first = [cell.strip() for cell in rows.cells[0]]
    numbers = [bool(cell) and _number(cell, comma=rows.comma) is not None for cell in first]
    counts = _counts(first[1:] if first[0] in {"", "Unnamed: 0"} else first)
    first[0] = first[0].removeprefix("#").strip()  # as NumPy's savetxt writes it
    if not (counts or known & {_key(cell) for cell in first}):
        if all(_number(cell, comma=rows.comma) is not None for cell in first):
            return rows
        own = [cell for cell, number in zip(first, numbers, strict=True) if number]
        if (own and not _counts(own)) or _stands_below(first, rows.cells[1:]):
            raise ImageError(
                f"{about}, line {rows.lines[0]} ({_listed(first)}) may be a row or the names of the columns; write a "
                "line of names above the first row"
            )
    if len(rows) == 1:
        raise ImageError(f"{about} has names of columns ({_listed(first)}) and no row below them")
    note = f"{rows.where}: its first line, {_listed(first)}, is taken for the names of its columns"
    return replace(
        rows, names=tuple(first), cells=rows.cells[1:], lines=rows.lines[1:],
        notes=(*rows.notes, *([note] if counts else [])),
    )  # fmt: skip


def _counts(cells: Sequence[str]) -> bool:
    """Whether cells count from 0, as pandas names columns that have no names."""
    return len(cells) >= _NUMBERED and list(cells) == [str(at) for at in range(len(cells))]


def _stands_below(first: Sequence[str], cells: Sequence[Sequence[str]]) -> bool:
    """Whether each cell of the first line is in its column again, as a row's may be and names hardly are."""
    return bool(cells) and all(cell in column for cell, column in zip(first, zip(*cells, strict=True), strict=True))


def _plain(cells: Sequence[str]) -> Doubles | None:
    """Return the numbers where all is well, fast; None where cells have to be looked at."""
    try:
        found = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None
    return found if np.isfinite(found).all() and "_" not in "".join(cells) else None


def _number(cell: str, *, comma: bool) -> float | None:
    """Return the number in a cell, NaN where it is missing, None where it holds something else."""
    if comma and DECIMAL_COMMA.fullmatch(cell):
        cell = cell.replace(",", ".")
    try:
        found = float(cell)
    except ValueError:
        return math.nan if cell.lower() in _MISSING else _TRUTH.get(cell.lower())
    # Python reads 1_000 as a number, which nobody's table means, and makes 1e999 infinite without a word.
    return None if "_" in cell or (math.isinf(found) and cell[-1] not in "fFyY") else found


def _key(name: str) -> str:
    """Return what is left of a name in a model's file: exporters write _ for all but letters and digits."""
    found = re.sub(r"\W", "_", name.strip())
    return f"_{found}" if found[:1].isdigit() else found


def _found(column: str, names: Sequence[str], keys: Sequence[str], where: str) -> int:
    for wanted, known in ((column, names), (_key(column), keys)):
        if (count := known.count(wanted)) == 1:
            return known.index(wanted)
        if count > 1:
            raise UsageError(f"{where} has {count} columns that are called {column!r}; which one is meant?")
    raise UsageError(f"{where} has no column {column!r}{nearest(column, names)} (it has {_listed(names)})")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    shown = [quoted(name) for name in names[:_LISTED]]
    return ", ".join([*shown, *([f"and {len(names) - _LISTED} more"] if len(names) > _LISTED else [])])
