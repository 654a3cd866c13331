"""What the names of open axes stand for where inputs are held: a number, or an axis of what is explained."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.model.constants import Constant, fitting

Dim = int | str | None


def declared(value: ir.Value) -> tuple[Dim, ...] | None:
    """Return the axes of an input as its file has them: numbers, names, None for those that it leaves open."""
    shape = dims(value)
    return None if shape is None else tuple(None if isinstance(d, int) and d < 1 else d for d in shape)


@dataclass(frozen=True)
class Dimensions:
    """What is known of open axes."""

    source: tuple[Dim, ...] = ()
    """The axes of the input that is explained."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """What names stand for by the arrays that are held."""

    @classmethod
    def of(cls, graph: ir.Graph, source: ir.Value | None, held: Mapping[str, Constant]) -> Dimensions:
        """Return what an explained input and held ones say of names. Raises: UsageError: one held does not fit."""
        own = () if source is None else declared(source) or ()
        sizes: dict[str, int] = {}
        batch = own[0] if len(own) > 1 else None
        others = {*own[1:], *_beside(graph, batch)}
        for value in graph.inputs:
            constant = held.get(str(value.name))
            if constant is not None:
                sizes |= _sizes(declared(value) or (), fitting(constant, value).shape, own, others)
        return cls(own, {name: size for name, size in sizes.items() if name != batch})

    def batch_axis(self, shape: tuple[Dim, ...]) -> int | None:
        """Return which axis of an input holds the batch of the explained one, where names tell.

        Of inputs without names that is the first one.
        """
        if len(self.source) < 2 or isinstance(self.source[0], int):
            return None
        named = [i for i, d in enumerate(shape) if d is not None and d == self.source[0]]
        first = bool(shape) and not isinstance(shape[0], int) and shape[0] not in self.source[1:]
        return named[0] if named else 0 if first and shape[0] not in self.sizes else None

    def only_open(self, shape: tuple[Dim, ...]) -> int | None:
        """Return which axis of a state is that of the batch where axes have no names: the one that is open, of both.

        A state has no positions, and layers or directions, whose number is known, stand in front of its batch.
        """
        found = [i for i, d in enumerate(shape) if d is None]
        return found[0] if len(found) == 1 and len(self.source) > 1 and self.source[0] is None else None

    def following(self, shape: tuple[Dim, ...]) -> dict[int, int]:
        """Return which axes of an input have the length of which axes of the explained one, by their numbers."""
        batch = self.batch_axis(shape)
        found = {} if batch is None else {batch: 0}
        for i, d in enumerate(shape):
            if isinstance(d, str) and i != batch and d not in self.sizes and d in self.source[1:]:
                found[i] = self.source.index(d, 1)
        return found

    def size(self, dim: Dim) -> int | None:
        """Return the length of an axis, None where nothing tells."""
        return dim if isinstance(dim, int) else None if dim is None else self.sizes.get(dim)


def _beside(graph: ir.Graph, batch: Dim) -> set[Dim]:
    """Return the names that stand beside the batch's in the shape of an output, as of pictures by texts."""
    shapes = [dims(output) or () for output in graph.outputs]
    return {d for shape in shapes if isinstance(batch, str) and batch in shape for d in shape if d != batch}


def _sizes(
    shape: tuple[Dim, ...], sizes: tuple[int, ...], own: tuple[Dim, ...], others: Collection[Dim]
) -> dict[str, int]:
    """Return what the names of a held input's axes stand for. Args: own: the axes of the explained input, if it is one.
    others: what is not its batch.

    One row of several axes may be that of a batch under another name, for two inputs seldom share theirs: it says
    nothing, unless the name is known to be another.
    """
    pairs = [(d, n) for d, n in zip(shape, sizes, strict=False) if isinstance(d, str)]
    row = shape[0] if own and len(sizes) > 1 and sizes[0] == 1 and shape and shape[0] not in others else None
    return {d: n for d, n in pairs if d != row}
