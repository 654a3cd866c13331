"""Splitting a program in two: what is computed before some of its inputs are known, and the rest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph.infer import infer_shapes
from onnxsal.graph.operands import computed_from, operands
from onnxsal.graph.program import Program
from onnxsal.graph.tape import RANDOM

_LIGHT = frozenset({"Cast", "DequantizeLinear", "Identity"})
"""Operators that the rest computes anew: what goes in takes less room than what comes out, or is there anyway."""

_ROUNDED = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


@dataclass(frozen=True)
class Halves:
    """A program in two: ``first`` needs none of the inputs that come late, ``rest`` reads what it passes on."""

    first: Program
    rest: Program | None
    """From the late inputs, what is passed on and the other inputs to the other outputs; None: there are none."""
    passed: tuple[str, ...]
    """Outputs of ``first`` that ``rest`` takes."""


def split(program: Program, late: Collection[str]) -> Halves | None:
    """Return a program as two that are run one after the other.

    None where what one would pass on to the other is no tensor, of an unknown type, or in half precision: a runtime
    without kernels for that computes on in float32, and would round what is passed on.

    Args: late: names of the inputs that the first of the two is run without.
    """
    model = program.model
    behind, passed = _parted(model.graph, late)
    if any(v.type is None for v in passed):
        model = model.clone()
        infer_shapes(model)
        behind, passed = _parted(model.graph, late)
    if any(not isinstance(v.type, ir.TensorType) or v.dtype in _ROUNDED for v in passed):
        return None
    early = [str(v.name) for v in model.graph.outputs if v not in behind]
    names = [str(v.name) for v in passed]
    first = _first(model, early, names, late)
    rest = _rest(model, [str(v.name) for v in model.graph.outputs if v in behind], passed)
    return Halves(first, rest, tuple(names))


def _parted(graph: ir.Graph, late: Collection[str]) -> tuple[set[ir.Value | None], list[ir.Value]]:
    """Return what is computed from the late inputs, and what of the rest that reads."""
    behind = computed_from(graph, [v for v in graph.inputs if v.name in late])
    return behind, _passed_on(graph, behind)


def _passed_on(graph: ir.Graph, behind: set[ir.Value | None]) -> list[ir.Value]:
    """Return the values in front that are read behind, without weights and what is made of these alone, in order."""
    drawn = [v for node in graph if node.op_type in RANDOM for v in node.outputs]
    varying = computed_from(graph, [*graph.inputs, *drawn])
    found: dict[ir.Value, None] = {}
    waiting = [v for node in graph if behind.intersection(node.outputs) for v in operands(node)]
    while waiting:
        value = waiting.pop()
        if value is None or value in found or value in behind or value not in varying or value.is_graph_input():
            continue
        node = value.producer()
        if node is not None and node.op_type in _LIGHT and not node.domain:
            waiting += node.inputs
        else:
            found[value] = None
    order = {v: at for at, v in enumerate(v for node in graph for v in node.outputs)}
    return sorted(found, key=order.__getitem__)


def _first(model: ir.Model, outputs: Sequence[str], passed: Sequence[str], late: Collection[str]) -> Program:
    op = Program(model).extend()
    made = op.finish_with({name: op[name] for name in dict.fromkeys([*outputs, *passed])})
    for value in [v for v in made.model.graph.inputs if v.name in late]:
        made.model.graph.inputs.remove(value)
    return made


def _rest(model: ir.Model, outputs: Sequence[str], passed: Sequence[ir.Value]) -> Program | None:
    if not outputs:
        return None
    op = Program(model).extend()
    op.graph.outputs.clear()
    for value in passed:
        name, old = str(value.name), op[str(value.name)]
        given = ir.Value(name=name, type=value.type, shape=value.shape)
        op.rename(name, old, given)
        old.replace_all_uses_with(given)
        op.graph.inputs.append(given)
    made = op.finish_with({name: op[name] for name in outputs})
    read = {v for node in made.model.graph for v in operands(node)}
    for value in [v for v in made.model.graph.inputs if v not in read]:
        made.model.graph.inputs.remove(value)
    return made
