"""How much memory running a graph takes, from its shapes: what lives at one time, an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph.limits import kind_bytes, value_bytes
from onnxsal.graph.shape_propagation import Kind


@dataclass(frozen=True)
class Footprint:
    """Bytes: of the weights (and whatever else is there once), and of the values that live together, an image."""

    fixed: int
    per_image: int

    def total(self, batch: int) -> int:
        """Return the bytes of a run with so many images."""
        return self.fixed + batch * self.per_image


def footprint(model: ir.Model, kinds: Mapping[ir.Value, Kind] | None = None) -> Footprint:
    """Return an estimate of what running a model takes: weights, and the peak of live values for a batch of one.

    A value lives from the node that makes it to the last one that reads it; graph inputs and outputs live throughout.
    Values whose shape is unknown count nothing.

    Args: kinds: types and shapes of its values, where the graph does not say all of them itself.
    """
    held = (value.const_value for each in model.graphs() for value in each.initializers.values())
    weights = sum(tensor.nbytes for tensor in held if tensor is not None)
    return Footprint(weights, _peak(list(model.graph), model.graph, {} if kinds is None else kinds))


def _peak(nodes: list[ir.Node], graph: ir.Graph, kinds: Mapping[ir.Value, Kind]) -> int:
    def bytes_of(values: Iterable[ir.Value]) -> int:
        return sum(_size(value, kinds) for value in values)

    always = [*graph.inputs, *graph.outputs]
    kept = set(always)
    last = {value: at for at, node in enumerate(nodes) for value in _read(node)}
    ending: dict[int, list[ir.Value]] = {}
    for value, at in last.items():
        ending.setdefault(at, []).append(value)
    live = highest = bytes_of(set(always))
    for at, node in enumerate(nodes):
        made = [v for v in node.outputs if v not in kept]
        live += bytes_of(made)
        highest = max(highest, live)
        live -= bytes_of(v for v in ending.get(at, ()) if v not in kept and v.producer() is not None)
        live -= bytes_of(v for v in made if v not in last)
    return highest


def _read(node: ir.Node) -> Iterable[ir.Value]:
    return (v for v in node.inputs if v is not None)


def _size(value: ir.Value, kinds: Mapping[ir.Value, Kind]) -> int:
    if value.is_initializer():
        return 0
    return kind_bytes(*kinds[value]) if value in kinds else value_bytes(value)
