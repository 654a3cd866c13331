"""What depends on weights alone, computed when a file is written: transposes, flips, what was dequantised.

Runtimes that fold no constants compute it at every run, or know no such operator. Only what rounds each number once,
the same way everywhere, is computed: moved numbers, casts, sums, products and quotients of two. Sums over many numbers
stay, and so does what a DequantizeLinear of the model gives: runtimes make integer kernels of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph.contents import Array, compute
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.program import drop_unread
from onnxsal.graph.scopes import bodies

GROWS = 4
"""Times the bytes that a result was made from, above which it stays computed: bytes become float32, a mask does not
become thousands of them."""

SMALL = 1 << 16
"""Bytes that are no matter."""

_EXACT = frozenset({
    "Transpose", "Slice", "Neg", "Cast", "Add", "Sub", "Mul", "Div", "Reshape", "Squeeze", "Unsqueeze", "Concat",
    "Gather", "Identity", "Expand", "Where", "Abs", "Split", "Pad", "Tile", "Max", "Min", "Clip", "Equal", "Less",
    "Greater", "Not", "And", "Or", "Sign", "ConstantOfShape", "Range", "ScatterND", "Trilu",
})  # fmt: skip


@dataclass(frozen=True)
class _Held:
    """What a value holds, and which initializers it was made from."""

    array: Array
    sources: frozenset[ir.Value]

    @property
    def is_worth_it(self) -> bool:
        return self.array.nbytes <= max(SMALL, GROWS * sum(_bytes(v) for v in self.sources))


def precompute(model: ir.Model) -> None:
    """Replace what depends on initializers alone by initializers, in bodies too, in place.

    What leaves a weight as it is gives way to the weight; in a body it stays, for what it does to the runtime there.
    """
    _precompute(model.graph, {})
    drop_unread(model)


def _precompute(graph: ir.Graph, outer: Mapping[ir.Value, _Held]) -> None:
    held = dict(outer)
    for value in graph.initializers.values():
        array = None if value.is_graph_input() else _plain(value)
        if array is not None:
            held[value] = _Held(array, frozenset({value}))
    made: list[ir.Node] = []
    for node in graph:
        if (found := _computed(node, held)) is not None:
            made.append(node)
            held.update(found)
        for body in bodies(node):
            _precompute(body, held)
    for value in [v for node in made for v in node.outputs]:
        readers = [use.node for use in value.uses() if use.node not in made]
        if readers:
            _replace(graph, value, held[value], readers, inside=bool(outer))


def _computed(node: ir.Node, held: Mapping[ir.Value, _Held]) -> dict[ir.Value, _Held] | None:
    """Return what a node gives, where that is known, exact and not too much."""
    given = [v for v in node.inputs if v is not None]
    if node.domain or node.op_type not in _EXACT or not given or any(v not in held for v in given):
        return None
    if any(v.is_graph_output() for v in node.outputs):
        return None
    arrays = compute(node, [None if v is None else held[v].array for v in node.inputs])
    sources = frozenset[ir.Value]().union(*(held[v].sources for v in given))
    found = {v: _Held(a, sources) for v, a in zip(node.outputs, arrays or (), strict=False)}
    return found if found and all(each.is_worth_it for each in found.values()) else None


def _replace(graph: ir.Graph, value: ir.Value, held: _Held, readers: list[ir.Node], *, inside: bool) -> None:
    weight = _as_it_is(held)
    if weight is None:
        weight = add_initializer(graph, f"{value.name}/computed", ir.tensor(held.array))
    elif inside or any(reader.graph is not graph for reader in readers):
        return
    value.replace_all_uses_with(weight)


def _as_it_is(held: _Held) -> ir.Value | None:
    """Return the weight that holds the same, where a value was made from it alone."""
    if len(held.sources) != 1:
        return None
    (source,) = held.sources
    array = _plain(source)
    assert array is not None
    same = array.dtype == held.array.dtype and array.shape == held.array.shape
    return source if same and array.tobytes() == held.array.tobytes() else None


def _plain(value: ir.Value) -> Array | None:
    tensor = value.const_value
    if tensor is None or isinstance(tensor, ir.StringTensor):
        return None
    return tensor.numpy() if tensor.dtype.numpy().kind in "biuf" else None


def _bytes(value: ir.Value) -> int:
    return 0 if value.const_value is None else value.const_value.nbytes
