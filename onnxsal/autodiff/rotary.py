"""The runtime's rotary embedding, taken apart into standard operators."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff.contrib import Attributes, parts_of
from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import rank
from onnxsal.graph.tape import Tape


@parts_of("RotaryEmbedding")
def _rotary(op: Tape, a: Attributes, x: ir.Value, places: ir.Value, cos: ir.Value, sin: ir.Value) -> ir.Value:
    if a.get("is_packed_batching") or float(a.get("scale") or 1.0) != 1.0:
        raise UnsupportedError(
            "RotaryEmbedding with packed batches or a scale has no standard form here: take the model before "
            "it was optimised"
        )
    if rank(x) == 4:
        return turned(op, a, x, _angles(op, x, places, (cos, sin)))
    heads = int(a.get("num_heads") or 0)
    size = op.Mul(op.Shape(cos, start=1), 2)
    shape = op.Concat([0, 0], *([[heads, -1]] if heads else [[-1], size]), axis=0)
    split = op.Transpose(op.Reshape(x, shape), perm=[0, 2, 1, 3])
    found = turned(op, a, split, _angles(op, split, places, (cos, sin)))
    return op.Reshape(op.Transpose(found, perm=[0, 2, 1, 3]), op.Shape(x))


def _angles(op: Tape, x: ir.Value, places: ir.Value, tables: tuple[ir.Value, ir.Value]) -> tuple[ir.Value, ir.Value]:
    """Cosines and sines for every token: of places [B, S], or from one offset on."""
    if rank(places) != 2:
        steps = op.Range(0, op.Squeeze(op.Shape(x, start=2, end=3), [0]), 1)
        places = op.Unsqueeze(op.Add(op.Cast(places, to=ir.DataType.INT64), steps), [0])
    return looked_up(op, places, tables)


def looked_up(op: Tape, places: ir.Value, tables: tuple[ir.Value, ir.Value]) -> tuple[ir.Value, ir.Value]:
    """Return cosines and sines, [B, 1, S, half], of places [B, S]."""
    cos, sin = (op.Unsqueeze(op.Gather(t, places, axis=0), [1]) for t in tables)
    return cos, sin


def turned(op: Tape, a: Attributes, x: ir.Value, angles: tuple[ir.Value, ir.Value]) -> ir.Value:
    """Pairs of channels as the plane's points, turned; the channels behind them stay."""
    cos, sin = angles
    half = op.Shape(cos, start=-1)
    whole = op.Mul(half, 2)
    rest = op.Slice(x, whole, [2**31], [3])
    first = op.Slice(x, [0], whole, [3])
    if a.get("interleaved"):
        u, v = (op.Slice(first, [k], [2**31], [3], [2]) for k in (0, 1))
    else:
        u, v = op.Slice(first, [0], half, [3]), op.Slice(first, half, [2**31], [3])
    p, q = op.Sub(op.Mul(u, cos), op.Mul(v, sin)), op.Add(op.Mul(v, cos), op.Mul(u, sin))
    if not a.get("interleaved"):
        return op.Concat(p, q, rest, axis=3)
    pairs = op.Concat(op.Unsqueeze(p, [4]), op.Unsqueeze(q, [4]), axis=4)
    return op.Concat(op.Reshape(pairs, [0, 0, 0, -1]), rest, axis=3)
