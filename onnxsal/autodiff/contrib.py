"""Operators that ONNX Runtime's optimiser writes, taken apart into standard ones before anything is differentiated.

The runtime fuses them again when it loads the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir

from onnxsal.autodiff.registry import Key
from onnxsal.errors import UnsupportedError
from onnxsal.graph.infer import infer_shapes
from onnxsal.graph.names import node_title
from onnxsal.graph.opset import TARGET, raise_opset
from onnxsal.graph.shapes import rank
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
    raise UnsupportedError(
        f"the fused activation {name!r} has no standard form here: take the model as it was before it was optimised"
    )


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
        raise UnsupportedError(
            "com.microsoft.FusedMatMul with transBatchA or transBatchB has no standard form here: take the model "
            "before it was optimised"
        )
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
    where = op.Range(0, op.Squeeze(op.Shape(ids, start=1, end=2)), 1) if places is None else places
    total = op.Add(op.Gather(words, ids), op.Gather(positions, where))
    total = total if segments is None or kinds is None else op.Add(total, op.Gather(kinds, segments))
    y = op.LayerNormalization(total, scale, beta, axis=-1, epsilon=float(a.get("epsilon", 1e-12)))
    if mask is None:
        return [y, op.Expand(op.const(0, ir.DataType.INT32), op.Shape(ids, start=0, end=1)), total]
    words_in = op.ReduceSum(op.Cast(op.Equal(mask, 1), to=ir.DataType.INT32), [1], keepdims=0)
    return [y, words_in, total]
