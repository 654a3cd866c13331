"""Probabilities made of several: means of ensembles and of views, products, sums over classes of a kind, branches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.graph.names import node_title
from onnxsal.tasks.held import CLOSE, Held, operand, reduced_axes, uniform
from onnxsal.tasks.recipes import again

See = Callable[[ir.Value | None], Held | None]


def _all(node: ir.Node, parts: Sequence[ir.Value | None], see: See) -> list[Held] | None:
    """Return what every part holds, where it is probabilities of one axis; None where one holds something else."""
    found = [see(each) for each in parts]
    known = [each for each in found if each is not None and not each.log]
    return known if known and len(known) == len(found) and len({each.axis for each in known}) == 1 else None


def _mixed(node: ir.Node, parts: Sequence[Held], scale: float, *, whole: bool) -> Held:
    return Held("none", node_title(node), parts[0].axis, whole=whole and all(p.whole for p in parts), scale=scale)


def total(node: ir.Node, see: See) -> Held | None:
    """Return what a sum of probabilities holds: their number times their mean."""
    parts = _all(node, node.inputs, see)
    return None if parts is None else _mixed(node, parts, sum(each.scale for each in parts), whole=True)


def mean(node: ir.Node, see: See) -> Held | None:
    """Return what a mean of probabilities holds."""
    found = total(node, see)
    return None if found is None else replace(found, scale=found.scale / len(node.inputs))


def product(node: ir.Node, see: See) -> Held | None:
    """Return what a product of probabilities holds: one that both are true."""
    parts = [see(each) for each in node.inputs]
    known = [each for each in parts if each is not None and not each.log]
    if len(known) != len(parts):
        return None
    axes = {each.axis for each in known} - {None}
    made = _mixed(node, known, math.prod(each.scale for each in known), whole=False)
    return replace(made, axis=axes.pop() if axes else None) if len(axes) < 2 else None


def masked(node: ir.Node, see: See) -> Held | None:
    """Return what is left of probabilities of which some are multiplied with 0."""
    for x, mask in (node.inputs, reversed(node.inputs)):
        array, found = constant_of(mask), see(x)
        if array is not None and found is not None and not found.log and set(np.unique(array)) <= {0, 1}:
            return replace(found, by="none", whole=False, logits=None)
    return None


def extreme(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what the least or greatest of several holds; of sigmoids it is that of their logits."""
    parts = _all(node, [each for each in node.inputs if uniform(each) is None], see)
    bounds = [uniform(each) for each in node.inputs if uniform(each) is not None]
    if parts is None or len({each.scale for each in parts}) > 1:
        return None
    if bounds:
        inside = len(parts) == 1 and all(b is not None and 0 <= b <= parts[0].scale for b in bounds)
        return replace(parts[0], whole=parts[0].whole and max(b or 0.0 for b in bounds) <= CLOSE) if inside else None
    made = _mixed(node, parts, parts[0].scale, whole=False)
    if any(each.by != "sigmoid" or each.logits is None or each.logits.factor < 0 for each in parts):
        return made
    logits = {at: each.logits for at, each in enumerate(parts) if each.logits is not None}
    return replace(made, by="sigmoid", logits=again(value, logits))


def chosen(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what Where holds of probabilities on both sides; 0 is one too."""
    parts = [each for each in node.inputs[1:] if uniform(each) != 0.0]
    found = _all(node, parts, see)
    if found is None or len({each.scale for each in found}) > 1:
        return None
    return _mixed(node, found, found[0].scale, whole=len(found) == 2)


def branched(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what both branches of an If hold."""
    at = list(node.outputs).index(value)
    ends = [attributes(node)[name].outputs[at] for name in ("then_branch", "else_branch")]
    found = [see(each) for each in ends]
    first = found[0]
    if first is None or any(each is None or (each.scale, each.log, each.axis) != (first.scale, first.log, first.axis)
                            for each in found):  # fmt: skip
        return None
    return replace(first, by="none", logits=None, whole=all(each is not None and each.whole for each in found))


def reduced(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what a mean, sum, least or greatest over other axes than that of the classes holds."""
    x, pooled = operand(node, 0), node.op_type.startswith("Global")
    found = see(x)
    shape = None if x is None else dims(x)
    axes = list(range(2, len(shape or ()))) if pooled else reduced_axes(node)
    if found is None or found.log or shape is None or axes is None or found.axis in axes:
        return None
    kept = pooled or bool(attributes(node).get("keepdims", 1))
    axis = None if found.axis is None else found.axis - (0 if kept else sum(each < found.axis for each in axes))
    extremes = node.op_type in ("ReduceMax", "ReduceMin", "GlobalMaxPool")
    made = Held("none", node_title(node), axis, whole=found.whole and not extremes, scale=found.scale)
    if node.op_type == "ReduceSum":
        sizes = [shape[each] for each in axes]
        many = math.prod(size for size in sizes if isinstance(size, int))
        return replace(made, scale=found.scale * many) if all(isinstance(size, int) for size in sizes) else None
    monotone = extremes and found.by == "sigmoid" and found.logits is not None and found.logits.factor > 0
    return replace(made, by="sigmoid", logits=again(value, {0: found.logits})) if monotone and found.logits else made


def product_of_matrices(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what a weighted sum of probabilities holds: of a whole, with weights that are probabilities themselves."""
    a, b = operand(node, 0), operand(node, 1)
    found, rank = see(a), len(dims(value) or ())
    last = len(dims(a) or ()) - 1 if a is not None else None
    if found is None or found.log or found.axis != last or not found.whole or not _plain(node):
        return None
    weights = constant_of(b)
    if weights is None:
        other = see(b)
        fits = other is not None and not other.log and other.axis in (rank - 1, None) and other.scale == 1.0
        return _of(node, found, rank, whole=other.whole) if fits and other is not None else None
    matrix = np.asarray(weights, np.float64)
    matrix = matrix.T if attributes(node).get("transB") else matrix
    if matrix.ndim != 2 or matrix.min() < 0 or matrix.max() > 1 + CLOSE:
        return None
    return _of(node, found, rank, whole=bool(np.abs(matrix.sum(axis=1) - 1).max() <= CLOSE))


def _of(node: ir.Node, found: Held, rank: int, *, whole: bool) -> Held:
    return Held("none", node_title(node), rank - 1, whole=whole, scale=found.scale)


def _plain(node: ir.Node) -> bool:
    """Whether a Gemm only multiplies."""
    given = attributes(node)
    bias = operand(node, 2)
    alone = bias is None or uniform(bias) == 0.0
    return alone and not given.get("transA") and given.get("alpha", 1.0) == 1.0
