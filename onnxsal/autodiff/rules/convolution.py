"""Rules of convolutions: for x a convolution back, for w the correlation of x with g, for b a sum."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, vjp
from onnxsal.autodiff.rules.common import rank_of, widened
from onnxsal.autodiff.rules.correlation import nonnegative, weight_gradient
from onnxsal.autodiff.rules.quantised import float_weight
from onnxsal.autodiff.rules.windows import (
    Window,
    all_known,
    crop_to,
    operand,
    padded,
    same_pads,
    spatial,
    window_of,
)
from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape


@vjp("Conv", slots=(True, True, True))
def _conv(call: Call) -> list[Gradient]:
    window, group = window_of(call.attributes, call.node), int(call.attributes["group"])
    grads: list[Gradient] = [None] * len(call.needed)
    if call.needed[0]:
        grads[0] = _resolved_input(call, window, group)
    if call.needed[1]:
        grads[1] = _resolved_weight(call, window, group)
    if len(call.needed) > 2 and call.needed[2]:
        grads[2] = _sum_channels(call.op, call.g)
    return grads


@vjp("ConvTranspose", slots=(True, True, True))
def _conv_transpose(call: Call) -> list[Gradient]:
    op, g, x, w = call.op, call.g, operand(call, 0), operand(call, 1)
    group = int(call.attributes["group"])
    window = _transposed_window(call, x)
    grads: list[Gradient] = [None] * len(call.needed)
    if call.needed[0]:
        kernel = float_weight(op, w)
        back = _conv_of(op, g, kernel, window, group)
        grads[0] = back if _exact_back(call, window) else crop_to(op, back, x)
    if call.needed[1]:
        grads[1] = weight_gradient(op, g, x, window, group)
    if len(call.needed) > 2 and call.needed[2]:
        grads[2] = _sum_channels(op, g)
    return grads


def _resolved_input(call: Call, window: Window, group: int) -> ir.Value:
    op, g, x = call.op, call.g, operand(call, 0)
    kernel = float_weight(op, operand(call, 1))
    if not window.same:
        return input_gradient(op, g, kernel, x, window, group)
    begin, _ = same_pads(op, x, call.y, window)
    whole = _back_whole(op, g, kernel, window, group)
    return crop_to(op, whole, x, begin)


def _resolved_weight(call: Call, window: Window, group: int) -> ir.Value:
    op, x = call.op, operand(call, 0)
    if window.same:
        x = padded(op, x, *same_pads(op, x, call.y, window))
        window = dataclasses.replace(window, same="")
    return weight_gradient(op, x, call.g, window, group)


def input_gradient(op: Tape, g: ir.Value, w: ir.Value, x: ir.Value, window: Window, group: int) -> ir.Value:
    """Return the gradient of a convolution's input: ``g`` convolved back with ``w``, in the spatial shape of ``x``."""
    if window.dense and _pads_back(window) is not None and dims(w) is not None:
        return _flipped(op, g, w, window, group)
    sizes = spatial(x)
    if not all_known(sizes):
        loose = [s - 1 for s in window.strides]
        back = _conv_transpose_of(op, g, w, window, group, loose)
        return crop_to(op, back, x) if any(loose) else back
    return _conv_transpose_of(op, g, w, window, group, _remainder(sizes, window))


def _back_whole(op: Tape, g: ir.Value, w: ir.Value, window: Window, group: int) -> ir.Value:
    """Return the gradient of the padded input, with room for a stride's remainder at its end."""
    zero = (0,) * window.n
    bare = dataclasses.replace(window, begin=zero, end=zero, same="")
    return _conv_transpose_of(op, g, w, bare, group, [s - 1 for s in window.strides])


def _remainder(sizes: tuple[int | str | None, ...], window: Window) -> list[int]:
    """Return how many cells at the end of the padded input no window reaches."""
    reach = zip(sizes, window.begin, window.end, window.extents, window.strides, strict=True)
    return [(s + b + e - extent) % stride for s, b, e, extent, stride in reach if isinstance(s, int)]


def _pads_back(window: Window) -> list[int] | None:
    """Return the pads of the flipped convolution; None where one would be negative."""
    pads = [e - 1 - p for p, e in zip(window.pads, window.extents * 2, strict=True)]
    return pads if min(pads, default=0) >= 0 else None


def _flipped(op: Tape, g: ir.Value, w: ir.Value, window: Window, group: int) -> ir.Value:
    pads = _pads_back(window)
    return op.Conv(
        g, flipped_weight(op, w, group), group=group, kernel_shape=list(window.kernel), pads=pads,
        strides=[1] * window.n, dilations=list(window.dilations),
    )  # fmt: skip


def flipped_weight(op: Tape, w: ir.Value, group: int) -> ir.Value:
    """Return [M, C/group, k] as [C, M/group, k] with every spatial axis reversed; runtimes fold it when they load."""
    shape = dims(w)
    assert shape is not None
    swapped = w if shape[1] == 1 and shape[0] == group else _swap(op, w, group)
    axes = [i + 2 for i, k in enumerate(shape[2:]) if k != 1]
    if not axes:
        return swapped
    least = -(2**31)
    return op.Slice(swapped, [-1] * len(axes), [least] * len(axes), axes, [-1] * len(axes))


def _swap(op: Tape, w: ir.Value, group: int) -> ir.Value:
    n = rank_of(w) - 2
    tail = list(range(2, n + 2))
    if group == 1:
        return op.Transpose(w, perm=[1, 0, *tail])
    split = op.Reshape(w, op.Concat([group, -1], op.Shape(w, start=1), axis=0))
    swapped = op.Transpose(split, perm=[0, 2, 1, *(t + 1 for t in tail)])
    k = op.Shape(w, start=2)
    return op.Reshape(swapped, op.Concat(op.Mul(op.Shape(w, start=1, end=2), group), [-1], k, axis=0))


def _conv_transpose_of(
    op: Tape, g: ir.Value, w: ir.Value, window: Window, group: int, output_padding: list[int]
) -> ir.Value:
    return op.ConvTranspose(
        g, w, group=group, kernel_shape=list(window.kernel), strides=list(window.strides), pads=window.pads,
        dilations=list(window.dilations), output_padding=output_padding if any(output_padding) else None,
    )  # fmt: skip


def _conv_of(op: Tape, x: ir.Value, w: ir.Value, window: Window, group: int) -> ir.Value:
    pads, x = nonnegative(op, x, window)
    return op.Conv(
        x, w, group=group, kernel_shape=list(window.kernel), strides=list(window.strides), pads=pads,
        dilations=list(window.dilations),
    )  # fmt: skip


def _sum_channels(op: Tape, g: ir.Value) -> ir.Value:
    return op.cast(op.ReduceSum(widened(op, g), [0, *range(2, rank_of(g))], keepdims=0), g.dtype)


def _transposed_window(call: Call, x: ir.Value) -> Window:
    """Return a ConvTranspose's window with the pads that ``output_shape`` implies."""
    window = window_of(call.attributes, call.node)
    shape = call.attributes.get("output_shape")
    if not shape:
        return dataclasses.replace(window, same="")
    sizes = spatial(x)
    if not all(isinstance(size, int) for size in sizes):
        raise UnsupportedError(
            f"ConvTranspose {call.node.name!r} has an output_shape and a picture whose size is known only when it is "
            "run: no gradient (a file with a fixed input size has one)"
        )
    extra = call.attributes.get("output_padding") or [0] * window.n
    rows = zip(sizes, window.strides, window.extents, extra, shape[-window.n :], strict=True)
    total = [(s - 1) * t + e + o - out if isinstance(s, int) else 0 for s, t, e, o, out in rows]
    # an output beyond the last window ends in zeros, however pads are shared out
    small, large = [max(t, 0) // 2 for t in total], [max(t, 0) - max(t, 0) // 2 for t in total]
    upper = call.attributes.get("auto_pad") == "SAME_UPPER"
    begin, end = (small, large) if upper else (large, small)
    end = [e + min(t, 0) for e, t in zip(end, total, strict=True)]
    return dataclasses.replace(window, begin=tuple(begin), end=tuple(end), same="")


def _exact_back(call: Call, window: Window) -> bool:
    extra = call.attributes.get("output_padding") or [0] * window.n
    return all(o < s for o, s in zip(extra, window.strides, strict=True))
