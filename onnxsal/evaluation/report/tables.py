"""Tables that a reader can sort and filter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onnxsal.evaluation.report.html import Html, element, joined, void


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


@dataclass(frozen=True)
class Row:
    """Cells, and what selects of a filter compare (``data-<name>``)."""

    cells: Sequence[Cell | str]
    data: Mapping[str, str] = field(default_factory=dict)


def table(columns: Sequence[Column], rows: Sequence[Row], *, name: str, caption: str = "") -> Html:
    """Return a table whose heads sort it; its rows are what ``filters(name)`` filters.

    Args: name: its ``id``, unique on the page. caption: for who cannot see it.
    """
    head = element("thead", element("tr", *(_head(column) for column in columns)))
    body = element("tbody", *(_row(columns, row) for row in rows))
    title = element("caption", caption, style="display:none") if caption else ""
    return element("div", element("table", title, head, body, class_="sortable", id=name), class_="scroll")


def filters(name: str, *, search: str = "Filter", selects: Mapping[str, Sequence[str]] | None = None) -> Html:
    """Return what filters the items of the element ``name``: a field for words, and a list for each of ``selects``.

    Args: selects: choices by the name of the data that items carry.
    """
    field_ = void("input", type="search", placeholder=search, aria_label=search)
    lists = joined(_select(label, choices) for label, choices in (selects or {}).items())
    counter = element("span", "", class_="count", aria_live="polite")
    return element("div", field_, lists, counter, class_="controls", data_filters=name, hidden=True)


def _select(label: str, choices: Sequence[str]) -> Html:
    options = [element("option", f"every {label}", value=""), *(element("option", c, value=c) for c in choices)]
    return element("select", *options, name=label, aria_label=label)


def _head(column: Column) -> Html:
    first = "descending" if column.high_first else "ascending"
    small = element("span", column.small, class_="unit") if column.small else ""
    return element(
        "th", element("button", column.name, type="button"), small, scope="col", title=column.help or None,
        class_="number" if column.numeric else None, data_first=first,
    )  # fmt: skip


def _row(columns: Sequence[Column], row: Row) -> Html:
    cells = [each if isinstance(each, Cell) else Cell(each) for each in row.cells]
    made = [_cell(cell, column, at) for at, (cell, column) in enumerate(zip(cells, columns, strict=True))]
    return element("tr", *made, data_item=True, **{f"data_{name}": value for name, value in row.data.items()})


def _cell(cell: Cell, column: Column, at: int) -> Html:
    inside = [cell.shown, element("span", cell.small, class_="unit") if cell.small else ""]
    if at == 0 and not column.numeric:
        return element("th", *inside, scope="row", data_value=_sortable(cell))
    names = " ".join(name for name, on in (("number", column.numeric), ("best", cell.best)) if on)
    return element("td", *inside, class_=names or None, data_value=_sortable(cell, column.numeric))


def _sortable(cell: Cell, numeric: bool = False) -> str | None:
    """A number that is missing sorts last, whichever way."""
    if cell.value is None:
        return "" if numeric else (f"{cell.shown} {cell.small}" if cell.small else None)
    return "" if math.isnan(cell.value) else repr(float(cell.value))
