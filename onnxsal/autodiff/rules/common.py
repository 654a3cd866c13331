"""What several families of rules share: constants read off the graph, element numbers, undoing a reduction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.registry import UnknownRankError
from onnxsal.graph.shapes import dims, rank
from onnxsal.graph.tape import Tape

Axes = list[int] | ir.Value
"""Axes as numbers where they are known, else the value that holds them."""


def constant(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    """Return the contents of a value that is an initializer, else None."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def integers(value: ir.Value | None) -> list[int] | None:
    """Return a constant vector (axes, sizes) as a list, None where it is known only at run time."""
    array = constant(value)
    return None if array is None else [int(n) for n in array.reshape(-1)]


def number(value: ir.Value | None) -> float | None:
    """Return a constant of one element as a number, None for anything else."""
    array = constant(value)
    return None if array is None or array.size != 1 else float(array.reshape(-1)[0])


def rank_of(value: ir.Value) -> int:
    """Return the number of dimensions of a value. Raises: UnknownRankError: it is unknown."""
    n = rank(value)
    if n is None:
        raise UnknownRankError(f"value {value.name!r} has an unknown number of dimensions, and the gradient needs it")
    return n


def size_at(op: Tape, x: ir.Value, axis: int) -> ir.Value:
    """Return the size of one axis as an int64 vector of one element."""
    shape = dims(x)
    known = None if shape is None else shape[axis]
    if isinstance(known, int):
        return op.const([known], ir.DataType.INT64)
    return op.Shape(x, start=axis, end=axis + 1 or None)


def merged(op: Tape, x: ir.Value, start: int, end: int | None = None) -> ir.Value:
    """Return ``x`` with its axes from ``start`` to ``end`` (not included) as one.

    A Reshape works out an axis that is left open, but not of a tensor without elements (no region at a level).
    """
    shape = dims(x)
    sizes = [None] if shape is None else [*shape[start:end], *(() if end is None else shape[end:])]
    known = [d for d in sizes if isinstance(d, int)]
    if shape is not None and len(known) == len(sizes):
        count = len(shape[start:end])
        return op.Reshape(x, [0] * start + [math.prod(known[:count]), *known[count:]])
    size = op.ReduceProd(op.Shape(x, start=start, end=end), keepdims=1)
    after = [] if end is None else [op.Shape(x, start=end)]
    return op.Reshape(x, op.Concat(op.Shape(x, end=start), size, *after, axis=0), allowzero=1)


def element_numbers(op: Tape, x: ir.Value) -> ir.Value:
    """Return an int64 tensor in the shape of ``x`` that numbers its elements 0, 1, 2 ...

    An operator that only moves elements, run on these numbers, tells where each element of its output came from.
    """
    return op.Reshape(op.Range(0, op.Size(x), 1), op.shape_of(x))


def put_back(op: Tape, g: ir.Value, source: ir.Value, x: ir.Value) -> ir.Value:
    """Return zeros in the shape of ``x`` with every element of ``g`` added at the element number in ``source``."""
    wide = widened(op, g)
    flat = op.ConstantOfShape(op.Reshape(op.Size(x), [1]), value=zero_of(wide))
    moved = op.ScatterElements(flat, op.Reshape(source, [-1]), op.Reshape(wide, [-1]), axis=0, reduction="add")
    return op.reshape_like(op.cast(moved, g.dtype), x)


def add_elements(op: Tape, g: ir.Value, indices: ir.Value, x: ir.Value, axis: int) -> ir.Value:
    """Return zeros in the shape of ``x`` with ``g`` added at ``indices`` along ``axis``.

    One element of each row, such as the score of a class, is put there by a comparison: several runtimes leave the
    attribute ``reduction`` of ScatterElements out, or have no such operator.
    """
    if _one_of_each_row(indices, x, axis):
        return op.Where(_is_at(op, indices, x, axis), g, 0.0)
    wide = widened(op, g)
    moved = op.ScatterElements(op.zeros_like(x, wide.dtype), indices, wide, axis=axis, reduction="add")
    return op.cast(moved, g.dtype)


def _one_of_each_row(indices: ir.Value, x: ir.Value, axis: int) -> bool:
    """Return whether indices are known to name one element along an axis, everywhere along all others."""
    mine, theirs = dims(indices), dims(x)
    if mine is None or theirs is None or len(mine) != len(theirs):
        return False
    axis %= len(mine)
    others = [(a, b) for k, (a, b) in enumerate(zip(mine, theirs, strict=True)) if k != axis]
    return mine[axis] == 1 and all(a is not None and a == b for a, b in others)


def _is_at(op: Tape, indices: ir.Value, x: ir.Value, axis: int) -> ir.Value:
    """Return where an element of ``x`` is the one that indices name along an axis; negative ones count from behind."""
    size, n = size_at(op, x, axis % rank_of(x)), rank_of(x)
    named = op.cast(indices, ir.DataType.INT64)
    if (maker := indices.producer()) is None or maker.op_type not in ("ArgMax", "ArgMin", "TopK"):
        named = op.Where(op.Less(named, 0), op.Add(named, size), named)
    numbers = op.Range(0, op.Squeeze(size, [0]), 1)
    return op.Equal(named, op.Unsqueeze(numbers, [k for k in range(n) if k != axis % n]) if n > 1 else numbers)


def add_slices(op: Tape, g: ir.Value, indices: ir.Value, x: ir.Value) -> ir.Value:
    """Return zeros in the shape of ``x`` with slices of ``g`` added at ``indices`` (ScatterND)."""
    wide = widened(op, g)
    moved = op.ScatterND(op.zeros_like(x, wide.dtype), indices, wide, reduction="add")
    return op.cast(moved, g.dtype)


def widened(op: Tape, g: ir.Value) -> ir.Value:
    """Return half precision as float32: sums in it lose digits, and ONNX Runtime's scattering refuses it."""
    if g.dtype not in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16):
        return g
    wide = op.cast(g, ir.DataType.FLOAT)
    wide.shape = None if g.shape is None else g.shape.copy()
    return wide


def zero_of(g: ir.Value) -> ir.TensorProtocol:
    dtype = g.dtype or ir.DataType.FLOAT
    return ir.tensor(np.zeros(1, dtype.numpy()), dtype=dtype)


def keep_axes(op: Tape, g: ir.Value, x: ir.Value, axes: Axes) -> ir.Value:
    """Return ``g``, in the shape of ``x`` reduced along ``axes``, with the reduced axes as ones."""
    if isinstance(axes, list) and len(axes) == rank_of(x):
        return op.Reshape(g, [1] * len(axes))
    return op.Unsqueeze(g, axes) if axes != [] else g


def count_of(op: Tape, x: ir.Value, y: ir.Value, axes: Axes) -> ir.Value | float:
    """Return over how many elements of x one of y runs, reduced along ``axes``: a number where it is known."""
    shape = dims(x)
    if shape is not None and isinstance(axes, list):
        sizes = [shape[a] for a in axes]
        if all(isinstance(s, int) for s in sizes):
            return float(np.prod([s for s in sizes if isinstance(s, int)], initial=1.0))
    return op.cast(op.Div(op.Size(x), op.Size(y)), x.dtype)


def pad(op: Tape, x: ir.Value, ends: list[int], axes: list[int], rank: int) -> ir.Value:
    """Return ``x`` of that rank with zeros put on along ``axes``: ``ends`` lists those before, then those after.

    Every axis is written out: ONNX Runtime's transpose optimiser takes Pad's ``axes`` input for all of them.
    """
    full = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        full[axis % rank], full[rank + axis % rank] = ends[i], ends[len(axes) + i]
    return op.Pad(x, full) if any(full) else x


def fit(op: Tape, g: ir.Value, lows: list[int], highs: list[int], axes: list[int], rank: int) -> ir.Value:
    """Return ``g`` with so many zeros put on before and after along ``axes``; what is negative is cut away."""
    if any(n < 0 for n in (*lows, *highs)):
        starts, ends = [max(-n, 0) for n in lows], [min(n, 0) or 2**31 for n in highs]
        g = op.Slice(g, starts, ends, axes)
    return pad(op, g, [max(n, 0) for n in (*lows, *highs)], axes, rank)
