"""What the draws add up to: sums by image in float64, as streaming keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from onnxsal.folding.folded import Folded, Values
from onnxsal.folding.graft import graft
from onnxsal.folding.planes import IMAGE, maps_off_plane, maps_on_plane, off_plane
from onnxsal.folding.rows import Chunk, Source, fill
from onnxsal.graph import Tape
from onnxsal.graph.shapes import rank

FLOAT, INT64, DOUBLE = ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.DOUBLE
BOOL = ir.DataType.BOOL
Named = dict[str, ir.Value]


class Varied(NamedTuple):
    """What the draws vary, things or a layer's activation, and its baseline, both [B, C, rows, columns]."""

    x: ir.Value
    baseline: ir.Value


@dataclass(frozen=True)
class Outside:
    """What every turn of the loop reads, and none changes.

    Attributes:
        varied: of all images.
        head: what the record's head put out, by name.
        weights: values of the model that the draws share; of what is no constant a row for each image.
        targets: the programs' target inputs, int64 [B].
    """

    varied: Varied
    head: Values
    weights: Values
    targets: Values


class Body(Tape):
    """A tape over a loop's body: constants and weights stay inside; names are unique in the whole model."""

    def __init__(self, outer: Tape, name: str) -> None:
        super().__init__(ir.Graph([], [], nodes=[], opset_imports=dict(outer.graph.opset_imports), name=name))
        self._numbers = outer._numbers


def no_sums(op: Tape, folded: Folded, x: ir.Value, many: int | ir.Value) -> dict[str, ir.Value]:
    """Return the sums before any draw. Args: x: of all images. many: masks that a sample has."""
    shapes, found = folded.sum_shapes(), {}
    batch, length = op.Shape(x, start=0, end=1), op.Shape(x, start=-1)
    if folded.record.moments.per == "mask" and isinstance(many, ir.Value):
        length = op.Unsqueeze(many, [0])
    for name, squares in folded.moments.items():
        for kind in ("sum", "squares") if squares else ("sum",):
            sizes = [length if n is None else op.const([n], INT64) for n in shapes[name]]
            shape = op.Concat(batch, *sizes, axis=0) if sizes else batch
            found[f"{kind}/{name}"] = op.ConstantOfShape(shape, value=ir.tensor(np.zeros(1, np.float64)))
    return found


def drawn(op: Tape, folded: Folded, chunk: Chunk, outside: Outside) -> tuple[ir.Value, ir.Value | None]:
    """Return a chunk's rows [r, C, rows, columns], and their masks [r, 1 or C, rows, columns]."""
    one, head = op.Unsqueeze(chunk.image, [0]), outside.head
    x, base = (op.Gather(p, one, axis=0) for p in outside.varied)
    maps = None
    if folded.declared is None and chunk.masks is not None:
        maps = op.Gather(head["maps"], chunk.image, axis=0)
        if "kept" in head:
            maps = op.Gather(maps, op.Gather(head["kept"], chunk.image, axis=0), axis=0)
        maps = maps_on_plane(op, maps, folded.maps_size) if len(folded.size) <= IMAGE else maps
    key = folded.key_of(op, chunk.image)
    source = Source(
        x, base, maps, folded.declared, folded.shape, folded.maps_size, key, folded.placement,
        op.Shape(x, start=-1) if folded.any_length else None, folded.most_cells, folded.record.draws.channels,
        folded.noise_draws,
    )  # fmt: skip
    return fill(op, folded.record.draws, chunk, source)


def evaluated(op: Tape, folded: Folded, z: ir.Value, chunk: Chunk, outside: Outside) -> Named:
    """Return what the body puts out for a chunk's rows z [r, C, rows, columns], which are of one thing."""
    one, many = op.Unsqueeze(chunk.image, [0]), op.Shape(z, start=0, end=1)
    ranks = {name: rank(value) or 1 for name, value in folded.body.inputs.items()}
    feeds = {n: repeated(op, op.Gather(v, one, axis=0), many, ranks[n]) for n, v in outside.targets.items()}
    names = [name for name in folded.record.moments.names if name in folded.moments]
    read = {name: value for name, value in outside.weights.items() if name in folded.body.model.graph.initializers}
    own = {n: op.Gather(v, one, axis=0) for n, v in read.items() if v.const_value is None}
    there = {**outside.weights, **own}
    return graft(op, folded.body, {folded.x: off_plane(op, z, folded.size), **feeds}, there, outputs=names)


def weighed(op: Tape, outputs: Named, mask: ir.Value, size: tuple[int, ...], *, channels: bool) -> Named:
    """Return outputs [r] times their masks, and the masks: [r, *S] of [r, 1, rows, columns], or [r, C, *S] of channels'
    own."""
    flat = off_plane(op, mask, size) if channels else maps_off_plane(op, op.Squeeze(mask, [1]), size)
    ones = [1] * (len(size) + channels)
    return {**{name: op.Mul(op.Reshape(y, [-1, *ones]), flat) for name, y in outputs.items()}, "mask": flat}


def repeated(op: Tape, value: ir.Value, many: ir.Value, axes: int) -> ir.Value:
    """Return a value of one row, of so many axes, in ``many`` ([1]) rows."""
    shape = many if axes == 1 else op.Concat(many, [1] * (axes - 1), axis=0)
    return op.Expand(value, shape)


def added(op: Tape, folded: Folded, chunk: Chunk, outputs: Values, sums: Values) -> Named:
    """Return the sums with a chunk's outputs in them."""
    found = {}
    for name, squares in folded.moments.items():
        y = op.Cast(outputs[name], to=DOUBLE)
        found[f"sum/{name}"] = _added(op, folded, sums[f"sum/{name}"], y, chunk)
        if squares:
            found[f"squares/{name}"] = _added(op, folded, sums[f"squares/{name}"], op.Mul(y, y), chunk)
    return found


def _added(op: Tape, folded: Folded, total: ir.Value, y: ir.Value, chunk: Chunk) -> ir.Value:
    """Add a chunk's outputs to the sums of its image: by mask, or all of them with their weights.

    No place is there twice, so that what was there is read and written back: TensorRT's ScatterND has no reduction.
    """
    if folded.record.moments.per == "mask":
        assert chunk.masks is not None
        image = op.Expand(chunk.image, op.Shape(chunk.masks))
        places = op.Concat(op.Unsqueeze(image, [1]), op.Unsqueeze(chunk.masks, [1]), axis=1)
        return op.ScatterND(total, places, op.Add(op.GatherND(total, places), op.Reshape(y, [-1])))
    weights = folded.record.draws.weights
    if weights is not None:
        w = op.Gather(op.const(np.array(weights, np.float64)), chunk.samples)
        y = op.Mul(y, op.Reshape(w, op.Concat(op.Shape(w), [1] * _depth(folded), axis=0)))
    mine = op.Gather(total, op.Unsqueeze(chunk.image, [0]), axis=0)
    place = op.Reshape(chunk.image, [1, 1])
    return op.ScatterND(total, place, op.Add(mine, op.ReduceSum(y, [0], keepdims=1)))


def _depth(folded: Folded) -> int:
    return len(next(iter(folded.sum_shapes().values())))


def kept(op: Tape, maps: ir.Value, top: int) -> ir.Value:
    """Return which maps have the highest standard deviation, ascending, int64 [B, top]."""
    centred = op.Sub(maps, op.ReduceMean(maps, [2, 3], keepdims=1))
    spread = op.ReduceMean(op.Mul(centred, centred), [2, 3], keepdims=0)
    _, best = op.emit("TopK", spread, [top], axis=1, outputs=2)
    ascending, _ = op.emit("TopK", best, [top], axis=1, largest=0, outputs=2)
    return ascending
