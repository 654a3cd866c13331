"""Rows as users give them, brought into the order and the numbers of a model's columns."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError, nearest
from onnxsal.graph.columns import Column
from onnxsal.modalities.csv_rows import is_rows_file, read_rows
from onnxsal.modalities.npy import is_npy, read_file

Doubles = NDArray[np.float64]

_MADE_UP = "x{}"


@dataclass(frozen=True)
class TableRows:
    """Rows of a table as a model takes them."""

    names: tuple[str, ...]
    """What each row is called: a file's name and its number in it, ``row``."""
    values: Doubles
    """[rows, columns], as doubles; of a text its code, of what is missing NaN."""
    cells: tuple[tuple[str, ...], ...]
    """As they stand in the file; of numbers that no file spells out the shortest text that gives them back."""
    columns: tuple[str, ...]
    """What the columns are called: the model's own names, or where it has none those of the table."""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def row(self, number: int) -> TableRows:
        """Return one of them, counted from 1. Raises: UsageError: there is no such row."""
        if not 1 <= number <= len(self):
            raise UsageError(f"there are rows 1 to {len(self)}, and no row {number}")
        return self.part(number - 1, number)

    def part(self, start: int, stop: int) -> TableRows:
        """Return those from one to another, counted from 0."""
        own = slice(start, stop)
        return replace(self, names=self.names[own], values=self.values[own], cells=self.cells[own])


def _numbered(where: str, count: int) -> tuple[str, ...]:
    """Return what the rows of a thing are called."""
    return (where,) if count == 1 else tuple(f"{where}#{number}" for number in range(1, count + 1))


def has_names(columns: Sequence[Column]) -> bool:
    """Whether the names of columns are the file's own, rather than made up for want of such."""
    return any(column.name != _MADE_UP.format(i) for i, column in enumerate(columns))


def read_table(thing: Any, columns: Sequence[Column], what: str) -> TableRows:
    """Return the rows of a thing for a model of these columns; see ``Table.rows``."""
    if isinstance(thing, TableRows):
        return thing
    if is_rows_file(thing):
        return _of_file(thing, columns)
    if is_npy(thing):
        return _of_array(read_file(thing), columns, Path(thing).name)
    if isinstance(thing, str | os.PathLike):
        raise UsageError(f"{what} is a CSV file, an .npy file, a mapping of names or an array; got {str(thing)!r}")
    if isinstance(thing, Mapping):
        return _of_mapping(thing, columns, what)
    if hasattr(thing, "columns") and hasattr(thing, "to_numpy"):  # a data frame, pandas' or another one's
        return _of_frame(thing, columns, what)
    if isinstance(thing, np.void) and thing.dtype.names is not None:  # one row of an array of fields
        return _of_fields(np.array([thing], thing.dtype), columns, what)
    if isinstance(thing, list | tuple) and thing and not all(map(is_cell, thing)):
        return _of_several([read_table(each, columns, what) for each in thing], columns)
    if isinstance(thing, np.ndarray | list | tuple):
        if isinstance(thing, np.ndarray) and thing.dtype.names is not None:
            return _of_fields(np.atleast_1d(thing), columns, what)
        return _of_array(np.asarray(thing, object if _has_text(columns) else None), columns, _noun(what))
    raise UsageError(f"{what} is a CSV file, an .npy file, a mapping of names or an array; got {type(thing).__name__}")


def is_cell(thing: Any) -> bool:
    """Return whether a thing stands in one column, rather than being a row or rows itself."""
    single = thing is None or isinstance(thing, int | float | str | bytes | np.generic)
    return single and not isinstance(thing, np.void)  # which is one row of an array of fields


def _noun(what: str) -> str:
    return what.rpartition(" ")[2]


def _has_text(columns: Sequence[Column]) -> bool:
    return any(column.kind == "text" for column in columns)


def told_order(rows: TableRows, others: TableRows, columns: Sequence[Column]) -> tuple[str, ...]:
    """Return what is to be said where two tables for a model call its columns differently.

    Raises: UsageError: they have the same names in another order: the model has none, and takes columns by place.
    """
    first, second, own = rows.columns, others.columns, tuple(column.name for column in columns)
    if second == first or own in (first, second) or not first or not second:
        return ()
    at = next(i for i, (one, other) in enumerate(zip(first, second, strict=True)) if one != other)
    where, there = (each.names[0].rpartition("#")[0] or each.names[0] for each in (rows, others))
    said = f"column {at + 1} is {first[at]!r} in {where}, and {second[at]!r} in {there}"
    if sorted(first) == sorted(second):
        raise UsageError(
            f"{said}: the model tells no names of its columns, so that nothing says which order is right; bring both "
            "into the model's"
        )
    return (f"{said}: the model tells no names, and columns are taken in their order",)


def _of_several(parts: Sequence[TableRows], columns: Sequence[Column]) -> TableRows:
    notes = [note for each in parts for note in (*told_order(parts[0], each, columns), *each.notes)]
    return TableRows(
        tuple(name for each in parts for name in each.names), np.concatenate([each.values for each in parts]),
        tuple(row for each in parts for row in each.cells), parts[0].columns,
        tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _of_file(path: str | os.PathLike[str], columns: Sequence[Column]) -> TableRows:
    names = [column.name for column in columns]
    found = read_rows(path, names).in_order(names, named=has_names(columns))
    values = np.empty((len(found), len(columns)))
    notes = list(found.notes)
    for i, column in enumerate(columns):
        if column.kind == "text":
            values[:, i] = _codes(found.texts(i), column, found.where, found.lines, notes)
        else:
            values[:, i] = found.numbers(i)
            _check(values[:, i], column, found.names[i] if found.names else column.name, found.where, found.lines)
    return TableRows(_numbered(found.where, len(found)), values, found.cells, found.names or tuple(names), tuple(notes))


def _of_mapping(thing: Mapping[str, Any], columns: Sequence[Column], what: str) -> TableRows:
    names = [column.name for column in columns]
    for name in names:
        if name not in thing:
            raise UsageError(f"{what} has no column {name!r}{nearest(name, map(str, thing))} (it has {_listed(thing)})")
    further = [name for name in thing if name not in names]
    notes = (f"the model does not take {_listed(further)}; left aside",) if further else ()
    if all(is_cell(thing[name]) for name in names):
        found = _of_cells([[thing[name] for name in names]], columns, _noun(what))
    else:
        lists = [list(thing[name]) for name in names]
        if len({len(each) for each in lists}) != 1:
            raise UsageError(f"{what}: its columns are of different lengths, {[len(each) for each in lists]}")
        found = _of_cells(list(zip(*lists, strict=True)), columns, _noun(what))
    return replace(found, notes=(*notes, *found.notes))


def _of_frame(thing: Any, columns: Sequence[Column], what: str) -> TableRows:
    return _of_named([str(name) for name in thing.columns], np.asarray(thing.to_numpy(), object), columns, what)


def _of_fields(array: NDArray[Any], columns: Sequence[Column], what: str) -> TableRows:
    """Return the rows of a structured array, whose fields are columns."""
    own = list(array.dtype.names or ())
    cells = np.empty((array.size, len(own)), object)
    cells[:] = [list(row) for row in array.ravel().tolist()]
    return _of_named(own, cells, columns, what)


def _of_named(own: list[str], cells: NDArray[Any], columns: Sequence[Column], what: str) -> TableRows:
    by_place = not has_names(columns) and not {column.name for column in columns} <= set(own)
    for name in own if by_place else [column.name for column in columns]:
        if own.count(name) > 1:
            raise UsageError(f"{what} has {own.count(name)} columns that are called {name!r}; which one is meant?")
    if by_place:
        return replace(_of_array(cells, columns, _noun(what)), columns=tuple(own))
    return _of_mapping(dict(zip(own, cells.T, strict=True)), columns, what)


def _of_array(array: NDArray[Any], columns: Sequence[Column], where: str) -> TableRows:
    rows = array[None] if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != len(columns):
        raise UsageError(
            f"{where!r} is {array.dtype} {list(array.shape)}, and the model takes rows of {len(columns)} columns: "
            f"{_listed([column.name for column in columns])}"
        )
    if not len(rows):
        raise ImageError(f"{where!r} holds no rows")
    if array.dtype.kind not in "fiubOUS":
        raise UsageError(f"{where!r} is {array.dtype}: a row holds numbers and texts")
    single = rows.dtype.kind == "f" and rows.dtype.itemsize < np.dtype(float).itemsize
    # Python's own numbers are doubles, in which a float32's 0.1 would be 0.10000000149011612.
    return _of_cells([list(row) for row in rows] if single else rows.tolist(), columns, where)


def _of_cells(rows: Sequence[Sequence[Any]], columns: Sequence[Column], where: str) -> TableRows:
    values, notes, lines = np.empty((len(rows), len(columns))), list[str](), range(1, len(rows) + 1)
    if not rows:
        raise ImageError(f"{where!r} holds no rows")
    for i, column in enumerate(columns):
        cells = [row[i] for row in rows]
        if column.kind == "text":
            texts = [_text(cell) for cell in cells]
            values[:, i] = _codes(texts, column, where, lines, notes)
        else:
            values[:, i] = [_number(cell, column, where, line) for cell, line in zip(cells, lines, strict=True)]
            _check(values[:, i], column, column.name, where, lines)
    spelt = tuple(tuple(_text(cell).removesuffix(".0") if _is_float(cell) else _text(cell) for cell in row)
                  for row in rows)  # fmt: skip
    names = tuple(column.name for column in columns)
    return TableRows(_numbered(where, len(rows)), values, spelt, names, tuple(notes))


def _codes(
    texts: Sequence[str], column: Column, where: str, lines: Sequence[int], notes: list[str]
) -> NDArray[np.float64]:
    """Return the codes of a column's texts; says in ``notes`` which the model does not know."""
    known = {text: code for code, text in enumerate(column.known)}
    unknown = [at for at, text in enumerate(texts) if text not in known]
    if unknown:
        text, more = texts[unknown[0]], len({texts[at] for at in unknown}) - 1
        said = f"{where}, line {lines[unknown[0]]}: column {column.name!r} holds {text!r}"
        said += f" (and {more} more such texts elsewhere)" if more else ""
        if not column.others:
            raise UsageError(f"{said}, which the model does not take: it knows {_listed(column.known)}")
        if known:
            notes.append(f"{said}, which the model does not know: all texts that it does not know are one to it")
    return np.array([known.get(text, len(known)) for text in texts], np.float64)


def _check(values: Doubles, column: Column, name: str, where: str, lines: Sequence[int]) -> None:
    """Raise UsageError where a column of whole numbers or flags holds others."""
    if column.kind == "number":
        return
    allowed = (values == np.floor(values)) if column.kind == "whole" else np.isin(values, (0, 1))
    if allowed.all():
        return
    at = int(np.argmin(allowed))
    given = "nothing" if math.isnan(values[at]) else f"{values[at]:g}"
    takes = "a whole number" if column.kind == "whole" else "true or false"
    raise UsageError(f"{where}, line {lines[at]}: {name!r} takes {takes}, not {given}")


def _number(cell: Any, column: Column, where: str, line: int) -> float:
    if cell is None or (isinstance(cell, str | bytes) and not _text(cell).strip()):
        return math.nan
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise UsageError(f"{where}, row {line}: {column.name!r} takes a number, not {_text(cell)!r}") from None


def _text(cell: Any) -> str:
    if cell is None or (_is_float(cell) and math.isnan(cell)):
        return ""
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)


def _is_float(cell: Any) -> bool:
    return isinstance(cell, float | np.floating)


def _listed(names: Any) -> str:
    names = [repr(str(name)) for name in names]
    return ", ".join([*names[:8], *([f"and {len(names) - 8} more"] if len(names) > 8 else [])]) or "none"
