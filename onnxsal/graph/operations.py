"""How much arithmetic a graph is: the multiply-accumulates of its weighted operators, an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from onnxsal.graph.attributes import attributes
from onnxsal.graph.shapes import dims, per_image

_CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Where each has its weight, [channels out, channels in, kernel ...]."""

_PRODUCTS = frozenset({"MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "Gemm", "FusedGemm", "QGemm"})
"""Their first operand's rows are summed over."""


@dataclass(frozen=True)
class Operations:
    """Multiply-accumulates an image by operator; twice as many are floating-point operations."""

    by_operator: dict[str, int]
    unknown: tuple[str, ...]
    """Weighted nodes whose extents the graph does not tell; they are not counted."""

    @property
    def total(self) -> int:
        """Multiply-accumulates of the whole graph."""
        return sum(self.by_operator.values())


def operations(nodes: Iterable[ir.Node]) -> Operations:
    """Return the multiply-accumulates of convolutions and matrix products, with a batch of one image."""
    counts: Counter[str] = Counter()
    unknown = []
    for node in nodes:
        rule = _rule(node.op_type)
        if rule is None:
            continue
        count = rule(node)
        if count is None:
            unknown.append(str(node.name or node.outputs[0].name))
        else:
            counts[node.op_type] += count
    return Operations(dict(counts), tuple(unknown))


def _rule(op_type: str) -> Callable[[ir.Node], int | None] | None:
    if op_type in _CONVOLUTIONS:
        return _convolution
    if op_type in _PRODUCTS:
        return _product
    return {"ConvTranspose": _transposed}.get(op_type)


def _convolution(node: ir.Node) -> int | None:
    """Every output is a sum over a kernel."""
    out, weight = _extents(node.outputs[0]), _extents(node.inputs[_CONVOLUTIONS[node.op_type]])
    return None if out is None or weight is None else prod(out) * prod(weight[1:])


def _transposed(node: ir.Node) -> int | None:
    """Every input is spread over a kernel."""
    x, weight = _extents(node.inputs[0]), _extents(node.inputs[1])
    return None if x is None or weight is None else prod(x) * prod(weight[1:])


def _product(node: ir.Node) -> int | None:
    out, rows = _extents(node.outputs[0]), _extents(node.inputs[0])
    if out is None or not rows:
        return None
    turned = attributes(node).get("transA") and len(rows) > 1
    return prod(out) * rows[-2 if turned else -1]


def _extents(value: ir.Value | None) -> list[int] | None:
    shape = None if value is None else dims(value)
    if shape is None or None in shape:
        return None
    return [per_image(d) for d in shape]
