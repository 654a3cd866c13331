"""A score that somebody wrote, on its way into a compiled file: what it calls as the model does has to be the same."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program
from onnxsal.graph.program import values_by_name
from onnxsal.graph.scopes import PREFIX
from onnxsal.model import Model

_SHOWN = 3


def check_own(program: Program, model: Model) -> None:
    """Raise where a program means something else by a name than the model does: a file has one value of each name.

    Raises: UnsupportedError: it does, as the program of another model may.
    """
    there = values_by_name(model.anatomy.model.graph)
    mine = {name: v for name, v in values_by_name(program.model.graph).items() if not name.startswith(PREFIX)}
    apart = [name for name, value in mine.items() if name in there and not _is_same(value, there[name])]
    if apart:
        more = f" and {len(apart) - _SHOWN} more" if len(apart) > _SHOWN else ""
        raise UnsupportedError(
            "the target program has values that are called as the model's own and are others: "
            f"{', '.join(map(repr, apart[:_SHOWN]))}{more}. Write it behind the model's own values, or rename them"
        )


def _is_same(one: ir.Value, other: ir.Value) -> bool:
    """Whether two values of one name are the same weight, or made by the same operator."""
    if one.const_value is not None and other.const_value is not None:
        same = one.const_value is other.const_value
        return same or np.array_equal(one.const_value.numpy(), other.const_value.numpy())
    ours, theirs = one.producer(), other.producer()
    if ours is None or theirs is None:  # an input, or the explained value, which the program is fed
        return True
    return (ours.op_type, ours.domain) == (theirs.op_type, theirs.domain) and _reads(ours) <= _reads(theirs)


def _reads(node: ir.Node) -> set[str]:
    """Return what a node reads by name, but for what stands in place of the explained value."""
    names = {str(v.name) for v in node.inputs if v is not None}
    return {name for name in names if not name.startswith(PREFIX)}
