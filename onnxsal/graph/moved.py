"""int8 that is only moved, with the quantisers that ONNX Runtime would put there itself.

It quantises again behind (and ahead of) an operator that only moves numbers, so that the next operator can run in
integers. From opset 21 on its copy of an int8 quantiser says so in an attribute; where it then turns the pair into
bytes it leaves the attribute as it was and refuses its own graph. So the pairs are written here, as it would have left
them.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from onnxsal.graph.cut import feed, placed
from onnxsal.graph.scopes import PREFIX
from onnxsal.graph.tape import Tape
from onnxsal.graph.unsigned import SHIFT, SIGNED_KERNELS, zero_of

_MOVERS = frozenset({"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice"})
"""What the runtime carries quantisers past. The result is the same: they pass numbers on, or the largest of some."""


def write_moved(graph: ir.Graph, machine: str | None = None) -> None:
    """Put pairs behind and ahead of what moves int8, in bodies too, in place; no value changes."""
    signed = (platform.machine() if machine is None else machine).lower().startswith(SIGNED_KERNELS)
    op = Tape(graph)
    for each in (graph, *graph.subgraphs()):
        _write(_Pairs(op if each is graph else op.within(each), signed), list(each))


def is_moved_int8(model: ir.Model) -> bool:
    """Return whether there is anything for ``write_moved`` to do."""
    return any(
        zero_of(node) is not None and any(is_mover(n) for n in (*node.outputs[0].consumers(), *_makers(node)))
        for node in model.graph.all_nodes()
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and not node.domain
    )


def _makers(node: ir.Node) -> Iterable[ir.Node]:
    maker = None if node.inputs[0] is None else node.inputs[0].producer()
    return () if maker is None else (maker,)


def is_mover(node: ir.Node | None) -> bool:
    """Return whether the runtime carries quantisers past a node."""
    return node is not None and node.op_type in _MOVERS and not node.domain and len(node.outputs) == 1


class _Pairs:
    """Writes pairs into one graph."""

    def __init__(self, op: Tape, signed: bool) -> None:
        self.op, self.signed = op, signed

    def between(self, value: ir.Value, like: ir.Node, uses: list[tuple[ir.Node, int]]) -> ir.Value:
        """Quantise ``value`` as ``like`` does, for these readers; return what they read then."""
        op, scale, zero = self.op, like.inputs[1], zero_of(like)
        assert zero is not None
        wide = self.signed or len(uses) > 1
        point = op.const(np.int8(zero)) if wide else op.const(np.uint8(zero + SHIFT))
        maker = value.producer()
        with placed(
            op.graph, before=uses[0][0], after=maker if maker is not None and maker.graph is op.graph else None
        ):
            quantised = op.QuantizeLinear(value, scale, point)
            back: ir.Value = op.DequantizeLinear(quantised, scale, point)
        quantised.shape, back.shape = value.shape, value.shape
        feed(uses, back)
        return back


def _write(pairs: _Pairs, nodes: list[ir.Node]) -> None:
    ends = [n for n in nodes if not n.domain and zero_of(n) is not None and _is_constant(n.inputs[1])]
    for node in [n for n in ends if n.op_type == "QuantizeLinear"]:
        _ahead(pairs, node)
    for node in [n for n in ends if n.op_type == "DequantizeLinear"]:
        for reader, index in list(node.outputs[0].uses()):
            if index == 0 and is_mover(reader) and reader.graph is pairs.op.graph:
                _behind(pairs, reader, node)


def _is_constant(scale: ir.Value | None) -> bool:
    """One number for all, known."""
    return scale is not None and not scale.is_graph_input() and getattr(scale.const_value, "size", 0) == 1


def _behind(pairs: _Pairs, mover: ir.Node, like: ir.Node) -> None:
    value = mover.outputs[0]
    uses = [(node, index) for node, index in value.uses() if node.op_type != "QuantizeLinear"]
    if value.is_graph_output():
        _at_the_end(pairs, value, like, uses)
        return
    if not uses or any(node.graph is not pairs.op.graph for node, _ in uses):
        return
    back = pairs.between(value, like, uses)
    back.name, value.name = value.name, f"{PREFIX}moved/{value.name}"
    for node, index in uses:
        if index == 0 and is_mover(node):
            _behind(pairs, node, like)


def _at_the_end(pairs: _Pairs, value: ir.Value, like: ir.Node, uses: list[tuple[ir.Node, int]]) -> None:
    """An output that nothing reads is quantised by the runtime too; one that something reads is left alone."""
    if uses or list(value.uses()):
        return
    graph = pairs.op.graph
    copy: ir.Value = pairs.op.Identity(value)
    maker = copy.producer()
    assert maker is not None
    pairs.between(value, like, [(maker, 0)])
    copy.type, copy.shape = value.type, value.shape
    copy.name, value.name = value.name, f"{PREFIX}moved/{value.name}"
    graph.outputs[list(graph.outputs).index(value)] = copy


def _ahead(pairs: _Pairs, quantiser: ir.Node) -> None:
    value = quantiser.inputs[0]
    while value is not None and len(value.uses()) == 1 and not value.is_graph_output():
        mover = value.producer()
        source = mover.inputs[0] if mover is not None and is_mover(mover) else None
        if mover is None or source is None or not _is_free(source):
            return
        pairs.between(source, quantiser, [(mover, 0)])
        value = source


def _is_free(source: ir.Value) -> bool:
    """Whether a value reaches a mover alone and has not been quantised before."""
    maker = source.producer()
    if maker is None:
        return source.is_graph_input()
    return maker.op_type != "DequantizeLinear" and len(source.uses()) == 1 and not source.is_graph_output()
