"""Operators that read a picture at other places by constants: crops that resize, fixed grids, regions, spectra."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.axes import Atom, Axis, Index, moved, name_of, side_of, slack_of, unknown, whole
from onnxsal.anatomy.cutting import constant
from onnxsal.anatomy.known import Found, Layouts, Sizes
from onnxsal.anatomy.moving import source_of, stretched
from onnxsal.graph import attributes
from onnxsal.kernels.placement import Side, from_cells, mirrored, part

Floats = NDArray[np.float64]


def resized(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """Resize stretches axes as they are, but for the one mode that crops first."""
    given = source_of(node, sizes, known)
    if given is None:
        return None
    how = attributes(node)
    if how.get("coordinate_transformation_mode") != "tf_crop_and_resize":
        return tuple(stretched(axis, a, b) for axis, a, b in zip(*given, sizes, strict=True))
    ends = _regions(node, len(sizes), how.get("axes"))
    return tuple(_cropped(axis, n, s, e) for axis, n, s, e in zip(*given, sizes, ends, strict=True))


def _regions(node: ir.Node, rank: int, axes: Sequence[int] | None) -> list[tuple[float, float] | None]:
    value = node.inputs[1] if len(node.inputs) > 1 else None
    tensor = None if value is None else value.const_value
    if tensor is None:
        return [None] * rank
    numbers = [float(n) for n in tensor.numpy().reshape(-1)]
    where = list(range(rank)) if axes is None else [a % rank for a in axes]
    found: list[tuple[float, float] | None] = [(0.0, 1.0)] * rank
    for axis, start, end in zip(where, numbers, numbers[len(numbers) // 2 :], strict=False):
        found[axis] = (start, end)
    return found


def _cropped(axis: Axis, before: int, after: int, ends: tuple[float, float] | None) -> Axis:
    """Return an axis from the share ``ends[0]`` to ``ends[1]`` of the way from its first to its last position.

    ONNX Runtime crops no axis whose size stays, whatever the standard says.
    """
    if before == after:
        return axis
    if ends is None or name_of(axis) not in ("H", "W"):
        return unknown(after)
    start, end = (Fraction(e).limit_denominator(1 << 20) * (before - 1) for e in ends)
    places = [(start + end) / 2] if after == 1 else [start + i * (end - start) / (after - 1) for i in (0, after - 1)]
    return _evenly(axis, before, after, (places[0], places[-1]))


def _evenly(axis: Axis, before: int, after: int, places: tuple[Fraction, Fraction]) -> Axis:
    """Return an axis of ``after`` positions in equal steps, the first and the last at these places of the old one."""
    step = (places[1] - places[0]) / (after - 1) if after > 1 else Fraction(1)
    low, high = ((places[0] + Fraction(1, 2) - step / 2) / before, (places[1] + Fraction(1, 2) + step / 2) / before)
    if low == high:
        return unknown(after)
    found = part(side_of(axis), min(low, high), max(low, high))
    return moved(axis, after, found if low < high else mirrored(found))


def sampled(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """GridSample with a fixed grid whose rows and columns are read from rows and columns."""
    given = source_of(node, sizes, known)
    grid = None if node.inputs[1] is None else _fixed_grid(node.inputs[1], known)
    if given is None or grid is None or len(sizes) != 4:
        return None
    (batch, channels, rows, columns), before = given
    corners = bool(attributes(node).get("align_corners", 0))
    across, down = (grid[:1, :, 0], grid[:, :1, 1]) if _is_upright(grid) else (grid[:, :1, 0], grid[:1, :, 1])
    if not np.allclose(grid, np.stack(np.broadcast_arrays(across, down), -1), rtol=0, atol=1e-5):
        return None
    upright = _is_upright(grid)
    x = _read_at(columns, across.reshape(-1), before[3], corners=corners)
    y = _read_at(rows, down.reshape(-1), before[2], corners=corners)
    return (batch, channels, y, x) if upright else (batch, channels, x, y)


def _is_upright(grid: Floats) -> bool:
    """Whether x goes on along the columns, as in a grid that turns nothing by a quarter."""
    return bool(np.ptp(grid[..., 0], axis=1).max() >= np.ptp(grid[..., 0], axis=0).max())


def _fixed_grid(value: ir.Value, known: Layouts) -> Floats | None:
    """Return the one grid [h, w, 2] of all pictures, a constant or AffineGrid's of a constant; None for any other."""
    node = value.producer()
    if value.const_value is None and node is not None and node.op_type in ("Expand", "Tile", "Identity", "Cast"):
        return None if node.inputs[0] is None else _fixed_grid(node.inputs[0], known)
    sizes = known.sizes(value)
    if node is not None and node.op_type == "AffineGrid" and sizes is not None and len(sizes) == 4:
        theta = _fixed_rows(node.inputs[0], (2, 3))
        corners = bool(attributes(node).get("align_corners", 0))
        return None if theta is None else _affine(theta, sizes[1:3], corners=corners)
    return _fixed_rows(value, None)


def _fixed_rows(value: ir.Value | None, shape: tuple[int, ...] | None) -> Floats | None:
    """Return the one row that all rows of a constant are."""
    node = None if value is None else value.producer()
    if value is None or (value.const_value is None and (node is None or node.op_type not in ("Expand", "Tile"))):
        return None
    if value.const_value is None:
        assert node is not None
        return _fixed_rows(node.inputs[0], shape)
    array = value.const_value.numpy().astype(np.float64)
    if shape is not None and array.shape == shape:
        return array
    return array[0] if len(array) and (array == array[:1]).all() else None


def _affine(theta: Floats, sizes: Sequence[int], *, corners: bool) -> Floats:
    """Return the grid [h, w, 2] of AffineGrid."""
    y, x = (np.linspace(-1, 1, n) if corners else (2 * np.arange(n) + 1) / n - 1 for n in sizes)
    places = np.stack([*np.broadcast_arrays(x[None, :], y[:, None]), np.ones((len(y), len(x)))], -1)
    return np.asarray(places @ theta.T, np.float64)


def _read_at(axis: Axis, places: Floats, before: int, *, corners: bool) -> Axis:
    """Return rows or columns that are read at places from -1 to 1 of the old ones."""
    after = len(places)
    if name_of(axis) not in ("H", "W") or after < 2:
        return unknown(after)
    pixels = (places + 1) / 2 * (before - 1) if corners else ((places + 1) * before - 1) / 2
    steps = np.diff(pixels)
    if np.allclose(steps, steps[0], rtol=0, atol=1e-3) and abs(steps[0]) > 1e-3:
        first, last = (Fraction(float(p)).limit_denominator(1 << 10) for p in (pixels[0], pixels[-1]))
        return _evenly(axis, before, after, (first, last))
    return moved(axis, after, _uneven(side_of(axis), pixels, before))


def _uneven(side: Side, pixels: Floats, before: int) -> Side | None:
    """Return an axis whose positions are read from anywhere: each stands for half the way to its neighbours."""
    middle = (pixels[1:] + pixels[:-1]) / 2
    edges = [2 * pixels[0] - middle[0], *middle, 2 * pixels[-1] - middle[-1]]
    shares = [Fraction(float((e + 0.5) / before)).limit_denominator(1 << 16) for e in edges]
    return from_cells([(a, b) if a != b else None for a, b in pairwise(shares)], side)


def region(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """RoiAlign of one region that is a constant, in a model of one picture at a time."""
    layout, value, rois = known.get(node.inputs[0]), node.inputs[0], node.inputs[1]
    before = None if value is None else known.sizes(value)
    tensor = None if rois is None else rois.const_value
    if layout is None or before is None or tensor is None or sizes[0] != 1 or known.batch != 1:
        return None
    how = attributes(node)
    shift = 0.5 if how.get("coordinate_transformation_mode", "half_pixel") == "half_pixel" else 0.0
    x1, y1, x2, y2 = (float(n) * how.get("spatial_scale", 1.0) - shift for n in tensor.numpy().reshape(-1)[:4])
    least = 0.0 if shift else 1.0
    ends = ((y1, max(y2, y1 + least)), (x1, max(x2, x1 + least)))
    cells = zip(layout.axes[2:], before[2:], sizes[2:], ends, strict=True)
    axes = (_between(axis, n, m, low, high) for axis, n, m, (low, high) in cells)
    return (layout.axes[0], layout.axes[1], *axes)


def _between(axis: Axis, before: int, after: int, low: float, high: float) -> Axis:
    """Return rows or columns that cover an axis from one place to another, counted from the middle of the first."""
    if name_of(axis) not in ("H", "W") or high <= low:
        return unknown(after)
    shares = (Fraction((end + 0.5) / before).limit_denominator(1 << 16) for end in (low, high))
    return moved(axis, after, part(side_of(axis), *shares))


def is_fixed(value: ir.Value) -> bool:
    """Return whether a value is a constant, or made of such by operators that fixed grids are made by."""
    node = value.producer()
    if value.const_value is not None:
        return True
    made = node is not None and node.op_type in ("AffineGrid", "Expand", "Tile", "Identity", "Cast")
    return made and node is not None and node.inputs[0] is not None and is_fixed(node.inputs[0])


def spectrum(node: ir.Node, index: int, sizes: Sizes, known: Layouts) -> Found:
    """A Fourier transform makes frequencies of positions along an axis, its inverse positions again."""
    given = source_of(node, sizes, known)
    where, inverse = _transformed(node, len(sizes))
    if given is None or where is None:
        return None
    axes = list(given[0])
    for axis in where:
        axes[axis] = _positions(axes[axis], sizes[axis]) if inverse else _frequencies(axes[axis], sizes[axis])
    return tuple(axes)


_TRANSFORMED = {"H": "frequencies of H", "W": "frequencies of W"}


def _frequencies(axis: Axis, size: int) -> Axis:
    name = _TRANSFORMED.get(name_of(axis) or "")
    if name is None or axis[0].index is None:
        return unknown(size)
    return (Atom(Index(name, size, place=axis[0].index.place, slack=slack_of(axis)), 1, size),)


def _positions(axis: Axis, size: int) -> Axis:
    names = {frequencies: name for name, frequencies in _TRANSFORMED.items()}
    name, index = names.get(name_of(axis) or ""), axis[0].index if axis else None
    if name is None or index is None:
        return unknown(size)
    return whole(name, size, index.place.columns if name == "W" else index.place.rows, index.slack)


def _transformed(node: ir.Node, rank: int) -> tuple[list[int] | None, bool]:
    """Return the axes of a transform, and whether it is inverse; one side of a spectrum counts as all of it."""
    how: dict[str, Any] = attributes(node)
    if node.op_type == "STFT":
        return None, False
    if node.op_type == "DFT":
        given = constant(node, 2)
        axis = how["axis"] if "axis" in node.attributes else given[0] if given else -2
        missing = len(node.inputs) > 2 and node.inputs[2] is not None and given is None
        return None if missing else [axis % rank], bool(how.get("inverse", 0))
    return None, node.op_type == "Irfft"
