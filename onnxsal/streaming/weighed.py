"""Sums of masks weighed with scores: of every target of a picture in one pass over the masks, which all share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from onnxsal.kernels.sums import add_rows, add_weighed
from onnxsal.records import Moments
from onnxsal.streaming.moments import Accumulator, Arrays, Doubles, Floats, Indices


class Weighed(Accumulator):
    """One target's sums, by group of samples; they lie beside those of the others, and the sums of the masks are the
    same. What no tail makes a map of needs squares, and products: not here."""

    def __init__(self, moments: Moments, *, groups: int, weights: tuple[float, ...] | None = None) -> None:
        super().__init__(moments, masks=1, groups=groups, squares=False, weights=weights)
        self._together: Mapping[str, Doubles] = {}

    def adding_all(
        self, others: Sequence[Weighed], outputs: Sequence[Arrays], masks: Floats, samples: Indices
    ) -> Callable[[], None]:
        """Return the step that takes in one batch, masks [R, *S] and the outputs of this target and of the others.

        A pass, or a picture of products, for each target would take as long as a small model itself.
        """
        every = (self, *others)
        self._lay_out(every, masks)
        weight, groups, counts = self._weight(samples), samples % self.groups, self.counts.copy()
        np.add.at(counts[:, 0], groups, weight)
        scores = {name: weight * np.stack([own[name].reshape(-1) for own in outputs]) for name in self.moments.names}
        return partial(self._add_all, every, np.ascontiguousarray(masks, np.float32), groups, (counts, weight, scores))

    def _lay_out(self, every: Sequence[Weighed], masks: Floats) -> None:
        if self._sums:
            return
        self._fit(masks[0].nbytes * 2)
        shape = (self.groups, *masks.shape[1:])
        self._together = {name: np.zeros((len(every), *shape)) for name in self.moments.names}
        of_masks = np.zeros(shape)
        for at, each in enumerate(every):
            each.groups = self.groups
            each._sums = {**{name: sums[at] for name, sums in self._together.items()}, "mask": of_masks}

    def _add_all(
        self, every: Sequence[Weighed], masks: Floats, groups: Indices,
        numbers: tuple[Doubles, Doubles, Mapping[str, Doubles]],
    ) -> None:  # fmt: skip
        """Add to the sums in place. Args: numbers: the counts, what each row weighs, and its scores by name, [T, R]."""
        counts, weight, scores = numbers
        for each in every:
            each._whole.clear()
            each.counts = counts
        for name, own in scores.items():
            add_weighed(masks, groups, own, self._together[name])
        add_rows(masks, groups, weight, self._sums["mask"])
