"""What is shown of rows: each column's part in a score, from the base value to the score, of one row or of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxsal.viz.text import fit_line

MISSING = "(missing)"
_DIGITS = 4
_LONG = 8
"""Characters from which a number is shortened."""
_CELL = 0.45
"""The most of a label's room that a cell takes: of a long name the beginning shows, of a long cell as well."""


@dataclass(frozen=True)
class Part:
    """One column: its name, the value that the method gave it, its cell, the value's standard error."""

    name: str
    value: float
    cell: str | None = None
    """None where there is none to show: of several columns together, or of a name alone."""
    error: float | None = None
    is_missing: bool = False
    """Whether the cell, such as NA, stands for nothing."""

    @property
    def told(self) -> str:
        """The cell as it is shown: numbers of many digits with six of them, but for whole ones, which may be names."""
        cell = (self.cell or "").strip()
        if self.cell is None:
            return ""
        if self.is_missing or not cell:
            return MISSING
        if len(cell) <= _LONG or cell.lstrip("+-").isdigit():
            return cell
        try:
            return f"{float(cell.replace(',', '.')):.6g}"
        except ValueError:
            return cell

    @property
    def label(self) -> str:
        """Name and cell in one line."""
        return self.name if self.cell is None else f"{self.name} = {self.told}"

    @property
    def shown(self) -> str:
        """The value in numbers, with its error where it has one."""
        if not math.isfinite(self.value):
            return "-"
        return signed(self.value) + (f" ± {self.error:.2g}" if self.error is not None and self.error > 0 else "")


@dataclass(frozen=True)
class Attribution:
    """One row's parts, and the two values between which they lead where they add up: the base value and the score."""

    parts: Sequence[Part]
    base: float | None = None
    score: float | None = None
    title: str = ""
    """Of the score: which class, which number."""

    @property
    def adds_up(self) -> bool:
        """Whether the parts lead from a base value to the score."""
        return self.base is not None and self.score is not None

    @property
    def ends(self) -> list[tuple[str, str]]:
        """The score and the base value, those that are known, with as many digits as the parts' show beside them."""
        known = [(name, value) for name, value in (("score", self.score), ("base value", self.base))
                 if value is not None]  # fmt: skip
        largest = max((abs(part.value) for part in self.parts if math.isfinite(part.value)), default=0.0)
        return [(name, f"{value:.{_digits(value, largest)}g}") for name, value in known]

    def shortened(self, most: int) -> list[Part]:
        """Return at most so many parts, the largest first: the others are one, the last, without an error.

        The errors of several columns depend on each other, so they do not add up.
        """
        ordered = sorted(self.parts, key=lambda part: -abs(part.value) if math.isfinite(part.value) else 0.0)
        if len(ordered) <= most:
            return ordered
        rest = ordered[most - 1 :]
        return [*ordered[: most - 1], Part(f"{len(rest)} other columns", math.fsum(part.value for part in rest))]


@dataclass(frozen=True)
class Swarm:
    """Many rows: each column's values, [rows, columns], and what stood in its cells, NaN where that is no number."""

    names: Sequence[str]
    values: NDArray[np.float64]
    cells: NDArray[np.float64]
    title: str = ""
    """Of the values: which class, which number."""

    def importance(self) -> NDArray[np.float64]:
        """Return the mean size of each column's values; what is not finite counts for nothing."""
        sizes: NDArray[np.float64] = np.abs(np.where(np.isfinite(self.values), self.values, 0.0)).mean(axis=0)
        return sizes

    def shortened(self, most: int) -> Swarm:
        """Return at most so many columns, those of the largest values first: the others are one, without cells."""
        order = np.argsort(-self.importance(), kind="stable")
        if len(order) <= most:
            return replace(self, names=[self.names[at] for at in order], values=self.values[:, order],
                           cells=self.cells[:, order])  # fmt: skip
        kept, rest = order[: most - 1], order[most - 1 :]
        names = [*(self.names[at] for at in kept), f"{len(rest)} other columns"]
        values = np.column_stack([self.values[:, kept], self.values[:, rest].sum(axis=1)])
        return replace(self, names=names, values=values,
                       cells=np.column_stack([self.cells[:, kept], np.full(len(values), np.nan)]))  # fmt: skip

    def thinned(self, most: int) -> Swarm:
        """Return at most so many rows, evenly from first to last."""
        if len(self.values) <= most:
            return self
        at = np.linspace(0, len(self.values) - 1, most).round().astype(np.intp)
        return replace(self, values=self.values[at], cells=self.cells[at])


def _digits(value: float, largest: float) -> int:
    more = math.log10(abs(value) / largest) if value and largest and math.isfinite(value) else 0.0
    return _DIGITS + min(max(math.ceil(more), 0), 16 - _DIGITS)


def signed(value: float) -> str:
    """Return a value with its sign, four digits of it; nothing has none."""
    return f"{value:+.{_DIGITS}g}" if value else "0"


def label_of(part: Part, room: float, letters: int) -> str:
    """Return name and cell as they fit into so many pixels: each is shortened by itself, so that both can be told."""
    whole = fit_line(part.label, room, letters)
    if part.cell is None or whole.text.endswith(" ".join(part.told.split())):
        return whole.text
    cell = fit_line(f"= {part.told}", room * _CELL, letters)
    return f"{fit_line(part.name, room - cell.width - letters / 2, letters).text} {cell.text}"
