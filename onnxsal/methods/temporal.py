"""Temporal saliency rescaling: which time counts first, then which feature counts in that time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import X
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import Program, dims, infer_shapes
from onnxsal.graph.cut import cut
from onnxsal.graph.program import empty
from onnxsal.methods.registry import Cost, Range, Samples, method
from onnxsal.records import Boxes, Draws, Moments, Record

Indices = NDArray[np.int64]

WINDOWS, GROUPS = 64, 16
"""Parts that time and features are cut into at most, where nobody says it."""


@dataclass(frozen=True)
class _Parts:
    """How a thing [C, *S] is cut: which of these axes is time and which features, and how many of each lie together."""

    size: tuple[int, ...]
    time: int
    feature: int
    window: int
    group: int

    @property
    def counts(self) -> tuple[int, int]:
        """Windows and groups of features."""
        return -(-self.size[self.time] // self.window), -(-self.size[self.feature] // self.group)

    def places(self, numbers: Indices, size: tuple[int, ...]) -> Indices:
        """Return what masks cover, [n, rank, 2]: windows first, all features in them, then each group of each window.

        Args: size: of the thing with what is carried along behind its channels, which nothing covers.
        """
        windows, _ = self.counts
        ends = np.zeros((len(numbers), len(size), 2), np.int64)
        ends[:, :, 1] = self.size
        group, window = np.divmod(numbers - windows, windows)
        window = np.where(numbers < windows, numbers, window)
        ends[:, self.time] = np.stack([window, window + 1], axis=1) * self.window
        own = numbers >= windows
        ends[own, self.feature] = (np.stack([group, group + 1], axis=1) * self.group)[own]
        return np.asarray(np.minimum(ends, np.array(self.size)[:, None]), np.int64)


def _cost(options: Any, maps: int) -> int:
    windows, groups = options["windows"] or WINDOWS, options["groups"] or GROUPS
    return int(windows * (groups + 1) + 1)


@method(
    "temporal-saliency-rescaling",
    paper="Ismail et al. 2020, arXiv:2010.13924, algorithm 1",
    when="series and sound: gradients that blur over time, told by time first and by feature then; wraps a gradient",
    cost=Cost(_cost, _cost),
)
def temporal_saliency_rescaling(
    inner: Program | Record,
    *,
    windows: Samples | None = None,
    groups: Samples | None = None,
    alpha: Annotated[float, Range(0, 1)] = 0.0,
    time: Literal["first", "last"] = "last",
) -> Record:
    """Time relevance times feature relevance: by how much the map of ``inner`` changes, its absolute differences
    summed, where all features of a time are 0, and where one of them is; [C, *S], >= 0.

    Features are channels, of a spectrogram bins.

    Args:
        windows: parts that time is cut into, by default each step, at most 64: each is covered as one.
        groups: parts that features are cut into, by default each feature, at most 16.
        alpha: where the time relevance is this share of the greatest, or less, the map is 0; 0: all count.
        time: which axis of positions is time, where there are several.
    """
    if not isinstance(inner, Program):
        raise UnsupportedError(
            "temporal-saliency-rescaling runs its inner method once for every part that is covered: it takes those of "
            "one run, such as gradient, input-x-gradient and attnlrp"
        )
    parts = _parts(inner, windows, groups, time)
    head = inner.extend()
    carried = head.Unsqueeze(head.Concat(head[X], head["saliency"], axis=1), [1])
    many, few = parts.counts
    return Record(
        head=head.finish(start=carried),
        draws=Draws(masks=Boxes(many * (few + 1), parts.places)),
        varies="start",
        body=_changed(inner, parts.size),
        moments=Moments(("score",), per="mask"),
        tail=_tail(parts, alpha),
        notes=(("windows", many), ("groups", few), ("alpha", alpha)),
    )


def _parts(inner: Program, windows: int | None, groups: int | None, time: str) -> _Parts:
    shape = (dims(inner.inputs[X]) or ())[1:]
    size = tuple(n for n in shape if isinstance(n, int))
    if len(size) < len(shape) or len(size) < 2:
        raise UsageError("temporal-saliency-rescaling needs to know how many steps and features the model takes")
    probed = inner.extend()
    infer_shapes(probed.model)
    if (dims(probed["saliency"]) or ())[1:] != shape:
        raise UnsupportedError(
            "temporal-saliency-rescaling is of methods that give every feature of every step a number, as gradients do"
        )
    at = 1 if time == "first" else len(size) - 1
    others = [axis for axis in range(1, len(size)) if axis != at]
    feature = others[0] if others else 0
    many, few = (min(n, most or usual) for n, most, usual in (
        (size[at], windows, WINDOWS), (size[feature], groups, GROUPS)
    ))  # fmt: skip
    return _Parts(size, at, feature, -(-size[at] // many), -(-size[feature] // few))


def _changed(inner: Program, size: tuple[int, ...]) -> Program:
    """Return what a map changes by: of x and the map that it had, [B, 1, 2 C, *S], to the sum of differences [B]."""
    op = inner.extend()
    image, found = op[X], op["saliency"]
    batch = (dims(image) or ("batch",))[0]
    carried = op.input("sal/carried", ir.DataType.FLOAT, [batch, 1, 2 * size[0], *size[1:]])
    cut(op, image, lambda: op.Slice(op.Squeeze(carried, [1]), [0], [size[0]], [1]))
    before = op.Slice(op.Squeeze(carried, [1]), [size[0]], [2 * size[0]], [1])
    total = op.ReduceSum(op.Flatten(op.Abs(op.Sub(found, before)), axis=1), [1], keepdims=0)
    program = op.finish(score=total)
    program.model.graph.inputs.remove(image)
    image.name, carried.name = "sal/gone", X
    return program


def _tail(parts: _Parts, alpha: float) -> Program:
    """Return what makes the map of the changes: of windows, then of the groups of each window."""
    op = empty(21)
    windows, groups = parts.counts
    changes, drawn = (op.input(n, ir.DataType.FLOAT, [windows * (groups + 1)]) for n in ("mean/score", "drawn"))
    changes = op.Mul(changes, drawn)
    time = op.Reshape(op.Slice(changes, [0], [windows], [0]), [1, windows])
    cells = op.Reshape(op.Slice(changes, [windows], [windows * (groups + 1)], [0]), [groups, windows])
    counts = op.Greater(time, op.Mul(op.ReduceMax(time, keepdims=1), float(alpha)))
    found = op.Where(counts, op.Mul(time, cells), 0.0)
    for axis, (each, step) in enumerate(((parts.feature, parts.group), (parts.time, parts.window))):
        found = op.Gather(found, op.const(np.arange(parts.size[each]) // step), axis=axis)
    found = found if parts.feature < parts.time else op.Transpose(found, perm=[1, 0])
    kept: Sequence[int] = [n if axis in (parts.feature, parts.time) else 1 for axis, n in enumerate(parts.size)]
    return op.finish(saliency=op.Expand(op.Reshape(found, [1, *kept]), op.const(np.array([1, *parts.size]))))
