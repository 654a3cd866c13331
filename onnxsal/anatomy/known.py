"""What is known of the axes of a graph's values, and their sizes in numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import onnx_ir as ir

from onnxsal.anatomy.axes import Axis, name_of, positions, unknown
from onnxsal.graph import dims

BATCH_SIZE = 11
"""Stands for a free batch: a prime that no width or number of heads is a multiple of by habit."""


@dataclass(frozen=True)
class Layout:
    """What the axes of a value hold."""

    axes: tuple[Axis, ...]
    assumed: tuple[str, ...] = ()
    """The operators on the way here of which it is only assumed that they keep positions."""

    @property
    def tags(self) -> tuple[str | None, ...]:
        """``B``, ``H``, ``W``, ``T`` (patches in a row) or None (channels, or unknown) for every axis."""
        return tuple(name_of(axis) for axis in self.axes)

    @property
    def is_at_home(self) -> bool:
        """Whether what it holds lies where the picture has it."""
        return all(a.index is None or a.index.place.is_whole for axis in self.axes for a in axis)

    @property
    def positions(self) -> int:
        """How many positions of the picture the value tells apart."""
        return positions(self.axes)


@dataclass
class Layouts:
    """The layouts of a graph's values; ``batch`` is the size that stands for a free one, or the fixed one."""

    symbols: tuple[str, ...]
    batch: int = 1
    found: dict[ir.Value, Layout] = field(default_factory=dict)
    lost: dict[ir.Node, str] = field(default_factory=dict)
    """Where positions went out of sight, and why."""
    spread: frozenset[str] = frozenset({"H", "W"})
    """The axes that a layer has to have: rows and columns, or the columns alone of what is one row (a sequence)."""

    def __contains__(self, value: ir.Value | None) -> bool:
        return value in self.found

    def get(self, value: ir.Value | None) -> Layout | None:
        """Return the layout of a value, None where nothing is known about it."""
        return None if value is None else self.found.get(value)

    def sizes(self, value: ir.Value) -> tuple[int, ...] | None:
        """Return the shape of a value in numbers, None where it is not known well enough."""
        shape = dims(value)
        numbers = [self._number(d) for d in shape or ()]
        known = tuple(n for n in numbers if n is not None)
        return known if shape is not None and len(known) == len(shape) else None

    def _number(self, dim: int | str | None) -> int | None:
        if not isinstance(dim, str):
            return dim
        factor, _, symbol = dim.rpartition("*")
        if symbol not in self.symbols or not (factor or "1").isdigit():
            return None
        return int(factor or 1) * BATCH_SIZE

    def axes(self, value: ir.Value | None) -> tuple[Axis, ...] | None:
        """Return the axes of a value, unknown ones where it is not of the picture."""
        if value is None:
            return None
        if value in self.found:
            return self.found[value].axes
        sizes = self.sizes(value)
        return None if sizes is None else tuple(unknown(s) for s in sizes)

    def is_spread(self, layout: Layout | None) -> bool:
        """Whether a value has the positions that a layer is made of, or patches."""
        return layout is not None and ("T" in layout.tags or self.spread <= set(layout.tags))

    def is_batch(self, axis: Axis) -> bool:
        """Whether an axis holds the images; a batch of one leaves no trace to follow."""
        return name_of(axis) == "B" or (self.batch == 1 and not axis)


Sizes = tuple[int, ...]
Found = tuple[Axis, ...] | None
Follow = Callable[[ir.Node, int, Sizes, Layouts], Found]
"""From a node, the number of one of its outputs and that one's sizes to what its axes hold."""
