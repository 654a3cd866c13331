"""Rules of integer operators (QOperator models): what the float operator gives, straight through the rounding.

A number outside the range of its result passes nothing; the forward node stays as it is. Gradients of quantised values
count their steps, as those of DequantizeLinear do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import onnx_ir as ir

from onnxsal.autodiff.contrib import MICROSOFT, PARTS
from onnxsal.autodiff.decompose import built, through
from onnxsal.autodiff.registry import Call, Gradient, Rule, register
from onnxsal.autodiff.rules.clipping import inside, reached
from onnxsal.autodiff.rules.common import constant
from onnxsal.errors import UnsupportedError
from onnxsal.graph.dequantised import steps
from onnxsal.graph.names import node_title
from onnxsal.graph.shapes import is_float
from onnxsal.graph.tape import Operator, Tape

Real = Callable[..., ir.Value]
"""``real(op, call, *inputs)``: the operator on the numbers that its operands stand for, before it is rounded."""

_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides", "ceil_mode", "count_include_pad")


def straight(
    op_type: str, real: Real, data: Sequence[int] | None, *, scale: int | None, domain: str = MICROSOFT
) -> None:
    """Register an integer operator.

    Args: data: its operands that carry numbers; None: any. scale: where its own scale is; None, or where it is not
    given, the result is float already.
    """

    def apply(call: Call) -> list[Gradient]:
        parts = built(call, real)
        return through(replace(call, grads=(_before_rounding(call, scale, parts.graph.outputs[0]),)), parts)

    slots = None if data is None else tuple(i in data for i in range(max(data) + 1))
    register(Rule(op_type, domain, apply, slots))


def _before_rounding(call: Call, index: int | None, number: ir.Value) -> ir.Value:
    """The gradient of the number that is rounded; its scale is followed by the zero point."""
    op, g, inputs = call.op, call.grads[0], call.node.inputs
    assert g is not None
    scale = inputs[index] if index is not None and index < len(inputs) else None
    if scale is None or is_float(call.node.outputs[0]):
        return g
    assert index is not None
    y, zero = call.node.outputs[0], inputs[index + 1] if index + 1 < len(inputs) else None
    return inside(op, op.Div(g, scale), y, reached(y, number, scale, zero))


def _number(op: Tape, q: ir.Value, scale: ir.Value | float, zero: ir.Value | None = None) -> ir.Value:
    """What a value stands for; its gradient flows to the quantised one."""
    return op.DequantizeLinear(q, op.const(scale, ir.DataType.FLOAT) if isinstance(scale, float) else scale, zero)


def _weight(call: Call, op: Tape, index: int, given: Sequence[ir.Value | None], axis: int) -> ir.Value:
    """Operand ``index`` with its scale and zero point: a constant as arithmetic, which runtimes fold as they load."""
    w, scale, zero = given
    assert w is not None and scale is not None
    if constant(call.node.inputs[index]) is None:
        return op.DequantizeLinear(w, scale, zero, axis=axis)
    value = op.cast(w, ir.DataType.FLOAT)
    if zero is not None:
        value = op.Sub(value, op.cast(steps(op, zero, w, axis), ir.DataType.FLOAT))
    return op.Mul(value, steps(op, scale, w, axis))


def _own(call: Call, *names: str) -> dict[str, Any]:
    given = {name: call.attributes[name] for name in names if name in call.attributes}
    if str(given.get("auto_pad", "NOTSET")) != "NOTSET":
        given.pop("pads", None)  # the standard has one or the other
    return given


def _in_order(call: Call) -> None:
    if call.attributes.get("channels_last"):
        raise UnsupportedError(
            f"{node_title(call.node)} has its channels last, in the layout of one machine: take the "
            "model as it was, or one optimised up to ORT_ENABLE_EXTENDED"
        )


def _conv(op: Tape, call: Call, x: ir.Value, xs: ir.Value, xz: Any, w: Any, ws: Any, wz: Any, *_: Any) -> ir.Value:
    _in_order(call)
    return op.Conv(_number(op, x, xs, xz), _weight(call, op, 3, (w, ws, wz), 0), **_own(call, *_WINDOW[:6]))


def _matmul(op: Tape, call: Call, a: Any, sa: Any, za: Any, b: Any, sb: Any, zb: Any, *_: Any) -> ir.Value:
    return op.MatMul(_number(op, a, sa, za), _weight(call, op, 3, (b, sb, zb), -1))


def _gemm(op: Tape, call: Call, a: Any, sa: Any, za: Any, b: Any, sb: Any, zb: Any, *_: Any) -> ir.Value:
    weight = _weight(call, op, 3, (b, sb, zb), 0 if call.attributes.get("transB") else 1)
    return op.Gemm(_number(op, a, sa, za), weight, **_own(call, "alpha", "transA", "transB"))


def _binary(name: str) -> Real:
    def real(op: Tape, call: Call, a: Any, sa: Any, za: Any, b: Any, sb: Any, zb: Any, *_: Any) -> ir.Value:
        return op.emit(name, _number(op, a, sa, za), _number(op, b, sb, zb))

    return real


def _unary(name: str, *attributes: str) -> Real:
    def real(op: Tape, call: Call, x: Any, s: Any, z: Any, *_: Any) -> ir.Value:
        _in_order(call)
        only: Operator = getattr(op, name)
        return only(_number(op, x, s, z), **_own(call, *attributes))

    return real


def _softmax(op: Tape, call: Call, x: Any, s: Any, z: Any, *_: Any) -> ir.Value:
    """Before opset 13 all axes from ``axis`` on were one."""
    value, axis = _number(op, x, s, z), int(call.attributes.get("axis", -1))
    if call.attributes.get("opset", 13) >= 13:
        return op.Softmax(value, axis=axis)
    return op.reshape_like(op.Softmax(op.Flatten(value, axis=axis), axis=-1), x)


def _concat(op: Tape, call: Call, ys: Any, yz: Any, *rest: Any) -> ir.Value:
    parts = [_number(op, *rest[i : i + 3]) for i in range(0, len(rest), 3)]
    return op.Concat(*parts, axis=call.attributes["axis"])


def _where(op: Tape, call: Call, c: Any, a: Any, sa: Any, za: Any, b: Any, sb: Any, zb: Any, *_: Any) -> ir.Value:
    return op.Where(c, _number(op, a, sa, za), _number(op, b, sb, zb))


def _attention(op: Tape, call: Call, x: Any, w: Any, bias: Any, xs: Any, ws: Any, *rest: Any) -> Any:
    mask, xz, wz, past = [*rest, None, None, None, None][:4]
    weight = _weight(call, op, 1, (w, ws, wz), 1)
    parts = PARTS[(MICROSOFT, "Attention")]
    return parts(op, dict(call.attributes), _number(op, x, xs, xz), weight, bias, mask, past)


def _to_float(op: Tape, call: Call, a: Any, b: Any, sa: Any, sb: Any, *rest: Any) -> ir.Value:
    za, zb, _ = [*rest, None, None, None][:3]
    return op.MatMul(_number(op, a, sa, za), _weight(call, op, 1, (b, sb, zb), -1))


def _dynamic(op: Tape, call: Call, a: Any, b: Any, sb: Any, zb: Any = None, *_: Any) -> ir.Value:
    return op.MatMul(a, _weight(call, op, 1, (b, sb, zb), -1))


def _product(op: Tape, call: Call, a: Any, b: Any, za: Any = None, zb: Any = None) -> ir.Value:
    weight = _weight(call, op, 1, (b, op.const(1.0, ir.DataType.FLOAT), zb), -1)
    return op.MatMul(_number(op, a, 1.0, za), weight)


def _convolution(op: Tape, call: Call, x: Any, w: Any, xz: Any = None, wz: Any = None) -> ir.Value:
    weight = _weight(call, op, 1, (w, op.const(1.0, ir.DataType.FLOAT), wz), 0)
    return op.Conv(_number(op, x, 1.0, xz), weight, **_own(call, *_WINDOW[:6]))


straight("QLinearConv", _conv, (0, 3), scale=6, domain="")
straight("QLinearConv", _conv, (0, 3), scale=6)
straight("QLinearMatMul", _matmul, (0, 3), scale=6, domain="")
straight("MatMulInteger", _product, (0, 1), scale=None, domain="")
straight("ConvInteger", _convolution, (0, 1), scale=None, domain="")
straight("QGemm", _gemm, (0, 3), scale=7)
straight("QLinearAdd", _binary("Add"), (0, 3), scale=6)
straight("QLinearMul", _binary("Mul"), (0, 3), scale=6)
straight("QLinearWhere", _where, (1, 4), scale=7)
straight("QLinearSigmoid", _unary("Sigmoid"), (0,), scale=3)
straight("QLinearLeakyRelu", _unary("LeakyRelu", "alpha"), (0,), scale=3)
straight("QLinearSoftmax", _softmax, (0,), scale=3)
straight("QLinearGlobalAveragePool", _unary("GlobalAveragePool"), (0,), scale=3)
straight("QLinearAveragePool", _unary("AveragePool", *_WINDOW), (0,), scale=3)
straight("QLinearConcat", _concat, None, scale=0)
straight("QAttention", _attention, (0, 1, 2), scale=None)
straight("MatMulIntegerToFloat", _to_float, (0, 1), scale=None)
straight("DynamicQuantizeMatMul", _dynamic, (0, 1), scale=None)
