"""A program that tells where between an explained value and a score the gradient becomes exactly 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.autodiff.endings import Flow, flow, named, source_of
from onnxsal.autodiff.gradient import gradients_of
from onnxsal.autodiff.registry import PLAIN, RuleSet
from onnxsal.graph import Program
from onnxsal.graph.operands import operands
from onnxsal.graph.program import Trace
from onnxsal.graph.scopes import PREFIX
from onnxsal.graph.shapes import dims, is_float

LARGEST, LOW, HIGH = "sal/largest", "sal/low", "sal/high"
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ending:
    """A node at which a gradient ends.

    Attributes:
        node: operator and name, as messages name it; op_type: the operator.
        crossing: whether no gradient ever passes it. low, high: the range of what it puts out, where it was read.
        ours: whether it is no node of the user's file. void: whether it makes shares of one number, which are the same
        whatever goes in.
    """

    node: str
    op_type: str
    crossing: bool
    low: float
    high: float
    ours: bool
    void: bool = False


@dataclass(frozen=True)
class Probe:
    """A program that puts out, per value, the largest gradient, the lowest and the highest number; [n] each."""

    program: Program
    values: tuple[ir.Value, ...]
    flow: Flow

    def endings(self, results: Mapping[str, Floats]) -> list[Ending]:
        """Return where the gradient ends by what the program put out, nearest the score first."""
        alive = {v for v, size in zip(self.values, results[LARGEST], strict=True) if size != 0}
        ranges = dict(zip(self.values, zip(results[LOW], results[HIGH], strict=True), strict=True))
        nodes = [node for node in reversed(self.flow.nodes) if self._ends(node, alive)]
        found = [_ending(node, source_of(node, self.flow), ranges) for node in nodes]
        return list({each.node: each for each in found}.values())

    def reached(self, results: Mapping[str, Floats]) -> list[str]:
        """Return the names of the values at which the gradient is not 0, in graph order."""
        return [str(v.name) for v, size in zip(self.values, results[LARGEST], strict=True) if size != 0]

    def _ends(self, node: ir.Node, alive: set[ir.Value]) -> bool:
        read = [v for v in operands(node) if v is not None and v in self.flow.data]
        return bool(read) and any(v in alive for v in node.outputs) and not any(v in alive for v in read)


def _ending(node: ir.Node, crossing: ir.Node | None, ranges: Mapping[ir.Value, tuple[float, float]]) -> Ending:
    shown = crossing or node
    low, high = ranges.get(shown.outputs[0], (float("nan"), float("nan")))
    ours = str(shown.name or "").startswith(PREFIX) and str(shown.outputs[0].name).startswith(PREFIX)
    steps = crossing is not None or _never(shown)
    return Ending(named(shown), shown.op_type, steps, float(low), float(high), ours, _is_void(shown))


def _is_void(node: ir.Node) -> bool:
    if node.op_type not in ("Softmax", "LogSoftmax") or node.inputs[0] is None:
        return False
    axis = node.attributes.get("axis")
    shape = dims(node.inputs[0]) or (None,)
    return bool(shape[-1 if axis is None else axis.as_int()] == 1)


def _never(node: ir.Node) -> bool:
    rule = PLAIN.find(node)
    return rule is not None and not rule.differentiable


def probe(score: Program, source: str, rules: RuleSet = PLAIN) -> Probe:
    """Return the probe of a score's gradients at all that lies between ``source`` and it.

    Raises: UnsupportedError: operators on the way have no rule.
    """
    op = score.extend()
    found = flow(op.graph, [op[source]], [op["score"]], rules)
    values = tuple(v for v in found.between if _is_numbers(v))
    slopes = gradients_of(op, op["score"], values, rules)
    program = op.finish_with({
        LARGEST: _each(op, slopes, "ReduceMax", size=True), LOW: _each(op, values, "ReduceMin"),
        HIGH: _each(op, values, "ReduceMax"),
    })  # fmt: skip
    return Probe(program, values, found)


def _is_numbers(value: ir.Value) -> bool:
    """Floats, and the small integers that stand for them."""
    small = value.dtype in (ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.UINT16, ir.DataType.INT16)
    return isinstance(value.type, ir.TensorType) and (is_float(value) or small)


def _each(op: Trace, values: tuple[ir.Value, ...] | list[ir.Value], reduce: str, *, size: bool = False) -> ir.Value:
    """Return one number a value, float32 [n]."""
    numbers = []
    for value in values:
        wide = op.cast(value, ir.DataType.FLOAT)
        made = op.emit(reduce, op.Abs(wide) if size else wide, keepdims=0)
        assert isinstance(made, ir.Value)
        numbers.append(op.Reshape(made, [1]))
    return op.Concat(*numbers, axis=0)


__all__ = ["Ending", "Probe", "probe"]
