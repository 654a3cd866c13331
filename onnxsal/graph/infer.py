"""Shapes of a whole graph, with the batch as a symbol: read off two passes with two numbers in its place.

A third pass with a batch of 1 tells what only looked constant: what branches on it, or stops at a size of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.errors import ModelError
from onnxsal.graph.contents import Array
from onnxsal.graph.shape_propagation import Kind, Memo, Shape, Sweep
from onnxsal.graph.shapes import Dim, dims

BATCH = "batch"
"""The symbol of the batch axis in models that had none."""

_PRIMES = ((11, 13), (17, 19), (23, 29), (31, 37))
"""A dimension that is 11 k in one pass and 13 k in the other is k times the batch; chance does not do that."""


@dataclass(frozen=True)
class Study:
    """What is known about a graph whatever its batch."""

    symbols: tuple[str, ...]
    sweeps: tuple[Sweep, ...]
    single: Sweep | None = None
    """The pass with a batch of 1, where it was needed. It only takes back what looked constant: a model that cannot
    take one image is no contradiction."""

    @property
    def contradictions(self) -> list[str]:
        """Where shapes contradict each other, each place once."""
        return list(dict.fromkeys(text for sweep in self.sweeps for text in sweep.contradictions))

    def shape(self, value: ir.Value) -> Shape | None:
        """Return the shape of a value: numbers, the batch symbol or ``k*symbol``, other symbols, None where unknown."""
        found = [sweep.shape(value) for sweep in self.sweeps]
        first, last = found[0], found[-1]
        if first is None or last is None or len(first) != len(last):
            return None
        single = None if self.single is None else self.single.shape(value)
        if single is None or len(single) != len(first):
            single = first
        return tuple(
            self._symbol(a, b) if a != b else None if isinstance(a, int) and isinstance(c, int) and a != c else a
            for a, b, c in zip(first, last, single, strict=True)
        )

    def _symbol(self, a: Dim, b: Dim) -> Dim:
        if not isinstance(a, int) or not isinstance(b, int):
            return None
        for symbol in self.symbols:
            p, q = (sweep.sizes[symbol] for sweep in (self.sweeps[0], self.sweeps[-1]))
            if a and a % p == 0 and b % q == 0 and a // p == b // q:
                return symbol if a == p else f"{a // p}*{symbol}"
        return None

    def dtype(self, value: ir.Value) -> ir.DataType | None:
        """Return the element type of a value."""
        kind = self.sweeps[0].kinds.get(value)
        return None if kind is None else kind[0]

    def constant(self, value: ir.Value) -> Array | None:
        """Return what a value holds at every batch size, where that is one and small."""
        first, last = (sweep.contents.get(value) for sweep in (self.sweeps[0], self.sweeps[-1]))
        if first is None or last is None or (first is not last and not _equal(first, last)):
            return None
        single = None if self.single is None else self.single.contents.get(value)
        return first if single is None or single is first or _equal(first, single) else None


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def batch_symbols(graph: ir.Graph) -> tuple[str, ...]:
    """Return the symbols of the inputs' leading axes."""
    leading = [shape[0] for v in graph.inputs if (shape := dims(v))]
    return tuple(dict.fromkeys(d for d in leading if isinstance(d, str)))[: len(_PRIMES)]


def study(graph: ir.Graph, opaque: frozenset[str] = frozenset()) -> Study:
    """Return what is known about a sorted graph.

    Args: opaque: names of values whose contents are not looked at.
    Raises: ModelError: shapes contradict each other.
    """
    symbols = batch_symbols(graph)
    found = _studied(graph, symbols, opaque)
    if found.contradictions and len(symbols) > 1:
        # two names for what is one size, or one that is broadcast: all but the first are left to run time
        found = _studied(graph, symbols[:1], opaque)
    if found.contradictions:
        wrong = "; ".join(found.contradictions[:3])
        raise ModelError(f"the model is not valid: shapes contradict each other at {wrong}")
    return found


def contradicts(graph: ir.Graph) -> bool:
    """Return whether shapes contradict each other in a sorted graph whatever its batch, of one image too."""
    symbols = batch_symbols(graph)
    sizes = [{s: p[i] for s, p in zip(symbols, _PRIMES, strict=False)} for i in range(2)]
    return all(Sweep(each).over(graph).contradictions for each in (*sizes, dict.fromkeys(symbols, 1)))


def _studied(graph: ir.Graph, symbols: tuple[str, ...], opaque: frozenset[str]) -> Study:
    first = Sweep({s: p for s, (p, _) in zip(symbols, _PRIMES, strict=False)}, opaque)
    first.over(graph)
    if not symbols:
        return Study(symbols, (first,))
    other = {s: q for s, (_, q) in zip(symbols, _PRIMES, strict=False)}
    last = Sweep(other, opaque, memo=first.memo).over(graph)
    if not any(_without_batch(v, first, last) for node in graph for v in node.outputs):
        # most networks of pictures: nothing that could be called constant is computed, and a pass is saved
        return Study(symbols, (first, last))
    return Study(symbols, (first, last), Sweep(dict.fromkeys(symbols, 1), opaque, memo=first.memo).over(graph))


def _without_batch(value: ir.Value, first: Sweep, last: Sweep) -> bool:
    shape = first.shape(value)
    return shape is not None and shape == last.shape(value)


def write_shapes(graph: ir.Graph, known: Study) -> None:
    """Give every computed value the type and shape that a study found."""
    for node in graph:
        for value in node.outputs:
            dtype, shape = known.dtype(value), known.shape(value)
            if dtype is not None and (value.dtype != dtype or value.type is None):
                value.type = ir.TensorType(dtype)
            if shape is not None and shape != dims(value):
                value.shape = ir.Shape(shape)


def infer_shapes(model: ir.Model) -> None:
    """Fill in the types and shapes of a model's values, in place.

    Raises: ModelError: shapes contradict each other, with the nodes at which they do.
    """
    write_shapes(model.graph, study(model.graph))


def kinds_of_one(graph: ir.Graph, memo: Memo) -> dict[ir.Value, Kind]:
    """Return the types and shapes of a sorted graph's values with a batch of one, without changing it.

    Args: memo: what was inferred of other graphs; what is of this one is added. Programs of one model are alike in
    most of their nodes.
    """
    return Sweep(dict.fromkeys(batch_symbols(graph), 1), memo=memo).over(graph).kinds


def settled(shape: Shape | None) -> list[int] | None:
    """Return a Reshape target for a shape with at most one symbol, for which -1 stands; None where there is none."""
    if shape is None or any(d is None or d == 0 for d in shape) or sum(isinstance(d, str) for d in shape) > 1:
        return None
    return [d if isinstance(d, int) else -1 for d in shape]
