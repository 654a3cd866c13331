"""Rows of tables on a command line: which model takes them, and which of a file's rows are meant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from onnxsal.cli.asked_maps import Asked
from onnxsal.cli.images import short
from onnxsal.errors import ImageError, ModelError, UsageError
from onnxsal.modalities.csv_rows import is_rows_file
from onnxsal.modalities.npy import is_npy
from onnxsal.modalities.said import Said
from onnxsal.modalities.table import Table
from onnxsal.modalities.table_rows import TableRows
from onnxsal.model import Model
from onnxsal.model.table import as_table, table_in

_T = TypeVar("_T")


def opened_first(asked: Asked) -> Model | None:
    """Return the model where what is named may be rows of a table, which it tells; None of anything else."""
    if any(isinstance(each, Said) for each in asked.images):
        return None
    may_be = all(is_rows_file(each) or is_npy(each) for each in asked.images)
    return asked.opening() if may_be or option_of_rows(asked) else None


def option_of_rows(asked: Asked) -> str:
    """Return the option that only rows of a table have, of those that were given; empty where there is none."""
    return next((f"--{name}" for name in ("background", "row") if getattr(asked, name) is not None), "")


def as_table_of(model: Model, things: Sequence[str], *, asked: str = "") -> Model | None:
    """Return the model as one of rows of a table; None where it takes something else, such as a series in a CSV file.

    Args: asked: the option that only rows have, where one was given.
    Raises: UsageError: it was, and the model takes something else.
    """
    if isinstance(model.modality, Table):
        return model
    is_vector = model.modality.name == "array" and model.anatomy.entry.input_axes == "NW"
    if is_vector and all(map(is_rows_file, things)):
        return as_table(model)
    if asked:
        raise UsageError(f"{asked} is for rows of a table, and this model takes {model.modality.name} {model.size}")
    return None


def each_of(things: Sequence[str], make: Callable[[str], _T], *, strict: bool = False) -> list[tuple[str, _T]]:
    """Return what is made of each file; one of several that cannot be used is reported, and the others go on.

    Raises: as ``make``, where there is one file, or ``strict``: the first that cannot be used ends it.
    """
    found = list[tuple[str, _T]]()
    for thing in things:
        try:
            found.append((thing, make(thing)))
        except (ImageError, ModelError, UsageError) as error:
            if strict or len(things) == 1:
                raise
            tell_broken(thing, error)
    return found


def tell_broken(thing: str, error: Exception) -> None:
    """Print why a file could not be served."""
    own = "" if Path(thing).name in str(error) else f"{short(thing)}: "
    print(f"onnxsal: {own}{error}", file=sys.stderr, flush=True)


def rows_meant(model: Model, thing: str, number: int | None = None) -> TableRows:
    """Return the rows of a thing, or the one of that number. Raises: as ``Table.rows``; UsageError: no such row."""
    rows = table_in(model).rows(thing, short(thing))
    return rows if number is None else rows.row(number)
