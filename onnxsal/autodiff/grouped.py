"""The runtime's grouped attention with its cache of keys and values, taken apart into standard operators."""

from __future__ import annotations

from typing import Any, NamedTuple

import onnx_ir as ir

from onnxsal.autodiff.contrib import Attributes, parts_of
from onnxsal.autodiff.rotary import looked_up, turned
from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

_INT = ir.DataType.INT64


class _Given(NamedTuple):
    """The inputs behind the queries."""

    k: Any = None
    v: Any = None
    past_k: Any = None
    past_v: Any = None
    last: Any = None
    """Of each row of the batch, the place of its last key."""
    total: Any = None
    cos: Any = None
    sin: Any = None
    places: Any = None
    bias: Any = None
    sink: Any = None
    k_scale: Any = None
    v_scale: Any = None
    q_norm: Any = None
    k_norm: Any = None
    query_lengths: Any = None


class _Places(NamedTuple):
    """Where tokens stand in their texts; [1, n] where it is so for all of a batch, else [B, n]."""

    rows: ir.Value
    """Of the new ones, which ask."""
    keys: ir.Value
    """Of all that are asked: the past's buffer, then the new ones."""
    past: _Past | None = None


class _Past(NamedTuple):
    """What shows of a past only when it is run, one number a row of the batch, [B, 1]."""

    prompt: ir.Value
    """Whether there is none, [1]."""
    start: ir.Value
    """Where the new tokens begin."""
    first: ir.Value
    """Where the oldest token of the buffer stands; a sliding one has forgotten those before."""
    filled: ir.Value
    """Which of all keys are there, [B, n]."""


@parts_of("GroupQueryAttention")
def _grouped(op: Tape, a: Attributes, q: ir.Value, *rest: Any) -> list[Any]:
    """Attention of what is new to itself and its past, each head of keys and values for several of queries.

    The runtime writes new keys behind each row's own past. Here they stay behind the whole buffer and are told apart by
    their places: attention does not depend on the order of keys.
    """
    given = _Given(*rest)
    _refuse(a, given)
    q, k, v = _headed(op, a, q, given)
    places = _places(op, a, q, given)
    if a.get("do_rotary"):
        angles = looked_up(op, _turns(op, places, given), (given.cos, given.sin))
        way = {"interleaved": a.get("rotary_interleaved")}
        q, k = turned(op, way, q, angles), turned(op, way, k, angles)
    if given.past_k is not None:
        k, v = op.Concat(given.past_k, k, axis=2), op.Concat(given.past_v, v, axis=2)
    y = _attend(op, a, (q, k, v), places, given)
    return [y, *(x if places.past is None else _cache(op, a, x, (places, places.past), given) for x in (k, v))]


_UNSERVED = ("k_scale", "v_scale", "q_norm", "k_norm", "query_lengths")
_PLAIN = {"k_quant_type": "NONE", "v_quant_type": "NONE"}


def _refuse(a: Attributes, given: _Given) -> None:
    """Raise UnsupportedError: options of one device, or that have no meaning."""
    found = [name for name, usual in _PLAIN.items() if (a.get(name) or usual) != usual]
    found += [
        name for name in ("k_scale", "v_scale", "q_norm", "k_norm", "query_lengths") if getattr(given, name) is not None
    ]
    found += ["local_window_size=0"] if a.get("local_window_size") == 0 else []
    found += ["one of past_key and past_value alone"] if (given.past_k is None) != (given.past_v is None) else []
    if found:
        raise UnsupportedError(
            f"com.microsoft.GroupQueryAttention with {', '.join(found)} has no standard form here: export the model "
            "for the CPU, with a cache in float, or without this fusion"
        )


def _headed(op: Tape, a: Attributes, q: ir.Value, given: _Given) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Queries [B, N, S, H], keys and values [B, M, S, H]; they may have come in one."""
    n, m = int(a["num_heads"]), int(a["kv_num_heads"])
    if given.k is None:
        joint = op.Transpose(op.Reshape(q, [0, 0, n + 2 * m, -1]), perm=[0, 2, 1, 3])
        first, second, third = op.emit("Split", joint, [n, m, m], axis=1, outputs=3)
        return first, second, third
    pairs = ((q, n), (given.k, m), (given.v, m))
    first, second, third = (op.Transpose(op.Reshape(x, [0, 0, h, -1]), perm=[0, 2, 1, 3]) for x, h in pairs)
    return first, second, third


def _count(op: Tape, n: ir.Value) -> ir.Value:
    """0, 1 ... n - 1 as [1, n]; n is [1]."""
    return op.Unsqueeze(op.Range(0, op.Squeeze(n, [0]), 1), [0])


def _places(op: Tape, a: Attributes, q: ir.Value, given: _Given) -> _Places:
    length = op.Shape(q, start=2, end=3)
    new = _count(op, length)
    past = None if given.past_k is None else dims(given.past_k)
    if given.past_k is None or (past is not None and past[2] == 0):
        return _Places(new, new)
    prompt = op.Equal(op.Reshape(op.Cast(given.total, to=_INT), [1]), length)
    start = op.Where(prompt, 0, op.Sub(op.Add(_last(op, given), 1), length))
    resident = _resident(op, a, start, given)
    first, rows = op.Sub(start, resident), op.Add(start, new)
    old = _count(op, op.Shape(given.past_k, start=2, end=3))
    filled = op.Concat(op.Less(old, resident), op.GreaterOrEqual(rows, 0), axis=1)
    return _Places(rows, op.Concat(op.Add(old, first), rows, axis=1), _Past(prompt, start, first, filled))


def _last(op: Tape, given: _Given) -> ir.Value:
    """The place of each row's last key, [B, 1]."""
    return op.Reshape(op.Cast(given.last, to=_INT), [-1, 1])


def _resident(op: Tape, a: Attributes, count: ir.Value, given: _Given) -> ir.Value:
    """How many of ``count`` tokens a buffer keeps: all, or of a sliding one what the operator's page says.

    Once it is full it forgets as many at a time as it is larger than the window, and one more.
    """
    if not a.get("sliding_window_cache"):
        return count
    size = op.Shape(given.past_k, start=2, end=3)
    step = op.Add(op.Sub(size, int(a["local_window_size"])), 1)
    turns = op.Div(op.Sub(op.Add(op.Sub(count, size), step), 1), step)
    return op.Sub(count, op.Mul(op.Max(turns, 0), step))


def _turns(op: Tape, places: _Places, given: _Given) -> ir.Value:
    """By what place each token is turned; of those given for a prompt the runtime reads the first, and counts on."""
    if given.places is None:
        return places.rows
    counted = op.Add(op.Slice(op.Reshape(given.places, [-1]), [0], [1]), _count(op, op.Shape(places.rows, start=1)))
    return counted if places.past is None else op.Where(places.past.prompt, counted, given.places)


def _seen(op: Tape, a: Attributes, places: _Places, given: _Given) -> ir.Value:
    """Which keys a row may look at, [B or 1, S or 1, L]."""
    keys, rows = op.Unsqueeze(places.keys, [1]), op.Unsqueeze(places.rows, [2])
    filled = None if places.past is None else op.Unsqueeze(places.past.filled, [1])
    if a.get("causal", 1):
        seen, window = op.LessOrEqual(keys, rows), int(a.get("local_window_size", -1))
        seen = seen if window < 0 else op.And(seen, op.Greater(keys, op.Sub(rows, window)))
    else:
        seen = op.LessOrEqual(keys, op.Unsqueeze(_last(op, given), [1]))
    return seen if filled is None else op.And(seen, filled)


def _attend(
    op: Tape, a: Attributes, qkv: tuple[ir.Value, ir.Value, ir.Value], places: _Places, given: _Given
) -> ir.Value:
    q, k, v = qkv
    n, m, scale = int(a["num_heads"]), int(a["kv_num_heads"]), float(a.get("scale") or 0.0)
    scaled = op.Mul(q, scale) if scale else op.Div(q, op.Sqrt(op.cast(op.Shape(q, start=3), q.dtype)))
    grouped = op.Reshape(scaled, op.Concat([0], [m, n // m], op.Shape(q, start=2), axis=0))
    scores = op.MatMul(grouped, op.Transpose(op.Unsqueeze(k, [2]), perm=[0, 1, 2, 4, 3]))
    if cap := float(a.get("softcap") or 0.0):
        scores = op.Mul(op.Tanh(op.Div(scores, cap)), cap)
    if given.bias is not None:
        scores = op.Add(scores, _bias(op, (n, m), places, given))
    scores = op.Where(op.Unsqueeze(_seen(op, a, places, given), [1, 2]), scores, float("-inf"))
    y = op.MatMul(_shares(op, a, scores, given.sink), op.Unsqueeze(v, [2]))
    return op.Reshape(op.Transpose(op.Reshape(y, op.Shape(q)), perm=[0, 2, 1, 3]), [0, 0, -1])


def _shares(op: Tape, a: Attributes, scores: ir.Value, sink: ir.Value | None) -> ir.Value:
    """Softmax; a sink is one more score a head (0 where it is to be smooth) that takes its share and has no value."""
    if sink is None and not a.get("smooth_softmax"):
        return op.Softmax(scores, axis=-1)
    m, n = int(a["kv_num_heads"]), int(a["num_heads"])
    extra = op.const(0, scores.dtype) if sink is None else op.Reshape(sink, [m, n // m, 1, 1])
    column = op.Expand(extra, op.Concat(op.Shape(scores, end=-1), [1], axis=0))
    return op.Slice(op.Softmax(op.Concat(scores, column, axis=-1), axis=-1), [0], [-1], [4])


def _bias(op: Tape, heads: tuple[int, int], places: _Places, given: _Given) -> ir.Value:
    """What is added to scores, [B, M, N / M, S, L]; it is given by places in the text, and keys lie otherwise."""
    n, m = heads
    bias = op.Expand(given.bias, op.const([1, n, 1, 1], _INT))
    if places.past is not None:
        where = op.Min(op.Max(places.keys, 0), op.Sub(op.Shape(bias, start=3), 1))
        shape = op.Shape(bias)
        batch = op.Max(op.Slice(shape, [0], [1]), op.Shape(where, end=1))
        full = op.Concat(batch, op.Slice(shape, [1], [3]), axis=0)
        bias = op.Expand(bias, op.Concat(full, [1], axis=0))
        where = op.Expand(op.Unsqueeze(where, [1, 2]), op.Concat(full, op.Shape(where, start=1), axis=0))
        bias = op.GatherElements(bias, where, axis=3)
    return op.Reshape(bias, op.Concat([0], [m, n // m], op.Shape(bias, start=2), axis=0))


def _cache(op: Tape, a: Attributes, x: ir.Value, where: tuple[_Places, _Past], given: _Given) -> ir.Value:
    """Keys or values in the order of the text, in a buffer as long as the past's at least, 0 where none are."""
    (places, past), old = where, op.Shape(given.past_k, start=2, end=3)
    new, end = op.Shape(places.rows, start=1), op.Add(_last(op, given), 1)
    size = old if a.get("sliding_window_cache") else op.Max(old, op.Reshape(op.Cast(given.total, to=_INT), [1]))
    at = op.Add(op.Sub(end, _resident(op, a, end, given)), _count(op, size))
    behind = op.Min(op.Add(op.Sub(at, past.start), old), op.Sub(op.Add(old, new), 1))
    source = op.Unsqueeze(op.Where(op.Less(at, past.start), op.Sub(at, past.first), behind), [1, 3])
    shape = op.Concat(op.Shape(x, end=2), size, op.Shape(x, start=3), axis=0)
    moved = op.GatherElements(x, op.Expand(source, shape), axis=2)
    return op.gate(moved, op.Unsqueeze(op.Less(at, end), [1, 3]))
