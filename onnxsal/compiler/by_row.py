"""The batched form, for servers that gather requests: everything has a row a thing, and rows that ask are explained.

What the explanation reads of the model is taken for these rows alone; its maps go back to their places among zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnx_ir as ir

from onnxsal.compiler.inputs import fed_batch
from onnxsal.graph import Tape, dims
from onnxsal.graph.cut import Use, feed, placed, uses_of
from onnxsal.model import Model

Values = Mapping[str, ir.Value]

_NUMBERS = (ir.DataType.INT32, ir.DataType.INT64, ir.DataType.BOOL)
"""May say where something lies in the batch, which is another place among fewer rows."""


def asking(op: Tape, asked: ir.Value) -> ir.Value:
    """Return the numbers of the rows that are asked for, int64 [K]. Args: asked: bool [B]."""
    return op.Reshape(op.NonZero(asked), [-1])


def any_of(op: Tape, flags: ir.Value) -> ir.Value:
    """Return whether one of bools [B] is true, a scalar."""
    return op.Cast(op.ReduceMax(op.Cast(flags, to=ir.DataType.INT32), keepdims=0), to=ir.DataType.BOOL)


def taken(op: Tape, values: Values, rows: ir.Value) -> dict[str, ir.Value]:
    """Return values of so many rows, [K, ...] of [B, ...]."""
    return {name: op.Gather(value, rows, axis=0) for name, value in values.items()}


def put_back(op: Tape, found: Values, asked: ir.Value) -> dict[str, ir.Value]:
    """Return what was found of the rows that were asked for, [K, ...], at their places among zeros, [B, ...]."""
    flags = op.Cast(asked, to=ir.DataType.INT64)
    places = op.Mul(op.CumSum(flags, op.const(0, ir.DataType.INT64)), flags)
    made = {}
    for name, value in found.items():
        shape = op.Concat([1], op.Shape(value, start=1), axis=0)
        dtype = value.dtype or ir.DataType.FLOAT
        zero = op.ConstantOfShape(shape, value=ir.tensor(np.zeros(1, dtype.numpy()), dtype=dtype))
        made[name] = op.Gather(op.Concat(zero, value, axis=0), places, axis=0)
    return made


def by_picture(op: Tape, listed: ir.Value, batch: ir.Value) -> ir.Value:
    """Return what is detected, float32 [B, K, 6], as far as there is something of a picture, and NaN behind that.

    Args: listed: [D, 7], the picture's number in front. batch: how many pictures, int64 [1].
    """
    picture = op.Cast(op.Slice(listed, [0], [1], [1]), to=ir.DataType.INT64)
    zero, one = (op.const(n, ir.DataType.INT64) for n in (0, 1))
    same = op.Cast(op.Equal(picture, op.Range(zero, op.Squeeze(batch, [0]), one)), to=ir.DataType.INT64)
    place = op.Sub(op.GatherElements(op.CumSum(same, zero), picture, axis=1), 1)
    most = op.Max(op.Unsqueeze(op.ReduceMax(op.ReduceSum(same, [0], keepdims=0), keepdims=0), [0]), [1])
    nothing = op.Expand(op.const(np.array([[[np.nan]]], np.float32)), op.Concat(batch, most, [6], axis=0))
    return op.ScatterND(nothing, op.Concat(picture, place, axis=1), op.Slice(listed, [1], [7], [1]))


def by_things(there: Values, batch: int | str | None) -> dict[str, ir.Value]:
    """Return those values of a model that have a row for each thing, and those that are the same for all.

    The others are made again, of the rows that are asked for.
    """
    return {name: value for name, value in there.items() if value.const_value is not None or _is_by_thing(value, batch)}


def _is_by_thing(value: ir.Value, batch: int | str | None) -> bool:
    shape = dims(value)
    if not shape or not isinstance(batch, str) or value.dtype in (None, *_NUMBERS):
        return False
    return shape[0] == batch and all(batch not in str(d) for d in shape[1:])


@contextmanager
def reading_rows(op: Tape, values: Values, rows: ir.Value) -> Iterator[None]:
    """Let what is appended meanwhile read these rows of values outside, [K, ...] of [B, ...]."""
    read = {v: _uses(v) for v in values.values() if v.const_value is None}
    first = rows.producer()
    yield
    for value, before in read.items():
        new = _uses(value) - before
        if new:
            with placed(op.graph, after=first):
                own = op.Gather(value, rows, axis=0)
            feed(new, own)


def _uses(value: ir.Value) -> set[Use]:
    return set(uses_of(value))


def one_at_once(model: Model) -> str | None:
    """Return why a file of rows has to take one thing at a time: something has no row for each; None of most."""
    entry, graph = model.anatomy.entry, model.anatomy.model.graph
    if isinstance(fed_batch(model.anatomy), int):
        return None
    batch = fed_batch(model.anatomy)
    if entry.input_axes.index("N"):
        return f"input {entry.input!r} has the batch behind another axis: {_ONE}"
    wrong = [str(v.name) for v in graph.outputs if (dims(v) or (None,))[0] != batch]
    return f"output {wrong[0]!r} has no batch in front: {_ONE}" if wrong else None


_ONE = "the compiled file takes one thing at a time (batch 1)"
