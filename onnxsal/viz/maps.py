"""From what a method computed to the saliency that is drawn and judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError, UsageError, nearest
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement
from onnxsal.kernels.plane import plane, plane_size, unplane
from onnxsal.kernels.resize import bilinear, inside

Sign: TypeAlias = Literal["absolute", "signed", "positive", "negative", "norm"]
Map: TypeAlias = NDArray[np.float32]

SIGNS: tuple[str, ...] = get_args(Sign)
# Rounding spreads a constant map by a few units in the last place; stretched to [0, 1] that would look like a map.
_ROUNDING = 8 * float(np.finfo(np.float32).eps)


def normalise(values: NDArray[Any]) -> Map:
    """Return the map stretched to [0, 1] by its minimum and maximum; a constant map becomes 0.

    Raises: ModelError: it holds NaN or infinity.
    """
    exact = _finite(values)
    low, high = exact.min(), exact.max()
    if _is_flat(low, high):
        return np.zeros(exact.shape, np.float32)
    return np.asarray((exact - low) / (high - low), np.float32)


def cam_saliency(raw: NDArray[Any], size: tuple[int, ...], placement: Placement = WHOLE_IMAGE) -> Map:
    """Return a layer's map as saliency [H, W] in [0, 1]: bilinear with half-pixel centres, then min to max.

    Args:
        raw: [h, w], or of another rank (linear along each of its axes).
        size: (H, W) of the model's input, or that of its positions of the same rank.
        placement: where the layer lies in the picture; 0 where it sees nothing of it.
    Raises: ModelError: it holds NaN or infinity.
    """
    if len(size) > 2:
        return normalise(_stretched(normalise(raw), size))
    rows = plane_size(size)
    return unplane(_of_plane(plane(raw, len(size)), rows, placement), size)


def _stretched(values: Map, size: tuple[int, ...]) -> Map:
    """Return a map of any number of axes at another size: linear along each in turn, half-pixel centres."""
    for axis, (before, after) in enumerate(zip(values.shape, size, strict=True)):
        place = ((np.arange(after) + 0.5) * before / after - 0.5).clip(0, before - 1)
        low = np.floor(place).astype(np.intp)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(len(size))])
        first, second = values.take(low, axis), values.take(np.minimum(low + 1, before - 1), axis)
        values = np.asarray(first + (second - first) * share, np.float32)
    return values


def _of_plane(raw: NDArray[Any], size: tuple[int, int], placement: Placement) -> Map:
    # Scaled first: float32 neither overflows nor underflows between the taps, and min to max undoes it.
    stretched = bilinear(normalise(raw), size, placement)
    if placement.is_whole:
        return normalise(stretched)
    seen, found = inside(size, placement), np.zeros(size, np.float32)
    if seen.any():
        found[seen] = normalise(stretched[seen])
    return found


def over_recording(
    raw: Map, size: tuple[int, ...], about: Mapping[str, Any], made: Callable[[Map, tuple[int, ...]], Map]
) -> Map:
    """Return the saliency [*S] of a recording of which a part was explained: what is made of that part's map, else 0.

    Args: raw: of all of it where it has all positions, else of the part. about: the manifest's ``recording``. made:
    the saliency of a raw map and the size of its positions.
    """
    axis, covers, (first, stop) = about["axis"], slice(*about["covers"]), about["part"]
    whole = raw.shape[raw.ndim - len(size) :] == size
    own = list(size)
    own[axis] = covers.stop - covers.start if whole else stop - first
    part = np.moveaxis(made(_along(raw, axis, covers) if whole else raw, tuple(own)), axis, 0)
    found = np.zeros(size, np.float32)
    np.moveaxis(found, axis, 0)[covers] = part if whole else part[covers.start - first : covers.stop - first]
    return found


def _along(raw: Map, axis: int, covers: slice) -> Map:
    return np.ascontiguousarray(np.moveaxis(np.moveaxis(raw, axis, 0)[covers], 0, axis))


def pixel_saliency(raw: NDArray[Any], sign: Sign = "absolute", percentile: float = 99.0) -> Map:
    """Return a map of the input's pixels as saliency [H, W].

    absolute: the largest absolute value over C. norm: the Euclidean length over C. The others sum over C first;
    positive and negative keep that side alone. Values are capped at ``percentile`` of the absolute map and divided by
    the cap. A constant map becomes 0.

    Args:
        raw: [C, H, W].
        percentile: above 0, up to 100 (no cap).
    Units: [0, 1]; [-1, 1] for signed.
    Raises: ModelError: it holds NaN or infinity. UsageError: no such sign or percentile.
    """
    _check_options(sign, percentile)
    flat = over_channels(_finite(raw), sign)
    if _is_flat(flat.min(), flat.max()):
        return np.zeros(flat.shape, np.float32)
    cap = _cap(np.abs(flat), percentile)
    return np.asarray(np.clip(flat, -cap, cap) / cap, np.float32)


def channel_saliency(raw: NDArray[Any], sign: Sign = "absolute", percentile: float = 99.0) -> Map:
    """Return a map of the input's pixels as one of each channel, [C, *S]: as ``pixel_saliency``, not put together."""
    _check_options(sign, percentile)
    flat = _finite(raw)
    if sign in ("absolute", "norm"):
        flat = np.abs(flat)
    elif sign != "signed":
        flat = np.maximum(flat if sign == "positive" else -flat, 0)
    cap = _cap(np.abs(flat), percentile)
    return np.asarray(np.clip(flat, -cap, cap) / cap if cap else flat, np.float32)


def over_channels(raw: NDArray[np.float64], sign: Sign) -> NDArray[np.float64]:
    """Return a map of positions [*S] of one of the input's numbers [C, *S]; ``sign`` as of ``pixel_saliency``."""
    if sign == "absolute":
        largest: NDArray[np.float64] = np.abs(raw).max(axis=0)
        return largest
    if sign == "norm":
        length: NDArray[np.float64] = np.sqrt((raw**2).sum(axis=0))
        return length
    total: NDArray[np.float64] = raw.sum(axis=0)
    if sign == "signed":
        return total
    return np.maximum(total if sign == "positive" else -total, 0.0)


def _cap(magnitude: NDArray[np.float64], percentile: float) -> float:
    """The percentile, or the maximum where so few pixels are not 0 that the percentile is."""
    cap = float(np.percentile(magnitude, percentile))
    return cap if cap > _ROUNDING * float(magnitude.max()) else float(magnitude.max())


def _check_options(sign: str, percentile: float) -> None:
    if sign not in SIGNS:
        raise UsageError(f"no sign {sign!r}: one of {', '.join(SIGNS)}{nearest(sign, SIGNS)}")
    if not 0 < percentile <= 100:
        raise UsageError(f"percentile is above 0 and up to 100; got {percentile}")


def _is_flat(low: float, high: float) -> bool:
    return bool(high - low <= _ROUNDING * max(abs(low), abs(high)))


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    exact = np.asarray(values, np.float64)
    if not exact.size:
        raise UsageError(f"the map is empty: shape {list(exact.shape)}")
    wrong = exact.size - int(np.isfinite(exact).sum())
    if wrong:
        raise ModelError(f"the map is not finite: {wrong} of {exact.size} values are NaN or infinite")
    return exact
