"""Grafting: the nodes that a program adds to a model, put onto the model itself.

A program is built on a copy of the model that was cut at its picture. Values that the copy shares with the model are
found again by name, so the forward pass is written once and the prediction stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from onnxsal.graph import Program, Tape


def graft(
    op: Tape,
    program: Program,
    bound: Mapping[str, ir.Value],
    there: Mapping[str, ir.Value],
    made: dict[str, ir.Value] | None = None,
    *,
    outputs: Sequence[str] | None = None,
) -> dict[str, ir.Value]:
    """Return the program's outputs as values on ``op``, after appending the nodes that are not there yet.

    Args:
        bound: the program's inputs by name.
        there: the values of the model, which the program's own of the same name are replaced by; ``op`` may be a branch
            inside it.
        made: filled with the values that were appended, by their names in the program.
        outputs: those that are wanted; all by default.
    """
    mapped = {value: bound[name] for name, value in program.inputs.items()}
    mapped.update({v: there[n] for n, v in program.model.graph.initializers.items() if n in there})
    targets = {n: v for n, v in program.outputs.items() if outputs is None or n in outputs}
    wanted = _missing(program, there, targets.values())
    for node in program.model.graph:
        if node in wanted:
            _copy(op, node, mapped)
        else:
            mapped.update({v: there[v.name] for v in node.outputs if v.name in there and v.name not in bound})
    found = {name: _known(mapped, value, op) for name, value in targets.items()}
    if made is not None:
        made.update({str(old.name): new for old, new in mapped.items()})
    return found


def _missing(program: Program, there: Mapping[str, ir.Value], targets: Iterable[ir.Value]) -> set[ir.Node]:
    """Return the nodes that the outputs need and the graph does not have."""
    needed: set[ir.Value] = set(targets)
    wanted: set[ir.Node] = set()
    for node in reversed(list(program.model.graph)):
        asked = [v for v in node.outputs if v in needed]
        if asked and not all(v.name in there for v in asked):
            wanted.add(node)
            needed.update(v for v in node.inputs if v is not None)
    return wanted


def _copy(op: Tape, node: ir.Node, mapped: dict[ir.Value, ir.Value]) -> None:
    inputs = [_known(mapped, v, op) if v is not None else None for v in node.inputs]
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    made = op.emit(node.op_type, *inputs, outputs=len(node.outputs), domain=node.domain, **attributes)
    values = made if isinstance(made, tuple) else (made,)
    for old, new in zip(node.outputs, values, strict=True):
        mapped[old] = new
        new.shape = new.shape or old.shape
        new.type = new.type or old.type


def _known(mapped: dict[ir.Value, ir.Value], value: ir.Value, op: Tape) -> ir.Value:
    found = mapped.get(value)
    if found is None and value.const_value is not None:
        found = (
            op.const(value.const_value.numpy(), value.dtype)
            if value.const_value.size < 4096
            else op.weight(value.const_value)
        )
        mapped[value] = found
    assert found is not None, f"value {value.name!r} has no counterpart in the model"
    return found
