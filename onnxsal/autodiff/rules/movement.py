"""Rules of operators that move elements: the gradient goes back the way they came."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, defvjp, vjp
from onnxsal.autodiff.rules.common import rank_of, size_at
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

# Other shapes for the same elements
defvjp("Reshape", lambda op, g, y, x, shape: op.reshape_like(g, x), None)
defvjp("Flatten", lambda op, g, y, x: op.reshape_like(g, x))
defvjp("Squeeze", lambda op, g, y, x, axes=None: op.reshape_like(g, x), None)
defvjp("Unsqueeze", lambda op, g, y, x, axes: op.reshape_like(g, x), None)
defvjp("Expand", lambda op, g, y, x, shape: op.sum_to(g, x, y), None)


def _transpose(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, perm: list[int] | None = None) -> ir.Value:
    order = list(perm) if perm is not None else list(range(rank_of(x)))[::-1]
    return op.Transpose(g, perm=[order.index(i) for i in range(len(order))])


def _space_to_depth(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, blocksize: int, mode: str = "DCR") -> ir.Value:
    """The mode came with opset 28; DepthToSpace has had both from 11 on."""
    return op.DepthToSpace(g, blocksize=blocksize, mode=mode)


def _depth_to_space(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, *, blocksize: int, mode: str = "DCR") -> ir.Value:
    if mode == "DCR":
        return op.SpaceToDepth(g, blocksize=blocksize)
    s = blocksize
    blocks = op.SpaceToDepth(g, blocksize=s)  # [B, s s C, H, W]; CRD has them as [C, s s]
    height, width = size_at(op, x, 2), size_at(op, x, 3)
    parts = op.Concat([0, s * s, -1], height, width, axis=0)
    return op.reshape_like(op.Transpose(op.Reshape(blocks, parts), perm=[0, 2, 1, 3, 4]), x)


defvjp("Transpose", _transpose)
defvjp("SpaceToDepth", _space_to_depth)
defvjp("DepthToSpace", _depth_to_space)


@vjp("Concat")
def _concat(call: Call) -> list[Gradient]:
    op, xs, axis = call.op, [v for v in call.node.inputs if v is not None], call.attributes["axis"]
    if len(xs) == 1:
        return [call.g]
    sizes = [s for x in xs if (s := _known_size(x, axis)) is not None]
    known = len(sizes) == len(xs)
    if sum(call.needed) == 1 and known:
        return _one_part(call, sizes, axis)
    split = sizes if known else op.Concat(*(size_at(op, x, axis) for x in xs), axis=0)
    parts = op.emit("Split", call.g, split, axis=axis, outputs=len(xs))
    return [part if need else None for part, need in zip(parts, call.needed, strict=True)]


def _known_size(x: ir.Value, axis: int) -> int | None:
    shape = dims(x)
    size = None if shape is None else shape[axis]
    return size if isinstance(size, int) else None


def _one_part(call: Call, sizes: list[int], axis: int) -> list[Gradient]:
    i = call.needed.index(True)
    start = sum(sizes[:i])
    part = call.op.Slice(call.g, [start], [start + sizes[i]], [axis])
    return [part if j == i else None for j in range(len(sizes))]


@vjp("Split", slots=(True, False))
def _split(call: Call) -> list[Gradient]:
    op = call.op
    parts = [op.zeros_like(y) if g is None else g for g, y in zip(call.grads, call.node.outputs, strict=True)]
    return [op.Concat(*parts, axis=call.attributes["axis"]) if len(parts) > 1 else parts[0]]


def _tile(op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, repeats: ir.Value) -> ir.Value:
    """As [r0, d0, r1, d1 ...], summed over the repeats."""
    n = rank_of(x)
    pairs = op.Concat(op.Unsqueeze(repeats, [1]), op.Unsqueeze(op.shape_of(x), [1]), axis=1)
    spread = op.Reshape(g, op.Reshape(pairs, [-1]), allowzero=1)  # there may be no image
    return op.ReduceSum(spread, list(range(0, 2 * n, 2)), keepdims=0)


defvjp("Tile", _tile, None)
defvjp("Trilu", lambda op, g, y, x, k=None, *, upper: op.Trilu(g, k, upper=upper), None)


def _reverse_sequence(
    op: Tape, g: ir.Value, y: ir.Value, x: ir.Value, lengths: ir.Value, *, batch_axis: int, time_axis: int
) -> ir.Value:
    return op.ReverseSequence(g, lengths, batch_axis=batch_axis, time_axis=time_axis)


defvjp("ReverseSequence", _reverse_sequence, None)
