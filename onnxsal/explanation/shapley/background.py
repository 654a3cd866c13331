"""Background rows: what a column is where it is not the row's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.modalities.table import Table
from onnxsal.modalities.table_rows import TableRows, told_order

COVERS = "covers"
"""What is asked for in place of rows where the shares of training's rows in a file of trees are taken."""

_OF_COVERS = (
    "path-dependent values: in place of background rows, trees are followed both ways in the shares of training's rows "
    "that the file has for them"
)


@dataclass(frozen=True)
class Background:
    """The rows, and what is to be said of them."""

    values: NDArray[np.float64]
    notes: tuple[str, ...] = ()
    by_covers: bool = False
    """Whether there are none, and covers are asked for."""

    def about(self) -> Mapping[str, Any]:
        """Return what makes a map again, as plain data."""
        if self.by_covers:
            return {"background": COVERS}
        digest = hashlib.sha256(np.ascontiguousarray(self.values).tobytes()).hexdigest()
        return {"background": {"rows": len(self.values), "sha256": digest}}


def background_of(table: Table, given: Any, rows: TableRows) -> Background:
    """Return the background that was given, or the rows themselves where there are several.

    Raises: UsageError: none was given for one row, or with the columns in another order. Others as ``Table.rows``.
    """
    if isinstance(given, str) and given == COVERS:
        return Background(rows.values[:0], (_OF_COVERS,), by_covers=True)
    if given is not None:
        found = table.rows(given, "a background")
        own = tuple(note for note in found.notes if note not in rows.notes)
        return Background(found.values, (*told_order(rows, found, table.columns), *own))
    if len(rows) > 1:
        note = f"the {len(rows)} rows themselves are the background; --background FILE.csv (background=) names others"
        return Background(rows.values, (note,))
    raise UsageError(
        "what a column adds is told against other rows: name some, such as those that the model was trained on, with "
        "--background FILE.csv (background=)"
    )
