"""What sliding windows (convolution, pooling) share: their attributes as one record, run-time pads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from onnxsal.autodiff.registry import Call
from onnxsal.autodiff.rules.common import rank_of
from onnxsal.errors import UnsupportedError
from onnxsal.graph.shapes import Dim, dims
from onnxsal.graph.tape import Tape


@dataclass(frozen=True)
class Window:
    """Kernel, strides, dilations and pads of ``n`` axes; ``same`` is an ``auto_pad`` left to run time."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    same: str = ""

    @property
    def n(self) -> int:
        """The number of spatial axes."""
        return len(self.kernel)

    @property
    def pads(self) -> list[int]:
        """Pads as ONNX orders them."""
        return [*self.begin, *self.end]

    @property
    def extents(self) -> tuple[int, ...]:
        """How far a dilated kernel reaches along each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def dense(self) -> bool:
        """Whether strides and dilations are all 1."""
        return set(self.strides) | set(self.dilations) <= {1}


def window_of(attributes: Mapping[str, Any], node: ir.Node) -> Window:
    """Return the window of a node. Raises: UnsupportedError: the kernel's size is known only at run time."""
    if "pads" not in attributes:
        raise UnsupportedError(
            f"{node.op_type} {node.name or node.outputs[0].name!r}: the kernel's size is unknown, and the gradient "
            "needs it: give the weight a static shape or the node a kernel_shape"
        )
    n = len(attributes["kernel_shape"])
    pads = attributes["pads"]
    mode = str(attributes.get("auto_pad", "NOTSET"))
    kernel, strides, dilations = (tuple(attributes[name]) for name in ("kernel_shape", "strides", "dilations"))
    same = mode if mode.startswith("SAME") else ""
    return Window(kernel, strides, dilations, tuple(pads[:n]), tuple(pads[n:]), same)


def operand(call: Call, index: int) -> ir.Value:
    """Return an input that the operator cannot do without."""
    value = call.node.inputs[index]
    assert value is not None, f"{call.node.op_type} has no input {index}"
    return value


def spatial(x: ir.Value) -> tuple[Dim, ...]:
    """Return the spatial dimensions of a value, None for each that is unknown."""
    shape = dims(x)
    return tuple([None] * (rank_of(x) - 2)) if shape is None else shape[2:]


def all_known(sizes: tuple[Dim, ...]) -> bool:
    """Return whether every size is a number."""
    return all(isinstance(s, int) for s in sizes)


def spatial_of(op: Tape, x: ir.Value) -> ir.Value:
    """Return the spatial sizes as an int64 vector, measured at run time where they are unknown."""
    sizes = spatial(x)
    return op.const(list(sizes), ir.DataType.INT64) if all_known(sizes) else op.Shape(x, start=2)


def crop_to(op: Tape, g: ir.Value, x: ir.Value, begin: ir.Value | list[int] | None = None) -> ir.Value:
    """Return ``g`` cut to the spatial sizes of ``x``, from ``begin`` on."""
    n, sizes = rank_of(x) - 2, spatial_of(op, x)
    start = op.const([0] * n, ir.DataType.INT64) if begin is None else begin
    stop = sizes if begin is None else op.Add(sizes, start)
    return op.Slice(g, start, stop, list(range(2, n + 2)))


def same_pads(op: Tape, x: ir.Value, y: ir.Value, window: Window) -> tuple[ir.Value, ir.Value]:
    """Return begin and end pads of SAME_UPPER or SAME_LOWER as int64 vectors, computed at run time."""
    strides, extents = (op.const(list(v), ir.DataType.INT64) for v in (window.strides, window.extents))
    covered = op.Add(op.Mul(op.Sub(spatial_of(op, y), 1), strides), extents)
    total = op.Max(op.Sub(covered, spatial_of(op, x)), 0)
    small = op.Div(total, 2)
    large = op.Sub(total, small)
    return (small, large) if window.same == "SAME_UPPER" else (large, small)


def padded(op: Tape, x: ir.Value, begin: ir.Value, end: ir.Value) -> ir.Value:
    """Return ``x`` with run-time pads of zeros along its spatial axes."""
    pads = op.Concat([0, 0], begin, [0, 0], end, axis=0)
    return op.Pad(x, pads)
