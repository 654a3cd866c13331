"""Records: every method that evaluates a program many times, as frozen data in five parts.

``head`` runs once on the clean picture; ``draws`` says what varies, addressed by a counter; ``body`` runs on every
draw; ``moments`` says which running means are kept; ``tail`` makes the map of them. Two readers exist: streaming runs a
record batch by batch, folding writes it as a loop inside one graph. Neither knows a method by name.

A row of the batch is ``z = b + (x - b) (c m + s_m n) + s_x n'``: mask m of grid k, share c, noise n on the mask or n'
on the input, baseline b.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.graph import Program
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

Unit = Literal["range of x", "range of masks", "range of masked x", "absolute", "authors"]
"""What a noise level is a share of; ``authors``: (sigma / range)^2, the range that of the raw map or of masked x."""

Baseline = Literal["zero", "black", "blur", "uniform"] | tuple[float, ...]


@dataclass(frozen=True)
class Noise:
    """Normal noise: its level, what that is a share of, and where it is added."""

    sigma: float
    unit: Unit = "range of x"
    on: Literal["input", "mask"] = "input"


@dataclass(frozen=True)
class Grids:
    """Masks from feature maps: the head's output ``maps`` [1, K, h, w], upsampled and normalised one by one."""

    normalise: Literal["after", "before", "no"] = "after"
    """Min-max after the upsampling, before it, or not at all."""
    skip_flat: bool = True
    """Leave out maps that are constant: they would be 0 throughout (or NaN elsewhere)."""
    top_k: int | None = None
    """Only the maps of highest standard deviation."""
    placement: Placement = WHOLE_IMAGE
    """Where the maps lie in the picture; what they do not cover is masked out."""


@dataclass(frozen=True)
class HostMasks:
    """Masks that the method makes itself, on the host: such a record streams and cannot be folded."""

    count: int
    make: Callable[[int, int, int, tuple[int, int]], Floats]
    """``make(seed, start, stop, (H, W))`` returns masks [stop - start, H, W], the same for the same arguments; the seed
    has 32 bits, and inside another record it is another one for every draw."""
    random: bool = True
    """Whether they are drawn, so that each is one sample of many; masks of fixed places are one sample together."""


@dataclass(frozen=True)
class Boxes:
    """Masks of one value inside a box each and another outside: what patches, rows or single positions cover or leave.

    Streaming renders them, folding writes two numbers an axis and mask into the file.
    """

    count: int
    places: Callable[[Indices, tuple[int, ...]], Indices]
    """``places(numbers, S)`` returns where the boxes of masks number [n] lie in a value of positions S, [n, rank, 2]:
    first and one past the last position along each axis. What lies beyond the value is cut off."""
    inside: float = 0.0
    outside: float = 1.0
    steps: tuple[int, int] | None = None
    """The side of boxes that lie along a row, and how far it is from one to the next, each in the middle of its step:
    so they lie in a row of any length. None of others."""
    random: ClassVar[bool] = False

    def bounds(self, numbers: Indices, size: tuple[int, ...]) -> Indices:
        """Return the boxes of masks number [n], [n, rank, 2], cut off at the borders."""
        return np.clip(self.places(numbers, size), 0, np.array(size)[:, None])

    def make(self, seed: int, start: int, stop: int, size: tuple[int, ...]) -> Floats:
        """Return masks ``start`` to ``stop``, [stop - start, *S]; no seed changes them."""
        masks = np.full((stop - start, *size), self.outside, np.float32)
        for mask, box in zip(masks, self.bounds(np.arange(start, stop), size), strict=True):
            mask[tuple(slice(first, end) for first, end in box)] = self.inside
        return masks


class Cells(NamedTuple):
    """What ``numpy.random.Philox(key=seed)`` draws at the counter (0, 0, 0, number) for a mask: which cells stay, and
    then where it begins along each axis."""

    chance: float
    shape: tuple[int, ...]
    """Of the cells of one mask."""
    bounds: tuple[int, ...]
    """Below what a mask begins along each axis; 1 where nothing is drawn for it."""


@dataclass(frozen=True)
class CoarseMasks:
    """Masks drawn on a grid of few cells, enlarged, and cut out of it at random: each is one sample of many.

    Streaming renders them, folding writes their cells and shifts into the file.
    """

    count: int
    draw: Callable[[int, int, int, tuple[int, ...]], tuple[NDArray[np.bool_], Indices]]
    """``draw(seed, start, stop, S)`` returns the cells [n, g, ...] of masks ``start`` to ``stop``, one axis for each of
    S, and where each mask begins on the enlarged grid, [n, rank]; the same for the same arguments."""
    enlarging: Callable[[tuple[int, ...]], tuple[Doubles, ...]]
    """``enlarging(S)`` returns, for each axis, what each cell weighs at every place of the enlarged grid, [L, g]."""
    row: Callable[[int, int], tuple[NDArray[np.bool_], Indices]] | None = None
    """``row(seed, g)`` returns the cells [count, g] of all masks along a row of any length, of which the first are
    those of fewer cells, and words of 32 bits of which the shifts are made, [count]. None of masks of more axes."""
    cells: int = 0
    """How many cells a row has."""
    drawn: Callable[[tuple[int, ...]], Cells] | None = None
    """``drawn(S)`` says how ``draw`` and ``row`` make their numbers, so that a file can make them of any seed; None of
    draws that are made otherwise."""
    random: ClassVar[bool] = True

    def make(self, seed: int, start: int, stop: int, size: tuple[int, ...]) -> Floats:
        """Return masks ``start`` to ``stop`` of a seed, [stop - start, *S]; mask k is the same in any batch."""
        from onnxsal.kernels.enlarge import enlarged  # numba: only who draws masks needs it

        cells, first = self.draw(seed, start, stop, size)
        return enlarged(cells, first, self.enlarging(size), size)


Made = HostMasks | Boxes | CoarseMasks
"""Masks that do not depend on the picture; streaming renders them on the host by ``make``."""


@dataclass(frozen=True)
class Foreseen:
    """How the scores of masks can be foreseen from those of others, where a limit leaves no time for all.

    The map is then ``sum_k w_k A_k`` of the maps that mask, w_k the mean score of mask k, or its softmax over k.
    """

    ends: tuple[float, float] | None = None
    """The least and the greatest score there can be; None where there are none."""
    softmax: bool = False


@dataclass(frozen=True)
class Draws:
    """What varies between evaluations: K masks (or none) times N samples."""

    samples: int = 1
    masks: Grids | Made | None = None
    noise: Noise | None = None
    scales: tuple[float, ...] | None = None
    """The share c of each sample (steps of a path, intensities of a mask); its length is ``samples``."""
    allocation: Literal["shared", "even", "neyman"] = "shared"
    """``shared``: all masks in every sample, with one noise. ``even``: the same, each with noise of its own.
    ``neyman``: that, and stage by stage the masks are drawn in proportion to what their noise does to the map.
    ``neyman`` cannot be folded."""
    weights: tuple[float, ...] | None = None
    """Quadrature weights of the samples; their sum is 1."""
    baseline: Baseline = "zero"
    channels: bool = False
    """Whether the masks have channels as positions too: of things [C, *S] they are [C, *S], else [*S]."""
    reference: bool = False
    """Run the body on the baseline too; its outputs reach the tail as ``reference/<name>``."""
    foreseen: Foreseen | None = None
    """Where it is given, ``forwards``, ``seconds`` and ``tolerance`` spare masks and not samples of all."""

    @property
    def path(self) -> bool:
        """Whether the samples are places on a path, of the picture or of a mask's intensity: a part of them is no map.

        The first of them are the faintest, and fewer samples are other places.
        """
        return self.scales is not None

    @property
    def sampled(self) -> bool:
        """Whether the samples are independent and alike, so that their spread tells the error of the map."""
        noisy = self.noise is not None and self.noise.sigma > 0
        drawn = isinstance(self.masks, Made) and self.masks.random
        return (noisy or drawn) and self.weights is None and not self.path


@dataclass(frozen=True)
class Moments:
    """Which running moments of the body's outputs reach the tail: ``mean/``, ``square/`` and ``variance/<name>``.

    ``mask``: one number per mask, [K]; ``all``: over everything; ``weighted``: ``mean/<name>`` is the mean of score
    times mask [H, W], and ``mean/mask`` the mean mask.
    """

    names: tuple[str, ...]
    per: Literal["mask", "all", "weighted"] = "all"
    shown: Literal["mean", "square", "variance"] = "mean"
    """Which moment of the first name is the map where there is no tail."""


@dataclass(frozen=True)
class Record:
    """A method that evaluates a program many times.

    ``body`` may be a record itself (a wrapper round one): it then runs whole on every draw. ``tail`` takes any of the
    head's outputs, the moments, ``reference/...``, ``x``, ``baseline`` and ``drawn`` [K], which is 0 for maps that were
    left out; without a tail the map is a moment itself (``Moments.shown``).
    Its output ``saliency`` is the map; other outputs go into the manifest as numbers.
    """

    draws: Draws
    body: Program | Record
    moments: Moments
    head: Program | None = None
    tail: Program | None = None
    varies: str = "x"
    """What the draws vary and the body takes: x, or an output of the head, [1, C, H, W]."""
    notes: tuple[tuple[str, Any], ...] = ()
    """What the manifest says of the variant."""
    reference: Program | None = None
    """What runs on the baseline in place of the body, where the tail takes of its outputs what costs less alone."""


def spread(value: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a number a channel, [C], or one a position of each, [C, *S], over a thing's shape [C, *S]; a view."""
    return np.broadcast_to(value.reshape(*value.shape, *[1] * (len(shape) - value.ndim)), shape)


def baseline_array(given: Any, shape: tuple[int, ...]) -> Floats:
    """Return a baseline of numbers so that it fits a thing [C, *S]: of its shape, [C, 1, ...] or a number.

    Raises: UsageError: no numbers, not finite, or of another shape.
    """
    try:
        array = np.asarray(given, np.float32)
    except (TypeError, ValueError, OverflowError):
        array = np.full(1, np.nan, np.float32)
    if not np.isfinite(array).all():
        raise UsageError(
            f"option baseline={given!r}: expected zero, black, blur, uniform or an array of finite numbers"
        )
    if array.shape not in ((), (shape[0],), shape):
        raise UsageError(f"the baseline has shape {array.shape}, expected {shape}, ({shape[0]},) or a number")
    return array.reshape(-1, *[1] * (len(shape) - 1)) if array.ndim == 1 else array
