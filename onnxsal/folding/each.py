"""A loop over things of which each is made something alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from onnxsal.folding.sums import BOOL, INT64, Body
from onnxsal.graph import Tape


def each_of(
    op: Tape, things: ir.Value, make: Callable[[Tape, ir.Value], Mapping[str, ir.Value]], ranks: Mapping[str, int]
) -> dict[str, ir.Value]:
    """Return what ``make`` makes of each thing, [1, ...], one behind the other, float32 [B, ...].

    Args: make: takes a tape and the thing's number, int64, a scalar. ranks: axes behind the first of what it makes.
    """
    inner = Body(op, op.unique("each"))
    number = inner.input(inner.unique("number"), INT64, [])
    go = inner.input(inner.unique("go"), BOOL, [])
    made = make(inner, number)
    inner.give(go, *(made[name] for name in ranks))  # with an axis of one: put end to end or stacked, they are the same
    count = op.Squeeze(op.Shape(things, start=0, end=1), [0])
    found = op.emit("Loop", count, op.const(True, BOOL), outputs=len(ranks), body=inner.graph)
    return {name: _stacked(op, value, ranks[name]) for name, value in zip(ranks, found, strict=True)}


def _stacked(op: Tape, made: ir.Value, rank: int) -> ir.Value:
    """Return what a loop put out with an axis of its own: onnx's reference evaluator puts them end to end."""
    made.type = ir.TensorType(ir.DataType.FLOAT)
    inner = op.Shape(made, start=-rank) if rank else op.const([], INT64)
    return op.Reshape(made, op.Concat([-1], inner, axis=0))
