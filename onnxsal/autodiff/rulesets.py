"""Rule sets: the plain derivative, and others laid over it (guided, deconvnet, AttnLRP); never another walk."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff import attnlrp
from onnxsal.autodiff.registry import PLAIN, Call, Gradient, Rule, RuleSet
from onnxsal.errors import UsageError, nearest


def _guided(call: Call, plain: Rule) -> list[Gradient]:
    """1[x > 0] 1[g > 0] g: only positive gradients pass, and only through active units."""
    op, g, x = call.op, call.g, call.node.inputs[0]
    positive = op.Relu(g)
    grads = list(plain.apply(Call(op, call.node, (positive,), call.needed, call.attributes, call.wrt)))
    if call.node.op_type not in _RECTIFIERS_WITH_SLOPE:
        return grads
    return [None if d is None else op.gate(d, op.Greater(x, 0.0)) for d in grads[:1]]


def _deconv(call: Call, plain: Rule) -> list[Gradient]:
    """1[g > 0] g: the forward signal does not gate at all."""
    return [call.op.Relu(call.g)] + [None] * (len(call.node.inputs) - 1)


_RECTIFIERS_WITH_SLOPE = frozenset({"LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "ThresholdedRelu"})
_RECTIFIERS = ("Relu", "Clip", *sorted(_RECTIFIERS_WITH_SLOPE))
_SMOOTH = frozenset({"HardSwish", "Gelu", "Mish", "Softplus", "Swish", "Erf", "Tanh", "Softsign"})
_SQUASHING = frozenset({"Sigmoid", "HardSigmoid", "Tanh", "Softsign", "Erf"})
_SCALING = frozenset({"Mul", "Div", "Cast", "Identity", "QuantizeLinear", "DequantizeLinear"})
_POINTWISE = _SQUASHING | _SCALING | {"Add", "Sub", "Neg", "Pow", "Clip"}
_FAR = 24
"""Nodes of one activation: GELU by its tanh has eight, and twice as many between quantisers."""


def _no_rectifier(node: ir.Node) -> str | None:
    """Smooth activations have no gate to guide: refused by name rather than passed through as if they had."""
    if node.op_type in _SMOOTH or _is_own_gate(node):
        kind = "a value times its own gate (SiLU, GELU, HardSwish)" if node.op_type == "Mul" else node.op_type
        return f"{kind} is not a rectifier: guided backprop and deconvnet are defined for Relu, Clip and their kin"
    return None


def _is_own_gate(node: ir.Node) -> bool:
    """Whether a product is of a value and what is squashed from that very value, element by element.

    The gate of squeeze-and-excitation is made from x as well, but through a mean and weights: it may pass.
    """
    if node.op_type != "Mul" or node.domain or None in node.inputs:
        return False
    a, b = (v for v in node.inputs if v is not None)
    return _gates(b, a) or _gates(a, b)


def _gates(gate: ir.Value, x: ir.Value) -> bool:
    """Whether a squashing node lies between ``gate`` and ``x``, or what ``x`` is a multiple of."""
    sources = set(_before(x, _SCALING))
    return any(
        node is not None and _squashes(node) and not sources.isdisjoint(_before(node.inputs[0], _POINTWISE))
        for node in (value.producer() for value in _before(gate, _POINTWISE))
    )


def _squashes(node: ir.Node) -> bool:
    """Sigmoid and its kin, or a Clip of a shifted value, as which HardSwish is written."""
    if node.op_type != "Clip":
        return node.op_type in _SQUASHING
    maker = None if node.inputs[0] is None else node.inputs[0].producer()
    return maker is not None and maker.op_type in ("Add", "Sub")


def _before(value: ir.Value | None, through: frozenset[str]) -> list[ir.Value]:
    """Return a value and those that it is computed from by such nodes alone, constants left out."""
    found = [] if value is None else [value]
    for each in found:
        node = each.producer()
        if node is not None and not node.domain and node.op_type in through and len(found) < _FAR:
            fed = node.inputs[:1] if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Clip") else node.inputs
            found += [v for v in fed if v is not None and v.const_value is None and v not in found]
    return found


GUIDED = RuleSet("guided", {("", name): _guided for name in _RECTIFIERS}, _no_rectifier)
DECONV = RuleSet("deconv", {("", name): _deconv for name in _RECTIFIERS}, _no_rectifier)
ATTNLRP = RuleSet("attnlrp", attnlrp.OVERRIDES, attnlrp.refused, inside=True)
RULE_SETS = {rules.name: rules for rules in (PLAIN, GUIDED, DECONV, ATTNLRP)}


def rule_set(name: str) -> RuleSet:
    """Return a rule set by name. Raises: UsageError: there is none of that name."""
    if name not in RULE_SETS:
        raise UsageError(f"there is no rule set {name!r}{nearest(name, RULE_SETS)} (there are: {', '.join(RULE_SETS)})")
    return RULE_SETS[name]
