"""Where a data set's rows keep what is explained, and what a batch of them is, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxsal.errors import UsageError, nearest

Batch = Mapping[str, Any]
"""Columns by name, as Ray Data gives them: arrays of numbers, of objects, or of pictures of one size."""


@dataclass(frozen=True)
class Row:
    """A row: its id, what is explained, what of it."""

    id: str
    image: Any
    target: Any


@dataclass(frozen=True)
class Columns:
    """The columns that are read.

    Attributes:
        image: what is explained: the content of picture files, paths, or arrays.
        id: what tells rows apart.
        target: what of each row to explain, or what it shows; None where no column says it.
        keeps_id: whether results have that column under its own name too, which is how Ray tells what is done.
    """

    image: str
    id: str
    target: str | None = None
    keeps_id: bool = False

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns that results have under the name that the data set gives them."""
        return (self.id,) if self.keeps_id and self.id != "id" else ()

    def check(self, there: Sequence[str]) -> None:
        """Raises: UsageError: one of them is not among those that are there."""
        for name in (self.image, self.id, self.target):
            if name is not None and name not in there:
                listed = ", ".join(there)
                raise UsageError(f"the data set has no column {name!r}{nearest(name, there)} (it has {listed})")

    def rows(self, batch: Batch) -> Iterator[Row]:
        """Yield the rows of a batch. Raises: UsageError: a column is missing, or an id that tells rows apart."""
        self.check(list(batch))
        for at, (id, image) in enumerate(zip(batch[self.id], batch[self.image], strict=True)):
            target = None if self.target is None else _plain(batch[self.target][at])
            yield Row(self._id(_plain(id)), image, target)

    def _id(self, id: Any) -> str:
        if id is None:
            raise UsageError(f"column {self.id!r} has a row without a value, which nothing would tell from others")
        if self.keeps_id and not isinstance(id, str):
            raise UsageError(f"what is done is told by the column {self.id!r}, which has to hold text; got {id!r}")
        return str(id)


def _plain(value: Any) -> Any:
    """Return a value as Python's own; a column of whole numbers with a gap comes as floats, the gap as NaN.

    Whether a batch has a gap depends on how the rows were cut into batches, and what a row means must not.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if np.isnan(value) else int(value) if value.is_integer() else value
    return value
