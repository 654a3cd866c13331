"""The runtime's rotary embedding and grouped attention, taken apart into standard operators."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from onnxsal.autodiff.contrib import Attributes, parts_of
from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import rank
from onnxsal.graph.tape import Tape


@parts_of("RotaryEmbedding")
def _rotary(op: Tape, a: Attributes, x: ir.Value, places: ir.Value, cos: ir.Value, sin: ir.Value) -> ir.Value:
    if a.get("is_packed_batching") or float(a.get("scale") or 1.0) != 1.0:
        raise UnsupportedError("RotaryEmbedding with packed batches or a scale has no standard form here")
    if rank(x) == 4:
        return _turned(op, a, x, _angles(op, x, places, (cos, sin)))
    heads = int(a.get("num_heads") or 0)
    size = op.Mul(op.Shape(cos, start=1), 2)
    shape = op.Concat([0, 0], *([[heads, -1]] if heads else [[-1], size]), axis=0)
    split = op.Transpose(op.Reshape(x, shape), perm=[0, 2, 1, 3])
    turned = _turned(op, a, split, _angles(op, split, places, (cos, sin)))
    return op.Reshape(op.Transpose(turned, perm=[0, 2, 1, 3]), op.Shape(x))


def _angles(op: Tape, x: ir.Value, places: ir.Value, tables: tuple[ir.Value, ir.Value]) -> tuple[ir.Value, ir.Value]:
    """Cosines and sines for every token: of places [B, S], or from one offset on."""
    if rank(places) != 2:
        steps = op.Range(0, op.Squeeze(op.Shape(x, start=2, end=3), [0]), 1)
        places = op.Unsqueeze(op.Add(op.Cast(places, to=ir.DataType.INT64), steps), [0])
    cos, sin = (op.Unsqueeze(op.Gather(t, places, axis=0), [1]) for t in tables)
    return cos, sin


def _turned(op: Tape, a: Attributes, x: ir.Value, angles: tuple[ir.Value, ir.Value]) -> ir.Value:
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


_PLAIN = {"softcap": 0.0, "local_window_size": -1, "smooth_softmax": 0, "k_quant_type": "NONE", "v_quant_type": "NONE"}


@parts_of("GroupQueryAttention")
def _grouped(op: Tape, a: Attributes, q: ir.Value, *rest: Any) -> list[Any]:
    """Causal attention of a prompt, each head of keys and values for several of queries."""
    k, v, past_k, past_v, _, _, cos, sin, *others = [*rest, *[None] * 15][:15]
    extra = [name for name, usual in _PLAIN.items() if a.get(name, usual) not in (usual, None)]
    if k is None or past_k is not None or past_v is not None or any(o is not None for o in others) or extra:
        raise UnsupportedError(
            "GroupQueryAttention with packed inputs, a past or its other options has no standard form here"
        )
    n, m = int(a["num_heads"]), int(a["kv_num_heads"])
    q, k, v = (op.Transpose(op.Reshape(x, [0, 0, h, -1]), perm=[0, 2, 1, 3]) for x, h in ((q, n), (k, m), (v, m)))
    if a.get("do_rotary"):
        angles = _angles(op, q, op.const([0], ir.DataType.INT64), (cos, sin))
        way = {"interleaved": a.get("rotary_interleaved")}
        q, k = _turned(op, way, q, angles), _turned(op, way, k, angles)
    scale = float(a.get("scale") or 0.0)
    scaled = op.Mul(q, scale) if scale else op.Div(q, op.Sqrt(op.cast(op.Shape(q, start=3), q.dtype)))
    grouped = op.Reshape(scaled, op.Concat([0], [m, n // m], op.Shape(q, start=2), axis=0))
    scores = op.MatMul(grouped, op.Transpose(op.Unsqueeze(k, [2]), perm=[0, 1, 2, 4, 3]))
    ones = op.Expand(op.const(1, scores.dtype), op.Shape(scores, start=3))
    scores = op.Where(op.Equal(op.Trilu(ones, upper=0), 0.0), float("-inf"), scores)
    y = op.Reshape(op.MatMul(op.Softmax(scores, axis=-1), op.Unsqueeze(v, [2])), op.Shape(q))
    return [op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), [0, 0, -1]), k, v]
