"""Running moments of what the body puts out, in groups of samples so that any tail can be jackknifed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onnxsal.records import Moments

Arrays = Mapping[str, NDArray[np.float32]]
Doubles = NDArray[np.float64]

GROUPS = 10
"""Groups of samples for the jackknife: enough degrees of freedom for an interval, and ten tails are cheap."""

_LIMIT = 256 * 2**20
"""Group sums above this many bytes are not kept: the map then comes without an error."""


class Accumulator:
    """Sums and sums of squares of named outputs, by group of samples, in float64."""

    def __init__(self, moments: Moments, *, masks: int, samples: int, weights: tuple[float, ...] | None) -> None:
        self.moments = moments
        self._masks = masks
        self._weights = None if weights is None else np.asarray(weights, np.float64)
        self._groups = max(min(GROUPS, samples), 1)
        self._sums: dict[str, Doubles] = {}
        self._squares: dict[str, Doubles] = {}
        self._count = np.zeros((self._groups, masks if moments.per == "mask" else 1))

    def add(self, outputs: Arrays, samples: NDArray[np.int64], masks: NDArray[np.int64]) -> None:
        """Take in one batch: outputs [R, ...], with the sample and the mask of every row."""
        weight = np.ones(len(samples)) if self._weights is None else self._weights[samples]
        if self.moments.per == "mask":
            self._add_by_mask(outputs, samples, masks, weight)
        else:
            self._add_all(outputs, samples, weight)

    def _add_by_mask(self, outputs: Arrays, samples: NDArray[np.int64], masks: NDArray[np.int64], w: Doubles) -> None:
        where = (samples % self._groups, masks)
        np.add.at(self._count, where, w)
        for name in self.moments.names:
            y = outputs[name].astype(np.float64).reshape(len(samples))
            for store, values in ((self._sums, y), (self._squares, y * y)):
                np.add.at(store.setdefault(name, np.zeros_like(self._count)), where, w * values)

    def _add_all(self, outputs: Arrays, samples: NDArray[np.int64], weight: Doubles) -> None:
        for row, (sample, w) in enumerate(zip(samples.tolist(), weight.tolist(), strict=True)):
            self._count[sample % self._groups] += w
            for name in self._names():
                y = outputs[name][row].astype(np.float64)
                self._fit(name, y)
                group = sample % len(self._sums[name])
                self._sums[name][group] += w * y
                self._squares[name][group] += w * y * y

    def _names(self) -> tuple[str, ...]:
        return (*self.moments.names, "mask") if self.moments.per == "weighted" else self.moments.names

    def _fit(self, name: str, y: Doubles) -> None:
        if name not in self._sums:
            if self._groups * y.nbytes * 2 * len(self._names()) > _LIMIT:
                self._groups = 1
                self._count = self._count.sum(axis=0, keepdims=True)
            shape = (self._groups, *y.shape)
            self._sums[name], self._squares[name] = np.zeros(shape), np.zeros(shape)

    @property
    def groups(self) -> int:
        """Groups that hold samples, each of them every mask."""
        return int((self._count > 0).all(axis=1).sum())

    def totals(self, leave_out: int | None = None) -> dict[str, NDArray[np.float32]]:
        """Return ``mean/``, ``square/`` and ``variance/`` of every name, all groups or all but one."""
        chosen = [g for g in range(self._groups) if g != leave_out]
        found: dict[str, NDArray[np.float32]] = {}
        for name in self._names():
            count = self._count[chosen].sum(axis=0)
            if self.moments.per != "mask":
                count = count.reshape((1,) * (self._sums[name].ndim - 1)) if self._sums[name].ndim > 1 else count
            found.update(
                _moments(name, self._sums[name][chosen].sum(axis=0), self._squares[name][chosen].sum(axis=0), count)
            )
        return found


def _moments(name: str, total: Doubles, squares: Doubles, count: Doubles) -> dict[str, NDArray[np.float32]]:
    safe = np.maximum(count, 1e-300)
    mean, square = total / safe, squares / safe
    spread = np.maximum(square - mean * mean, 0) * (safe / np.maximum(safe - 1, 1e-300))
    variance = np.where(count > 1, spread, 0)
    named = {"mean": mean, "square": square, "variance": variance}
    return {f"{kind}/{name}": values.astype(np.float32) for kind, values in named.items()}
