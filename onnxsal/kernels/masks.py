"""The fused kernels that fill the batch of score-based and smoothing methods, one row per draw.

Row r is ``z = b + (x - b) (c m + s_m n_m) + s_x n_x`` with ``m = gain U(A_k) + offset``: U is bilinear upsampling with
half-pixel centres, done on the fly, n_m and n_x are counter-based normal noise. Rows do not depend on each other, and
the kernels hold no interpreter lock: split a batch over threads as you like, the bits stay the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxsal.errors import UsageError, nearest
from onnxsal.kernels.native import blend, kernel, lerp, level, normals, part
from onnxsal.kernels.noise import STREAM_BITS, Stream, word
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement
from onnxsal.kernels.resize import taps

Floats = NDArray[np.float32]
Rows = NDArray[np.void]

ROW = np.dtype(
    [
        ("mask", np.int32),
        ("scale", np.float32),
        ("gain", np.float32),
        ("offset", np.float32),
        ("mask_noise", np.float32),
        ("input_noise", np.float32),
        ("draw", np.uint32),
    ]
)

MASK = np.uint32(Stream.MASK << STREAM_BITS)
INPUT = np.uint32(Stream.INPUT << STREAM_BITS)


@part
def _add_noise(flat: Any, sigma: Any, start: Any, draw: Any, key: Any) -> None:
    for i in range(flat.size // 2):
        a, b = normals(np.uint32(start + np.uint32(i)), draw, key[0], key[1])
        flat[2 * i] += sigma * a
        flat[2 * i + 1] += sigma * b
    if flat.size % 2:
        i = flat.size // 2
        flat[2 * i] += sigma * normals(np.uint32(start + np.uint32(i)), draw, key[0], key[1])[0]


@part
def _draw_noise(noise: Any, start: Any, draw: Any, key: Any) -> None:
    for i in range(noise.size // 2):
        noise[2 * i], noise[2 * i + 1] = normals(np.uint32(start + np.uint32(i)), draw, key[0], key[1])
    if noise.size % 2:
        i = noise.size // 2
        noise[2 * i] = normals(np.uint32(start + np.uint32(i)), draw, key[0], key[1])[0]


@part
def _add(flat: Any, noise: Any, sigma: Any) -> None:
    for i in range(flat.size):
        flat[i] += sigma * noise[i]


@part
def _again(rows: Any, r: Any) -> Any:
    """Whether the next row has this row's noise on its input, as the masks of one sample have."""
    return r + 1 < rows.size and rows[r + 1].input_noise != 0 and rows[r + 1].draw == rows[r].draw


@part
def widen(grid: Any, across: Any, wide: Any) -> None:
    low, high, share = across
    for i in range(grid.shape[0]):
        for x in range(low.size):
            wide[i, x] = lerp(grid[i, low[x]], grid[i, high[x]], share[x])


@part
def _upsample(wide: Any, down: Any, row: Any, plane: Any) -> None:
    gain, offset = row.gain, row.offset
    for y in range(plane.shape[0]):
        top, bottom, line, share = wide[down[0][y]], wide[down[1][y]], plane[y], down[2][y]
        for x in range(line.size):
            line[x] = level(lerp(top[x], bottom[x], share), gain, offset)


@part
def _renormalise(flat: Any) -> None:
    low, high = flat[0], flat[0]
    for value in flat:
        low, high = min(low, value), max(high, value)
    span = high - low
    for i in range(flat.size):
        flat[i] = (flat[i] - low) / span if span > 0 else np.float32(0)


@part
def _set(flat: Any, value: Any) -> None:
    for i in range(flat.size):
        flat[i] = value


@part
def _scale(flat: Any, factor: Any) -> None:
    if factor != 1:
        for i in range(flat.size):
            flat[i] *= factor


@part
def _apply(z: Any, x: Any, base: Any, plane: Any) -> None:
    for c in range(z.shape[0]):
        for y in range(z.shape[1]):
            out, image, ground, line = z[c, y], x[c, y], base[c, y], plane[y]
            for i in range(out.size):
                out[i] = blend(image[i], ground[i], line[i])


@part
def _fade(z: Any, x: Any, base: Any, scale: Any) -> None:
    out, image, ground = z.reshape(-1), x.reshape(-1), base.reshape(-1)
    for i in range(out.size):
        out[i] = image[i] if scale == 1 else blend(image[i], ground[i], scale)


@part
def _finish(flat: Any, row: Any, key: Any, renormalise: Any) -> None:
    if renormalise:
        _add_noise(flat, row.mask_noise, MASK, row.draw, key)
        _renormalise(flat)
        _scale(flat, row.scale)
    else:
        _scale(flat, row.scale)
        if row.mask_noise != 0:
            _add_noise(flat, row.mask_noise, MASK, row.draw, key)


@kernel
def _fill(out: Any, image: Any, masks: Any, rows: Any, options: Any) -> None:
    x, base = image
    grids, across, down = masks
    key, renormalise = options
    plane = np.empty(x.shape[1:], np.float32)
    wide = np.empty((grids.shape[1], x.shape[2]), np.float32)
    shared = False
    for r in range(rows.size):
        shared = shared or (rows[r].input_noise != 0 and _again(rows, r))
    noise, drawn = np.empty(x.size if shared else 0, np.float32), np.int64(-1)
    widened = -1
    for r in range(rows.size):
        row = rows[r]
        if row.mask < 0 and row.mask_noise == 0:
            _fade(out[r], x, base, row.scale)
        else:
            if row.mask < 0:
                _set(plane.reshape(-1), np.float32(1))
            elif row.mask != widened:
                widen(grids[row.mask], across, wide)
                widened = row.mask
            if row.mask >= 0:
                _upsample(wide, down, row, plane)
            _finish(plane.reshape(-1), row, key, renormalise and row.mask >= 0)
            _apply(out[r], x, base, plane)
        if row.input_noise != 0:
            if drawn != row.draw and _again(rows, r):
                _draw_noise(noise, INPUT, row.draw, key)
                drawn = np.int64(row.draw)
            if drawn == row.draw:
                _add(out[r].reshape(-1), noise, row.input_noise)
            else:
                _add_noise(out[r].reshape(-1), row.input_noise, INPUT, row.draw, key)


def make_rows(count: int, **columns: ArrayLike) -> Rows:
    """Return ``count`` rows, one per image of a batch: a structured array that slices and indexes like any other.

    Args:
        mask: index k of the grid, or -1 for none (m = 1): pure noise, or a path's steps.
        scale: c, the share of the mask.
        gain, offset: what makes a mask of the upsampled grid; (1 / range, -low / range) for min-max to [0, 1].
        mask_noise: sigma of the noise on c m, one value per pixel, shared by the channels.
        input_noise: sigma of the noise on the masked picture, one value per channel and pixel.
        draw: the noise counter; rows of one draw and key have the same noise.

    Raises:
        UsageError: a column has another name.
    """
    rows = np.zeros(count, ROW)
    for name, values in {"mask": -1, "scale": 1, "gain": 1, **columns}.items():
        if name not in (ROW.names or ()):
            raise UsageError(f"rows have no column {name!r}{nearest(name, ROW.names or ())}")
        rows[name] = values
    return rows


def floats(values: ArrayLike) -> Floats:
    """Return ``values`` in the one layout that the kernels are compiled for: float32, C order, writeable."""
    return np.require(values, np.float32, ["C", "A", "W"])


def checked_key(key: tuple[int, int]) -> tuple[np.uint32, np.uint32]:
    """Return (seed, image) as two 32-bit words."""
    return word(key[0], "seed"), word(key[1], "image")


def check_fill(out: Any, x: Floats, rows: Rows, base: Floats, grids: Floats) -> None:
    """Raise UsageError unless the arrays of a fill fit together; compiled code would write outside them."""
    want = (len(rows), *x.shape)
    if x.ndim != 3 or tuple(out.shape) != want or out.dtype != np.float32:
        raise UsageError(f"the batch must be float32 of shape {want}, one [C, H, W] a row; got {out.dtype} {out.shape}")
    if base.shape != x.shape:
        raise UsageError(f"the baseline must have the picture's shape {x.shape}, got {base.shape}")
    if rows.dtype != ROW or rows.ndim != 1:
        raise UsageError(f"rows must come from make_rows, got an array of {rows.dtype}")
    if grids.ndim != 3 or (rows.size and not -1 <= rows["mask"].min() <= rows["mask"].max() < len(grids)):
        raise UsageError(
            f"rows name masks outside -1 .. {len(grids) - 1}, the grids [K, h, w] have shape {grids.shape}"
        )


def fill(
    out: Floats,
    x: Floats,
    rows: Rows,
    *,
    baseline: Floats | None = None,
    grids: Floats | None = None,
    key: tuple[int, int] = (0, 0),
    renormalise: bool = False,
    placement: Placement = WHOLE_IMAGE,
) -> None:
    """Return nothing; write row r of the batch, ``b + (x - b) (c m + s_m n_m) + s_x n_x``, into ``out[r]``.

    Args:
        out: float32 ``[R, C, H, W]``, C order; a slice of a larger batch goes with the same slice of ``rows``.
        x: the picture, ``[C, H, W]``.
        rows: from ``make_rows``.
        baseline: b, ``[C, H, W]``; zero if None.
        grids: A, ``[K, h, w]``, upsampled on the fly.
        key: (seed, image) of the noise.
        renormalise: make the mask ``c minmax(m + s_m n_m)`` instead, the preset of SS-CAM's authors; flat masks give 0,
            rows without a mask are left as they are.
        placement: where the grids lie in the picture.

    Raises:
        UsageError: shapes, types or mask indices do not fit.
    """
    x = floats(x)
    base = np.zeros_like(x) if baseline is None else floats(baseline)
    grids = np.zeros((0, 1, 1), np.float32) if grids is None else floats(grids)
    check_fill(out, x, rows, base, grids)
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise UsageError("the batch must be writeable and in C order")
    sides = taps(grids.shape[2], x.shape[2], placement.columns), taps(grids.shape[1], x.shape[1], placement.rows)
    masks = (grids, *sides)
    _fill(out, (x, base), masks, np.require(rows, ROW, ["C", "A", "W"]), (checked_key(key), renormalise))
