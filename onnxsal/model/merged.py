"""Decoders of two branches in one file, with what came before and without: the one that a run would take is the model.

Exporters merge both behind an ``If``, whose bodies hold everything, the table of words too.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.errors import UsageError
from onnxsal.graph.branches import take_branch
from onnxsal.model.asked import Asked

BRANCH = "onnxsal.branch"
"""Mark of an input that decided which branch is taken: what it was taken for."""

_CACHE = "use_cache"
"""What the name of an input begins with that says whether anything came before."""


def one_branch(source: ir.Model, asked: Asked) -> ir.Model:
    """Return a file with the branch in the place of an If that an input decides, itself where there is none.

    The input decides by what it is held at; one that says whether anything came before is false where nobody holds it.
    Raises: UsageError: the file is opened already, and for the other branch.
    """
    _check(source, asked)
    found = {v: number for v in source.graph.inputs if (number := _decided(v, asked)) is not None}
    if not any(_of(node) in found for node in source.graph):
        return source
    work = source.clone()
    for value in work.graph.inputs:
        number = _decided(value, asked)
        if number is None:
            continue
        for node in [node for node in work.graph if _of(node) is value]:
            take_branch(work.graph, node, number)
            value.metadata_props[BRANCH] = str(number)
    return work


def _of(node: ir.Node) -> ir.Value | None:
    """Return the input that decides an If, None of any other node."""
    value = node.inputs[0] if node.op_type == "If" and not node.domain else None
    return value if value is not None and value.is_graph_input() else None


def _decided(value: ir.Value, asked: Asked) -> bool | None:
    constant = asked.held.get(str(value.name))
    if constant is not None:
        return bool(constant.array.reshape(-1)[0]) if constant.array.size == 1 else None
    return False if value.dtype == ir.DataType.BOOL and str(value.name).startswith(_CACHE) else None


def _check(source: ir.Model, asked: Asked) -> None:
    for value in source.graph.inputs:
        taken, asked_for = value.metadata_props.get(BRANCH), _decided(value, asked)
        if taken is not None and str(asked_for) != taken:
            raise UsageError(
                f"input {value.name!r} decides which of two branches the file runs, and the model is opened at "
                f"{taken.lower()}: open the file anew, load(path, inputs={{{value.name!r}: ...}})"
            )
