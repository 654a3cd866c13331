"""What an output holds, proved from its operators: probabilities, their logarithms, numbers that nothing bounds.

Every rule says what its operator makes of operands of which it was proved before; where there is no rule there is no
proof. Numbers are the file's own: a proof says how they are read as probabilities, it does not make new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.graph.maps import ML
from onnxsal.graph.names import node_title
from onnxsal.tasks import mixtures
from onnxsal.tasks.held import CLOSE, Held, axis_behind, axis_in, numbers_of, operand, uniform
from onnxsal.tasks.recipes import Recipe, again
from onnxsal.tasks.written_out import log_share, log_sigmoid, logistic, share

_DEEPEST = 60
"""Operators that a proof looks behind."""

See = Callable[[ir.Value | None], Held | None]
Rule = Callable[[ir.Node, ir.Value, See], Held | None]


def held(value: ir.Value) -> Held | None:
    """Return what a value of a graph in normal form is proved to hold; None where that is nothing."""
    known: dict[ir.Value, Held | None] = {}

    def see(each: ir.Value | None, depth: int = 0) -> Held | None:
        if each is None or depth > _DEEPEST:
            return None
        if each not in known:
            known[each] = None
            known[each] = _proved(each, lambda v: see(v, depth + 1))
        return known[each]

    return see(value)


def _proved(value: ir.Value, see: See) -> Held | None:
    node = value.producer()
    rules = None if node is None else {"": _RULES, ML: _RULES_OF_ML}.get(node.domain)
    rule = None if node is None or rules is None else rules.get(node.op_type)
    return None if node is None or rule is None else rule(node, value, see)


def _classifier(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """What a classifier of ai.onnx.ml makes of its sums, which are inside it."""
    by = {"LOGISTIC": "sigmoid", "SOFTMAX": "softmax"}.get(str(attributes(node).get("post_transform")))
    if value is not node.outputs[-1] or (by is None and not _votes(node)):
        return None
    return Held(by or "none", node_title(node), 1, whole=by != "sigmoid")


def _votes(node: ir.Node) -> bool:
    """Whether trees share out votes: weights of no leaf are below 0, and one leaf of each tree together has 1.

    Of two classes the leaves may hold the weights of one, up to 1 together: the runtime gives the other the rest.
    """
    a = attributes(node)
    weights, trees, nodes, classes = (
        np.asarray(a.get(f"class_{name}", ())) for name in ("weights", "treeids", "nodeids", "ids")
    )
    labels = a.get("classlabels_int64s") or a.get("classlabels_strings") or ()
    if not weights.size or (weights < 0).any() or a.get("base_values"):
        return False
    width = int(nodes.max()) + 1
    leaves, place = np.unique(trees * width + nodes, return_inverse=True)
    sums, held = np.bincount(place.reshape(-1), weights), len(np.unique(classes))
    starts = np.flatnonzero(np.diff(leaves // width, prepend=-1))
    least, most = (end.reduceat(sums, starts).sum() for end in (np.minimum, np.maximum))
    if (held, len(labels)) == (1, 2):
        return bool(most < 1 + CLOSE)
    whole = len(leaves) == [str(mode) for mode in a.get("nodes_modes", ())].count("LEAF")
    return whole and held == len(labels) and bool(max(abs(least - 1), abs(most - 1)) < CLOSE)


def _normalizer(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Shares of probabilities' sum."""
    found = see(node.inputs[0]) if attributes(node).get("norm") == "L1" else None
    return None if found is None or found.log else Held("none", found.node, 1, whole=True)


def _softmax(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    x = operand(node, 0)
    over = int(attributes(node).get("axis", -1))
    axis = axis_in(value if x is None or dims(x) is None else x, over)  # in branches one of the two may be unknown
    if x is None or axis is None:
        return None
    log = node.op_type == "LogSoftmax"
    return Held("softmax", node_title(node), axis, whole=True, log=log, logits=Recipe(str(x.name)))


def _sigmoid(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    x = operand(node, 0)
    return None if x is None else Held("sigmoid", node_title(node), logits=Recipe(str(x.name)))


def _same(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    return see(operand(node, 0))


def _dequantised(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what was quantised, where it is by the same steps that it comes back."""
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    if maker is None or maker.op_type != "QuantizeLinear":
        return None
    steps = [uniform(operand(each, 1)) for each in (maker, node)]
    return see(maker.inputs[0]) if steps[0] is not None and steps[0] == steps[1] else None


def _moved(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what is in another order or shape."""
    found = see(operand(node, 0))
    if found is None:
        return None
    axis = None if found.axis is None else axis_behind(node, value, found.axis)
    if axis is None and found.axis is not None:
        return None
    return replace(found, axis=axis, logits=_repeated(value, {0: found.logits}))


def _repeated(value: ir.Value, logits: dict[int, Recipe | None]) -> Recipe | None:
    known = {at: each for at, each in logits.items() if each is not None}
    return again(value, known) if len(known) == len(logits) else None


def _picked(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what Gather, Slice and Split take of it: parts of a whole where they go along its axis."""
    found = see(operand(node, 0))
    x, shape = operand(node, 0), dims(value)
    if found is None or x is None or shape is None:
        return None
    logits = _repeated(value, {0: found.logits})
    if found.axis is None:
        return replace(found, logits=logits)
    gone = len(shape) < len(dims(x) or ())
    along = axis_in(x, int(attributes(node).get("axis", 0))) if node.op_type != "Slice" else _sliced(node, found.axis)
    if along != found.axis:
        return replace(found, axis=found.axis - (gone and along is not None and along < found.axis), logits=logits)
    if gone or shape[found.axis] == 1:  # the logit of one class says nothing without the others
        return replace(found, axis=None if gone else found.axis, whole=False, logits=None, by="none")
    return replace(found, whole=found.whole and _all_of(node, x, shape, found.axis), logits=logits)


def _sliced(node: ir.Node, axis: int) -> int | None:
    """Return the axis itself where a Slice goes along it, or may."""
    x = operand(node, 0)
    axes = numbers_of(operand(node, 3))
    return axis if x is None or axes is None or axis in [axis_in(x, each) for each in axes] else None


def _all_of(node: ir.Node, x: ir.Value, shape: tuple[int | str | None, ...], axis: int) -> bool:
    size = (dims(x) or ())[axis]
    if node.op_type == "Gather":
        return isinstance(size, int) and sorted(i % size for i in numbers_of(operand(node, 1)) or ()) == [*range(size)]
    return isinstance(size, int) and shape[axis] == size


def _with_number(node: ir.Node, see: See) -> tuple[Held | None, float | None, bool]:
    """Return what of two operands is held, the number that the other is, and whether that comes first."""
    first, second = operand(node, 0), operand(node, 1)
    number = uniform(first)
    return (see(second), number, True) if number is not None else (see(first), uniform(second), False)


def _times(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    found, number, first = _with_number(node, see)
    made = logistic(node) or share(node)
    if made is not None:
        return made
    if found is None or number is None:
        return (mixtures.masked(node, see) or mixtures.product(node, see)) if node.op_type == "Mul" else None
    if not number or (node.op_type == "Div" and first) or (number < 0 and not found.log):
        return None
    return replace(found, scale=found.scale * (number if node.op_type == "Mul" else 1 / number))


def _reciprocal(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    return logistic(node)


def _plus(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    made = logistic(node)
    if made is not None:
        return made
    found, number, _ = _with_number(node, see)
    if found is None or number is None:
        return mixtures.total(node, see)
    return found if abs(number) <= CLOSE * abs(found.scale) else None


def _minus(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    found, number, first = _with_number(node, see)
    if found is None or number is None:
        return log_share(node)
    if not first:
        return found if abs(number) <= CLOSE * abs(found.scale) else None
    return _complement(found, value) if number == found.scale and not found.log else None


def _complement(found: Held, value: ir.Value) -> Held:
    """Return what one less each probability is: for two classes the other one's."""
    if found.by == "sigmoid":
        return replace(found, logits=None if found.logits is None else found.logits.times(-1.0))
    two = found.axis is not None and (dims(value) or ())[found.axis] == 2
    return replace(found, by="none", logits=None, whole=found.whole and two)


def _negated(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    found = see(operand(node, 0))
    if found is None:
        return log_sigmoid(node)
    return replace(found, scale=-found.scale) if found.log else None


def _exp(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    found = see(operand(node, 0))
    return replace(found, log=False) if found is not None and found.log and found.scale == 1.0 else None


def _log(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    found = see(operand(node, 0))
    return replace(found, log=True) if found is not None and not found.log and found.scale == 1.0 else None


def _clipped(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what is inside bounds that cut off nothing, or the ends of what there is."""
    found = see(operand(node, 0))
    if found is None:
        return None
    low, high = (uniform(operand(node, at)) for at in (1, 2))
    if found.log:
        return found
    ends = (low or 0.0) / found.scale, (1.0 if high is None else high / found.scale)
    kept = ends[0] <= CLOSE and ends[1] >= 1 - CLOSE
    return replace(found, whole=found.whole and kept) if ends[0] < ends[1] else None


def _rounded(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    found = see(operand(node, 0))
    return None if found is None or found.log else replace(found, whole=False)


def _joined(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    """Return what Concat holds: its parts side by side."""
    parts = [see(each) for each in node.inputs]
    first = parts[0]
    if first is None or any(each is None or (each.scale, each.log) != (first.scale, first.log) for each in parts):
        return None
    known = [each for each in parts if each is not None]
    by = first.by if all(each.by == first.by for each in known) else "none"
    logits = _repeated(value, dict(enumerate(each.logits for each in known)))
    at = axis_in(node.inputs[0], int(attributes(node)["axis"]))
    if at != first.axis and all(each.axis == first.axis for each in known):
        return replace(first, by=by, logits=logits, whole=all(each.whole for each in known))
    return replace(first, by=by, logits=logits, axis=None, whole=False)


def _summed(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    return mixtures.total(node, see)


def _averaged(node: ir.Node, value: ir.Value, see: See) -> Held | None:
    return mixtures.mean(node, see)


_MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
_PICKS = ("Gather", "Slice", "Split")
_MEANS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "GlobalAveragePool", "GlobalMaxPool")

_RULES_OF_ML: dict[str, Rule] = {
    "LinearClassifier": _classifier, "TreeEnsembleClassifier": _classifier, "Normalizer": _normalizer,
}  # fmt: skip

_RULES: dict[str, Rule] = {
    "Softmax": _softmax, "LogSoftmax": _softmax, "Sigmoid": _sigmoid, "HardSigmoid": _sigmoid,
    "Identity": _same, "Cast": _same, "Dropout": _same, "QuantizeLinear": _same, "DequantizeLinear": _dequantised,
    **dict.fromkeys(_MOVES, _moved), **dict.fromkeys(_PICKS, _picked), "Concat": _joined,
    "Mul": _times, "Div": _times, "Reciprocal": _reciprocal, "Add": _plus, "Sub": _minus, "Neg": _negated,
    "Exp": _exp, "Log": _log, "Clip": _clipped, "Relu": _clipped, "Abs": _clipped,
    "Round": _rounded, "Floor": _rounded, "Ceil": _rounded,
    "Sum": _summed, "Mean": _averaged,
    "Max": mixtures.extreme, "Min": mixtures.extreme, "Where": mixtures.chosen, "If": mixtures.branched,
    "MatMul": mixtures.product_of_matrices, "Gemm": mixtures.product_of_matrices,
    **dict.fromkeys(_MEANS, mixtures.reduced),
}  # fmt: skip


_LINEAR = ("Gemm", "MatMul", "Conv", "Einsum", "Normalization")
"""What operators are called, whatever their domain, whose numbers nothing bounds."""

_PASS = frozenset({
    "Add", "Sub", "Mul", "Neg", "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "Softplus", "Mish", "HardSwish",
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool",
    "Concat", "Slice", "Gather", "Split", "Where", "Sum", "Mean", "Max", "Min", "Pad", "Identity", "Cast", "Dropout",
    "QuantizeLinear", "DequantizeLinear", "QLinearAdd", "QLinearMul", "QLinearGlobalAveragePool", "ScatterElements",
    "ScatterND", *_MOVES,
})  # fmt: skip


def is_unbounded(value: ir.Value | None, depth: int = _DEEPEST) -> bool:
    """Return whether the graph proves that nothing bounds a value's numbers: a weighted sum of no probabilities."""
    node = None if value is None else value.producer()
    if node is None or not depth:
        return False
    if any(part in node.op_type for part in _LINEAR):
        return not _mixes(node)
    if node.op_type == "Div":
        return uniform(operand(node, 1)) is not None and is_unbounded(operand(node, 0), depth - 1)
    if node.op_type == "Clip" and None not in (uniform(operand(node, 1)), uniform(operand(node, 2))):
        return False
    if node.op_type not in _PASS | {"Clip"}:
        return False
    data = [each for each in node.inputs if each is not None and constant_of(each) is None]
    # What two of them make may well be bounded: z less its own threshold is what sparsemax puts out.
    return (len(data) == 1 or node.op_type == "Concat") and all(is_unbounded(each, depth - 1) for each in data)


def _mixes(node: ir.Node) -> bool:
    """Whether a weighted sum is one of probabilities with weights that are none that a file was trained to have."""
    data = [each for each in node.inputs if each is not None and constant_of(each) is None]
    return len(data) > 1 and any(held(each) is not None for each in data)
