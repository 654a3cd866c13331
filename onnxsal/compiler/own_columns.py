"""The inputs that a file of columns had itself, in place of the one that takes all of them as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph import Program
from onnxsal.graph.columns import Column, other_than
from onnxsal.graph.program import Trace
from onnxsal.graph.scopes import PREFIX

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class OwnInput:
    """An input of the file itself: its name, and which columns it holds."""

    name: str
    start: int
    columns: tuple[Column, ...]

    def of(self, rows: Doubles, dtype: ir.DataType) -> ir.TensorProtocol:
        """Return its part of rows [n, F] in its own type, texts as they are, [n, k]."""
        part = rows[:, self.start : self.start + len(self.columns)]
        if dtype != ir.DataType.STRING:
            return ir.tensor(part.astype(dtype.numpy()))
        texts = [[_text(column, code) for column, code in zip(self.columns, row, strict=True)] for row in part.tolist()]
        return ir.StringTensor([text.encode() for row in texts for text in row], shape=ir.Shape(part.shape))


def _text(column: Column, code: float) -> str:
    return column.known[int(code)] if code < len(column.known) else other_than(column.known)


def own_inputs(graph: ir.Graph, entry: str, columns: Sequence[Column]) -> list[OwnInput]:
    """Return the inputs that a file had itself, in the order of its columns; the one that it has where it is that."""
    source = next(value for value in graph.inputs if value.name == entry)
    readers = source.consumers()
    if not readers or not all(str(node.name).startswith(PREFIX) for node in readers):  # nobody joined any
        return [OwnInput(entry, 0, tuple(columns))]
    found = []
    for node in source.consumers():
        at = node.inputs[1].const_value if node.op_type == "Gather" and node.inputs[1] is not None else None
        assert at is not None, f"{node.name!r} reads all columns"
        places = at.numpy().reshape(-1).tolist()
        own = tuple(columns[place] for place in places)
        found.append(OwnInput(str(_made(node).name), places[0], own))
    return sorted(found, key=lambda each: each.start)


def _made(node: ir.Node) -> ir.Value:
    """Return the value behind a part of the columns that has the name of an input."""
    value = node.outputs[0]
    while str(value.name).startswith(PREFIX):
        value = next(iter(value.consumers())).outputs[0]
    return value


def with_own_inputs(trace: Trace, entry: str, own: Sequence[OwnInput], batch: int | str | None) -> list[ir.Value]:
    """Return the inputs of a graph after giving it those that the file had itself."""
    if [each.name for each in own] == [entry]:
        return [trace[entry]]
    made = []
    for each in own:
        old = trace[each.name]
        assert old.dtype is not None
        old.name = trace.unique(f"was/{each.name}")
        new = trace.input(each.name, old.dtype, [batch, len(each.columns)])
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        trace.rename(each.name, old, new)
        made.append(new)
    source = trace[entry]
    trace.graph.inputs.remove(source)
    return made


def at_own_inputs(program: Program, entry: str, own: Sequence[OwnInput]) -> Program:
    """Return a program from a model's rows as one from the inputs that the file had itself."""
    trace, outputs = program.extend(), dict(program.outputs)
    named: Iterator[str] = iter(outputs)
    with_own_inputs(trace, entry, own, None)
    return trace.finish_with({name: trace[name] for name in named})
