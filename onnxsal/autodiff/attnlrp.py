"""AttnLRP in its efficient form: a backward pass whose result times the value is that value's relevance.

Achtibat et al. 2024, arXiv:2402.05602. A nonlinearity y = f(x) of one value passes g y / x (identity rule), a product
of two activations half of g to each (uniform rule), what scales a normalisation nothing; all else, softmax too, its
derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx_ir as ir

from onnxsal.autodiff.contrib import MICROSOFT
from onnxsal.autodiff.patterns import in_softmax, is_step, normalised, own_gate, softmax_of
from onnxsal.autodiff.registry import Call, Gradient, Key, Rule
from onnxsal.autodiff.rules.clipping import is_absorbed
from onnxsal.autodiff.rules.common import rank_of
from onnxsal.autodiff.rules.normalisation import per_channel, standardised
from onnxsal.autodiff.rules.quantised import again
from onnxsal.errors import UnsupportedError
from onnxsal.graph.names import node_title
from onnxsal.graph.shapes import is_float
from onnxsal.graph.tape import Tape

Override = Callable[[Call, Rule], list[Gradient]]


def ratio(op: Tape, y: ir.Value, x: ir.Value) -> ir.Value:
    """Return y / x, and 0 where x is 0: there is nothing to share out there."""
    silent = op.Equal(x, 0.0)
    return op.Where(silent, 0.0, op.Div(y, op.Where(silent, 1.0, x)))


def _identity(call: Call, plain: Rule) -> list[Gradient]:
    """g y / x: what a function of one value is given goes to that value."""
    x, y = call.node.inputs[0], call.node.outputs[0]
    if x is None or not call.needed[0]:
        return [None]
    return [call.op.Mul(call.g, ratio(call.op, again(call.op, y), x))]


def _power(call: Call, plain: Rule) -> list[Gradient]:
    """Of a constant exponent a function of one value; x^2 is a product of x with itself and gives the same."""
    if any(call.needed[1:]):
        raise _unknown(call.node, "an exponent that depends on what is explained")
    return _identity(call, plain)


def _clip(call: Call, plain: Rule) -> list[Gradient]:
    """Between quantisers a Clip is part of their rounding."""
    if any(call.needed[1:]):
        raise _unknown(call.node, "bounds that depend on what is explained")
    x = call.node.inputs[0]
    if x is None or not is_float(x) or is_absorbed(call.node):
        return list(plain.apply(call))
    return _identity(call, plain)


def _exp(call: Call, plain: Rule) -> list[Gradient]:
    return list(plain.apply(call)) if in_softmax(call.node) else _identity(call, plain)


def _mul(call: Call, plain: Rule) -> list[Gradient]:
    """Own gates, scales of normalisations and steps of quantisers have no part; of other two each has half."""
    op, g, y, (a, b) = call.op, call.g, call.node.outputs[0], call.node.inputs
    assert a is not None and b is not None
    place, g = _place(call, g)
    da = op.sum_to(op.Mul(g, b), a, y) if call.needed[0] and place != 1 else None
    return [da, op.sum_to(op.Mul(g, a), b, y) if call.needed[1] and place != 0 else None]


def _div(call: Call, plain: Rule) -> list[Gradient]:
    """a times 1 / b, and 1 / b a function of b."""
    op, y, (a, b) = call.op, call.node.outputs[0], call.node.inputs
    assert a is not None and b is not None
    if all(call.needed) and softmax_of(call.node) is not None:
        return list(plain.apply(call))
    place, g = _place(call, call.g)
    da = op.sum_to(op.Div(g, b), a, y) if call.needed[0] and place != 1 else None
    db = op.sum_to(op.Mul(g, ratio(op, y, b)), b, y) if call.needed[1] and place != 0 else None
    return [da, db]


def _place(call: Call, g: ir.Value) -> tuple[int | None, ir.Value]:
    """Return which operand alone has a part, or None, and the gradient that is shared."""
    if not all(call.needed):
        return None, g
    steps = [i for i in (1, 0) if is_step(call.node.inputs[1 - i])]
    place = steps[0] if steps else own_gate(call.node, call.wrt)
    place = normalised(call.node) if place is None else place
    return place, g if place is not None else call.op.Mul(g, 0.5)


def _shared(*factors: int) -> Override:
    """Of several factors that depend on what is explained, each has its share."""

    def rule(call: Call, plain: Rule) -> list[Gradient]:
        count = sum(call.needed[i] for i in factors or range(len(call.needed)) if i < len(call.needed))
        if count < 2:
            return list(plain.apply(call))
        return list(plain.apply(replace(call, grads=tuple(g and call.op.Mul(g, 1 / count) for g in call.grads))))

    return rule


def _layer_norm(call: Call, plain: Rule) -> list[Gradient]:
    """The mean is taken away, which is linear; the deviation is held."""
    op, (x, scale) = call.op, call.node.inputs[:2]
    assert x is not None and scale is not None
    n = rank_of(x)
    axes = list(range(call.attributes["axis"] % n, n))
    inverse = standardised(op, x, axes, call.attributes["epsilon"]).inverse
    g, g_mean = [*call.grads, None][:2]
    found = [] if g is None else [_centred(op, op.Mul(op.Mul(g, scale), inverse), axes)]
    if g_mean is not None:
        found.append(op.Expand(op.Div(op.cast(g_mean, x.dtype), _count(op, x, axes)), op.Shape(x)))
    return [op.total(found) if found else None, *_parameters(call, plain)]


def _centred(op: Tape, g: ir.Value, axes: Sequence[int]) -> ir.Value:
    return op.Sub(g, op.ReduceMean(g, list(axes), keepdims=1))


def _count(op: Tape, x: ir.Value, axes: Sequence[int]) -> ir.Value:
    return op.cast(op.ReduceProd(op.Shape(x, start=axes[0]), keepdims=0), x.dtype)


def _parameters(call: Call, plain: Rule) -> list[Gradient]:
    """Scale and bias enter linearly: theirs are the plain ones."""
    needed = (False, *call.needed[1:])
    return list(plain.apply(replace(call, needed=needed)))[1:] if any(needed) else [None] * (len(needed) - 1)


def _rms_norm(call: Call, plain: Rule) -> list[Gradient]:
    op, (x, scale) = call.op, call.node.inputs
    assert x is not None and scale is not None
    n = rank_of(x)
    axes = list(range(call.attributes["axis"] % n, n))
    mean = op.ReduceMean(op.Mul(x, x), axes, keepdims=1)
    root = op.Sqrt(op.Add(mean, call.attributes["epsilon"]))
    return [op.Div(op.Mul(call.g, scale), root), *_parameters(call, plain)]


def _instance_norm(call: Call, plain: Rule) -> list[Gradient]:
    op, (x, scale) = call.op, call.node.inputs[:2]
    assert x is not None and scale is not None
    axes = list(range(2, rank_of(x)))
    inverse = standardised(op, x, axes, call.attributes["epsilon"]).inverse
    return [_centred(op, op.Mul(op.Mul(call.g, per_channel(op, scale, x)), inverse), axes), *_parameters(call, plain)]


def _group_norm(call: Call, plain: Rule) -> list[Gradient]:
    op, (x, scale) = call.op, call.node.inputs[:2]
    assert x is not None and scale is not None
    count = call.attributes["num_groups"]
    grouped, scaled = (op.Reshape(v, [0, count, -1]) for v in (x, op.Mul(call.g, per_channel(op, scale, x))))
    grouped.shape = ir.Shape([None, count, None])
    inverse = standardised(op, grouped, [2], call.attributes["epsilon"]).inverse
    return [op.reshape_like(_centred(op, op.Mul(scaled, inverse), [2]), x), *_parameters(call, plain)]


def _held(call: Call, plain: Rule) -> list[Gradient]:
    """x by its norm, or by a power of its neighbours' squares: what it is divided by is held."""
    x = call.node.inputs[0]
    assert x is not None
    return [call.op.Mul(call.g, ratio(call.op, call.node.outputs[0], x))]


def _squares(call: Call, plain: Rule) -> list[Gradient]:
    """A sum of functions of one value each."""
    return list(plain.apply(replace(call, grads=(call.op.Mul(call.g, 0.5),))))


def _mean_variance(call: Call, plain: Rule) -> list[Gradient]:
    op, x = call.op, call.node.inputs[0]
    assert x is not None
    axes = [a % rank_of(x) for a in call.attributes["axes"]]
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    deviation = op.Sqrt(op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1))
    return [_centred(op, op.Div(call.g, op.Add(deviation, 1e-9)), axes)]


def _only(*places: int) -> Override:
    """Operators whose other operands say where to look: these must not depend on what is explained."""

    def rule(call: Call, plain: Rule) -> list[Gradient]:
        wrong = [i for i, need in enumerate(call.needed) if need and i not in places]
        if wrong:
            raise _unknown(call.node, f"places that depend on what is explained (input number {wrong[0] + 1})")
        return list(plain.apply(call))

    return rule


def _unknown(node: ir.Node, why: str) -> UnsupportedError:
    return UnsupportedError(f"{node_title(node)}: AttnLRP has no rule for {why}. {_INSTEAD}")


_INSTEAD = "Take input-x-gradient or integrated-gradients"

_OF_ONE = ("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Cos", "Cosh", "Elu", "Erf", "Gelu",
           "HardSigmoid", "HardSwish", "Log", "Mish", "Reciprocal", "Selu", "Shrink", "Sigmoid", "Sin", "Sinh",
           "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh")  # fmt: skip
"""Functions of one value. Rectifiers whose two branches are lines through 0 have it that way by their derivative."""

_PRODUCTS = {"Conv": (0, 1), "ConvTranspose": (0, 1), "ConvInteger": (0, 1), "Einsum": (), "Gemm": (0, 1),
             "MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearConv": (0, 3), "QLinearMatMul": (0, 3)}  # fmt: skip
_FOREIGN = {"DynamicQuantizeMatMul": (0, 1), "MatMulIntegerToFloat": (0, 1), "QGemm": (0, 3), "QLinearMul": (0, 3)}
_ELSEWHERE = {"GridSample": (0,), "DeformConv": (0, 1, 3, 4), "RoiAlign": (0,)}

OVERRIDES: dict[Key, Override] = {
    **{("", name): _identity for name in _OF_ONE},
    **{("", name): _shared(*factors) for name, factors in _PRODUCTS.items()},
    **{(MICROSOFT, name): _shared(*factors) for name, factors in _FOREIGN.items()},
    **{("", name): _only(*places) for name, places in _ELSEWHERE.items()},
    ("", "Clip"): _clip, ("", "Div"): _div, ("", "Exp"): _exp, ("", "Mul"): _mul, ("", "Pow"): _power,
    ("", "GroupNormalization"): _group_norm, ("", "InstanceNormalization"): _instance_norm,
    ("", "LayerNormalization"): _layer_norm, ("", "LRN"): _held, ("", "LpNormalization"): _held,
    ("", "MeanVarianceNormalization"): _mean_variance, ("", "ReduceSumSquare"): _squares,
    ("", "RMSNormalization"): _rms_norm,
}  # fmt: skip

_WITHOUT = frozenset({"AffineGrid", "CumProd", "Det", "DynamicQuantizeLSTM", "GRU", "Inverse", "LSTM", "Mod",
                      "QAttention", "QLinearSigmoid", "RNN", "ReduceLogSum", "ReduceProd"})  # fmt: skip


def refused(node: ir.Node) -> str | None:
    """Return why AttnLRP says nothing of an operator, None where it does."""
    reduction = node.attributes.get("reduction")
    if node.op_type in _WITHOUT or (reduction is not None and reduction.value == "mul"):
        return f"AttnLRP has no rule for it; {_INSTEAD.lower()}"
    training = node.attributes.get("training_mode")
    if node.op_type == "BatchNormalization" and training is not None and training.as_int():
        return "AttnLRP has no rule for the statistics of a batch"
    return None
