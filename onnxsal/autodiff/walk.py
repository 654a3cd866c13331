"""The reverse walk: from the gradients of some values of a graph to those of others, on one tape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.autodiff.familiar import unfamiliar
from onnxsal.autodiff.precision import apply
from onnxsal.autodiff.registry import PLAIN, Call, Gradient, RuleSet, UnknownRankError
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Tape, attributes
from onnxsal.graph.apart import read_apart
from onnxsal.graph.names import node_title
from onnxsal.graph.operands import operands
from onnxsal.graph.scopes import PREFIX
from onnxsal.graph.shapes import rank

STEP = "sal.step"
"""Metadata of a node whose derivative is 0 although its operator has one: a mask written as arithmetic."""


def backward(
    op: Tape,
    seeds: Mapping[ir.Value, ir.Value],
    wrt: Sequence[ir.Value],
    rules: RuleSet = PLAIN,
    nodes: Sequence[ir.Node] | None = None,
) -> list[Gradient]:
    """Return the gradient of sum(<seed, value>) for every value of ``wrt``; None where it is provably zero.

    Args: seeds: for every differentiated value its cotangent (same shape and type). The nodes go onto ``op``, whose
    graph holds all of these values. nodes: those to walk, in order, where that is not the whole graph.
    Raises: UnsupportedError: operators on the way have no rule, all of them named.
    """
    before = frozenset(op.graph)
    nodes = _path(list(op.graph if nodes is None else nodes), seeds, wrt, rules)
    goal = _Goal(dependent(nodes, wrt, rules), frozenset(wrt))
    _refuse_unknown(nodes, rules, goal)
    pending: dict[ir.Value, list[ir.Value]] = {value: [seed] for value, seed in seeds.items()}
    for node in reversed(nodes):
        _step(op, node, pending, goal, rules)
    found = [op.total(pending[v]) if v in pending else None for v in wrt]
    read_apart(op, before)
    return found


@dataclass(frozen=True)
class _Goal:
    """What the walk is after: the values that depend on ``wrt``, and these themselves."""

    dependent: set[ir.Value | None]
    wrt: frozenset[ir.Value]


def _step(op: Tape, node: ir.Node, pending: dict[ir.Value, list[ir.Value]], goal: _Goal, rules: RuleSet) -> None:
    rule = rules.find(node)
    grads = tuple(_settle(op, pending, v) for v in node.outputs)
    if rule is None or all(g is None for g in grads):
        return
    needed = tuple(v in goal.dependent and flows(node, i, rules) for i, v in enumerate(operands(node)))
    try:
        results = apply(rule, Call(op, node, grads, needed, attributes(node), goal.wrt))
    except UnknownRankError as error:
        raise (error if _is_ours(node) else _lost_rank(node, error)) from error
    for value, need, g in zip(operands(node), needed, results, strict=False):
        if need and g is not None and value is not None:
            _describe(g, value)
            pending.setdefault(value, []).append(g)


def _is_ours(node: ir.Node) -> bool:
    """Whether a node is none of the user's file."""
    return str(node.name or node.outputs[0].name).startswith(PREFIX)


def _lost_rank(node: ir.Node, error: UnknownRankError) -> UnsupportedError:
    """Say of the user's values which is the first of unknown rank on the way to a node, and what makes it so."""
    value = next((v for v in (*node.inputs, *node.outputs) if v is not None and rank(v) is None), None)
    here = f"{node_title(node)} has no gradient: "
    if value is None:
        return UnsupportedError(f"{here}it would need numbers of dimensions that are known only when the model is run")
    while (maker := value.producer()) is not None:
        before = next((v for v in maker.inputs if v is not None and rank(v) is None), None)
        if before is None:
            break
        value = before
    lost = f"the number of dimensions of {value.name!r} is not known, "
    if maker is None:
        return UnsupportedError(f"{here}{lost}and the file does not declare it: declare it (symbols will do)")
    return UnsupportedError(f"{here}{lost}{node_title(maker)} gives it only when it is run")


def _describe(g: ir.Value, value: ir.Value) -> None:
    """A gradient has its value's shape: rules read it, and a runtime that sees equal symbols keeps its own layouts."""
    if g.shape is None and value.shape is not None:
        g.shape = value.shape.copy()


def _settle(op: Tape, pending: dict[ir.Value, list[ir.Value]], value: ir.Value) -> Gradient:
    """Every consumer has spoken by now: sum what they said, once."""
    parts = pending.get(value)
    if not parts:
        return None
    if len(parts) > 1:
        total = op.total(parts)
        _describe(total, value)
        parts[:] = [total]
    return parts[0]


def _path(
    nodes: list[ir.Node], seeds: Mapping[ir.Value, ir.Value], wrt: Sequence[ir.Value], rules: RuleSet
) -> list[ir.Node]:
    """Return the nodes between ``wrt`` and the seeded values, in graph order."""
    nodes = _above(nodes, seeds)
    wanted = dependent(nodes, wrt, rules)
    reach: set[ir.Value | None] = set(seeds)
    kept = []
    for node in reversed(nodes):
        if any(v in reach for v in node.outputs) and any(v in wanted for v in operands(node) if v is not None):
            kept.append(node)
            reach.update(v for i, v in enumerate(operands(node)) if v in wanted and flows(node, i, rules))
    return kept[::-1]


def _above(nodes: Sequence[ir.Node], seeds: Mapping[ir.Value, ir.Value]) -> list[ir.Node]:
    """Return the nodes that the seeded values are computed from; nobody asks for the rules of others."""
    reach: set[ir.Value | None] = set(seeds)
    kept = []
    for node in reversed(nodes):
        if any(v in reach for v in node.outputs):
            kept.append(node)
            reach.update(operands(node))
    return kept[::-1]


def dependent(nodes: Sequence[ir.Node], wrt: Sequence[ir.Value], rules: RuleSet) -> set[ir.Value | None]:
    """Return the values that depend on ``wrt`` through inputs that a gradient can flow to."""
    dependent: set[ir.Value | None] = set(wrt)
    for node in nodes:
        known = [v for i, v in enumerate(operands(node)) if v in dependent and flows(node, i, rules)]
        if known:
            sums = any(_is_sum(v) for v in known)
            dependent.update(v for v in node.outputs if carries(v) or (sums and _is_sum(v)))
    return dependent


_EXACT = frozenset({"BOOL", "INT32", "INT64", "UINT32", "UINT64", "STRING"})


_SUMS = frozenset({"ConvInteger", "MatMulInteger"})
_KEEP_SUMS = frozenset({"Add", "Concat", "Expand", "Flatten", "Identity", "Neg", "ReduceSum", "Reshape", "Slice",
                        "Split", "Squeeze", "Sub", "Sum", "Transpose", "Unsqueeze"})  # fmt: skip
"""What is done to sums of integer kernels while they are integers: a bias in whole steps is added, they are moved."""


def carries(value: ir.Value) -> bool:
    """Counts, indices and truths have no gradient; small integers may be quantised numbers and do, like their sums."""
    node = value.producer()
    if node is not None and node.op_type in _SUMS and not node.domain:
        return True
    return value.dtype is None or value.dtype.name not in _EXACT


def _is_sum(value: ir.Value | None) -> bool:
    """Return whether a value that depends on something is an integer: only sums of integer kernels do."""
    return value is not None and value.dtype in (ir.DataType.INT32, ir.DataType.INT64)


def _on_sums(node: ir.Node, wanted: set[ir.Value | None]) -> bool:
    """Whether a node does something to sums of integer kernels that has no rule for integers."""
    known = node.domain or node.op_type in _SUMS | _KEEP_SUMS
    return not known and any(_is_sum(v) and v in wanted for v in node.outputs)


def flows(node: ir.Node, index: int, rules: RuleSet) -> bool:
    """Return whether a gradient can flow through a node to its operand ``index``."""
    rule = rules.find(node)
    return STEP not in node.metadata_props and (rule is None or rule.reaches(index))


MACHINE = "in the layout of one machine"
_LAID_OUT = frozenset({"NhwcConv", "NhwcFusedConv", "NhwcMaxPool"})


def _why(node: ir.Node) -> str:
    """Models that a runtime has optimised for the machine it ran on are no longer what was exported."""
    if node.domain == "com.microsoft.nchwc" or (node.domain == "com.microsoft" and node.op_type in _LAID_OUT):
        return MACHINE
    return "no rule"


def _refuse_unknown(nodes: Sequence[ir.Node], rules: RuleSet, goal: _Goal) -> None:
    missing = [(node, _why(node)) for node in nodes if rules.find(node) is None]
    missing += [(node, "on integers, no rule") for node in nodes if _on_sums(node, goal.dependent)]
    refused = [(node, reason) for node in nodes if (reason := rules.refuses(node) or unfamiliar(node))]
    if not missing and not refused:
        return
    lines = [f"{node_title(n)} ({reason})" for n, reason in [*missing, *refused]]
    shown = ", ".join(lines[:8]) + (f" and {len(lines) - 8} more" if len(lines) > 8 else "")
    advice = "Take the model as it was, or one optimised up to ORT_ENABLE_EXTENDED. " if MACHINE in shown else ""
    raise UnsupportedError(
        f"no gradient can be built with rules {rules.name!r}: {shown}. {advice}"
        "Methods without gradients still work: "
        "eigencam, score-cam, ss-cam, is-cam, ablation-cam, recipro-cam, occlusion"
    )
