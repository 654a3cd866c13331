"""Sums in a graph: a value as a weighted sum of values in front of it, as far back as its operators are linear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.explanation.shapley.pipeline import SEVERAL, Columns, moved, moves, weight_of
from onnxsal.graph import attributes
from onnxsal.graph.maps import ML
from onnxsal.trees import is_ensemble

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """A value of a row as a sum: of each of some values their weights [numbers, N], and a constant [N]."""

    weights: Mapping[ir.Value, Doubles]
    constant: Doubles


@dataclass
class _Sum:
    """A sum on its way back through a graph."""

    columns: Columns
    weights: dict[ir.Value, Doubles]
    constant: Doubles

    def add(self, value: ir.Value, weights: Doubles) -> None:
        """Add a value, or what a constant amounts to."""
        if value in self.columns.constants:
            self.constant = self.constant + self.columns.constants[value].reshape(-1).astype(np.float64) @ weights
        elif value in self.weights:
            self.weights[value] = self.weights[value] + weights
        else:
            self.weights[value] = weights


def terms_of(graph: ir.Graph, output: ir.Value, columns: Columns) -> Terms | None:
    """Return an output of a sorted graph as a sum of values that depend on one column each, of trees' outputs, and of
    what is no sum; None where its size is not known."""
    known = columns.of(output)
    if known is None:
        return None
    found = _Sum(columns, {}, np.zeros(known.size))
    found.add(output, np.eye(known.size))
    for node in reversed(list(graph)):
        own = {i: found.weights[v] for i, v in enumerate(node.outputs) if v in found.weights}
        if not own or is_ensemble(node) or all(_is_settled(node.outputs[i], w, columns) for i, w in own.items()):
            continue
        rule = _MOVES if moves(node, columns) is not None else _RULES.get((node.domain, node.op_type))
        if rule is None or not _sized(node, columns) or (parts := rule(node, own, columns)) is None:
            continue
        for i in own:
            del found.weights[node.outputs[i]]
        for value, weights in parts:
            found.add(value, weights)
        found.constant = found.constant + _offset(node, own, columns)
    return Terms(found.weights, found.constant)


def _is_settled(value: ir.Value, weights: Doubles, columns: Columns) -> bool:
    """Whether a value has a part for each row, whose numbers that count depend on one column each."""
    labels = columns.of(value)
    return (
        labels is not None
        and columns.is_by_row(value)
        and bool((labels.reshape(-1)[weights.any(axis=1)] != SEVERAL).all())
    )


def _sized(node: ir.Node, columns: Columns) -> bool:
    return all(v is None or columns.of(v) is not None for v in (*node.inputs, *node.outputs[:1]))


_Parts = list[tuple[ir.Value, Doubles]]
_Rule = Callable[[ir.Node, Mapping[int, Doubles], Columns], _Parts | None]


def _MOVES(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> _Parts | None:
    """What moves numbers: each is looked for where it was."""
    data, arrays, sizes = moves(node, columns) or [], list[Any](), list[int]()
    for i, value in enumerate(node.inputs):
        shape = (columns.of(value) if value is not None else np.zeros(0)).shape  # type: ignore[union-attr]
        if i in data:
            arrays.append((np.arange(int(np.prod(shape))) + sum(sizes)).reshape(shape))
            sizes.append(int(np.prod(shape)))
        else:
            arrays.append(None if value is None else columns.constants[value])
    places = moved(node, arrays)
    if places is None:
        return None
    total = np.zeros((sum(sizes), next(iter(own.values())).shape[1]))
    for i, weights in own.items():
        np.add.at(total, places[i].reshape(-1), weights)
    parts = np.split(total, np.cumsum(sizes)[:-1])
    return [(v, part) for v, part in zip([node.inputs[i] for i in data], parts, strict=True) if v is not None]


def _spread(value: ir.Value, weights: Doubles, output: ir.Value, columns: Columns) -> Doubles:
    """Return the weights of a value that was broadcast to an output with these."""
    labels, shape = columns.of(value), columns.of(output)
    assert labels is not None and shape is not None
    places = np.broadcast_to(np.arange(labels.size).reshape(labels.shape), shape.shape).reshape(-1)
    found = np.zeros((labels.size, weights.shape[1]))
    np.add.at(found, places, weights)
    return found


def _added(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> _Parts:
    signs = [1, -1] if node.op_type == "Sub" else [1] * len(node.inputs)
    share = 1 / len(node.inputs) if node.op_type == "Mean" else 1
    return [(v, sign * share * _spread(v, own[0], node.outputs[0], columns))
            for v, sign in zip(node.inputs, signs, strict=True) if v is not None]  # fmt: skip


def _scaled(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> _Parts | None:
    """A product with a constant, or a quotient by one."""
    first, second = node.inputs
    if first is None or second is None:
        return None
    if node.op_type == "Mul" and first in columns.constants:
        first, second = second, first
    factor = columns.constants.get(second)
    shape = columns.of(node.outputs[0])
    if factor is None or first in columns.constants or shape is None:
        return None
    each = np.broadcast_to(factor.astype(np.float64), shape.shape).reshape(-1, 1)
    weights = own[0] / each if node.op_type == "Div" else own[0] * each
    return [(first, _spread(first, weights, node.outputs[0], columns))]


def _same(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> _Parts | None:
    (value,) = node.inputs
    kinds = (ir.DataType.FLOAT, ir.DataType.DOUBLE)
    if value is None or node.outputs[0].dtype not in kinds or (node.op_type == "Cast" and value.dtype not in kinds):
        return None
    return [(value, -own[0] if node.op_type == "Neg" else own[0])]


def _multiplied(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> _Parts | None:
    weight, value = weight_of(node, columns), node.inputs[0]
    labels = columns.of(value)
    if weight is None or value is None or labels is None or labels.shape != (1, len(weight)):
        return None
    return [(value, weight @ own[0])]


def _summed(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> _Parts | None:
    """A sum or a mean over axes of which none can be that of the rows: of one row that is of one number."""
    value, a = node.inputs[0], attributes(node)
    labels = columns.of(value)
    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = columns.constants[given].reshape(-1).tolist() if given in columns.constants else a.get("axes")
    if value is None or labels is None or not axes:
        return None
    over = [axis % labels.ndim for axis in axes]
    if any(labels.shape[axis] == 1 for axis in over):
        return None
    kept = tuple(1 if i in over else n for i, n in enumerate(labels.shape))
    places = np.broadcast_to(np.arange(int(np.prod(kept))).reshape(kept), labels.shape).reshape(-1)
    count = labels.size / max(int(np.prod(kept)), 1) if node.op_type == "ReduceMean" else 1
    return [(value, own[0][places] / count)]


def _regressed(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> _Parts | None:
    coefficients, at = _coefficients(node, columns), len(node.outputs) - 1
    if coefficients is None or at not in own or node.inputs[0] is None:
        return None
    return [(node.inputs[0], coefficients.T @ own[at])]


def _coefficients(node: ir.Node, columns: Columns) -> Doubles | None:
    """Return the coefficients [N, F] of a linear model without a post transform; None where it is another form."""
    a, labels = attributes(node), columns.of(node.inputs[0])
    given = np.asarray(a.get("coefficients", ()), np.float64)
    if labels is None or a.get("post_transform", "NONE") != "NONE" or not given.size or given.size % labels.size:
        return None
    found = given.reshape(-1, labels.size)
    out = columns.of(node.outputs[-1])
    return found if out is not None and out.size == len(found) else None


def _standardised(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> _Parts | None:
    value = node.inputs[0]
    labels, scale = columns.of(value), np.asarray(attributes(node).get("scale", (1.0,)), np.float64)
    if value is None or labels is None:
        return None
    return [(value, own[0] * np.broadcast_to(scale, labels.shape).reshape(-1, 1))]


def _offset(node: ir.Node, own: Mapping[int, Doubles], columns: Columns) -> Doubles:
    """Return what a node adds whatever goes in: intercepts."""
    a, weights = attributes(node), own[next(iter(own))]
    none: Doubles = np.zeros(weights.shape[1])
    if node.domain == ML and node.op_type in ("LinearRegressor", "LinearClassifier"):
        given = np.asarray(a.get("intercepts", ()), np.float64)
        return given @ weights if given.size == len(weights) else none
    if node.domain == ML and node.op_type == "Scaler":
        labels = columns.of(node.inputs[0])
        scale, offset = (np.asarray(a.get(name, (0.0,)), np.float64) for name in ("scale", "offset"))
        return none if labels is None else -np.broadcast_to(scale * offset, labels.shape).reshape(-1) @ weights
    third = node.inputs[2] if node.op_type == "Gemm" and not node.domain and len(node.inputs) > 2 else None
    if third is None:
        return none
    each = np.broadcast_to(columns.constants[third].astype(np.float64), (1, len(weights))).reshape(-1)
    return a.get("beta", 1.0) * each @ weights  # type: ignore[no-any-return]


_RULES: Mapping[tuple[str, str], _Rule] = {
    **{("", name): _added for name in ("Add", "Sub", "Sum", "Mean")},
    **{("", name): _scaled for name in ("Mul", "Div")}, **{("", name): _same for name in ("Cast", "Neg", "Identity")},
    **{("", name): _multiplied for name in ("MatMul", "Gemm")},
    **{("", name): _summed for name in ("ReduceSum", "ReduceMean")},
    **{(ML, name): _regressed for name in ("LinearRegressor", "LinearClassifier")}, (ML, "Scaler"): _standardised,
}  # fmt: skip
