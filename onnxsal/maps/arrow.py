"""Rows as Arrow holds them, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.maps.schema import COLUMNS, ERRORS, MAPS
from onnxsal.parquet import pyarrow

INSTEAD = "name a folder, which gets an .npz file a map (--out FOLDER/)"

_FLAT = ("map", "stderr")
"""Columns of so many numbers that none of them becomes an object of Python's."""


def arrow_schema(dtype: str) -> Any:
    """Return the types of a table's columns, where maps are kept in ``dtype``."""
    arrow, _ = pyarrow(INSTEAD)
    named = {MAPS: dtype, ERRORS: "float32" if dtype == "float32" else "float16"}

    def typed(words: str) -> Any:
        kind, _, of = words.rpartition(" ")
        one = getattr(arrow, named.get(of, of))()
        return arrow.list_(one) if kind else one

    return arrow.schema([arrow.field(each.name, typed(each.type), nullable=each.open) for each in COLUMNS])


def batch_of(rows: Sequence[Mapping[str, Any]], schema: Any) -> Any:
    """Return rows as a batch of Arrow; ``schema`` is that of ``arrow_schema``."""
    arrow, _ = pyarrow(INSTEAD)
    columns = [[row[field.name] for row in rows] for field in schema]
    made = [
        _lists(values, field.type, arrow) if field.name in _FLAT else arrow.array(values, field.type)
        for values, field in zip(columns, schema, strict=True)
    ]
    return arrow.record_batch(made, schema=schema)


def _lists(values: Sequence[NDArray[Any] | None], type: Any, arrow: Any) -> Any:
    """Return arrays as a column of lists, their numbers copied once."""
    there = [each for each in values if each is not None]
    # Not to_pandas_dtype, for which older pyarrow imports pandas.
    dtype = arrow.array([], type.value_type).to_numpy(zero_copy_only=False).dtype
    ends = np.cumsum([0, *(0 if each is None else len(each) for each in values)]).astype(np.int32)
    flat = np.concatenate(there) if there else np.zeros(0, dtype)
    missing = np.array([each is None for each in values])
    mask = arrow.array(missing) if missing.any() else None
    return arrow.ListArray.from_arrays(arrow.array(ends), arrow.array(flat.astype(dtype, copy=False)), type, mask=mask)


def rows_in(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a batch, with flat arrays where they have so many numbers."""
    plain = {
        name: _arrays(column) if name in _FLAT and hasattr(column, "offsets") else column.to_pylist()
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    for at in range(batch.num_rows):
        yield {name: values[at] for name, values in plain.items()}


def _arrays(column: Any) -> list[NDArray[Any] | None]:
    """Return a column of lists as arrays, which share its memory."""
    ends, numbers = column.offsets.to_numpy(), column.values.to_numpy(zero_copy_only=False)
    there = column.is_valid().to_numpy(zero_copy_only=False)
    return [numbers[ends[at] : ends[at + 1]] if there[at] else None for at in range(len(column))]
