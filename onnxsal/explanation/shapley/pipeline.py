"""Which columns of a table each number inside a graph depends on: on none, on one, or on several.

Followed as one row goes through: what moves numbers moves what they depend on, what mixes them joins it. An operator
that is not known depends on all of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph import attributes, dims
from onnxsal.graph.contents import computable, compute
from onnxsal.graph.maps import ML

Labels = NDArray[np.int64]
Array = NDArray[Any]

NONE, SEVERAL = -1, -2
"""What a number depends on that is no single column, whose number stands for it otherwise."""

MOVES = frozenset({"Identity", "Concat", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Gather", "Split", "Flatten",
                   "Transpose", "Expand", "Tile"})  # fmt: skip
"""Standard operators that only move numbers."""

_ALONE = frozenset({"Cast", "Abs", "Neg", "Sqrt", "Exp", "Log", "Floor", "Ceil", "Reciprocal", "Round", "Sign", "Not",
                    "Relu", "Sigmoid", "Tanh", "IsNaN", "IsInf", "Erf", "Clip", "LeakyRelu", "Elu", "Selu",
                    "Softplus", "HardSigmoid", "Sin", "Cos", "Tan"})  # fmt: skip
_TOGETHER = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Equal", "Less", "Greater", "LessOrEqual",
                       "GreaterOrEqual", "And", "Or", "Xor", "Where", "Sum", "Mean", "Mod", "PRelu"})  # fmt: skip
_ALONE_OF_ML = frozenset({"Scaler", "Imputer", "Binarizer", "LabelEncoder", "CategoryMapper"})
_DATA = {"Concat": None, "Gather": 1, "Slice": 1, "Reshape": 1, "Expand": 1, "Tile": 1, "Split": 1, "Squeeze": 1,
         "Unsqueeze": 1}  # fmt: skip
"""How many of the first inputs of what moves are moved; the others say where to. None: all."""


@dataclass
class Columns:
    """What the numbers of a graph depend on, of one row: arrays with a first axis of 1."""

    labels: dict[ir.Value, Labels] = field(default_factory=dict)
    """Of values that depend on the row; those of unknown size are missing."""
    constants: dict[ir.Value, Array] = field(default_factory=dict)
    """The contents of values that do not."""
    rows: int | str | None = None
    """What the first axis of what has a part for each row is called."""

    def is_by_row(self, value: ir.Value) -> bool:
        """Return whether a value's first axis is that of the rows; batches may be turned on their way."""
        shape = dims(value)
        return shape is not None and len(shape) > 0 and self.rows is not None and shape[0] == self.rows

    def of(self, value: ir.Value | None) -> Labels | None:
        """Return what a value's numbers depend on; of a constant none of them on anything."""
        if value is None:
            return None
        if value in self.constants:
            return np.full(self.constants[value].shape, NONE)
        return self.labels.get(value)


def columns_in(graph: ir.Graph) -> Columns:
    """Return what the values of a sorted graph with one input [rows, F] depend on."""
    (source,) = graph.inputs
    rows, width = dims(source) or (None, 0)
    assert isinstance(width, int)
    found = Columns({source: np.arange(width)[None]}, rows=rows)
    for value in graph.initializers.values():
        if value.const_value is not None:
            found.constants[value] = value.const_value.numpy()
    for node in graph:
        _visit(node, found)
    return found


def moved(node: ir.Node, arrays: Sequence[Array | None]) -> list[Array] | None:
    """Return what comes out of an operator that moves numbers where these go in; None where it cannot be told."""
    if node.domain == ML and node.op_type == "ArrayFeatureExtractor":
        data, index = arrays
        return None if data is None or index is None else [data.reshape(1, -1)[:, index.reshape(-1)]]
    if node.domain == ML and node.op_type == "FeatureVectorizer":
        return None if any(a is None for a in arrays) else [np.concatenate([a for a in arrays if a is not None], 1)]
    if node.domain or node.op_type not in MOVES:
        return None
    if node.op_type == "Flatten":
        (data,) = arrays
        return None if data is None else [data.reshape(1, -1)] if attributes(node).get("axis", 1) == 1 else None
    return compute(node, arrays)


def moves(node: ir.Node, found: Columns) -> list[int] | None:
    """Return which inputs of a node that moves numbers are moved; None where it does something else with a row, or the
    row says where to."""
    if node.domain == ML and node.op_type in ("ArrayFeatureExtractor", "FeatureVectorizer"):
        count: int | None = 1 if node.op_type == "ArrayFeatureExtractor" else None
    elif node.domain or node.op_type not in MOVES:
        return None
    else:
        count = _DATA.get(node.op_type, 1)
    data = list(range(len(node.inputs)))[:count]
    return data if all(v is None or v in found.constants for v in node.inputs[len(data) :]) else None


def _visit(node: ir.Node, found: Columns) -> None:
    if _measured(node, found) or _computed(node, found):
        return
    if all(v is None or (v in found.constants) for v in node.inputs) and not node.inputs:
        return
    labels = _through(node, found)
    for value, each in zip(node.outputs, labels, strict=False):
        if each is not None:
            found.labels[value] = each


def _measured(node: ir.Node, found: Columns) -> bool:
    """Whether a node measures a row, which is of the same size whatever it holds."""
    if node.domain or node.op_type not in ("Shape", "Size"):
        return False
    known = found.of(node.inputs[0])
    if known is None:
        return True
    a = attributes(node)
    part = known.shape[a.get("start", 0) : a.get("end")]
    found.constants[node.outputs[0]] = np.array(part if node.op_type == "Shape" else known.size, np.int64)
    return True


def _computed(node: ir.Node, found: Columns) -> bool:
    if node.op_type == "Constant" and not node.domain:
        tensor = ir.convenience.get_const_tensor(node.outputs[0])
        if tensor is not None:
            found.constants[node.outputs[0]] = tensor.numpy()
        return True
    if not node.inputs or not computable(node) or any(v is not None and v not in found.constants for v in node.inputs):
        return False
    arrays = compute(node, [None if v is None else found.constants[v] for v in node.inputs])
    for value, array in zip(node.outputs, arrays or [], strict=False):
        found.constants[value] = array
    return arrays is not None


def _through(node: ir.Node, found: Columns) -> Sequence[Labels | None]:
    """Return what the outputs of a node depend on."""
    if (data := moves(node, found)) is not None:
        arrays = [found.of(v) if i in data else None if v is None else found.constants[v]
                  for i, v in enumerate(node.inputs)]  # fmt: skip
        if all(arrays[i] is not None for i in data) and (result := moved(node, arrays)) is not None:
            return [np.asarray(each, np.int64) for each in result]
    given = [found.of(v) for v in node.inputs if v is not None]
    if any(each is None for each in given):
        return _all_of(node, [SEVERAL])
    known = [each for each in given if each is not None]
    rule = _RULES.get((node.domain, node.op_type))
    result_of = None if rule is None else rule(node, known, found)
    if result_of is not None:
        return [result_of]
    return _all_of(node, [joined(each.reshape(1, -1), 1)[0] for each in known])


def _all_of(node: ir.Node, parts: Sequence[int]) -> list[Labels | None]:
    """Return that every number of a node's outputs depends on all of this."""
    one = int(joined(np.array([parts], np.int64).reshape(1, -1), 1)[0]) if len(parts) else NONE
    shapes = [dims(value) for value in node.outputs]
    return [None if shape is None or not all(isinstance(d, int) for d in shape[1:])
            else np.full((1, *(int(str(d)) for d in shape[1:])), one) for shape in shapes]  # fmt: skip


def joined(labels: Labels, axis: int) -> Labels:
    """Return what depends on all numbers along an axis."""
    least = np.where(labels == NONE, np.iinfo(np.int64).max, labels).min(axis=axis, initial=np.iinfo(np.int64).max)
    most = labels.max(axis=axis, initial=NONE)
    return np.where(most == NONE, np.where(least == SEVERAL, SEVERAL, NONE), np.where(least == most, most, SEVERAL))


def _alone(node: ir.Node, known: Sequence[Labels], found: Columns) -> Labels | None:
    return known[0]


def _together(node: ir.Node, known: Sequence[Labels], found: Columns) -> Labels | None:
    try:
        return joined(np.stack(np.broadcast_arrays(*known)), 0)
    except ValueError:
        return None


def _one_hot(node: ir.Node, known: Sequence[Labels], found: Columns) -> Labels | None:
    a = attributes(node)
    count = len(a.get("cats_strings") or a.get("cats_int64s") or ())
    return np.repeat(known[0][..., None], count, axis=-1)


def _looked_up(node: ir.Node, known: Sequence[Labels], found: Columns) -> Labels | None:
    """A row of a constant table depends on what it is looked up by."""
    table, index = node.inputs[:2]
    if table not in found.constants or index is None or attributes(node).get("axis", 0) != 0:
        return None
    inner = found.constants[table].shape[1:]
    return np.broadcast_to(known[1].reshape(*known[1].shape, *[1] * len(inner)), (*known[1].shape, *inner))


def _product(node: ir.Node, known: Sequence[Labels], found: Columns) -> Labels | None:
    """A product with a constant: of each of its columns the numbers whose weights are not 0."""
    weight = weight_of(node, found)
    if weight is None or known[0].ndim != 2 or len(known[0]) != 1 or known[0].shape[1] != len(weight):
        return None
    return joined(np.where(weight.T != 0, known[0], NONE), 1)[None]


def weight_of(node: ir.Node, found: Columns) -> Array | None:
    """Return the constant matrix [in, out] that a product multiplies rows with; None where it is something else."""
    second = node.inputs[1] if len(node.inputs) > 1 else None
    weight = None if second is None else found.constants.get(second)
    if weight is None or weight.ndim != 2:
        return None
    a = attributes(node) if node.op_type == "Gemm" else {}
    others = node.inputs[2:]
    if a.get("transA") or any(v is not None and v not in found.constants for v in others):
        return None
    return a.get("alpha", 1.0) * (weight.T if a.get("transB") else weight).astype(np.float64)  # type: ignore[no-any-return]


_Rule = Callable[[ir.Node, Sequence[Labels], Columns], Labels | None]

_RULES: Mapping[tuple[str, str], _Rule] = {
    **{("", name): _alone for name in _ALONE}, **{(ML, name): _alone for name in _ALONE_OF_ML},
    **{("", name): _together for name in _TOGETHER}, (ML, "OneHotEncoder"): _one_hot,
    ("", "MatMul"): _product, ("", "Gemm"): _product, ("", "Gather"): _looked_up,
}  # fmt: skip
