"""Rows of tables: numbers and words in columns that have names, each column explained as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import dims
from onnxsal.graph.columns import MARK, Column
from onnxsal.modalities.registry import Reader, Sample, modality
from onnxsal.modalities.table_rows import TableRows, read_table

Floats = NDArray[np.float32]


@modality("table")
@dataclass(frozen=True)
class Table:
    """Models of rows of a table, [rows, columns]."""

    name: ClassVar[str]
    default_size: ClassVar[Mapping[str, int]] = {"W": 1}
    preprocessed: ClassVar[bool] = False
    says_size: ClassVar[bool] = False

    columns: tuple[Column, ...] = ()
    """Of the model; none of the modality itself, which no model is opened with yet."""

    def find_entry(self, graph: ir.Graph) -> Entry:
        """Return where a model takes its rows. Raises: UnsupportedError: nothing proves that it takes such."""
        marked = [v for v in graph.inputs if MARK in v.metadata_props]
        shape = dims(marked[0]) if len(graph.inputs) == len(marked) == 1 else None
        if shape is None or len(shape) != 2 or not isinstance(shape[1], int):
            raise UnsupportedError("nothing proves that the model takes rows of a table")
        (source,) = marked
        name, width = str(source.name), shape[1]
        return Entry(name, name, source.dtype or ir.DataType.FLOAT, "NW", "NW", 1, (width,), spatial="W")

    def find_preprocess(self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry) -> None:
        """Return None: a row is taken as it is. Raises: UsageError: preprocessing was asked for."""
        if source is not None:
            raise UsageError("preprocessing is for images; what prepares columns is a part of the model's file")

    def rows(self, thing: Any, what: str = "a row") -> TableRows:
        """Return the rows of a thing: a CSV file, an ``.npy`` file, a mapping of names, an array, a data frame, or a
        list of such. Args: what: they are, as messages open.

        Raises: ImageError: a file cannot be read. UsageError: a column is missing, or holds what it does not take.
        """
        return read_table(thing, self.columns, what)

    def read(self, thing: Any, reader: Reader) -> Sample:
        """Return one row. Raises: as ``rows``; UsageError: there are several."""
        found = self.rows(thing)
        if len(found) != 1:
            name = os.fspath(thing) if isinstance(thing, str | os.PathLike) else type(thing).__name__
            raise UsageError(
                f"{name!r} has {len(found)} rows, and here one is taken: explain gives a list of all, and --row N "
                "picks one"
            )
        return self.sample(found, 0, reader.entry.dtype)

    def sample(self, rows: TableRows, at: int, dtype: ir.DataType) -> Sample:
        """Return one of several rows as the model takes it. Args: dtype: of its input."""
        row = rows.values[at]
        with np.errstate(over="ignore"):
            x = row.astype(dtype.numpy()).astype(np.float32)[None]
        return Sample(x, rows.names[at], notes=rows.notes, row=row, columns=rows.columns, cells=rows.cells[at])

    def usual(self, path: str, size: tuple[int, ...]) -> Mapping[str, Any]:
        """Return a column at a time of what covers, a cell for each of what masks."""
        return {"patch": 1, "stride": 1, "grid": max(size[0], 2), "sign": "signed"}

    def blank(self, reader: Reader) -> Floats:
        """Return zero: nothing says what nothing there is, [1]."""
        return np.zeros(reader.entry.channels, np.float32)


def table_of(width: int, names: Sequence[str] = ()) -> Table:
    """Return the modality of a model of so many columns of numbers, of which the file does not say that they are."""
    return Table(tuple(Column(name, "number") for name in (names or [f"x{i}" for i in range(width)])))
