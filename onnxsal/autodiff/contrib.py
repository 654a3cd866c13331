"""Operators that ONNX Runtime's optimiser writes, taken apart into standard ones before anything is differentiated.

The runtime fuses them again when it loads the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.autodiff.registry import Key
from onnxsal.errors import UnsupportedError
from onnxsal.graph.infer import infer_shapes
from onnxsal.graph.names import node_title
from onnxsal.graph.opset import TARGET, raise_opset
from onnxsal.graph.shapes import dims, rank
from onnxsal.graph.tape import Tape

MICROSOFT = "com.microsoft"
Attributes = dict[str, Any]
Parts = Callable[..., "ir.Value | Sequence[ir.Value | None]"]
"""``parts(op, attributes, *inputs)`` returns the outputs, in standard operators."""

PARTS: dict[Key, Parts] = {}


def parts_of(*op_types: str, domain: str = MICROSOFT) -> Callable[[Parts], Parts]:
    """Register the decorated function as what operators are made of."""

    def enter(parts: Parts) -> Parts:
        PARTS.update({(domain, op_type): parts for op_type in op_types})
        return parts

    return enter


def lower_contrib(model: ir.Model) -> ir.Model:
    """Return the model with the runtime's own operators taken apart; the same model where it has none of them."""
    if not any(_known(node) for node in model.graph):
        return model
    work = raise_opset(model.clone(), TARGET)
    infer_shapes(work)  # the parts depend on types and ranks, which optimised files do not state
    op = Tape(work.graph)
    for node in [n for n in work.graph if _known(n) and _typed(n)]:
        attributes = {name: attr.value for name, attr in node.attributes.items() if not attr.is_ref()}
        made = PARTS[(node.domain, node.op_type)](op, attributes, *node.inputs)
        replace_outputs(node, [made] if isinstance(made, ir.Value) else list(made))
        work.graph.remove(node, safe=True)
    work.graph.sort()
    return work


def _known(node: ir.Node) -> bool:
    return (node.domain, node.op_type) in PARTS


def _typed(node: ir.Node) -> bool:
    """Whether the parts can be written. A node of which nothing tells the type stays whole: it runs, without a rule."""
    return all(v is None or v.dtype is not None for v in node.inputs)


def replace_outputs(node: ir.Node, made: Sequence[ir.Value | None]) -> None:
    """The new values take the names of the old ones, so that the user's names go on to hold."""
    given = dict(zip(node.outputs, made, strict=False))
    spare = [v.name for v in node.outputs if given.get(v) is None and (v.uses() or v.is_graph_output())]
    if spare:
        raise UnsupportedError(f"{node_title(node)}: outputs {spare} are read, and have no standard form")
    for old, new in given.items():
        if new is None:
            continue
        name, old.name = old.name, None
        new.name, new.type, new.shape = name or new.name, old.type or new.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)


def _swapped(op: Tape, x: ir.Value) -> ir.Value:
    n = rank(x)
    if n is None:
        return op.Einsum(x, equation="...ij->...ji")
    return op.Transpose(x, perm=[*range(n - 2), n - 1, n - 2])


def _activated(op: Tape, x: ir.Value, a: Attributes, prefix: str = "") -> ir.Value:
    """Return the activation that a fused operator names, with its parameters in order."""
    name = a.get(f"{prefix}activation") or ""
    given = [float(v) for v in a.get(f"{prefix}activation_params") or []]
    alpha = given[0] if given else float(a.get("activation_alpha") or 0.01)
    if name in ("", "Relu", "Sigmoid", "Tanh"):
        return op.emit(name, x) if name else x
    if name == "LeakyRelu":
        return op.LeakyRelu(x, alpha=alpha)
    if name == "Clip":
        return op.Clip(x, *given)
    if name == "HardSigmoid":
        return op.HardSigmoid(x, alpha=alpha, beta=given[1] if given else float(a.get("activation_beta") or 0.5))
    raise UnsupportedError(f"the fused activation {name!r} has no standard form here")


@parts_of("FusedConv")
def _fused_conv(
    op: Tape, a: Attributes, x: ir.Value, w: ir.Value, b: ir.Value | None = None, z: Any = None
) -> ir.Value:
    own = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    y = op.Conv(x, w, b, **{k: a[k] for k in own if k in a})
    return _activated(op, y if z is None else op.Add(y, z), a)


@parts_of("FusedGemm")
def _fused_gemm(op: Tape, a: Attributes, x: ir.Value, w: ir.Value, c: ir.Value | None = None) -> ir.Value:
    y = op.Gemm(x, w, c, **{k: a[k] for k in ("alpha", "beta", "transA", "transB") if k in a})
    return _activated(op, y, a)


@parts_of("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation")
def _fused_matmul(op: Tape, a: Attributes, x: ir.Value, w: ir.Value) -> ir.Value:
    if a.get("transBatchA") or a.get("transBatchB"):
        raise UnsupportedError("com.microsoft.FusedMatMul with transBatchA or transBatchB has no standard form here")
    y = op.MatMul(_swapped(op, x) if a.get("transA") else x, _swapped(op, w) if a.get("transB") else w)
    alpha = float(a.get("alpha", 1.0))
    return _activated(op, y if alpha == 1 else op.Mul(y, alpha), a)


@parts_of("Gelu", "BiasGelu")
def _gelu(op: Tape, a: Attributes, x: ir.Value, bias: ir.Value | None = None) -> ir.Value:
    return op.Gelu(x if bias is None else op.Add(x, bias))


@parts_of("FastGelu")
def _fast_gelu(op: Tape, a: Attributes, x: ir.Value, bias: ir.Value | None = None) -> ir.Value:
    return op.Gelu(x if bias is None else op.Add(x, bias), approximate="tanh")


@parts_of("QuickGelu")
def _quick_gelu(op: Tape, a: Attributes, x: ir.Value) -> ir.Value:
    return op.Mul(x, op.Sigmoid(op.Mul(x, float(a.get("alpha", 1.702)))))


@parts_of("BiasSoftmax")
def _bias_softmax(op: Tape, a: Attributes, x: ir.Value, bias: ir.Value) -> ir.Value:
    """All axes from ``axis`` on are one."""
    scores, axis = op.Add(x, bias), int(a.get("axis", 1))
    if axis in (-1, (rank(x) or 0) - 1):
        return op.Softmax(scores, axis=-1)
    return op.reshape_like(op.Softmax(op.Flatten(scores, axis=axis), axis=-1), x)


def _rms(op: Tape, x: ir.Value, scale: ir.Value, epsilon: float, axes: Sequence[int] = (-1,)) -> ir.Value:
    mean = op.ReduceMean(op.Mul(x, x), list(axes), keepdims=1)
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean, epsilon))), scale)


@parts_of("SimplifiedLayerNormalization", domain="")
def _simplified(op: Tape, a: Attributes, x: ir.Value, scale: ir.Value) -> ir.Value:
    axis = int(a.get("axis", -1))
    axes = range(axis, 0) if axis < 0 else range(axis, rank(x) or 0)
    return _rms(op, x, scale, float(a.get("epsilon", 1e-5)), axes)


@parts_of("SkipSimplifiedLayerNormalization")
def _skip_simplified(op: Tape, a: Attributes, x: ir.Value, skip: ir.Value, *rest: Any) -> list[Any]:
    scale, bias = [*rest, None][:2]
    total = op.Add(x, skip) if bias is None else op.Add(op.Add(x, bias), skip)
    return [_rms(op, total, scale, float(a.get("epsilon", 1e-12))), None, None, total]


@parts_of("SkipLayerNormalization")
def _skip(op: Tape, a: Attributes, x: ir.Value, skip: ir.Value, *rest: Any) -> list[Any]:
    scale, beta, bias = [*rest, None, None][:3]
    total = op.Add(x, skip) if bias is None else op.Add(op.Add(x, bias), skip)
    y = op.LayerNormalization(total, scale, beta, axis=-1, epsilon=float(a.get("epsilon", 1e-12)))
    return [y, None, None, total]


@parts_of("EmbedLayerNormalization")
def _embed(op: Tape, a: Attributes, ids: ir.Value, segments: Any, *rest: Any) -> list[Any]:
    words, positions, kinds, scale, beta, mask, places = [*rest, None, None][:7]
    if mask is not None:
        raise UnsupportedError("com.microsoft.EmbedLayerNormalization with a mask has no standard form here")
    where = op.Range(0, op.Squeeze(op.Shape(ids, start=1, end=2)), 1) if places is None else places
    total = op.Add(op.Gather(words, ids), op.Gather(positions, where))
    total = total if segments is None or kinds is None else op.Add(total, op.Gather(kinds, segments))
    y = op.LayerNormalization(total, scale, beta, axis=-1, epsilon=float(a.get("epsilon", 1e-12)))
    nothing = op.Expand(op.const(0, ir.DataType.INT32), op.Shape(ids, start=0, end=1))
    return [y, nothing, total]


@parts_of("Attention")
def _attention(op: Tape, a: Attributes, x: ir.Value, w: ir.Value, *rest: Any) -> ir.Value:
    b, mask, past, bias = [*rest, None, None, None, None][:4]
    if past is not None or a.get("do_rotary"):
        raise UnsupportedError("com.microsoft.Attention with a past or rotary embedding has no standard form here")
    _check_length(mask, x)
    sizes = a.get("qkv_hidden_sizes")
    joint = op.MatMul(x, w) if b is None else op.Add(op.MatMul(x, w), b)
    if sizes:
        q, k, v = op.emit("Split", joint, list(sizes), axis=-1, outputs=3)
    else:
        q, k, v = op.emit("Split", joint, axis=-1, num_outputs=3, outputs=3)
    return _heads_attend(op, a, (q, k, v), mask, bias)


@parts_of("MultiHeadAttention")
def _multi_head(op: Tape, a: Attributes, q: ir.Value, *rest: Any) -> ir.Value:
    given: list[Any] = [*rest, None, None, None, None, None]
    k, v, b, mask, bias, *past = given
    if k is None or v is None or any(p is not None for p in past):
        raise UnsupportedError(
            "com.microsoft.MultiHeadAttention with packed inputs or a past has no standard form here"
        )
    _check_length(mask, q)
    if b is not None:
        q, k, v = (op.Add(x, part) for x, part in zip((q, k, v), _three(op, b, q, v), strict=True))
    return _heads_attend(op, a, (q, k, v), mask, bias)


def _three(op: Tape, b: ir.Value, q: ir.Value, v: ir.Value) -> Sequence[ir.Value]:
    """The biases of q, k and v in one: the first two are as wide as q."""
    width = op.Shape(q, start=-1)
    return op.emit("Split", b, op.Concat(width, width, op.Shape(v, start=-1), axis=0), axis=0, outputs=3)


def _heads_attend(op: Tape, a: Attributes, qkv: tuple[ir.Value, ...], mask: Any, bias: Any) -> ir.Value:
    """softmax(q k' scale + bias) v for every head; [B, S, heads * size] in and out."""
    n, scale = int(a["num_heads"]), float(a.get("scale", 0.0))
    q, k, v = (op.Transpose(op.Reshape(x, [0, 0, n, -1]), perm=[0, 2, 1, 3]) for x in qkv)
    size = op.cast(op.Shape(q, start=3), q.dtype)
    q = op.Mul(q, scale) if scale else op.Div(q, op.Sqrt(size))
    scores = op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2]))
    scores = scores if bias is None else op.Add(scores, bias)
    low = float(a.get("mask_filter_value", -10000.0))
    if mask is not None:
        scores = op.Add(scores, _masked(op, mask, scores, low))
    if a.get("unidirectional"):
        ones = op.Expand(op.const(1, scores.dtype), op.Shape(scores, start=2))
        past = op.Equal(op.Trilu(ones, upper=0), 0.0)
        # the runtime lets nothing look ahead, not even a row of which a mask leaves no key
        scores = op.Where(past, float(np.finfo((scores.dtype or ir.DataType.FLOAT).numpy()).min), scores)
    y = op.Transpose(op.MatMul(op.Softmax(scores, axis=-1), v), perm=[0, 2, 1, 3])
    return op.Reshape(y, [0, 0, -1])


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
        raise UnsupportedError(f"an attention mask of rank {n} has no standard form here")
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
