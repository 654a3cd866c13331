"""Gradients as graphs: a registry of rules, the reverse walk, rule sets, and the rules by operator family."""

from onnxsal.autodiff import attention as _attention  # registers what operators are made of, as the next do
from onnxsal.autodiff import grouped as _grouped
from onnxsal.autodiff import rules as _rules  # registers every rule
from onnxsal.autodiff.gradient import gradient, gradient_model, gradients_of, standardised
from onnxsal.autodiff.lowering import lower_gradients
from onnxsal.autodiff.registry import PLAIN, Call, Rule, RuleSet, defvariadic, defvjp, defzero, vjp
from onnxsal.autodiff.rulesets import ATTNLRP, DECONV, GUIDED, rule_set
from onnxsal.autodiff.walk import backward

__all__ = [
    "ATTNLRP",
    "DECONV",
    "GUIDED",
    "PLAIN",
    "Call",
    "Rule",
    "RuleSet",
    "backward",
    "defvariadic",
    "defvjp",
    "defzero",
    "gradient",
    "gradient_model",
    "gradients_of",
    "lower_gradients",
    "rule_set",
    "standardised",
    "vjp",
]

del _attention, _grouped, _rules
