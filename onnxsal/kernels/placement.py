"""Where the positions of a layer lie in the picture: each of its axes as stretches, in shares of axis and picture.

An axis that nothing moved is one stretch over all of both. A crop covers a part of the picture, a letterbox leaves a
part of the axis without any, a flip runs backwards, a roll is two stretches in another order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

ZERO, ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True)
class Stretch:
    """The part of an axis from ``low`` to ``high``, and where these two lie in the picture."""

    low: Fraction
    high: Fraction
    start: Fraction
    stop: Fraction
    """Below ``start`` where the stretch is mirrored."""

    @property
    def slope(self) -> Fraction:
        """How far the picture goes on for a step along the axis."""
        return (self.stop - self.start) / (self.high - self.low)

    @property
    def span(self) -> tuple[Fraction, Fraction]:
        """The part of the picture, its lower end first."""
        return min(self.start, self.stop), max(self.start, self.stop)

    @property
    def length(self) -> Fraction:
        """The share of the picture that it covers."""
        return abs(self.stop - self.start)


Side = tuple[Stretch, ...]
"""One axis: stretches in the order of the axis; where none is, nothing of the picture is."""

WHOLE: Side = (Stretch(ZERO, ONE, ZERO, ONE),)


@dataclass(frozen=True)
class Placement:
    """Where the rows and the columns of a grid lie in the picture."""

    rows: Side = WHOLE
    columns: Side = WHOLE

    @property
    def is_whole(self) -> bool:
        """Whether the grid covers the picture as it stands."""
        return self.rows == WHOLE and self.columns == WHOLE

    @property
    def has_all(self) -> bool:
        """Whether the grid holds all of the picture as it stands, with margins or without."""
        return all(
            len(side) == 1 and (side[0].start, side[0].stop) == (ZERO, ONE) for side in (self.rows, self.columns)
        )

    @property
    def area(self) -> Fraction:
        """The share of the picture that the grid covers."""
        return covered_share(self.rows) * covered_share(self.columns)

    def __str__(self) -> str:
        """For people: empty where nothing was moved."""
        sides = (("rows", self.rows), ("columns", self.columns))
        return ", ".join(f"{name} {_described(side)}" for name, side in sides if side != WHOLE)


WHOLE_IMAGE = Placement()


@lru_cache(maxsize=16)
def slices_apart(count: int) -> Side:
    """Return the rows of so many slices one behind the other, as ``kernels.plane`` has a volume's: each by itself."""
    ends = [Fraction(i, count) for i in range(count + 1)]
    return tuple(Stretch(low, high, low, high) for low, high in pairwise(ends))


def _described(side: Side) -> str:
    if len(side) > 4:
        return f"in {len(side)} stretches"
    return " + ".join(f"{_percent(s.start)}-{_percent(s.stop)} %" for s in side)


def _percent(share: Fraction) -> str:
    return f"{100 * float(share):.4g}"


def covered_share(side: Side) -> Fraction:
    """Return the share of the picture that the stretches of an axis cover."""
    total, until = ZERO, ZERO
    for low, high in sorted(stretch.span for stretch in side):
        low, high = max(low, until), min(high, ONE)
        total, until = total + max(high - low, ZERO), max(until, high)
    return total


def part(side: Side, low: Fraction, high: Fraction) -> Side:
    """Return the axis from ``low`` to ``high`` alone; below 0 and above 1 nothing of the picture is (padding)."""
    found = []
    for s in side:
        a, b = max(s.low, low), min(s.high, high)
        if a < b:
            ends = (s.start + (at - s.low) * s.slope for at in (a, b))
            found.append(Stretch((a - low) / (high - low), (b - low) / (high - low), *ends))
    return tuple(found)


def mirrored(side: Side) -> Side:
    """Return the axis read from its end."""
    return tuple(Stretch(ONE - s.high, ONE - s.low, s.stop, s.start) for s in reversed(side))


def chained(parts: Sequence[tuple[Side, int]]) -> Side | None:
    """Return axes of so many positions each put end to end; None where they hold the same of the picture twice.

    Copies of up to half the largest stretch are margins (circular padding), and stay: a crop may leave them alone.
    """
    total, at = sum(size for _, size in parts), 0
    found: list[Stretch] = []
    for side, size in parts:
        low, scale = Fraction(at, total), Fraction(size, total)
        found += [Stretch(low + s.low * scale, low + s.high * scale, s.start, s.stop) for s in side]
        at += size
    side = merged(found)
    return None if without_copies(side) is None else side


def merged(stretches: Iterable[Stretch]) -> Side:
    """Return the stretches with those put together that go on as they began."""
    out: list[Stretch] = []
    for s in stretches:
        last = out[-1] if out else None
        if last is not None and (last.high, last.stop, last.slope) == (s.low, s.start, s.slope):
            out[-1] = Stretch(last.low, s.high, last.start, s.stop)
        else:
            out.append(s)
    return tuple(out)


def without_copies(side: Side) -> Side | None:
    """Return the stretches that are drawn, those left out that margins repeat; None where they are no margins."""
    kept: list[Stretch] = []
    for s in sorted(side, key=lambda s: -s.length):
        shared = sum(_shared(s, other) for other in kept)
        if not shared:
            kept.append(s)
        elif 2 * s.length > kept[0].length or shared < s.length:
            return None
    return tuple(sorted(kept, key=lambda s: s.low))


def _shared(a: Stretch, b: Stretch) -> Fraction:
    (low, high), (other_low, other_high) = a.span, b.span
    return max(min(high, other_high) - max(low, other_low), ZERO)


def from_cells(cells: Sequence[tuple[Fraction, Fraction] | None], side: Side) -> Side | None:
    """Return the axis whose cells are those parts of another axis (backwards where the end comes first), or nothing.

    None where they hold the same of the picture twice.
    """
    parts = []
    for cell in cells:
        low, high = (ZERO, ZERO) if cell is None else (min(cell), max(cell))
        one = part(side, low, high) if low < high else ()
        parts.append((one if cell is None or cell[0] <= cell[1] else mirrored(one), 1))
    return chained(parts)


def oriented(cells: Sequence[Side]) -> list[Side]:
    """Return single positions, each mirrored where the next one begins in front of it."""
    found = list(cells)
    for i, cell in enumerate(cells):
        near = cells[i + 1] if i + 1 < len(cells) else cells[i - 1]
        if cell and near:
            ends = (near[0].stop, cell[0].start) if i + 1 < len(cells) else (near[0].start, cell[0].stop)
            found[i] = mirrored(cell) if ends[0] == ends[1] else cell
    return found


def alike(a: Side, b: Side, tolerance: Fraction) -> bool:
    """Return whether two axes lie in the same place, up to a tolerance in shares of the picture."""
    if a == b:
        return True
    a, b = without_copies(a) or a, without_copies(b) or b
    if len(a) != len(b):
        return False
    pairs = [(s.start - t.start, s.stop - t.stop, s.low - t.low, s.high - t.high) for s, t in zip(a, b, strict=True)]
    return all(abs(difference) <= tolerance for pair in pairs for difference in pair)
