"""What columns count for, as a table: a line for each column of each row, in CSV or Parquet."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from onnxsal._version import __version__
from onnxsal.errors import UsageError
from onnxsal.explanation import Explanation
from onnxsal.explanation.columns import attribution_of
from onnxsal.files import check_writable, replacing
from onnxsal.parquet import pyarrow

COLUMNS = ("row", "label", "method", "column", "cell", "value", "stderr", "base_value", "score")
"""Of the table: which row, what is explained of it and how, then one column of it, at last where its values lead."""

_GROUP = 4096
"""Rows that are held at a time."""

_INSTEAD = "write .csv"


def is_columns_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file's name is that of a table of columns."""
    return Path(path).suffix.lower() in (".csv", ".parquet")


def check_columns(path: str | os.PathLike[str]) -> None:
    """Check, before any work is done, that a table can be written there.

    Raises: UsageError: it is called otherwise. OutputError: it cannot be written. EnvironmentSetupError: Parquet needs
    a package that is not installed.
    """
    if not is_columns_file(path):
        raise UsageError(f"what columns count for is written as .csv or .parquet; got {os.fspath(path)!r}")
    if Path(path).suffix.lower() == ".parquet":
        pyarrow(_INSTEAD)
    check_writable(path)


def write_columns(explanations: Iterable[Explanation], path: str | os.PathLike[str]) -> None:
    """Write a line for each column of each explanation of a row: the columns of ``COLUMNS``; the file appears whole.

    Raises: as ``check_columns``. UnsupportedError: something else than a row was explained.
    """
    check_columns(path)
    lines = (line for each in explanations for line in lines_of(each))
    if Path(path).suffix.lower() == ".parquet":
        _write_parquet(lines, path)
        return
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(lines)


def lines_of(explanation: Explanation) -> Iterator[tuple[Any, ...]]:
    """Yield the lines of one explanation, in the order of the columns. Raises: UnsupportedError: it is of no row."""
    whole = attribution_of(explanation)
    about = (explanation.name, explanation.label, explanation.method)
    for part in whole.parts:
        yield (*about, part.name, part.cell, part.value, part.error, whole.base, whole.score)


def _write_parquet(lines: Iterator[tuple[Any, ...]], path: str | os.PathLike[str]) -> None:
    arrow, parquet = pyarrow(_INSTEAD)
    types = [arrow.string()] * 5 + [arrow.float64()] * 4
    about = {"onnxsal": json.dumps({"onnxsal": __version__})}
    schema = arrow.schema(list(zip(COLUMNS, types, strict=True)), metadata=about)
    with replacing(path) as part, parquet.ParquetWriter(part, schema, compression="zstd") as file:
        while group := list(islice(lines, _GROUP)):
            columns = [arrow.array(column, kind) for column, kind in zip(zip(*group, strict=True), types, strict=True)]
            file.write_table(arrow.table(columns, schema=schema))
