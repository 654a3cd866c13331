"""From what a record says of its draws to the rows that the kernels fill."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.kernels.blur import gaussian_blur
from onnxsal.kernels.formulas import lerp
from onnxsal.kernels.masks import Rows, make_rows
from onnxsal.kernels.noise import uniform
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement, slices_apart
from onnxsal.kernels.plane import plane
from onnxsal.kernels.ranges import masked_range, upsampled_range
from onnxsal.kernels.resize import inside, taps
from onnxsal.records import Draws, Grids, Made, Noise, baseline_array, spread
from onnxsal.streaming.allocation import Order
from onnxsal.streaming.sparing import Sparing

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """All draws of one picture: draw t is sample t // K of mask t % K, so an early end has seen every mask alike."""

    x: Floats
    baseline: Floats
    draws: Draws
    grids: Floats | None
    """Upsampled on the fly, [K, h, w]; None where the masks come from the host or there are none."""
    kept: NDArray[np.int64]
    """Which of the layer's maps the K masks are."""
    template: Rows
    """One row a mask, without sample and draw."""
    size: tuple[int, ...]
    """Of the masks' positions, those S or channels and S; x and the baseline, and the grids, hold them as rows and
    columns (``kernels.plane``)."""
    thing: tuple[int, ...]
    """What x is, [C, *S]."""
    of: int
    """How many maps there were before flat ones and all but the top k were left out."""
    samples: int
    """How often every mask is drawn; on average, where there is an order."""
    order: Order | Sparing | None = None
    """Which mask each draw is of, where that is not even."""

    def things(self, planes: Floats) -> Floats:
        """Return x and its like, as rows and columns, with the axes of the thing, [..., C, *S]; in the same memory."""
        return np.reshape(planes, (*planes.shape[:-3], *self.thing))

    @property
    def per_sample(self) -> int:
        """Rows of one sample: K, or 1."""
        return len(self.template)

    @property
    def total(self) -> int:
        """Rows in all."""
        return self.per_sample * self.samples

    def rows(self, start: int, stop: int) -> Rows:
        """Return the rows of draws ``start`` to ``stop``; the noise is that of the sample, or of sample and mask.

        Noise that the masks of a sample share leaves every expectation as it is and makes the order of the masks
        steadier; the map as a whole then goes up and down with it, where noise of their own averages out.
        """
        samples, masks = self.which(start, stop)
        rows = self.template[masks]
        own = samples if self.draws.allocation == "shared" else samples * self.per_sample + masks
        rows["draw"] = own.astype(np.uint32)
        if self.draws.scales is not None:
            rows["scale"] = np.asarray(self.draws.scales, np.float32)[samples]
        if isinstance(self.draws.masks, Made):
            rows["mask"] = np.arange(stop - start)
        return rows

    def which(self, start: int, stop: int) -> tuple[Indices, Indices]:
        """Return the samples and the masks of draws ``start`` to ``stop``; they must be known."""
        if self.order is not None:
            return self.order.samples[start:stop], self.order.masks[start:stop]
        t = np.arange(start, stop)
        return t // self.per_sample, t % self.per_sample

    def sparing(self) -> Plan:
        """Return the plan that scores masks one after the other, so that some may be left out."""
        kind, grids, rows = self.draws.foreseen, self.grids, self.template
        assert kind is not None and grids is not None
        masks = grids * rows["gain"][:, None, None] + rows["offset"][:, None, None]
        return replace(self, order=Sparing(kind, grids, masks, self.samples))

    @property
    def placement(self) -> Placement:
        """Where the grids lie in the picture."""
        masks = self.draws.masks
        return masks.placement if isinstance(masks, Grids) else WHOLE_IMAGE

    @property
    def known(self) -> int:
        """How many draws are known yet: all, or the stages so far."""
        return self.total if self.order is None else self.order.known


def make_plan(x: Floats, draws: Draws, head: Mapping[str, NDArray[Any]], black: Floats, key: tuple[int, int]) -> Plan:
    """Return the plan for one thing x [C, *S]; ``head`` holds what the record's head put out for it.

    Raises: UnsupportedError: every map is flat.
    """
    thing, base = x.shape, baseline_of(x, draws, black, key)
    x, base = (x[None], base[None]) if draws.channels else (x, base)
    size, rank = x.shape[1:], x.ndim - 1
    base, x = plane(base, rank), plane(x, rank)
    if not isinstance(draws.masks, Grids):
        return _without_grids(x, base, draws, (size, thing))
    own = np.ascontiguousarray(head["maps"][0], np.float32)
    if rank > 2:  # slices lie one behind the other
        rows = slices_apart(math.prod(size[:-2]))
        draws = replace(draws, masks=replace(draws.masks, placement=Placement(rows)))
    assert isinstance(draws.masks, Grids)
    maps = plane(_between_slices(own, size), rank)
    low, high = _range(own, maps, draws.masks, (x.shape[1], x.shape[2]))
    hidden = x if rank > 2 else _hidden(x, base, draws.masks.placement)
    kept = _keep(own, draws.masks, low, high)
    grids, low, high = maps[kept], low[kept], high[kept]
    template = _template(x, hidden, grids, (low, high), draws)
    order = _order(grids, draws, key)
    return Plan(hidden, base, draws, grids, kept, template, size, thing, len(maps), draws.samples, order)


def _between_slices(maps: Floats, size: tuple[int, ...]) -> Floats:
    """Return maps [K, *grid] at the full size of all axes but the last two, which the kernels enlarge on the fly."""
    for axis, target in enumerate(size[:-2], 1):
        low, high, share = taps(maps.shape[axis], target)
        share = share.reshape([-1 if i == axis else 1 for i in range(maps.ndim)])
        maps = lerp(maps.take(low, axis), maps.take(high, axis), share)
    return maps


def _order(grids: Floats, draws: Draws, key: tuple[int, int]) -> Order | None:
    if draws.allocation != "neyman" or not draws.sampled:  # without noise one draw of each says all
        return None
    return Order(grids, len(grids) * draws.samples, key)


def _without_grids(x: Floats, base: Floats, draws: Draws, sizes: tuple[tuple[int, ...], tuple[int, ...]]) -> Plan:
    """Return the plan of masks that depend on no picture. Args: sizes: of their positions, and of the thing."""
    masks = draws.masks if isinstance(draws.masks, Made) else None
    drawn = masks is not None and masks.random
    count = 1 if masks is None or drawn else masks.count
    template = make_rows(count)
    _add_noise(template, draws.noise, float(np.ptp(x)), None)
    samples = masks.count if masks is not None and drawn else draws.samples
    return Plan(x, base, draws, None, np.arange(count), template, *sizes, count, samples)


def _range(own: Floats, maps: Floats, masks: Grids, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the least and the most of every map. Args: own: as the layer has them. maps: as the kernels take them."""
    if masks.normalise == "before":
        flat = own.reshape(len(own), -1)
        return flat.min(axis=1), flat.max(axis=1)
    return upsampled_range(maps, size, masks.placement)


def _hidden(x: Floats, base: Floats, placement: Placement) -> Floats:
    """Return the picture with the baseline where the maps cover nothing of it: there every mask is 0."""
    if placement.is_whole:
        return x
    return np.where(inside((x.shape[1], x.shape[2]), placement), x, base)


def _keep(maps: Floats, masks: Grids, low: Floats, high: Floats) -> NDArray[np.int64]:
    kept = np.flatnonzero(high > low) if masks.skip_flat else np.arange(len(maps))
    if not len(kept):
        raise UnsupportedError("every feature map of the layer is flat on this picture, so none can mask it")
    if masks.top_k is not None and masks.top_k < len(kept):
        spread = maps[kept].reshape(len(kept), -1).std(axis=1)
        kept = np.sort(kept[np.argsort(-spread, kind="stable")[: masks.top_k]])
    return kept


def _template(x: Floats, hidden: Floats, grids: Floats, bounds: tuple[Floats, Floats], draws: Draws) -> Rows:
    """Return a sample's rows. Args: hidden: what of x the masks cover. bounds: the least and the most of every grid."""
    low, high = bounds
    spans = high - low
    raw = isinstance(draws.masks, Grids) and draws.masks.normalise == "no"
    gain = np.ones_like(spans) if raw else _over(1, spans)
    rows = make_rows(len(grids), mask=np.arange(len(grids)), gain=gain, offset=0 if raw else -low * gain)
    noise = draws.noise
    if noise is not None and (noise.unit == "range of masked x" or (noise.unit == "authors" and noise.on == "input")):
        placed = draws.masks.placement if isinstance(draws.masks, Grids) else WHOLE_IMAGE
        bottom, top = masked_range(hidden, grids, gain=rows["gain"], offset=rows["offset"], placement=placed)
        spans = top - bottom
    _add_noise(rows, noise, float(np.ptp(x)), spans)
    return rows


def _over(value: float, spans: Floats) -> Floats:
    """Return value / spans, and 0 where a span is 0."""
    return np.divide(value, spans, out=np.zeros_like(spans), where=spans > 0)


def _add_noise(rows: Rows, noise: Noise | None, span_x: float, spans: Floats | None) -> None:
    if noise is None:
        return
    column = "mask_noise" if noise.on == "mask" else "input_noise"
    if noise.unit == "range of x":
        rows[column] = noise.sigma * span_x
    elif noise.unit == "range of masked x" and spans is not None:
        rows[column] = noise.sigma * spans
    elif noise.unit == "authors" and spans is not None:
        rows[column] = np.square(_over(noise.sigma, spans))
    else:
        # A normalised mask has the range 1, so a share of it and an absolute level are one number.
        rows[column] = noise.sigma


def baseline_of(x: Floats, draws: Draws, black: Floats, key: tuple[int, int]) -> Floats:
    """Return the baseline in the shape of x.

    Raises: UsageError: an unknown name, what is no number, or an array of another shape.
    """
    given = draws.baseline
    if not isinstance(given, str):
        return np.array(np.broadcast_to(baseline_array(given, x.shape), x.shape), np.float32)
    if given == "zero":
        return np.zeros_like(x)
    if given == "black":
        return np.array(spread(black, x.shape), np.float32)
    if given == "blur":
        return np.ascontiguousarray(gaussian_blur(plane(x, x.ndim - 1)), np.float32).reshape(x.shape)
    if given == "uniform":
        share = uniform(key[0], key[1], 0, x.size).reshape(x.shape)
        return np.asarray(x.min() + share * (x.max() - x.min()), np.float32)
    raise UsageError(f"option baseline={given!r}: expected zero, black, blur, uniform or an array")


__all__ = ["Plan", "baseline_of", "make_plan"]
