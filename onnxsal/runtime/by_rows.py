"""Running a program on many rows of a table: as many together as pay, one by one where they change each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError
from onnxsal.runtime.session import Session
from onnxsal.runtime.together import hold

Arrays = Mapping[str, NDArray[Any]]

AT_ONCE = 2**20
"""Numbers of rows that are run together: 8 MiB of doubles."""

_ASKED = 8
"""Rows of which a run alone and together tells whether rows that are run together change each other."""


def run_rows(session: Session, rows: NDArray[Any], outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return what a program of one input puts out for rows [n, F].

    Raises: ModelError: the run failed.
    """
    (name,) = session.inputs
    if len(rows) > 1 and session.verdict is None:
        _ask(session, {name: rows[np.linspace(0, len(rows) - 1, _ASKED).astype(int)]})
    step = max(AT_ONCE // max(rows.shape[1], 1), 1)
    parts = [session.run({name: rows[at : at + step]}, outputs) for at in range(0, len(rows), step)]
    return parts[0] if len(parts) == 1 else {each: np.concatenate([part[each] for part in parts]) for each in parts[0]}


def _ask(session: Session, few: Arrays) -> None:
    """Settle whether rows may be run together, by some that differ."""
    try:
        together = session.run(few)
    except ModelError:  # it takes no batch at all, whatever its axis promises
        session.rows.settle("mixes")
        return
    numbers = {name: array for name, array in together.items() if array.dtype.kind in "fiub"}
    hold(session, few, numbers, (0, 1, _ASKED - 1))
