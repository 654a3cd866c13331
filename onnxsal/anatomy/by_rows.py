"""The program of a model of tables from its own rows to its numbers, nothing of which goes through float32 there."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.anatomy.select import Anatomy
from onnxsal.graph import Program
from onnxsal.graph.program import Trace


class _Exact(Trace):
    """A tape on which doubles stay doubles where numbers are written out as floats."""

    def cast(self, x: ir.Value, dtype: ir.DataType | None) -> ir.Value:
        return x if (x.dtype, dtype) == (ir.DataType.DOUBLE, ir.DataType.FLOAT) else super().cast(x, dtype)


def by_rows(anatomy: Anatomy, values: Sequence[str] = ()) -> Program:
    """Return the program from the model's own input [rows, columns] to its head's numbers, [rows, N] of every kind.

    A file of doubles gives doubles, the same as the file itself. Args: values: of the model that are put out beside.
    """
    op, head = _Exact(anatomy.model.clone()), anatomy.head
    found = head.write(op, op)
    names = (*head.kinds.values(), *head.beside.values())
    return op.finish_with({**{name: op[name] for name in values}, **{name: found[name] for name in names}})
