"""Operators that move the positions of a picture by constants: padding, crops, flips."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import onnx_ir as ir

from onnxsal.anatomy.axes import Axis, cut, moved, name_of, side_of, unknown
from onnxsal.anatomy.cutting import constant
from onnxsal.anatomy.known import Found, Layouts, Sizes
from onnxsal.graph import attributes, dims
from onnxsal.kernels.placement import Side, chained, mirrored, part

_WINDOWS = frozenset({"Conv", "ConvInteger", "QLinearConv", "FusedConv", "MaxPool", "AveragePool", "LpPool",
                      "QLinearAveragePool", "DeformConv"})  # fmt: skip
_PASSED = frozenset({"Transpose", "Identity", "Cast", "QuantizeLinear", "DequantizeLinear"})


def padded(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Pad puts margins round the picture, or takes them off; in front of a window they are the window's own."""
    given = source_of(node, sizes, known)
    if given is None:
        return None
    axes, before = given
    margins = _margins(node, len(before))
    if _is_of_window(node, margins, (before, sizes)):
        return tuple(stretched(axis, a, b) for axis, a, b in zip(axes, before, sizes, strict=True))
    pairs = [None] * len(sizes) if margins is None else margins
    mode = str(attributes(node).get("mode", "constant"))
    return tuple(_extended(*each, mode) for each in zip(axes, before, sizes, pairs, strict=True))


def widened(node: ir.Node, axes: tuple[Axis, ...], sizes: Sizes) -> tuple[tuple[Axis, ...], Sizes]:
    """Return axes and sizes with the margins that a window puts round them, where they are wider than the window."""
    pads = attributes(node).get("pads")
    if node.op_type not in _WINDOWS or not pads or max(pads) < _window(node) or len(pads) != 2 * len(sizes[2:]):
        return axes, sizes
    pairs = [(0, 0), (0, 0), *zip(pads, pads[len(pads) // 2 :], strict=False)]
    after = tuple(n + sum(pair) for n, pair in zip(sizes, pairs, strict=True))
    return tuple(_extended(*each) for each in zip(axes, sizes, after, pairs, strict=True)), after


def trimmed(node: ir.Node, axes: tuple[Axis, ...], before: Sizes, after: Sizes) -> tuple[tuple[Axis, ...], Sizes]:
    """Return axes and sizes of what a ConvTranspose leaves, where its pads take off more than its window hangs over."""
    given, window = attributes(node), _window(node)
    pads, count = given.get("pads"), len(before) - 2
    if node.op_type != "ConvTranspose" or not pads or max(pads) < window or len(pads) != 2 * count:
        return axes, before
    strides = given.get("strides") or [1] * count
    cut_off = zip(
        before[2:], strides, pads[:count], pads[count:], given.get("output_padding") or [0] * count, strict=True
    )
    sides: list[Axis] = []
    for axis, (size, stride, first, last, more) in zip(axes[2:], cut_off, strict=True):
        whole, hangs = size * stride, Fraction(window - stride, 2)
        kept = part(side_of(axis), (first - hangs) / whole, 1 - (last - more - hangs) / whole)
        sides.append(moved(axis, after[2 + len(sides)], kept) if name_of(axis) in ("H", "W") else unknown(after[-1]))
    return (*axes[:2], *sides), (*before[:2], *after[2:])


def source_of(node: ir.Node, sizes: Sizes, known: Layouts) -> tuple[tuple[Axis, ...], Sizes] | None:
    """Return the axes and sizes of the first operand where it has as many of them as the result."""
    layout, value = known.get(node.inputs[0]), node.inputs[0]
    before = None if value is None else known.sizes(value)
    return None if layout is None or before is None or len(before) != len(sizes) else (layout.axes, before)


def stretched(axis: Axis, before: int, after: int) -> Axis:
    """Return an axis that is made longer or shorter as it stands."""
    return axis if before == after else moved(axis, after, side_of(axis) if name_of(axis) in ("H", "W") else None)


def _extended(axis: Axis, before: int, after: int, margins: tuple[int, int] | None, mode: str = "constant") -> Axis:
    """Return an axis with margins in front and behind."""
    if before == after and not any(margins or ()):
        return axis
    if margins is None or name_of(axis) not in ("H", "W"):
        return unknown(after)
    if mode in ("wrap", "reflect") and min(margins) >= 0:
        return moved(axis, after, _continued(side_of(axis), before, margins, mode))
    low, high = Fraction(-margins[0], before), Fraction(before + margins[1], before)
    return moved(axis, after, part(side_of(axis), low, high))


def _continued(side: Side, size: int, margins: tuple[int, int], mode: str) -> Side | None:
    """Return a side with margins that repeat its other end (wrap), or what lies behind its edges (reflect)."""
    low, high = (Fraction(margin, size) for margin in margins)
    edge = Fraction(1, size)
    if max(margins) > size - (mode == "reflect"):
        return None
    if mode == "wrap":
        front, behind = part(side, 1 - low, Fraction(1)), part(side, Fraction(0), high)
    else:
        front, behind = mirrored(part(side, edge, edge + low)), mirrored(part(side, 1 - edge - high, 1 - edge))
    return chained([each for each in ((front, margins[0]), (side, size), (behind, margins[1])) if each[1]])


def _margins(node: ir.Node, rank: int) -> list[tuple[int, int]] | None:
    """Return what is put in front of and behind every axis; None where that is no constant."""
    pads = constant(node, 1) if len(node.inputs) > 1 else attributes(node).get("pads")
    axes = constant(node, 3)
    if pads is None or (axes is None and len(node.inputs) > 3 and node.inputs[3] is not None):
        return None
    found = [(0, 0)] * rank
    where = range(rank) if axes is None else [a % rank for a in axes]
    for axis, begin, end in zip(where, pads, pads[len(pads) // 2 :], strict=False):
        found[axis] = (begin, end)
    return found


def _is_of_window(node: ir.Node, margins: list[tuple[int, int]] | None, sizes: tuple[Sizes, Sizes]) -> bool:
    """Whether margins are what a convolution or pooling right behind is given, smaller than its window."""
    ends = list(_ends(node.outputs[0]))
    pairs = margins or [(after - before, 0) for before, after in zip(*sizes, strict=True)]
    most = max(end for pair in pairs for end in pair)
    if not ends or any(end < 0 for pair in pairs for end in pair):
        return False
    return all(end.op_type in _WINDOWS and most < _window(end) for end in ends)


def _ends(value: ir.Value) -> Iterator[ir.Node]:
    """Yield what reads a value, past what only turns or rounds it."""
    for node in value.consumers():
        if node.op_type in _PASSED:
            yield from _ends(node.outputs[0])
        else:
            yield node


def _window(node: ir.Node) -> int:
    """Return the longer side of a window, its gaps counted."""
    given = attributes(node)
    weight = node.inputs[3 if node.op_type == "QLinearConv" else 1] if len(node.inputs) > 1 else None
    shape = given.get("kernel_shape") or (dims(weight)[2:] if weight is not None and dims(weight) else ())  # type: ignore[index]
    dilations = given.get("dilations") or [1] * len(shape)
    sides = [(k - 1) * d + 1 for k, d in zip(shape, dilations, strict=False) if isinstance(k, int)]
    return max(sides, default=0)


def centred(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """CenterCropPad: the middle of an axis, or an axis in the middle; what is odd is left over at the end."""
    given = source_of(node, sizes, known)
    if given is None:
        return None
    pairs = [_middle(before, after) for before, after in zip(given[1], sizes, strict=True)]
    return tuple(_extended(axis, n, s, p) for axis, n, s, p in zip(*given, sizes, pairs, strict=True))


def _middle(before: int, after: int) -> tuple[int, int]:
    begin = -((before - after) // 2) if before > after else (after - before) // 2
    return begin, after - before - begin


def reversed_sequence(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """ReverseSequence turns round the first positions of an axis, as many as a constant says of every picture."""
    layout, lengths, how = known.get(node.inputs[0]), constant(node, 1), attributes(node)
    if layout is None:
        return None
    time, axes = how.get("time_axis", 0), list(layout.axes)
    many, n = sizes[how.get("batch_axis", 1)], sizes[time]
    if lengths is None or (len(set(lengths)) > 1 and many > 1):
        axes[time] = unknown(n)
    elif lengths[0] > 1:
        axes[time] = _turned(axes[time], lengths[0], n)
    return tuple(axes)


def _turned(axis: Axis, length: int, size: int) -> Axis:
    if length == size:
        return cut(axis, size, size - 1, -1, size)
    if name_of(axis) not in ("H", "W"):
        return unknown(size)
    share, side = Fraction(length, size), side_of(axis)
    first = (mirrored(part(side, Fraction(0), share)), length)
    return moved(axis, size, chained([first, (part(side, share, Fraction(1)), size - length)]))
