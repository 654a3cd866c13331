"""Cutting a graph at a value and feeding it again: what read the value reads another one from there on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import onnx_ir as ir

from onnxsal.graph.tape import Tape

Use = tuple[ir.Node, int]
"""A node and which of its inputs."""


def uses_of(value: ir.Value) -> list[Use]:
    """Return what reads a value now."""
    return [(use.node, use.idx) for use in value.uses()]


def feed(uses: Iterable[Use], value: ir.Value) -> None:
    """Let these readers read ``value``."""
    for node, index in uses:
        node.replace_input_with(index, value)


@contextmanager
def placed(graph: ir.Graph, *, before: ir.Node | None = None, after: ir.Node | None = None) -> Iterator[None]:
    """Move what is appended to a graph inside to where its readers come later.

    Args: before, after: the node that it goes to; by default it goes in front of all that is there.
    """
    first, mark = next(iter(graph), None), len(graph)
    yield
    made = list(graph)[mark:]
    where = first if before is None else before
    if where is None or not made:
        return
    graph.remove(made)
    if after is not None:
        graph.insert_after(after, made)
    else:
        graph.insert_before(where, made)


def cut(
    op: Tape, old: ir.Value, make: Callable[[], ir.Value], *, uses: Iterable[Use] | None = None,
    before: ir.Node | None = None,
) -> ir.Value:  # fmt: skip
    """Return what ``make`` appends in place of ``old``, after letting its readers read that; ``make`` may read it too.

    Args:
        uses: the readers; by default all that there are before anything is made.
        before: the node in front of which it is made; by default in front of all.
    """
    readers = uses_of(old) if uses is None else list(uses)
    with placed(op.graph, before=before):
        new = make()
    feed(readers, new)
    return new
