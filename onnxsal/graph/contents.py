"""What small constant values hold: the operators of shape arithmetic, computed with numpy.

ONNX Runtime would need a session for each of them, onnx's reference evaluator a millisecond; exports of transformers
hold thousands. An operator that is not in the table is left in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.graph.attributes import attributes

Array = np.ndarray[Any, Any]
Given = dict[str, Any]
_Compute = Callable[..., Array | list[Array]]


def computable(node: ir.Node) -> bool:
    """Return whether ``compute`` knows the operator."""
    return not node.domain and node.op_type in _TABLE


def compute(node: ir.Node, arrays: Sequence[Array | None]) -> list[Array] | None:
    """Return the outputs of a node whose inputs hold ``arrays``; None where it is not in the table or cannot be run."""
    if not computable(node) or not all(a is None or a.dtype.kind in "biuf" for a in arrays):
        return None
    given = {**attributes(node), "outputs": len(node.outputs)}
    try:
        with np.errstate(all="ignore"):
            results = _TABLE[node.op_type](given, *arrays)
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError):
        return None
    return results if isinstance(results, list) else [np.asarray(results)]


def _typed(function: Callable[..., Array]) -> _Compute:
    """An elementwise operator whose result has the type of its operands."""
    return lambda given, *arrays: np.asarray(function(*arrays)).astype(arrays[0].dtype, copy=False)


def _plain(function: Callable[..., Array]) -> _Compute:
    return lambda given, *arrays: np.asarray(function(*arrays))


def _divide(a: Array, b: Array) -> Array:
    """Integers are divided towards zero, as in C."""
    if a.dtype.kind not in "iu":
        return a / b
    quotient: Array = np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)
    return quotient


def _mod(given: Given, a: Array, b: Array) -> Array:
    result: Array = np.fmod(a, b) if given.get("fmod") else np.mod(a, b)
    return result.astype(a.dtype, copy=False)


def _cast(given: Given, x: Array) -> Array:
    dtype = ir.DataType(given["to"]).numpy()
    if dtype.kind not in "biuf":
        raise TypeError("only plain numbers")
    return x.astype(dtype)


def _constant_of_shape(given: Given, shape: Array) -> Array:
    value = given.get("value")
    fill = np.zeros(1, np.float32) if value is None else value.numpy().reshape(-1)
    return np.full(tuple(_small(shape)), fill[0], fill.dtype)


def _small(shape: Array) -> list[int]:
    """A shape that is worth filling in."""
    sizes = [int(s) for s in shape]
    if any(s < 0 for s in sizes) or int(np.prod(sizes, dtype=object)) > 1 << 20:
        raise ValueError("too large")
    return sizes


def _expand(given: Given, x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(_small(shape)))).copy()


def _tile(given: Given, x: Array, repeats: Array) -> Array:
    _small(np.array(x.shape) * repeats)
    return np.tile(x, repeats)


def _gather(given: Given, x: Array, indices: Array) -> Array:
    return np.asarray(np.take(x, indices, axis=int(given.get("axis", 0))))


def _reshape(given: Given, x: Array, shape: Array) -> Array:
    target = [x.shape[i] if s == 0 and not given.get("allowzero") else int(s) for i, s in enumerate(shape)]
    return x.reshape(target)


def _axes(given: Given, axes: Array | None) -> tuple[int, ...] | None:
    raw = given.get("axes") if axes is None else axes.reshape(-1).tolist()
    return None if raw is None else tuple(int(a) for a in raw)


def _squeeze(given: Given, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, _axes(given, axes))


def _unsqueeze(given: Given, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, _axes(given, axes) or ())


def _slice(given: Given, x: Array, starts: Array, ends: Array, *rest: Array | None) -> Array:
    axes = rest[0] if rest and rest[0] is not None else np.arange(len(starts))
    steps = rest[1] if len(rest) > 1 and rest[1] is not None else np.ones(len(starts), np.int64)
    picked = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes.tolist(), starts.tolist(), ends.tolist(), steps.tolist(), strict=True):
        picked[axis] = _range(start, end, step, x.shape[axis])
    return x[tuple(picked)]


def _range(start: int, end: int, step: int, size: int) -> slice:
    """ONNX counts and clamps as Python does, but for a negative step that runs past the first element."""
    stop: int | None = end
    if step < 0 and end < -size:
        stop = None
    return slice(start, stop, step)


def _split(given: Given, x: Array, sizes: Array | None = None) -> list[Array]:
    axis, count = int(given.get("axis", 0)), given["outputs"]
    if sizes is None:
        each = -(-x.shape[axis] // count)
        return list(np.split(x, [min(each * i, x.shape[axis]) for i in range(1, count)], axis))
    return list(np.split(x, np.cumsum(sizes)[:-1].tolist(), axis))


def _reduce(function: Callable[..., Array]) -> _Compute:
    def compute(given: Given, x: Array, axes: Array | None = None) -> Array:
        over = _axes(given, axes) or (() if given.get("noop_with_empty_axes") else None)
        return np.asarray(function(x, axis=over, keepdims=bool(given.get("keepdims", 1)))).astype(x.dtype, copy=False)

    return compute


def _pad(given: Given, x: Array, pads: Array, value: Array | None = None, axes: Array | None = None) -> Array:
    if given.get("mode", "constant") != "constant" or (pads < 0).any():
        raise ValueError("left to the runtime")
    where = range(x.ndim) if axes is None else [int(a) % x.ndim for a in axes]
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(where):
        widths[axis] = (int(pads[i]), int(pads[i + len(pads) // 2]))
    return np.pad(x, widths, constant_values=0 if value is None else value.reshape(-1)[0])


def _scatter_nd(given: Given, x: Array, indices: Array, updates: Array) -> Array:
    if given.get("reduction", "none") != "none":
        raise ValueError("left to the runtime")
    out = x.copy()
    out[tuple(np.moveaxis(indices, -1, 0))] = updates
    return out


def _clip(given: Given, x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    return np.asarray(np.clip(x, low, high)).astype(x.dtype, copy=False)


def _triangle(given: Given, x: Array, k: Array | None = None) -> Array:
    return (np.triu if given.get("upper", 1) else np.tril)(x, 0 if k is None else k.item())


_TABLE: dict[str, _Compute] = {
    "Add": _typed(np.add), "Sub": _typed(np.subtract), "Mul": _typed(np.multiply), "Div": _typed(_divide),
    "Neg": _typed(np.negative), "Abs": _typed(np.abs), "Sqrt": _typed(np.sqrt), "Exp": _typed(np.exp),
    "Log": _typed(np.log), "Pow": _typed(np.power), "Floor": _typed(np.floor), "Ceil": _typed(np.ceil),
    "Reciprocal": _typed(lambda x: 1 / x), "Round": _typed(np.round), "Sign": _typed(np.sign),
    "Min": _typed(lambda *a: reduce(np.minimum, a)), "Max": _typed(lambda *a: reduce(np.maximum, a)),
    "Equal": _plain(np.equal), "Less": _plain(np.less), "Greater": _plain(np.greater), "Not": _plain(np.logical_not),
    "LessOrEqual": _plain(np.less_equal), "GreaterOrEqual": _plain(np.greater_equal),
    "And": _plain(np.logical_and), "Or": _plain(np.logical_or), "Where": _plain(np.where),
    "Range": lambda given, a, b, c: np.arange(a, b, c, dtype=a.dtype), "Identity": lambda given, x: x,
    "Concat": lambda given, *arrays: np.concatenate(arrays, int(given["axis"])),
    "Transpose": lambda given, x: np.transpose(x, given.get("perm")),
    "Mod": _mod, "Cast": _cast, "ConstantOfShape": _constant_of_shape, "Expand": _expand, "Gather": _gather,
    "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Slice": _slice, "Split": _split,
    "ReduceProd": _reduce(np.prod), "ReduceSum": _reduce(np.sum), "ReduceMax": _reduce(np.max), "Tile": _tile,
    "ReduceMin": _reduce(np.min), "Pad": _pad, "ScatterND": _scatter_nd, "Clip": _clip, "Trilu": _triangle,
}  # fmt: skip
"""Results have the operator's own type; whatever an entry cannot do raises and leaves the node as it is."""
