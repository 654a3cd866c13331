"""Weights: what a network has learned, and in front of which operators that take it a value lies.

A weight is what is computed of initializers and constants alone, by whatever operators: normalised, quantised, a
product of two. An operator is weighted where it sums over channels: a convolution, a matrix product, an Einsum, and a
constant laid on channels that are summed away behind it (Mul and ReduceSum, a distance). A scale or a bias whose
channels live on, as those of a normalisation, is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.axes import Axis, Index, marked, positions
from onnxsal.anatomy.known import Layout, Layouts
from onnxsal.anatomy.layout import followed
from onnxsal.graph import attributes, dims
from onnxsal.graph.equations import explicit

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "FusedConv",
                           "NhwcFusedConv"})  # fmt: skip
_PRODUCTS = frozenset({"Gemm", "MatMul", "Einsum", "QLinearMatMul", "MatMulInteger", "FusedMatMul", "FusedGemm",
                       "QGemm", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits"})  # fmt: skip
_SECOND = dict.fromkeys(("QLinearConv", "QLinearMatMul", "QGemm"), 3)
"""Where the second factor is, if not at 1: numbers of the first stand between."""

_RECURRENT = frozenset({"RNN", "GRU", "LSTM"})
_TABLES = frozenset({"LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor", "TreeEnsemble",
                     "TreeEnsembleClassifier", "TreeEnsembleRegressor"})  # fmt: skip
"""Operators of ai.onnx.ml that keep what they learned in attributes."""

_LAID = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu", "Where", "Einsum", "QLinearAdd",
                   "QLinearMul"})  # fmt: skip
"""Operators that lay the numbers of a constant on a value, axis by axis."""

_BESIDE = frozenset({"QLinearConcat", "QLinearWhere", "RotaryEmbedding", "EmbedLayerNormalization"}) | _LAID
"""Operators of other domains that take a table of numbers and sum over nothing."""

_SUMMING = frozenset({"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
                      "ReduceProd", "ReduceLogSum", "ReduceLogSumExp", "GlobalAveragePool", "AveragePool",
                      "GlobalMaxPool", "MaxPool", "GlobalLpPool", "LpPool"}) | _PRODUCTS  # fmt: skip
_LINEAR = frozenset({"Add", "Sub", "Neg", "Sum", "Mean", "ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool",
                     "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast", "Dropout", "Expand",
                     "Slice", "Gather", "Concat", "Split", "QuantizeLinear", "DequantizeLinear"})  # fmt: skip
_DRAWING = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
                      "Multinomial"})  # fmt: skip


def moving_values(graph: ir.Graph) -> set[ir.Value]:
    """Return the values that differ from picture to picture; all others are computed of constants and shapes alone."""
    moving = set(graph.inputs)
    for node in graph:
        fed = any(v in moving for v in node.inputs) and node.op_type not in ("Shape", "Size")
        if fed or node.op_type in _DRAWING or any(_bodies(node)):
            moving.update(node.outputs)
    return moving


def _bodies(node: ir.Node) -> Iterable[ir.Graph]:
    return (a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH and not a.is_ref())


def factors(node: ir.Node) -> tuple[int, ...]:
    """Return which inputs a convolution or product multiplies with each other; none of another operator."""
    if node.op_type == "Einsum":
        return tuple(range(len(node.inputs)))
    if node.op_type not in _CONVOLUTIONS | _PRODUCTS:
        return ()
    return 0, _SECOND.get(node.op_type, 1)


def summed_axes(node: ir.Node, index: int, rank: int) -> list[int]:
    """Return over which axes of a factor with so many axes a convolution or product sums, windows left out."""
    if node.op_type == "Einsum":
        return _unseen_letters(node, index)
    if node.op_type in _CONVOLUTIONS:
        return [1]
    first = index == factors(node)[0]
    turned = bool(attributes(node).get("transA" if first else "transB"))
    return [rank - 1] if rank == 1 or first != turned else [rank - 2]


def _unseen_letters(node: ir.Node, index: int) -> list[int]:
    """The axes of an Einsum's operand whose letters its result has not; none where a rank is unknown."""
    shapes = [None if value is None else dims(value) for value in node.inputs]
    if any(shape is None for shape in shapes):
        return []
    terms, result = explicit(str(attributes(node)["equation"]), [len(shape or ()) for shape in shapes])
    return [place for place, letter in enumerate(terms[index]) if letter not in result]


def has_weights(node: ir.Node, moving: set[ir.Value]) -> bool:
    """Return whether a node takes a weight: of the factors of a product, or in a form that only it can read.

    An operator of another domain with a constant matrix sums over channels as far as anyone can see; so does a node
    with such a one in its bodies.
    """
    chosen = factors(node)
    if chosen:
        return any(_is_fixed(node.inputs[i], moving) for i in chosen if i < len(node.inputs))
    if node.op_type in _TABLES or any(factors(inner) for body in _bodies(node) for inner in body.all_nodes()):
        return True
    if node.op_type in _BESIDE or not (node.domain or node.op_type in _RECURRENT):
        return False
    return any(_is_fixed(v, moving) and sum(d != 1 for d in dims(v) or ()) > 1 for v in node.inputs if v is not None)


def _is_fixed(value: ir.Value | None, moving: set[ir.Value]) -> bool:
    return value is not None and value not in moving


def weighted_below(nodes: list[ir.Node], logit: ir.Value, known: Layouts, moving: set[ir.Value]) -> set[ir.Value]:
    """Return the values from which the logit is reached through at least one operator with weights.

    Args: nodes: those from the picture to the logit. known: what their values' axes hold. moving: ``moving_values``.
    """
    below = _reached(nodes, logit, lambda node, i: _mixes(node, i, known, moving))
    tail = [node for node in nodes if not any(v in below for v in node.outputs)]
    behind = _Tail(tail, logit, known, moving)
    laid = {node for node in tail if _is_summed_behind(node, behind)}
    if not laid:
        return below
    return _reached(nodes, logit, lambda node, i: node in laid or _mixes(node, i, known, moving))


def _reached(nodes: list[ir.Node], logit: ir.Value, weighted: Callable[[ir.Node, int], bool]) -> set[ir.Value]:
    reach: dict[ir.Value, bool] = {logit: False}
    for node in reversed(nodes):
        found = [reach[v] for v in node.outputs if v in reach]
        for i, value in enumerate(node.inputs):
            if value is not None and found:
                reach[value] = reach.get(value, False) or any(found) or weighted(node, i)
    return {value for value, through in reach.items() if through}


def _mixes(node: ir.Node, index: int, known: Layouts, moving: set[ir.Value]) -> bool:
    """Whether a node sums over channels of an operand; the other factor may be made of the picture too.

    A product over positions alone is a mean of them, or weights that attention gave them.
    """
    value, chosen = node.inputs[index], factors(node)
    if not chosen or value is None:
        return has_weights(node, moving)
    axes = known.axes(value)
    if axes is None:
        return index in chosen
    return index in chosen and _has_channels([axes[i] for i in summed_axes(node, index, len(axes))])


def _has_channels(axes: list[Axis]) -> bool:
    """Whether axes hold something else than positions of the picture."""
    only = all(atom.index is not None and atom.index.name in "HWT" for axis in axes for atom in axis)
    return bool(axes) and not (only and positions(axes) > 1)


@dataclass(frozen=True)
class _Tail:
    """The nodes behind the last weights, up to the logit, and what is known of their values."""

    nodes: list[ir.Node]
    logit: ir.Value
    known: Layouts
    moving: set[ir.Value]


def _is_summed_behind(node: ir.Node, tail: _Tail) -> bool:
    """Whether a node lays a constant on channels that are summed away behind it, on every way to the logit."""
    if node.op_type not in _LAID or len(node.outputs) != 1:
        return False
    fixed = [v for v in node.inputs if v is not None and v not in tail.moving]
    return any(_ends_in_sum(node, value, tail) for value in fixed)


def _ends_in_sum(node: ir.Node, value: ir.Value, tail: _Tail) -> bool:
    known = tail.known
    sizes = known.sizes(value) or ()
    marks = [Index(f"weight {i}", n) if n > 1 and _differs(value, i) else None for i, n in enumerate(sizes)]
    behind = [node, *(other for other in tail.nodes if other is not node)]
    after = followed(behind, value, tuple(marked(mark, n) for mark, n in zip(marks, sizes, strict=True)), known)
    living = _indices(after.get(tail.logit))
    lost = [mark for mark in marks if mark is not None and mark not in living]
    return any(_is_summed(mark, behind, after, known) and not _only_adds(mark, behind, after) for mark in lost)


def _differs(value: ir.Value, axis: int) -> bool:
    """Whether a constant has other numbers along an axis; what is only computed when it runs is taken to."""
    tensor = value.const_value
    return tensor is None or bool(np.any(np.diff(np.moveaxis(tensor.numpy(), axis, 0), axis=0) != 0))


def _indices(layout: Layout | None) -> set[Index]:
    return set() if layout is None else {a.index for axis in layout.axes for a in axis if a.index is not None}


def _is_summed(mark: Index, nodes: list[ir.Node], after: Layouts, known: Layouts) -> bool:
    """Whether an axis ends in sums over it alone: nowhere is its trace lost, and it is none of positions."""
    last = [node for node in nodes if _has(mark, node.inputs, after) and not _has(mark, node.outputs, after)]
    last = [node for node in last if node.op_type != "Shape"]
    if nodes[0] in last:
        return False
    axes = [axis for node in last for axis in _axes_of(mark, node, after, known)]
    return bool(last) and all(node.op_type in _SUMMING for node in last) and _has_channels(axes)


def _has(mark: Index, values: Iterable[ir.Value | None], after: Layouts) -> bool:
    return any(mark in _indices(after.get(value)) for value in values)


def _axes_of(mark: Index, node: ir.Node, after: Layouts, known: Layouts) -> list[Axis]:
    """What the axes with a mark hold of the picture."""
    found: list[Axis] = []
    for value in node.inputs:
        own, axes = after.get(value), known.axes(value)
        if own is not None and axes is not None:
            found += [axes[i] for i, axis in enumerate(own.axes) if any(a.index == mark for a in axis)]
    return found


def _only_adds(mark: Index, nodes: list[ir.Node], after: Layouts) -> bool:
    """Whether a constant is only added to what is summed behind it: that shifts the score and weighs nothing."""
    first, *rest = [node for node in nodes if _has(mark, node.inputs, after)]
    if first.op_type not in ("Add", "Sub", "QLinearAdd"):
        return False
    return all(node.op_type in _LINEAR or _scales(mark, node, after) for node in rest)


def _scales(mark: Index, node: ir.Node, after: Layouts) -> bool:
    return node.op_type in ("Mul", "Div") and sum(_has(mark, [v], after) for v in node.inputs) == 1
