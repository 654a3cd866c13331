"""Where gradients end although data goes on: steps, counts and choices between an explained value and a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.autodiff.registry import PLAIN, RuleSet
from onnxsal.autodiff.walk import carries, dependent, flows
from onnxsal.graph.operands import operands
from onnxsal.graph.shapes import is_float

_SHAPES = frozenset({
    "Shape", "Size", "SequenceLength", "OptionalHasElement", "EyeLike", "RandomNormalLike", "RandomUniformLike",
})  # fmt: skip
"""Operators that read how large a value is, not what it holds."""

_RARE = frozenset({"Equal", "IsNaN", "IsInf", "NonZero"})
"""Questions whose answer is the same nearly everywhere: masks of what is absent, not steps of what is there."""

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "MatMulInteger", "ConvInteger"})
_GATES = frozenset({"Mul", "Div", "Where", "And"})
_NUMBERED = frozenset({"Sub", "Mod"})


@dataclass(frozen=True)
class Flow:
    """The values between a source and a score.

    Attributes:
        nodes: those that the score is computed by, in order.
        data: what depends on the source in whatever way. smooth: what depends on it so that a gradient can tell.
        counted: what the score depends on so that a gradient can tell.
    """

    nodes: tuple[ir.Node, ...]
    data: frozenset[ir.Value]
    smooth: frozenset[ir.Value]
    counted: frozenset[ir.Value]

    @property
    def between(self) -> list[ir.Value]:
        """The values of ``data`` that count, in graph order, the source among them."""
        order = dict.fromkeys(v for node in self.nodes for v in (*operands(node), *node.outputs) if v is not None)
        return [v for v in order if v in self.data and v in self.counted]


def flow(graph: ir.Graph, sources: Sequence[ir.Value], scores: Sequence[ir.Value], rules: RuleSet = PLAIN) -> Flow:
    """Return what lies between the sources and the scores."""
    nodes = _above(graph, scores)
    data: set[ir.Value] = set(sources)
    for node in nodes:
        if node.op_type not in _SHAPES and any(v in data for v in operands(node)):
            data.update(node.outputs)
    smooth = frozenset(v for v in dependent(nodes, sources, rules) if v is not None)
    counted: set[ir.Value] = set(scores)
    for node in reversed(nodes):
        if any(v in counted for v in node.outputs):
            through = [v for i, v in enumerate(operands(node)) if flows(node, i, rules)]
            counted.update(v for v in through if v is not None and (carries(v) or v in smooth))
    return Flow(tuple(nodes), frozenset(data), smooth, frozenset(counted))


def _above(graph: ir.Graph, scores: Sequence[ir.Value]) -> list[ir.Node]:
    reach: set[ir.Value | None] = set(scores)
    kept = []
    for node in reversed(list(graph)):
        if any(v in reach for v in node.outputs):
            kept.append(node)
            reach.update(operands(node))
    return kept[::-1]


def crossings(found: Flow) -> list[ir.Node]:
    """Return the nodes behind which data goes on and no gradient does, in order."""
    return [node for node in found.nodes if _crosses(node, found)]


def _crosses(node: ir.Node, found: Flow) -> bool:
    ends = any(v in found.data and v not in found.smooth for v in node.outputs)
    return ends and node.op_type not in _SHAPES and any(v in found.smooth for v in operands(node))


def blind(found: Flow) -> list[ir.Node]:
    """Return the crossings by which a part of the picture reaches the score unseen, while others are seen.

    A mask that multiplies what it was made from, a whole number that is taken off what it was rounded from, and indices
    lose nothing: there the derivative is the whole slope wherever there is one.
    """
    return [node for node in crossings(found) if node.op_type not in _RARE and _is_told(node, found)]


def _is_told(crossing: ir.Node, found: Flow) -> bool:
    """Whether what a crossing puts out is added to what a gradient sees, or weighted before it gates that."""
    chain = dict.fromkeys(crossing.outputs, False)
    for node in found.nodes:
        reading = [(i, v) for i, v in enumerate(node.inputs) if v in chain and v is not None]
        if not reading:
            continue
        weighted = node.op_type in _WEIGHTED or any(chain[v] for _, v in reading)
        if any(v in found.smooth for v in node.outputs):
            told = any(flows(node, i, PLAIN) and _joins(node, i, crossing, weighted=weighted) for i, _ in reading)
            if told and any(v in found.counted for v in node.outputs):
                return True
        elif node.op_type not in _SHAPES:
            chain.update(dict.fromkeys(node.outputs, weighted))
    return False


def _joins(node: ir.Node, index: int, crossing: ir.Node, *, weighted: bool) -> bool:
    if node.op_type in _GATES:
        return weighted
    return not (node.op_type in _NUMBERED and index == 1 and node.inputs[0] in crossing.inputs)


def named(node: ir.Node) -> str:
    """Return a node as messages name it: its operator, and its name or that of its result."""
    return f"{node.op_type} {node.name or node.outputs[0].name!r}"


def source_of(node: ir.Node, found: Flow) -> ir.Node | None:
    """Return the node that turned floats into the integers or truths that a node reads, None where it reads none."""
    todo = [v for v in node.inputs if v is not None and v in found.data and not is_float(v)]
    seen = set(todo)
    for value in todo:
        maker = value.producer()
        before = [] if maker is None else [v for v in maker.inputs if v is not None and v in found.data]
        if maker is not None and any(is_float(v) for v in before):
            return None if _carried(maker) else maker
        todo += [v for v in before if v not in seen]
        seen.update(before)
    return None


def _carried(node: ir.Node) -> bool:
    """Quantised numbers stand for the floats they were made of."""
    return node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear")
