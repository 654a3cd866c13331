"""Sums of masks weighed with scores: of every target of a picture in one pass over the masks, which all share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from onnxsal.interrupts import whole
from onnxsal.kernels.jackknife import means_without
from onnxsal.kernels.sums import add_weighed
from onnxsal.records import Moments
from onnxsal.streaming.moments import Accumulator, Arrays, Doubles, Floats, Indices

ROWS = 8
"""Masks of each group that are added at once: the sums of many targets are too large to be read for every batch."""


class Waiting(NamedTuple):
    """Masks that are in no sum yet, with the group of each, and what it weighs in every sum."""

    masks: Floats
    groups: Indices
    weights: Doubles

    def part(self, rows: slice) -> Waiting:
        """Return some of them."""
        return Waiting(self.masks[rows], self.groups[rows], self.weights[:, rows])


class _Together:
    """The sums of all targets side by side, the masks' own last, float64 [T M + 1, G, *S]; masks are added in turn."""

    def __init__(self, sums: int, groups: int, shape: tuple[int, ...]) -> None:
        self.sums = np.zeros((sums, groups, *shape))
        room = min(ROWS, sums) * groups  # half the memory of the sums at most
        self._waiting = Waiting(np.empty((room, *shape), np.float32), np.empty(room, np.int64), np.empty((sums, room)))
        self._rows = 0

    def add(self, rows: Waiting) -> None:
        """Take in masks: their values are copied, or added."""
        if self._rows + len(rows.masks) > len(self._waiting.masks):
            self.settle()
        if len(rows.masks) > len(self._waiting.masks):
            add_weighed(rows.masks, rows.groups, rows.weights, self.sums)
            return
        end = self._rows + len(rows.masks)
        waiting = self._waiting.part(slice(self._rows, end))
        waiting.masks[...], waiting.groups[...], waiting.weights[...] = rows
        self._rows = end

    def settle(self) -> None:
        """Add what waits."""
        rows = self._waiting.part(slice(self._rows))
        if self._rows:
            add_weighed(rows.masks, rows.groups, rows.weights, self.sums)
        self._rows = 0


class Weighed(Accumulator):
    """One target's sums, by group of samples; they lie beside those of the others, and the sums of the masks are the
    same. What no tail makes a map of needs squares, and products: not here."""

    def __init__(self, moments: Moments, *, groups: int, weights: tuple[float, ...] | None = None) -> None:
        super().__init__(moments, masks=1, groups=groups, squares=False, weights=weights)
        self._together: _Together | None = None

    def adding_all(
        self, others: Sequence[Weighed], outputs: Sequence[Arrays], masks: Floats, samples: Indices
    ) -> Callable[[], None]:
        """Return the step that takes in one batch, masks [R, *S] and the outputs of this target and of the others.

        A pass, or a picture of products, for each target would take as long as a small model itself.
        """
        every = (self, *others)
        together = self._together or self._lay_out(every, masks)
        weight, groups, counts = self._weight(samples), samples % self.groups, self.counts.copy()
        np.add.at(counts[:, 0], groups, weight)
        scores = [weight * own[name].reshape(-1) for name in self.moments.names for own in outputs]
        rows = Waiting(np.asarray(masks, np.float32), groups, np.stack([*scores, weight]))
        return partial(self._add_all, every, together, rows, counts)

    def _lay_out(self, every: Sequence[Weighed], masks: Floats) -> _Together:
        self._fit(masks[0].nbytes * 2)
        names, targets = self.moments.names, len(every)
        together = _Together(len(names) * targets + 1, self.groups, masks.shape[1:])
        for at, each in enumerate(every):
            own = {name: together.sums[k * targets + at] for k, name in enumerate(names)}
            each.groups, each._together, each._sums = self.groups, together, {**own, "mask": together.sums[-1]}
        return together

    def _add_all(self, every: Sequence[Weighed], together: _Together, rows: Waiting, counts: Doubles) -> None:
        for each in every:
            each._whole.clear()
            each.counts = counts
        together.add(rows)

    def totals(self, leave_out: int | None = None) -> dict[str, Floats]:
        """Return ``mean/`` of every name, of all groups or of all but one."""
        self._settle_together()
        return super().totals(leave_out)

    def means_without(self, groups: Sequence[int]) -> dict[str, Floats]:
        """Return ``mean/`` of every name of all groups but each of these, [G, *S]."""
        self._settle_together()
        left = self.counts.sum() - self.counts[groups, 0]
        sums = {name: (self._sum(f"sums/{name}", own, None), own) for name, own in self._sums.items()}
        return {f"mean/{name}": means_without(*own, np.asarray(groups), left) for name, own in sums.items()}

    def _settle_together(self) -> None:
        if self._together is not None:
            with whole():
                self._together.settle()
