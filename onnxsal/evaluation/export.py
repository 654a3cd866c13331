"""Rows as files: CSV, JSON and Parquet, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from onnxsal.evaluation.rows import Row
from onnxsal.explanation.explanation import finite
from onnxsal.files import replacing
from onnxsal.parquet import pyarrow

COLUMNS = (
    "image", "target", "label", "probability", "truth", "method", "metric", "value", "parameters", "seconds",
    "forwards", "backwards", "details",
)  # fmt: skip
"""Of CSV, and of Parquet with ``curve`` after them; of a detector ``detection`` is the last one."""

DETECTION = "detection"

_INSTEAD = "write .csv or .json"


def to_csv(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write a row a line, without curves; what is not known is empty, ``parameters``, ``details`` and
    ``detection`` are JSON."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        columns = (*COLUMNS, *_more(rows))
        writer.writerow(columns)
        writer.writerows(_cells(row, columns) for row in rows)


def _more(rows: Sequence[Row]) -> tuple[str, ...]:
    return (DETECTION,) if any(row.detection is not None for row in rows) else ()


def _cells(row: Row, columns: Sequence[str]) -> list[Any]:
    plain = _flat(row)
    return [plain[name] for name in columns]


def _flat(row: Row) -> dict[str, Any]:
    names = ("parameters", "details", DETECTION)
    as_text = {name: json.dumps(finite(getattr(row, name)), default=str) for name in names}
    return row.plain() | as_text


def _plain(row: Row) -> dict[str, Any]:
    left_out = ("map_key",) if row.detection is not None else ("map_key", DETECTION)
    return {name: value for name, value in row.plain().items() if name not in left_out}


def to_json(rows: Sequence[Row], about: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write one document: what is to know of the run, and ``rows`` with their curves; NaN is null."""
    plain = [_plain(row) for row in rows]
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        json.dump({**finite(about), "rows": plain}, file, indent=1, default=str)


def to_parquet(rows: Sequence[Row], about: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a table with typed columns; ``curve`` is a list of pairs, what is to know of the run is in its metadata.

    Raises: EnvironmentSetupError: pyarrow is not installed.
    """
    arrow, parquet = pyarrow(_INSTEAD)
    plain = [_flat(row) for row in rows]
    target = arrow.string() if any(isinstance(row.target, str) for row in rows) else arrow.int64()
    types = {"image": arrow.string(), "target": target, "label": arrow.string(), "probability": arrow.float64(),
             "truth": arrow.int64(), "method": arrow.string(), "metric": arrow.string(), "value": arrow.float64(),
             "parameters": arrow.string(), "seconds": arrow.float64(), "forwards": arrow.int64(),
             "backwards": arrow.int64(), "details": arrow.string(),
             "curve": arrow.list_(arrow.list_(arrow.float64())),
             **dict.fromkeys(_more(rows), arrow.string())}  # fmt: skip
    schema = arrow.schema(list(types.items()), metadata={"onnxsal": json.dumps(finite(about), default=str)})
    columns = {name: [each[name] for each in plain] for name in types}
    with replacing(path) as part:
        parquet.write_table(arrow.table(columns, schema=schema), part)


def check_parquet() -> None:
    """Raise EnvironmentSetupError where Parquet cannot be written: asked before a run, not after it."""
    pyarrow(_INSTEAD)
