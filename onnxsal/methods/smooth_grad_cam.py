"""Smooth Grad-CAM++: Grad-CAM++ with averaged derivatives, of a layer, of feature maps, of neurons in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import Layer
from onnxsal.errors import UsageError
from onnxsal.graph import Program
from onnxsal.graph.program import Trace, empty
from onnxsal.graph.signs import never_negative
from onnxsal.methods.parts import activation, combine_halves, divide, trace_with_gradient
from onnxsal.methods.registry import Cost, Level, Samples, method
from onnxsal.records import Draws, Moments, Noise, Record

Preset = Literal["derived", "product", "printed", "paper"]


@method(
    "smooth-grad-cam++",
    pools=True,
    paper="Omeiza et al. 2019, arXiv:1908.01224",
    when="Grad-CAM++ with steadier weights; shows single feature maps and neurons",
    cost=Cost(lambda o, k: o["samples"] + 1, lambda o, k: o["samples"]),
)
def smooth_grad_cam_pp(
    score: Program,
    layer: Layer,
    *,
    samples: Samples = 50,
    noise: Level = 0.15,
    preset: Preset = "derived",
    maps: tuple[int, ...] | None = None,
    neurons: Any = None,
) -> Record:
    """ReLU of the sum over channels of smoothed Grad-CAM++ weights times the clean activation; [h, w], >= 0.

    D1, D2, D3 are the means over noisy inputs of g, g^2, g^3; alpha = D2 / (2 D2 + sum(A) D3), w = sum alpha ReLU(D1).

    Args:
        samples, noise: N and sigma as a share of x's range.
        preset: ``derived`` as above, of maps with a sign by halves as Grad-CAM++ has them; the others take A as it is:
            ``paper`` by the same formula, ``product`` sums A times D3 instead, ``printed`` has D1 as alpha's numerator.
        maps: feature maps to show, all of them by default.
        neurons: positions inside the maps to show: a box ``y0:y1,x0:x1`` or a list of (y, x); all by default.

    Source: with n = 1 and noise 0 the presets ``derived`` and ``paper`` are Grad-CAM++'s two exactly. Maps and neurons
    are the paper's second contribution; where only some are chosen the others have no part in the weights either.
    """
    chosen = _checked_maps(maps, layer)
    mask = neuron_mask(neurons, layer.grid)
    head = score.extend()
    shown = _pick(head, activation(head, layer), chosen)
    sides = (1, -1) if preset == "derived" and not never_negative(shown) else (1,)
    return Record(
        head=head.finish(maps=shown),
        draws=Draws(samples=samples, noise=Noise(noise, "range of x", "input")),
        body=_derivatives(score, layer, chosen),
        moments=Moments(("g1", "g2", "g3")),
        tail=_tail(preset, mask, sides),
        notes=(("preset", preset), ("maps", maps), ("neurons", neurons)),
    )


def _derivatives(score: Program, layer: Layer, chosen: tuple[int, ...] | None) -> Program:
    op, _, g = trace_with_gradient(score, layer)
    g = _pick(op, g, chosen)
    square = op.Mul(g, g)
    return op.finish(g1=g, g2=square, g3=op.Mul(square, g))


def _tail(preset: Preset, mask: np.ndarray[Any, Any], sides: tuple[int, ...]) -> Program:
    """From the maps [1, K, h, w] and the mean derivatives to the map; by halves where ``sides`` has both signs."""
    op = empty(21)
    a, *means = (op.input(n, ir.DataType.FLOAT, [1, None, *[None] * mask.ndim])
                 for n in ("maps", "mean/g1", "mean/g2", "mean/g3"))  # fmt: skip
    shown = op.const(mask.astype(np.float32))
    weighed, positions = [], tuple(range(2, 2 + mask.ndim))
    for sign in sides:
        part = a if len(sides) == 1 else op.Relu(a if sign > 0 else op.Neg(a))
        # The odd derivatives by -A are those by A turned round.
        signed = [d if sign > 0 or power == 2 else op.Neg(d) for power, d in enumerate(means, 1)]
        alpha = _alpha(op, preset, part, positions, signed)
        weighed.append((op.ReduceSum(op.Mul(alpha, shown), positions, keepdims=1), part))
    return op.finish(saliency=op.Mul(combine_halves(op, weighed), shown))


def _alpha(op: Trace, preset: Preset, a: ir.Value, positions: Sequence[int], means: Sequence[ir.Value]) -> ir.Value:
    """Return alpha times the rectified first derivative, of the means of the first three by the maps ``a``."""
    d1, d2, d3 = means
    third = op.ReduceSum(op.Mul(a, d3), positions, keepdims=1) if preset == "product" else None
    if third is None:
        third = op.Mul(op.ReduceSum(a, positions, keepdims=1), d3)
    alpha = divide(op, d1 if preset == "printed" else d2, op.Add(op.Mul(d2, 2.0), third))
    return op.Mul(alpha, op.Relu(d1))


def _pick(op: Trace, value: ir.Value, chosen: tuple[int, ...] | None) -> ir.Value:
    return value if chosen is None else op.Gather(value, list(chosen), axis=1)


def _checked_maps(maps: tuple[int, ...] | None, layer: Layer) -> tuple[int, ...] | None:
    wrong = [k for k in maps or () if not 0 <= k < layer.channels]
    if wrong or maps == ():
        raise UsageError(f"option maps={maps}: layer {layer.name!r} has the feature maps 0 to {layer.channels - 1}")
    return maps


def neuron_mask(neurons: Any, grid: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return which positions of a grid [h, w] are meant: a box ``y0:y1,x0:x1``, a list of (y, x), None for all.

    Raises: UsageError: not of that form, empty, or outside the grid.
    """
    mask = np.zeros(grid, bool)
    if neurons is None:
        return ~mask
    if len(grid) != 2:
        raise UsageError(f"option neurons={neurons!r} is of rows and columns; this layer has positions {list(grid)}")
    box = re.fullmatch(r"\s*(\d*):(\d*)\s*,\s*(\d*):(\d*)\s*", neurons) if isinstance(neurons, str) else None
    if box:
        y0, y1, x0, x1 = (int(t) if t else None for t in box.groups())
        mask[y0:y1, x0:x1] = True
    else:
        for y, x in _positions(neurons, grid):
            mask[y, x] = True
    if not mask.any() or (box and max(y1 or 0, 0) > grid[0]) or (box and max(x1 or 0, 0) > grid[1]):
        raise UsageError(f"option neurons={neurons!r} names no position of the grid {grid[0]} x {grid[1]}")
    return mask


def _positions(neurons: Any, grid: tuple[int, ...]) -> list[tuple[int, int]]:
    numbers = re.findall(r"-?\d+", neurons) if isinstance(neurons, str) else None
    try:
        given = np.asarray(neurons if numbers is None else [int(n) for n in numbers]).reshape(-1)
        flat = given.tolist() if given.dtype.kind in "iu" else []
    except (ValueError, TypeError):
        flat = []
    pairs = list(zip(flat[::2], flat[1::2], strict=False))
    if not pairs or len(flat) % 2 or not all(0 <= y < grid[0] and 0 <= x < grid[1] for y, x in pairs):
        raise UsageError(
            f"option neurons={neurons!r}: expected a box y0:y1,x0:x1 or positions y,x inside {grid[0]} x {grid[1]}"
        )
    return pairs
