"""Rules of scattering and selecting: what was overwritten loses its gradient, what was written reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, defvjp, vjp
from onnxsal.autodiff.rules.common import add_elements, element_numbers, put_back, rank_of, zero_of
from onnxsal.graph.tape import Tape

Read = Callable[[ir.Value], ir.Value]
Write = Callable[..., ir.Value]


@dataclass(frozen=True)
class _Scatter:
    """What ScatterElements and ScatterND have in common: ``read`` gathers where ``write`` scatters."""

    x: ir.Value
    updates: ir.Value
    read: Read
    write: Write


@vjp("ScatterElements", slots=(True, False, True))
def _scatter_elements(call: Call) -> list[Gradient]:
    op, axis = call.op, call.attributes["axis"]
    x, indices, updates = (v for v in call.node.inputs if v is not None)

    def write(data: ir.Value, values: ir.Value, how: str = "none") -> ir.Value:
        return op.ScatterElements(data, indices, values, axis=axis, reduction=how)

    def read(data: ir.Value) -> ir.Value:
        return op.GatherElements(data, indices, axis=axis)

    return _scattered(call, _Scatter(x, updates, read, write))


@vjp("ScatterND", slots=(True, False, True))
def _scatter_nd(call: Call) -> list[Gradient]:
    op = call.op
    x, indices, updates = (v for v in call.node.inputs if v is not None)

    def write(data: ir.Value, values: ir.Value, how: str = "none") -> ir.Value:
        return op.ScatterND(data, indices, values, reduction=how)

    def read(data: ir.Value) -> ir.Value:
        return op.GatherND(data, indices)

    return _scattered(call, _Scatter(x, updates, read, write))


def _scattered(call: Call, scatter: _Scatter) -> list[Gradient]:
    op, g, how = call.op, call.g, call.attributes.get("reduction", "none")
    if how == "add":
        return [g, None, scatter.read(g)]
    if how == "none":
        return [scatter.write(g, op.zeros_like(scatter.updates, g.dtype)), None, scatter.read(g)]
    if how == "mul":
        return _multiplied(op, g, scatter)
    return _extreme(call, scatter)


def _multiplied(op: Tape, g: ir.Value, scatter: _Scatter) -> list[Gradient]:
    """The product of the other factors; without division where one of them is 0."""
    x, updates, read, write = scatter.x, scatter.updates, scatter.read, scatter.write
    zero_x, zero_u = op.Equal(x, 0.0), op.Equal(updates, 0.0)
    safe_x, safe_u = op.Where(zero_x, 1.0, x), op.Where(zero_u, 1.0, updates)
    product = write(safe_x, safe_u, "mul")
    zeros = write(op.cast(zero_x, x.dtype), op.cast(zero_u, x.dtype), "add")
    dx = op.gate(op.Div(product, safe_x), op.Equal(op.Sub(zeros, op.cast(zero_x, x.dtype)), 0.0))
    others = op.Equal(op.Sub(read(zeros), op.cast(zero_u, x.dtype)), 0.0)
    return [op.Mul(g, dx), None, op.Mul(read(g), op.gate(op.Div(read(product), safe_u), others))]


def _extreme(call: Call, scatter: _Scatter) -> list[Gradient]:
    """Ties share equally."""
    op, g, y, x = call.op, call.g, call.y, scatter.x
    hit_x = op.cast(op.Equal(x, y), x.dtype)
    hit_u = op.cast(op.Equal(scatter.updates, scatter.read(y)), x.dtype)
    share = op.Div(g, scatter.write(hit_x, hit_u, "add"))
    return [op.Mul(share, hit_x), None, op.Mul(scatter.read(share), hit_u)]


@vjp("TensorScatter", slots=(True, True, False))
def _tensor_scatter(call: Call) -> list[Gradient]:
    """Where the elements of y came from tells both: past ones keep their numbers, new ones are numbered after them."""
    op, g, (past, update, *rest) = call.op, call.g, call.node.inputs
    assert past is not None
    assert update is not None
    index = rest[0] if rest else None
    old, new = element_numbers(op, past), op.Add(element_numbers(op, update), op.Size(past))
    options = {"axis": call.attributes["axis"], "mode": call.attributes.get("mode", "linear")}
    source = op.TensorScatter(old, new, index, **options)
    both = op.ConstantOfShape(op.Reshape(op.Add(op.Size(past), op.Size(update)), [1]), value=zero_of(g))
    flat = op.ScatterElements(both, op.Reshape(source, [-1]), op.Reshape(g, [-1]), axis=0)
    split = op.Concat(op.Reshape(op.Size(past), [1]), op.Reshape(op.Size(update), [1]), axis=0)
    a, b = op.emit("Split", flat, split, axis=0, outputs=2)
    return [op.reshape_like(a, past), op.reshape_like(b, update), None][: len(call.node.inputs)]


@vjp("TopK", slots=(True, False))
def _top_k(call: Call) -> list[Gradient]:
    op, x, g = call.op, call.node.inputs[0], call.grads[0]
    if g is None or x is None:
        return [None]
    indices = call.node.outputs[1]
    return [add_elements(op, g, indices, x, call.attributes["axis"])]


def _compress(
    op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, condition: ir.Value, *, axis: int | None = None
) -> ir.Value:
    return put_back(op, g, op.Compress(element_numbers(op, x), condition, axis=axis), x)


defvjp("Compress", _compress, None)


@vjp("OneHot", slots=(False, False, True))
def _one_hot(call: Call) -> list[Gradient]:
    """y = off + (on - off) hot, and values = [off, on]."""
    op, g = call.op, call.g
    indices, depth, values = call.node.inputs
    assert values is not None
    hot = op.OneHot(indices, depth, op.const([0, 1], values.dtype), axis=call.attributes["axis"])
    on = op.ReduceSum(op.Mul(g, hot), keepdims=0)
    return [None, None, op.Concat(*(op.Reshape(v, [1]) for v in (op.Sub(op.ReduceSum(g, keepdims=0), on), on)), axis=0)]


@vjp("Unique", slots=(True,))
def _unique(call: Call) -> list[Gradient]:
    """Equal elements share what the one that stands for them gets."""
    op, x, g = call.op, call.node.inputs[0], call.grads[0]
    if g is None or x is None:
        return [None]
    axis = call.attributes.get("axis")
    unique = op.emit("Unique", x, axis=axis, sorted=call.attributes["sorted"], outputs=4)

    share = op.cast(unique[3], g.dtype)
    if axis is None:
        return [op.reshape_like(op.Gather(op.Div(g, share), unique[2]), x)]
    n = rank_of(x)
    tail = op.Reshape(share, [-1] + [1] * (n - 1 - axis % n))
    return [op.Gather(op.Div(g, tail), unique[2], axis=axis)]


@vjp("Range", slots=(True, False, True))
def _range(call: Call) -> list[Gradient]:
    """y_i = start + i delta."""
    op, g = call.op, call.g
    steps = op.cast(op.Range(0, op.Size(g), 1), g.dtype)
    return [op.ReduceSum(g, keepdims=0), None, op.ReduceSum(op.Mul(g, steps), keepdims=0)]


def _max_unpool(
    op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, indices: ir.Value, shape: ir.Value | None = None
) -> ir.Value:
    return op.reshape_like(op.Gather(op.Reshape(g, [-1]), op.Reshape(indices, [-1])), x)


defvjp("MaxUnpool", _max_unpool, None, None)
