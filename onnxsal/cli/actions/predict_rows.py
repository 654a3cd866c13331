"""What ``onnxsal predict`` does with rows of tables: a line for each, or the classes of the one that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from onnxsal.cli.actions.predict import bars_of, share_of
from onnxsal.cli.images import short
from onnxsal.cli.opening import tell
from onnxsal.cli.tables import each_of, rows_meant
from onnxsal.cli.text import many, table
from onnxsal.explanation.explanation import finite
from onnxsal.model import Model, Prediction
from onnxsal.model.missing import told_missing

_TOP = 5


def predict_rows(model: Model, things: Sequence[str], top: int | None, number: int | None, *, as_json: bool) -> int:
    """Print what the model says of rows; return the exit status: 1 where one of several files could not be used.

    Args: number: of the row that is meant, from 1; None for all of them.
    Raises: ImageError, UsageError: the only file, or a row of it, cannot be used.
    """
    found = each_of(things, lambda thing: list(_seen(model, thing, top, number)))
    status = 0 if len(found) == len(things) else 1
    tell(model.assumed)
    if as_json:
        results = [
            {"image": name, "classes": [asdict(each) for each in seen]} for _, rows in found for name, seen in rows
        ]
        print(json.dumps({"model": model.name, "preprocess": None, "results": finite(results)}, indent=2))
        return status
    for thing, rows in found:
        if len(rows) == 1:
            print("\n".join([rows[0][0], *bars_of(rows[0][1])]))
            continue
        print(f"{short(thing)}: {many(len(rows), 'row')}")
        cells = [[f"  {name.rpartition('#')[2]}", *_cells(seen, top or 1)] for name, seen in rows]
        print("\n".join(table(cells, right=frozenset(range(0, 2 * (top or 1), 2)))))
    return status


def _seen(model: Model, thing: str, top: int | None, number: int | None) -> Iterator[tuple[str, list[Prediction]]]:
    rows: Any = told_missing(model, rows_meant(model, thing, number))
    tell(rows.notes)
    for at in range(len(rows)):
        sample = model.prepare(rows.row(at + 1))
        yield sample.name, model.seen(sample, model.numbers(sample), top or _TOP)


def _cells(seen: Sequence[Prediction], count: int) -> list[str]:
    cells = [cell for each in seen[:count] for cell in (each.label, share_of(each))]
    return [*cells, *[""] * (2 * count - len(cells))]
