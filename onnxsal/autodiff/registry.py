"""The registry of rules: for each operator, how the gradient of its outputs becomes that of its inputs.

A rule reads like the operator's own page: ``rule(op, g, y, *inputs, **attributes)`` with the tape, the gradient of the
output, the output, the node's inputs (None where absent) and those attributes that its signature names, defaults filled
in. For operators with several outputs ``g`` and ``y`` are tuples, with None for a gradient that is zero.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx_ir as ir

from onnxsal import plugins
from onnxsal.errors import UnsupportedError
from onnxsal.graph.tape import Tape

Gradient = ir.Value | None
Vjp = Callable[..., Any]
Key = tuple[str, str]


class UnknownRankError(UnsupportedError):
    """A rule needs to know how many dimensions a value has; the walk says where that was lost."""


@dataclass(frozen=True)
class Call:
    """One node as a rule sees it: gradients of its outputs, and which inputs want theirs."""

    op: Tape
    node: ir.Node
    grads: tuple[Gradient, ...]
    needed: tuple[bool, ...]
    attributes: Mapping[str, Any]
    wrt: frozenset[ir.Value] = frozenset()
    """The values whose gradients were asked for: a rule that spans several nodes must not skip one of these."""
    rules: RuleSet | None = None
    """The rule set of the walk, for bodies that a rule walks through itself; None where it is the plain one."""

    @property
    def g(self) -> Any:
        """The gradient of the output, or the tuple of them where the operator has several."""
        return self.grads[0] if len(self.grads) == 1 else self.grads

    @property
    def y(self) -> Any:
        """The output, or the tuple of them."""
        return self.node.outputs[0] if len(self.node.outputs) == 1 else tuple(self.node.outputs)


@dataclass(frozen=True)
class Rule:
    """The rule of one operator: gradients of its inputs from a Call, one entry an input."""

    op_type: str
    domain: str
    apply: Callable[[Call], Sequence[Gradient]]
    slots: tuple[bool, ...] | None = None
    """Which operands have a gradient; None where every one may."""
    kind: str = "rule"
    """How the table of operators calls it: rule, declared (without derivative) or decomposed."""

    @property
    def differentiable(self) -> bool:
        """Whether anything flows through the operator at all."""
        return self.kind != "declared"

    def reaches(self, index: int) -> bool:
        """Whether a gradient can flow to input ``index``."""
        return self.differentiable and (self.slots is None or (index < len(self.slots) and self.slots[index]))


def _nothing(node: ir.Node) -> str | None:
    return None


@dataclass(frozen=True)
class RuleSet:
    """A named choice of rules: its own where it has one, the plain ones elsewhere.

    It holds in the bodies of If, Loop and Scan as well.
    """

    name: str
    overrides: Mapping[Key, Callable[[Call, Rule], list[Gradient]]] = field(default_factory=dict)
    refuses: Callable[[ir.Node], str | None] = _nothing
    """The reason why a node cannot be served by these rules, or None."""
    inside: bool = False
    """Whether it holds in what an operator such as Attention is made of too; else that is plain."""

    def find(self, node: ir.Node) -> Rule | None:
        """Return the rule for a node, or None where there is none."""
        plain = find(node)
        override = self.overrides.get((node.domain, node.op_type))
        if plain is None or self is PLAIN:
            return plain
        if override is None:
            return replace(plain, apply=lambda call: plain.apply(replace(call, rules=self)))
        return Rule(plain.op_type, plain.domain, lambda call: override(replace(call, rules=self), plain), plain.slots)


PLAIN = RuleSet("plain")

REGISTRY: dict[Key, Rule] = {}


def defvjp(op_type: str, *rules: Vjp | None, domain: str = "", broadcasts: bool = False) -> Rule:
    """Register one function per input, None for an input without a gradient (a shape, an axis), and return the rule.

    Args: rules: ``rule(op, g, y, *inputs, **attributes)``. broadcasts: each gradient has the shape of ``y``; the walk
    sums it over the axes along which that input was broadcast.
    """
    wanted = [_wanted(rule) for rule in rules]

    def apply(call: Call) -> list[Gradient]:
        inputs = call.node.inputs
        return [
            _reduce(call, i, rule(call.op, call.g, call.y, *inputs, **_pick(call, names))) if rule and need else None
            for i, (rule, names, need) in enumerate(zip(rules, wanted, call.needed, strict=False))
        ]

    def _reduce(call: Call, index: int, g: ir.Value) -> ir.Value:
        x = call.node.inputs[index]
        return call.op.sum_to(g, x, call.node.outputs[0]) if broadcasts and x is not None else g

    return register(Rule(op_type, domain, apply, tuple(rule is not None for rule in rules)))


def defvariadic(op_type: str, rule: Vjp, *, domain: str = "", broadcasts: bool = False) -> Rule:
    """Register ``rule(op, g, y, index, *inputs, **attributes)`` for every input of a variadic operator."""
    names = _wanted(rule)

    def apply(call: Call) -> list[Gradient]:
        grads: list[Gradient] = []
        for i, need in enumerate(call.needed):
            g = rule(call.op, call.g, call.y, i, *call.node.inputs, **_pick(call, names)) if need else None
            x = call.node.inputs[i]
            grads.append(call.op.sum_to(g, x, call.node.outputs[0]) if g and x and broadcasts else g)
        return grads

    return register(Rule(op_type, domain, apply))


def vjp(op_type: str, *, domain: str = "", slots: Sequence[bool] | None = None) -> Callable[[Vjp], Vjp]:
    """Register the decorated ``rule(call) -> gradients`` for operators whose inputs' gradients share work.

    The function gets a ``Call`` and returns one gradient (or None) an input; it may skip what ``call.needed`` denies.
    """

    def enter(rule: Vjp) -> Vjp:
        register(Rule(op_type, domain, rule, None if slots is None else tuple(slots)))
        return rule

    return enter


def defzero(*op_types: str, domain: str = "") -> None:
    """Declare operators without a gradient (integer results, steps): nothing flows through them, and that is right."""
    for op_type in op_types:
        register(Rule(op_type, domain, lambda call: [None] * len(call.node.inputs), kind="declared"))


def find(node: ir.Node) -> Rule | None:
    """Return the rule of a node's operator, or None; one that an installed package offers is imported now."""
    key = (node.domain, node.op_type)
    if key not in REGISTRY:
        _load_offered(key)
    return REGISTRY.get(key)


def _load_offered(key: Key) -> None:
    """Import the module offered for an operator. Rules that are there already stay, whatever else it registers.

    Raises: EnvironmentSetupError: the package that offers it is broken.
    """
    offer = plugins.offers(plugins.RULES).get(":".join(filter(None, key)))
    if offer is not None:
        before = dict(REGISTRY)
        offer.load()
        REGISTRY.update(before)


def register(rule: Rule) -> Rule:
    """Enter a rule under its operator and return it; a later one takes the place of an earlier."""
    REGISTRY[(rule.domain, rule.op_type)] = rule
    return rule


def _wanted(rule: Vjp | None) -> tuple[str, ...]:
    if rule is None:
        return ()
    parameters = inspect.signature(rule).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


def _pick(call: Call, names: Sequence[str]) -> dict[str, Any]:
    return {name: call.attributes[name] for name in names if name in call.attributes}
