"""The runtime's attention with as many heads of keys as of queries, taken apart into standard operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.contrib import Attributes, parts_of
from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import dims, rank
from onnxsal.graph.tape import Tape


@parts_of("Attention")
def _attention(op: Tape, a: Attributes, x: ir.Value, w: ir.Value, *rest: Any) -> list[Any]:
    b, mask, past, bias, filled = [*rest, None, None, None, None, None][:5]
    if a.get("do_rotary") or a.get("past_present_share_buffer") or filled is not None:
        raise UnsupportedError(
            "com.microsoft.Attention with rotary embedding or a past in a buffer has no standard form here: take the "
            "model as it was before it was optimised for one device"
        )
    _check_length(mask, x)
    sizes = a.get("qkv_hidden_sizes")
    joint = op.MatMul(x, w) if b is None else op.Add(op.MatMul(x, w), b)
    if sizes:
        q, k, v = op.emit("Split", joint, list(sizes), axis=-1, outputs=3)
    else:
        q, k, v = op.emit("Split", joint, axis=-1, num_outputs=3, outputs=3)
    before = (None, None) if past is None else tuple(op.Gather(past, i, axis=0) for i in (0, 1))
    y, k, v = _heads_attend(op, a, (q, k, v), before, (mask, bias))
    return [y, op.Concat(op.Unsqueeze(k, [0]), op.Unsqueeze(v, [0]), axis=0)]


@parts_of("MultiHeadAttention")
def _multi_head(op: Tape, a: Attributes, q: ir.Value, *rest: Any) -> list[Any]:
    given: list[Any] = [*rest, *[None] * 9]
    k, v, b, mask, bias, past_k, past_v, filled, beams = given[:9]
    if filled is not None or beams is not None:
        raise UnsupportedError(
            "com.microsoft.MultiHeadAttention with a past in a buffer or beams has no standard form here: take the "
            "model as it was before it was optimised for decoding"
        )
    _check_length(mask, q)
    q, k, v = _unpacked(op, q, k, v)
    if b is not None:
        q, k, v = (op.Add(x, part) for x, part in zip((q, k, v), _three(op, b, q, v), strict=True))
    return list(_heads_attend(op, a, (q, k, v), (past_k, past_v), (mask, bias)))


def _unpacked(op: Tape, q: ir.Value, k: ir.Value | None, v: ir.Value | None) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Queries, keys and values, each [B, S, heads * size] or headed, of which some may lie in one: [B, S, N, 3, H]."""
    if k is not None and v is not None:
        return q, k, v
    packed, count = (q, 3) if k is None else (k, 2)
    parts = [op.Reshape(op.Gather(packed, i, axis=3), [0, 0, -1]) for i in range(count)]
    first, second, third = [q, *parts][-3:]
    return first, second, third


def _three(op: Tape, b: ir.Value, q: ir.Value, v: ir.Value) -> Sequence[ir.Value]:
    """The biases of q, k and v in one: the first two are as wide as q."""
    width = op.Shape(q, start=-1)
    return op.emit("Split", b, op.Concat(width, width, op.Shape(v, start=-1), axis=0), axis=0, outputs=3)


def _heads_attend(
    op: Tape, a: Attributes, qkv: Sequence[ir.Value], past: Sequence[Any], masks: tuple[Any, Any]
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """softmax(q k' scale + bias) v for every head, [B, S, heads * size], and all keys and values, [B, N, T, size]."""
    n, scale, (mask, bias) = int(a["num_heads"]), float(a.get("scale") or 0.0), masks
    q, k, v = (x if rank(x) == 4 else op.Transpose(op.Reshape(x, [0, 0, n, -1]), perm=[0, 2, 1, 3]) for x in qkv)
    k, v = (x if old is None else op.Concat(old, x, axis=2) for old, x in zip(past, (k, v), strict=True))
    size = op.cast(op.Shape(q, start=3), q.dtype)
    q = op.Mul(q, scale) if scale else op.Div(q, op.Sqrt(size))
    scores = op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2]))
    scores = scores if bias is None else op.Add(scores, bias)
    low = float(a.get("mask_filter_value", -10000.0))
    if mask is not None:
        scores = op.Add(scores, _masked(op, mask, scores, low))
    if a.get("unidirectional"):
        scores = _looking_back(op, scores, past=past[0] is not None)
    y = op.Transpose(op.MatMul(op.Softmax(scores, axis=-1), v), perm=[0, 2, 1, 3])
    return op.Reshape(y, [0, 0, -1]), k, v


def _looking_back(op: Tape, scores: ir.Value, *, past: bool) -> ir.Value:
    """The runtime lets nothing look ahead, not even a row of which a mask leaves no key."""
    ones = op.Expand(op.const(1, scores.dtype), op.Shape(scores, start=2))
    older = op.Squeeze(op.Sub(op.Shape(scores, start=3), op.Shape(scores, start=2, end=3))) if past else None
    ahead = op.Equal(op.Trilu(ones, older, upper=0), 0.0)
    return op.Where(ahead, float(np.finfo((scores.dtype or ir.DataType.FLOAT).numpy()).min), scores)


def _check_length(mask: ir.Value | None, rows: ir.Value) -> None:
    shape, batch = None if mask is None else dims(mask), (dims(rows) or (None,))[0]
    if shape is None or len(shape) != 1 or not isinstance(shape[0], int) or not isinstance(batch, int):
        return
    if shape[0] not in (batch, 2 * batch):
        raise UnsupportedError(
            f"an attention mask of {shape[0]} numbers for a batch of {batch} has no standard form here: expected "
            f"{batch} (where keys end) or {2 * batch} (where they end, then where they start)"
        )


def _masked(op: Tape, mask: ir.Value, scores: ir.Value, low: float) -> ir.Value:
    """Keys as 0 and 1 [B, L], queries by keys [B, S, L], or which keys count, as ``_counted`` reads it."""
    n = rank(mask)
    if n not in (1, 2, 3):
        raise UnsupportedError(f"an attention mask of rank {n} has no standard form here: expected 1, 2 or 3")
    keep = _counted(op, mask, scores) if n == 1 else op.Cast(mask, to=ir.DataType.BOOL)
    shaped = op.Unsqueeze(keep, [1] if n == 3 else [1, 2])
    return op.Where(shaped, op.const(0, scores.dtype), op.const(low, scores.dtype))


def _counted(op: Tape, mask: ir.Value, scores: ir.Value) -> ir.Value:
    """Return which keys count [B, L], of where they end [B], or of all ends and then all starts [2 B].

    Which of the two a length is shows when it runs, so starts of 0 are put behind what may be ends alone; a longer
    one (offsets of packed rows, [3 B + 2]) then ends in an error of a negative length.
    """
    mask, batch = op.Cast(mask, to=ir.DataType.INT64), op.Shape(scores, start=0, end=1)
    both = op.Add(batch, batch)
    lacking = op.Sub(both, op.Shape(mask))
    padded = op.Concat(mask, op.ConstantOfShape(lacking, value=ir.tensor(np.zeros(1, np.int64))), axis=0)
    ends, starts = op.Slice(mask, [0], batch, [0]), op.Slice(padded, batch, both, [0])
    places = op.Range(0, op.Squeeze(op.Shape(scores, start=3)), 1)
    inside = op.GreaterOrEqual(places, op.Unsqueeze(starts, [1]))
    return op.And(op.Less(places, op.Unsqueeze(ends, [1])), inside)
