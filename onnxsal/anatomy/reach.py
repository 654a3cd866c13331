"""Reachability: from which values the score depends on every position, and through which all of that flows."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.anatomy.layout import Layouts
from onnxsal.graph import attributes, dims

_SELECTING = frozenset({"Gather", "Slice", "Split", "GatherElements", "GatherND"})
_MIXING = frozenset({"Conv", "ConvTranspose", "AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool",
                     "GlobalLpPool", "ReduceMean", "ReduceSum", "ReduceMax", "Flatten"})  # fmt: skip
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul", "MatMulInteger",
                       "ConvInteger", "FusedConv", "FusedMatMul", "FusedGemm"})  # fmt: skip


def full_edges(nodes: list[ir.Node], logit: ir.Value, known: Layouts) -> set[tuple[ir.Value, ir.Node]]:
    """Return the edges (value, consumer) along which the score depends on every position of the value.

    A node that selects positions (the class token) passes on a partial need; one that mixes positions (attention's
    keys and values, convolution, pooling) needs all of them however few are asked for; all others pass on what they get.
    """
    need: dict[ir.Value, bool] = {logit: True}
    edges: set[tuple[ir.Value, ir.Node]] = set()
    for node in reversed(nodes):
        asked = [need[v] for v in node.outputs if v in need]
        if not asked:
            continue
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is not None:
                continue
            full = _needs_all(node, index, any(asked), known)
            need[value] = need.get(value, False) or full
            if full:
                edges.add((value, node))
    return edges


def _needs_all(node: ir.Node, index: int, asked: bool, known: Layouts) -> bool:
    value = node.inputs[index]
    if value is None or node.op_type in ("Shape", "Size"):
        return False
    if node.op_type in _SELECTING:
        return asked and not _selects_positions(node, known)
    if node.op_type in _MIXING:
        return True
    if node.op_type in ("MatMul", "FusedMatMul") and index == 1:
        return True
    return asked


def _selects_positions(node: ir.Node, known: Layouts) -> bool:
    source = node.inputs[0]
    layout = known.get(source) if source is not None else None
    if layout is None or source is None:
        return False
    before, after = dims(source) or (), dims(node.outputs[0]) or ()
    spatial = [i for i, t in enumerate(layout.tags) if t in ("T", "H", "W")]
    if node.op_type == "Gather":
        return attributes(node)["axis"] % max(len(before), 1) in spatial
    if layout.grid and "T" in layout.tags and len(after) == len(before):
        axis = layout.tags.index("T")
        return after[axis] not in (before[axis], layout.grid[0] * layout.grid[1])
    return len(after) != len(before) or any(after[i] != before[i] for i in spatial)


def cuts(nodes: list[ir.Node], edges: set[tuple[ir.Value, ir.Node]]) -> set[ir.Value]:
    """Return the values through which all of the full dependence flows: no such edge jumps over them."""
    position = {node: i for i, node in enumerate(nodes)}
    last: dict[ir.Value, int] = {}
    for value, node in edges:
        last[value] = max(last.get(value, -1), position[node])
    found: set[ir.Value] = set()
    open_until: list[tuple[ir.Value, int]] = [(v, until) for v, until in last.items() if v.producer() is None]
    for node in nodes:
        here = position[node]
        for value in node.outputs:
            if value in last and all(until <= here for _, until in open_until):
                found.add(value)
        open_until = [(v, u) for v, u in open_until if u > here] + [(v, last[v]) for v in node.outputs if v in last]
    return found


def weighted_below(nodes: list[ir.Node], logit: ir.Value) -> set[ir.Value]:
    """Return the values from which the logit is reached through at least one operator with weights."""
    reach: dict[ir.Value, bool] = {logit: False}
    for node in reversed(nodes):
        found = [reach[v] for v in node.outputs if v in reach]
        if found:
            through = any(found) or _has_weights(node)
            for value in node.inputs:
                if value is not None:
                    reach[value] = reach.get(value, False) or through
    return {value for value, through in reach.items() if through}


def _has_weights(node: ir.Node) -> bool:
    if node.op_type not in _WEIGHTED:
        return False
    return any(_is_weight(v) for v in node.inputs[1:])


def _is_weight(value: ir.Value | None) -> bool:
    """An initializer, or one that is dequantised, cast, reshaped or transposed on the way."""
    while value is not None and value.const_value is None:
        node = value.producer()
        if node is None or node.op_type not in ("DequantizeLinear", "Cast", "Transpose", "Reshape", "Identity"):
            return False
        value = node.inputs[0]
    return value is not None
