"""Reachability: from which values the score depends on every position, and through which all of that flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.anatomy.axes import positions
from onnxsal.anatomy.cutting import reduced_axes
from onnxsal.anatomy.known import Layouts
from onnxsal.anatomy.weights import factors, has_weights, summed_axes

_SELECTING = frozenset({"Gather", "Slice", "Split", "GatherElements", "GatherND"})
_MIXING = frozenset({"Conv", "ConvTranspose", "QLinearConv", "ConvInteger", "FusedConv", "Attention", "QAttention",
                     "MultiHeadAttention", "DFT", "STFT"})  # fmt: skip
_POOLING = frozenset({"AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool",
                      "QLinearAveragePool", "QLinearGlobalAveragePool"})  # fmt: skip
_REDUCING = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
                       "ReduceLogSumExp"})  # fmt: skip
_LOOKING = frozenset({"GridSample", "RoiAlign", "MaxRoiPool", "CropAndResize", "Resize", "Slice", "Gather", "GatherND",
                      "GatherElements", "ReverseSequence", "ScatterND", "ScatterElements"})  # fmt: skip
_PRODUCTS = frozenset({"MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits",
                       "DynamicQuantizeMatMul", "Einsum"})  # fmt: skip
_INSIDE = frozenset({"Reshape", "Transpose", "Split", "Slice", "Gather", "Squeeze", "Unsqueeze", "Identity", "Cast",
                     "Concat", "Expand", "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Softmax", "Clip",
                     "Max", "Neg", "Where", "ReduceL2", "ReduceSum", "ReduceMean", "LayerNormalization",
                     "BatchNormalization", "QuantizeLinear", "DequantizeLinear", "Dropout"})  # fmt: skip
"""What exporters put between attention's products and the projections of its queries, keys and values."""


def full_edges(
    nodes: list[ir.Node], logit: ir.Value, known: Layouts, weighted: set[ir.Value], *, best_selects: bool = True
) -> set[tuple[ir.Value, ir.Node]]:
    """Return the edges (value, consumer) along which the score depends on every position of the value.

    A node that selects positions (the class token) passes on a partial need; one that mixes positions (attention's
    keys and values, convolution, pooling) needs all of them however few are asked for; others pass on what they get.
    The best of one score per position selects: ``weighted`` are the values in front of further weights, which are not.

    Args: best_selects: whether it does. All positions compete for it: there may be layers in front all the same.
    """
    need: dict[ir.Value, bool] = {logit: True}
    taken: dict[ir.Value, int] = {}
    edges: set[tuple[ir.Value, ir.Node]] = set()
    for node in reversed(nodes):
        asked = [need[v] for v in node.outputs if v in need]
        if not asked:
            continue
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is not None:
                continue
            full = _needs_all(node, index, any(asked), known) or (any(asked) and _all_taken(node, value, known, taken))
            if best_selects and _is_best(node, known) and node.outputs[0] not in weighted:
                full = False
            need[value] = need.get(value, False) or full
            if full:
                edges.add((value, node))
    return edges


def _is_best(node: ir.Node, known: Layouts) -> bool:
    """Whether a node takes the best of all positions."""
    return node.op_type == "ReduceMax" and _reduces_positions(node, known)


def _all_taken(node: ir.Node, value: ir.Value, known: Layouts, taken: dict[ir.Value, int]) -> bool:
    """Whether this part of a value and those that were asked for before are as many positions as it has (a roll)."""
    layout, part = known.get(value), known.get(node.outputs[0])
    if node.op_type != "Slice" or layout is None or part is None or value is not node.inputs[0]:
        return False
    taken[value] = taken.get(value, 0) + part.positions
    return taken[value] >= layout.positions


def _needs_all(node: ir.Node, index: int, asked: bool, known: Layouts) -> bool:
    value = node.inputs[index]
    if value is None or node.op_type in ("Shape", "Size"):
        return False
    if node.op_type in _SELECTING:
        return asked and not _selects_positions(node, known)
    if node.op_type in _MIXING:
        return True
    if node.op_type in _POOLING:
        return asked or _pools_positions(node, known)
    if node.op_type in _REDUCING:
        return asked or _reduces_positions(node, known)
    if node.op_type in _PRODUCTS:
        return asked or _is_second(node, index) or _sums_positions(node, index, known)
    return asked


def _is_second(node: ir.Node, index: int) -> bool:
    """Whether an input is the right operand of a product; scales and zero points beside it are numbers of the left."""
    if node.op_type == "Einsum":
        return index > 0
    return index == (3 if node.op_type == "QLinearMatMul" else 1)


def _selects_positions(node: ir.Node, known: Layouts) -> bool:
    before = known.get(node.inputs[0])
    after = [known.get(v) for v in node.outputs if v.uses()]
    return before is not None and before.positions > sum(1 if a is None else a.positions for a in after)


def pools_positions(node: ir.Node, known: Layouts) -> bool:
    """Return whether a node takes one value of several positions."""
    if node.op_type in _POOLING:
        return _pools_positions(node, known)
    return node.op_type in _REDUCING and _reduces_positions(node, known)


def _reduces_positions(node: ir.Node, known: Layouts) -> bool:
    layout = known.get(node.inputs[0])
    if layout is None:
        return False
    return positions([layout.axes[i] for i in reduced_axes(node, len(layout.axes))]) > 1


def _pools_positions(node: ir.Node, known: Layouts) -> bool:
    """Whether positions are pooled: an export may write the mean over the channels of tokens [B, T, C] as a pooling."""
    layout = known.get(node.inputs[0])
    return layout is None or positions(layout.axes[2:]) > 1


def _sums_positions(node: ir.Node, index: int, known: Layouts) -> bool:
    """Whether a product sums over positions of an operand (a token-mixing layer)."""
    layout = known.get(node.inputs[index])
    if layout is None or index not in factors(node):
        return False
    return positions([layout.axes[i] for i in summed_axes(node, index, len(layout.axes))]) > 1


@dataclass(frozen=True)
class _Facts:
    """What is known of the values of a graph when attention is looked for."""

    known: Layouts
    moving: set[ir.Value]
    whole: set[ir.Value]
    data: set[ir.Value]

    def takes_parts(self, node: ir.Node) -> bool:
        """Whether a node picks channels of a value, and not positions."""
        return node.op_type in _SELECTING and not _selects_positions(node, self.known)


def inside_attention(
    nodes: list[ir.Node], known: Layouts, moving: set[ir.Value], whole: set[ir.Value]
) -> set[ir.Value]:
    """Return the values between the products of attention and the projections that feed them, projections included.

    So is what else is worked out of those alone (positions from the values). They are parts of one operation: its
    input is what a layer can be.

    Args: moving: ``moving_values``. whole: values through which everything flows; one that a product takes as it is,
    and not in parts (queries, keys and values side by side), is the input of the operation and no part of it.
    """
    facts = _Facts(known, moving, whole, {v for node in nodes for v in node.outputs})
    found: set[ir.Value] = set()
    for node in nodes:
        operands = [v for v in node.inputs if v in facts.data]
        if node.op_type in ("Attention", "MultiHeadAttention") or (node.op_type in _PRODUCTS and len(operands) > 1):
            for value in operands:
                found |= _back_to_projection(value, facts)
    for node in nodes:
        operands = [v for v in node.inputs if v in facts.data]
        if operands and node.op_type not in _PRODUCTS and all(v in found for v in operands):
            found.update(node.outputs)
    return found


def _back_to_projection(value: ir.Value | None, facts: _Facts) -> set[ir.Value]:
    """Return the values passed on the way back to weights; nothing where there are none (a product of plain maps)."""
    seen: set[ir.Value] = set()
    waiting, met = [(value, True)], False
    while waiting:
        current, entire = waiting.pop()
        node = None if current is None or current not in facts.data or current in seen else current.producer()
        if current is None or node is None or (entire and current in facts.whole):
            continue
        if has_weights(node, facts.moving):
            met = True
            seen.add(current)
        elif node.op_type in _INSIDE | _PRODUCTS:
            seen.add(current)
            waiting.extend((v, entire and not facts.takes_parts(node)) for v in node.inputs)
    return seen if met else set()


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
        carried = [value for value in node.outputs if value in last]
        if len(carried) == 1 and all(until <= here for _, until in open_until):
            found.update(carried)
        open_until = [(v, u) for v, u in open_until if u > here] + [(v, last[v]) for v in carried]
    return found


def guides(nodes: list[ir.Node], lost: Mapping[ir.Node, str]) -> set[ir.Value]:
    """Return the values that only tell an operator where to look: a map of those is none of what is seen there."""
    found: set[ir.Value] = set()
    for node in (n for n in nodes if n in lost and n.op_type in _LOOKING):
        found |= _above(nodes, node.inputs[1:]) - _above(nodes, node.inputs[:1])
    return found


def in_front(nodes: list[ir.Node], ends: Sequence[ir.Node]) -> set[ir.Value]:
    """Return the values in front of these nodes."""
    found: set[ir.Value] = set()
    for node in (n for n in nodes if n in ends):
        found |= _above(nodes, node.inputs)
    return found


def _above(nodes: list[ir.Node], values: Sequence[ir.Value | None]) -> set[ir.Value]:
    """Return values and all they are made of."""
    found = {v for v in values if v is not None}
    for node in reversed(nodes):
        if any(v in found for v in node.outputs):
            found.update(v for v in node.inputs if v is not None)
    return found
