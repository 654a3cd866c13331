"""A row of results: that of a table of maps, and beside it what such a table says once, and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from onnxsal.cluster.columns import Row
from onnxsal.explanation import Explanation
from onnxsal.maps.arrow import arrow_schema, batch_of
from onnxsal.maps.rows import row_and_run
from onnxsal.maps.schema import COLUMNS
from onnxsal.parquet import pyarrow

MANIFEST, ERROR = "manifest", "error"
"""Columns beside those of a table of maps: the rest of the manifest, which a file says once, as JSON; why there is no
map. A data set has no place for what is said once: its rows may end up in any number of files."""

NAMES = (*(each.name for each in COLUMNS), MANIFEST, ERROR)


def made_row(row: Row, asked: str | None, explanation: Explanation, dtype: str) -> dict[str, Any]:
    """Return the row of an explanation. Args: asked: its target as it was asked for. dtype: of the map."""
    found, run = row_and_run(explanation, row.id, asked=asked, dtype=dtype)
    return {**found, MANIFEST: json.dumps(run, sort_keys=True), ERROR: None}


def failed_row(row: Row, message: str) -> dict[str, Any]:
    """Return the row of a thing that has no map."""
    return {**dict.fromkeys(NAMES), "id": row.id, ERROR: message}


def table_of(rows: Sequence[dict[str, Any]], dtype: str, more: Sequence[str] = ()) -> Any:
    """Return rows as a table of Arrow, whose types do not hang on what is in them. Args: more: columns of text."""
    arrow, _ = pyarrow("")
    text = [arrow.field(name, arrow.string()) for name in (MANIFEST, ERROR, *more)]
    schema = arrow.schema([*(field.with_nullable(True) for field in arrow_schema(dtype)), *text])
    return arrow.Table.from_batches([batch_of(rows, schema)])
