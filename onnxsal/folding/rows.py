"""One chunk of draws in standard operators: what the kernels fill a batch with, z = b + (x - b) (c m + s n) + s' n'."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.folding import noise as counter
from onnxsal.folding.declared import Drawn, box_masks, coarse_masks, row_masks
from onnxsal.folding.planes import IMAGE, on_plane, plane_shape
from onnxsal.graph import Tape
from onnxsal.kernels.noise import Stream
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement, slices_apart
from onnxsal.kernels.plane import plane_size
from onnxsal.kernels.resize import Taps, inside, taps
from onnxsal.records import Boxes, CoarseMasks, Draws, Grids, Noise

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Chunk:
    """Which draws one turn of the loop takes: an image, and its samples [r] and masks [r], all int64."""

    image: ir.Value
    samples: ir.Value
    masks: ir.Value | None


@dataclass(frozen=True)
class Schedule:
    """How the draws of one image are cut into turns: with masks one sample a turn, without several samples."""

    samples: int
    masks: int | ir.Value
    """K, or 0 without masks; int64, a scalar, where it is known when the graph runs."""
    rows: int = 8

    def per_sample(self, op: Tape) -> int | ir.Value:
        """Return the turns that one sample takes where there are masks."""
        if isinstance(self.masks, int):
            return -(-self.masks // self.rows)
        return op.Div(op.Add(self.masks, self.rows - 1), self.rows)

    def turns(self, op: Tape) -> int | ir.Value:
        """Return the turns per image."""
        per = self.per_sample(op)
        if isinstance(per, ir.Value):
            return op.Mul(per, self.samples)
        return self.samples * per if self.masks else -(-self.samples // self.rows)

    def chunk(self, op: Tape, turn: ir.Value) -> Chunk:
        """Return what turn number ``turn`` (int64 scalar, from 0 over all images) takes."""
        per, turns = self.per_sample(op), self.turns(op)
        image, local = op.Div(turn, turns), op.Mod(turn, turns)
        if isinstance(self.masks, int) and not self.masks:
            return Chunk(image, self._span(op, local, self.samples), None)
        masks = self._span(op, op.Mod(local, per), self.masks)
        sample = op.Expand(op.Div(local, per), op.Shape(masks))
        return Chunk(image, sample, masks)

    def _span(self, op: Tape, number: ir.Value, total: int | ir.Value) -> ir.Value:
        start = op.Mul(number, self.rows)
        stop = op.Min(op.Add(start, self.rows), op.const(total, ir.DataType.INT64) if isinstance(total, int) else total)
        return op.Range(start, stop, op.const(1, ir.DataType.INT64))


@dataclass(frozen=True)
class Source:
    """What a chunk is drawn from: x and baseline of one thing, [1, C, rows, columns], its maps or masks."""

    x: ir.Value
    baseline: ir.Value
    maps: ir.Value | None
    """[K, h, w], of a volume [K, *s]."""
    declared: Boxes | CoarseMasks | None
    whole: Shape
    """Of the thing itself, [C, *S]."""
    grid: tuple[int, ...]
    """The maps' own positions."""
    key: counter.Key
    placement: Placement = WHOLE_IMAGE
    """Where the maps lie in the picture."""
    length: ir.Value | None = None
    """How long a row is, [1], where that is known when the graph runs."""
    most_cells: int | None = None
    """Cells that masks of such a row have at most, where there is one a position."""
    channels: bool = False
    """Whether masks have channels as positions too."""
    noise_draws: int | None = None
    """How many draws of noise the file holds; None where it draws them itself."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of x as the draws have it, [C, rows, columns]."""
        return plane_shape(self.whole)

    @property
    def size(self) -> tuple[int, int]:
        """Its rows and columns."""
        return self.shape[1:]


def fill(op: Tape, draws: Draws, chunk: Chunk, source: Source) -> tuple[ir.Value, ir.Value | None]:
    """Return the rows [r, C, H, W] of a chunk, and their masks [r, 1 or C, H, W] before noise where there are some."""
    mask, spans = _masks(op, draws, chunk, source)
    scale = _scales(op, draws, chunk)
    share = mask if scale is None else scale if mask is None else op.Mul(mask, scale)
    if draws.noise is not None and draws.noise.on == "mask" and share is not None:
        level = _mask_level(op, draws.noise, spans)
        share = op.Add(share, op.Mul(level, _field(op, _numbers(op, draws, chunk, source), source, on_mask=True)))
    z = _rows(op, _blend(op, share, source), chunk)
    if draws.noise is None or draws.noise.on != "input":
        return z, mask
    level = _input_level(op, draws.noise, source, z)
    return op.Add(z, op.Mul(level, _field(op, _numbers(op, draws, chunk, source), source, on_mask=False))), mask


def _rows(op: Tape, z: ir.Value, chunk: Chunk) -> ir.Value:
    """A z that does not depend on the row is repeated for each."""
    count = op.Concat(op.Shape(chunk.samples), [1, 1, 1], axis=0)
    return op.Expand(z, count)


def _blend(op: Tape, share: ir.Value | None, source: Source) -> ir.Value:
    if share is None:
        return source.x
    return op.Add(source.baseline, op.Mul(op.Sub(_hidden(op, source), source.baseline), share))


def _hidden(op: Tape, source: Source) -> ir.Value:
    """The baseline stands where the maps cover nothing of the picture."""
    if source.placement.is_whole:
        return source.x
    seen = inside(source.size, source.placement)
    return op.Where(op.const(seen), source.x, source.baseline)


def _scales(op: Tape, draws: Draws, chunk: Chunk) -> ir.Value | None:
    if draws.scales is None:
        return None
    return op.Reshape(op.Gather(op.const(np.array(draws.scales, np.float32)), chunk.samples), [-1, 1, 1, 1])


def _masks(op: Tape, draws: Draws, chunk: Chunk, source: Source) -> tuple[ir.Value | None, ir.Value | None]:
    """Return the masks [r, 1 or C, H, W] before noise, and the range of each map [r, 1, 1, 1]."""
    if source.declared is not None and (isinstance(source.declared, CoarseMasks) or chunk.masks is not None):
        return on_plane(op, _declared(op, source.declared, chunk, source), source.whole[1:]), None
    if chunk.masks is None or source.maps is None:
        return None, None
    assert isinstance(draws.masks, Grids)
    low = op.Unsqueeze(op.Gather(source.maps, chunk.masks), [1])
    high = _upsampled(op, low, source)
    wide = low if draws.masks.normalise == "before" else high
    axes = list(range(2, 2 + (len(source.grid) if len(source.grid) > IMAGE and wide is low else IMAGE)))
    bottom, top = (op.Reshape(reduce(wide, axes, keepdims=0), [-1, 1, 1, 1]) for reduce in (op.ReduceMin, op.ReduceMax))
    span = op.Sub(top, bottom)
    if draws.masks.normalise == "no":
        return high, span
    gain = _over(op, op.const(np.float32(1)), span)
    return op.Add(op.Mul(gain, high), op.Mul(op.Neg(bottom), gain)), span


def _declared(op: Tape, masks: Boxes | CoarseMasks, chunk: Chunk, source: Source) -> ir.Value:
    """Return masks that do not depend on the picture, [r, 1 or C, *S]."""
    numbers = chunk.samples if isinstance(masks, CoarseMasks) or chunk.masks is None else chunk.masks
    if source.length is not None:
        return row_masks(op, masks, numbers, source.length, Drawn(source.key[0], source.most_cells))
    size = source.whole if source.channels else source.whole[1:]
    if isinstance(masks, CoarseMasks):
        made = coarse_masks(op, masks, size, numbers, source.key[0])
    else:
        made = box_masks(op, masks, size, numbers)
    return op.Squeeze(made, [1]) if source.channels else made


def _mask_level(op: Tape, noise: Noise, spans: ir.Value | None) -> ir.Value:
    """A normalised mask has the range 1, so a share of it and an absolute level are one number."""
    sigma = op.const(noise.sigma, ir.DataType.FLOAT)
    if noise.unit != "authors" or spans is None:
        return sigma
    share = _over(op, sigma, spans)
    return op.Mul(share, share)


def _upsampled(op: Tape, maps: ir.Value, source: Source) -> ir.Value:
    """Return maps [r, 1, h, w], of a volume [r, 1, *s], at the picture's size."""
    if len(source.grid) > IMAGE:
        return _of_slices(op, maps, source)
    return stretched(op, maps, plane_size(source.grid), source.size, source.placement)


def _of_slices(op: Tape, maps: ir.Value, source: Source) -> ir.Value:
    """Return maps of a volume at its size: its slices lie one behind the other, as rows and columns."""
    *outer, rows, columns = source.grid
    for axis, (own, n) in enumerate(zip(outer, source.whole[1:-2], strict=True), 2):
        at = taps(own, n)
        share = at.share.reshape([-1 if i == axis else 1 for i in range(2 + len(source.grid))])
        maps = _between(op, maps, at, axis=axis, share=share)
    slices = math.prod(source.whole[1:-2])
    maps = op.Reshape(maps, [0, 1, slices * rows, columns])
    return stretched(op, maps, (slices * rows, columns), source.size, Placement(slices_apart(slices)))


def stretched(op: Tape, maps: ir.Value, grid: tuple[int, ...], size: tuple[int, int], placement: Placement) -> ir.Value:
    """Return maps [r, 1, h, w] at the picture's size: bilinear, rounded as the kernels do, which Resize is not."""
    down, across = taps(grid[0], size[0], placement.rows), taps(grid[1], size[1], placement.columns)
    wide = _between(op, maps, across, axis=3, share=across.share)
    return _between(op, wide, down, axis=2, share=down.share[:, None])


def _between(op: Tape, maps: ir.Value, at: Taps, *, axis: int, share: NDArray[np.float32]) -> ir.Value:
    low, high = (op.Gather(maps, op.const(places), axis=axis) for places in (at.low, at.high))
    return op.Add(low, op.Mul(op.const(share), op.Sub(high, low)))


def _numbers(op: Tape, draws: Draws, chunk: Chunk, source: Source) -> ir.Value:
    """Return the number of every row's noise; all rows of a turn with masks are of one sample, and may share its own.

    Else it is that of sample and mask, which counts the masks that streaming draws: without flat maps.
    """
    if chunk.masks is None:
        return chunk.samples
    if draws.allocation == "shared":
        return op.Slice(chunk.samples, [0], [1], [0])
    drawn = _drawn(op, draws, source)
    zero = op.const(0, ir.DataType.INT64)
    places = op.Max(op.Sub(op.CumSum(drawn, zero), 1), zero)
    return op.Add(op.Mul(chunk.samples, op.ReduceSum(drawn, keepdims=0)), op.Gather(places, chunk.masks))


def _drawn(op: Tape, draws: Draws, source: Source) -> ir.Value:
    """Return which maps are masks, 0 or 1 in int64, [K]: where flat ones are left out, those that are not."""
    assert isinstance(draws.masks, Grids) and source.maps is not None
    axes = list(range(1, 1 + max(len(source.grid), IMAGE)))
    span = op.Sub(*(reduce(source.maps, axes, keepdims=0) for reduce in (op.ReduceMax, op.ReduceMin)))
    least = 0.0 if draws.masks.skip_flat else -1.0
    return op.Cast(op.Greater(span, least), to=ir.DataType.INT64)


def _field(op: Tape, draws: ir.Value, source: Source, *, on_mask: bool) -> ir.Value:
    """Return the noise of draws by their numbers, [n, 1 or C, H, W]."""
    channels, height, width = source.shape
    depth = 1 if on_mask else channels
    stream = Stream.MASK if on_mask else Stream.INPUT
    if source.noise_draws is not None:
        held = counter.held_normal(op, source.noise_draws, (depth, height, width), stream, source.key)
        return op.Gather(held, draws, axis=0)
    flat = counter.normal(op, draws, depth * height * width, stream, source.key)
    return op.Reshape(flat, [-1, depth, height, width])


def _input_level(op: Tape, noise: Noise, source: Source, z: ir.Value) -> ir.Value:
    sigma = op.const(noise.sigma, ir.DataType.FLOAT)
    if noise.unit == "range of x":
        exact = op.Mul(op.Cast(_span(op, source.x), to=ir.DataType.DOUBLE), noise.sigma)
        return op.Cast(exact, to=ir.DataType.FLOAT)
    if noise.unit == "range of masked x":
        return op.Mul(_span(op, z), sigma)
    if noise.unit == "authors":
        share = _over(op, sigma, _span(op, z))
        return op.Mul(share, share)
    return sigma


def _span(op: Tape, value: ir.Value) -> ir.Value:
    axes = [1, 2, 3]
    return op.Sub(op.ReduceMax(value, axes, keepdims=1), op.ReduceMin(value, axes, keepdims=1))


def _over(op: Tape, a: ir.Value, b: ir.Value) -> ir.Value:
    """Return a / b, and 0 where b is 0."""
    flat = op.Equal(b, 0.0)
    return op.Where(flat, 0.0, op.Div(a, op.Where(flat, 1.0, b)))
