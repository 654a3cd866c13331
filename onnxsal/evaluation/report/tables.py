"""Tables that a reader can sort and filter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A column: ``help`` shows when a reader points at its head; ``high_first`` is how a first click sorts it.

    ``small`` stands below the name in small print.
    """

    name: str
    help: str = ""
    numeric: bool = False
    high_first: bool = False
    small: str = ""


@dataclass(frozen=True)
class Cell:
    """What stands in a cell, the number that it sorts by, and a second line in small print."""

    shown: object
    value: float | None = None
    small: str = ""
    best: bool = False

    def sortable(self, numeric: bool = False) -> str | None:
        """Return what it sorts by, None for what it shows; a number that is missing sorts last, whichever way."""
        if self.value is None:
            return "" if numeric else (f"{self.shown} {self.small}" if self.small else None)
        return "" if math.isnan(self.value) else repr(float(self.value))

    def classes(self, numeric: bool) -> str:
        """Return the classes of its element."""
        return " ".join(name for name, on in (("number", numeric), ("best", self.best)) if on)


@dataclass(frozen=True)
class Row:
    """Cells, and what selects of a filter compare (``data-<name>``)."""

    cells: Sequence[Cell | str]
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """What ``templates/tables.html.j2`` draws: heads sort it, and filters of its name filter its rows.

    Attributes: name: its ``id``, unique on the page. caption: for who cannot see it.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    name: str
    caption: str = ""

    def cells(self, row: Row) -> Iterator[tuple[Cell, str | None, str | None]]:
        """Yield the cells of a row with their classes, None for the head of the row, and what they sort by."""
        for at, (column, each) in enumerate(zip(self.columns, row.cells, strict=True)):
            cell = each if isinstance(each, Cell) else Cell(each)
            if at == 0 and not column.numeric:
                yield cell, None, cell.sortable()
            else:
                yield cell, cell.classes(column.numeric), cell.sortable(column.numeric)
