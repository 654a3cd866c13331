"""Running moments of what the body puts out, in groups of samples so that any tail can be jackknifed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.sums import add_rows
from onnxsal.records import Moments

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

GROUPS = 20
"""Groups of samples for the jackknife: enough for an interval, and so many tails are cheap."""

LIMIT = 256 * 2**20
"""Bytes that the sums may take; larger moments are kept in fewer groups."""


class Evaluated(NamedTuple):
    """What the body put out for some draws, [R, ...] by name, with the sample and the mask of every row."""

    outputs: Arrays
    samples: Indices
    masks: Indices

    def cut(self, part: slice) -> Evaluated:
        """Return some of the rows."""
        return Evaluated({name: y[part] for name, y in self.outputs.items()}, self.samples[part], self.masks[part])


class Stores(NamedTuple):
    """Counts, and sums and sums of squares by name."""

    counts: Doubles
    sums: dict[str, Doubles]
    squares: dict[str, Doubles]


class Accumulator:
    """Sums, and where they are asked for sums of squares, of named outputs by group of samples, in float64."""

    def __init__(
        self, moments: Moments, *, masks: int, groups: int, squares: bool, weights: tuple[float, ...] | None = None
    ) -> None:
        self.moments = moments
        self.groups = max(groups, 1)
        self._squared = squares
        self._by_mask = moments.per == "mask"
        self._weights = None if weights is None else np.asarray(weights, np.float64)
        self._sums: dict[str, Doubles] = {}
        self._squares: dict[str, Doubles] = {}
        self.counts = np.zeros((self.groups, masks if self._by_mask else 1))
        self._whole: dict[str, Doubles] = {}
        self._open: list[Evaluated] = []

    def add(self, outputs: Arrays, samples: Indices, masks: Indices) -> None:
        """Take in one batch: outputs [R, ...], with the sample and the mask of every row."""
        self.adding(outputs, samples, masks)()

    def adding(self, outputs: Arrays, samples: Indices, masks: Indices) -> Callable[[], None]:
        """Return the step that takes in one batch; nothing of it is in the sums before it is called.

        All memory is found here: where that fails the batch can be run again, and the step itself has no reason to.
        """
        if self._by_mask:
            return self._adding_whole(
                Evaluated({n: outputs[n].reshape(-1) for n in self.moments.names}, samples, masks)
            )
        return self._adding_rows(outputs, samples, self._weight(samples))

    def _weight(self, samples: Indices) -> Doubles:
        return np.ones(len(samples)) if self._weights is None else self._weights[samples]

    def _adding_whole(self, rows: Evaluated) -> Callable[[], None]:
        """Return the step that takes in samples that every mask has; the last one stays open until it has.

        Masks share a sample's noise: a sample that only some have would tell them apart by what is noise.
        """
        closed = np.flatnonzero(rows.masks == self.counts.shape[1] - 1)
        if not len(closed):
            return partial(self._replace, self._stores(), [*self._open, rows])
        end = closed[-1] + 1
        stores = self._with(_joined([*self._open, rows.cut(slice(end))]))
        return partial(self._replace, stores, [rows.cut(slice(end, None))])

    def _stores(self) -> Stores:
        return Stores(self.counts, self._sums, self._squares)

    def _replace(self, stores: Stores, still_open: list[Evaluated]) -> None:
        self._whole.clear()
        self.counts, self._sums, self._squares = stores
        self._open = still_open

    def settle(self) -> None:
        """Take in the open sample where there is no whole one: some masks are better than none."""
        none_whole = bool(self._open) and not self.counts.any()
        self._replace(self._with(_joined(self._open)) if none_whole else self._stores(), [])

    def _with(self, rows: Evaluated) -> Stores:
        """Return counts, sums and squares with these rows: copies, which are small where there is one number a mask."""
        weight, where = self._weight(rows.samples), (rows.samples % self.groups, rows.masks)
        counts, sums, squares = self.counts.copy(), {}, {}
        np.add.at(counts, where, weight)
        for name in self.moments.names:
            y = rows.outputs[name].astype(np.float64).reshape(len(rows.samples))
            sums[name] = self._store(self._sums, name, ()).copy()
            np.add.at(sums[name], where, weight * y)
            if self._squared:
                squares[name] = self._store(self._squares, name, ()).copy()
                np.add.at(squares[name], where, weight * y * y)
        return Stores(counts, sums, squares)

    def _adding_rows(self, outputs: Arrays, samples: Indices, weight: Doubles) -> Callable[[], None]:
        for name in self._names():
            self._fit(outputs[name][0].nbytes * 2)
        groups, counts, steps = samples % self.groups, self.counts.copy(), []
        np.add.at(counts[:, 0], groups, weight)
        for name in self._names():
            y = np.ascontiguousarray(outputs[name], np.float32)
            squares = self._store(self._squares, name, y.shape[1:]) if self._squared else None
            steps.append((y, groups, weight, self._store(self._sums, name, y.shape[1:]), squares))
        return partial(self._add_rows, counts, steps)

    def _add_rows(self, counts: Doubles, steps: list[tuple[Any, ...]]) -> None:
        """Add outputs to sums too large to copy, in place; compiling, on the first call, comes before the first sum."""
        self._whole.clear()
        for step in steps:
            add_rows(*step)
        self.counts = counts

    def _store(self, stores: dict[str, Doubles], name: str, shape: tuple[int, ...]) -> Doubles:
        if name not in stores:
            stores[name] = np.zeros(self.counts.shape if self._by_mask else (self.groups, *shape))
        return stores[name]

    def _fit(self, one: int) -> None:
        """Take fewer groups, at the start, where so many copies of ``one`` would not fit."""
        if not self._sums:
            room = LIMIT // (one * len(self._names()) * (1 + self._squared))
            self.groups = max(min(self.groups, room), 1)
            self.counts = np.zeros((self.groups, 1))

    def _names(self) -> tuple[str, ...]:
        return (*self.moments.names, "mask") if self.moments.per == "weighted" else self.moments.names

    def filled(self) -> list[int]:
        """Return the groups that hold samples of every mask."""
        return np.flatnonzero((self.counts > 0).all(axis=1)).tolist()

    def sizes(self) -> Doubles:
        """Return the samples of each filled group."""
        return np.asarray(self.counts[self.filled()].mean(axis=1), np.float64)

    def drawn(self) -> Floats:
        """Return 1 for every mask that was drawn at least once, else 0."""
        return np.asarray(self.counts.sum(axis=0) > 0, np.float32)

    def totals(self, leave_out: int | None = None) -> dict[str, Floats]:
        """Return ``mean/``, ``square/`` and ``variance/`` of every name, of all groups or of all but one."""
        return dict(self._totals(leave_out))

    def _totals(self, leave_out: int | None) -> Iterable[tuple[str, Floats]]:
        count = self._sum("counts", self.counts, leave_out)
        if not self._by_mask:
            count = count[0]
        safe = np.maximum(count, 1e-300)
        for name in self._names():
            mean = self._sum(f"sums/{name}", self._sums[name], leave_out) / safe
            yield f"mean/{name}", mean.astype(np.float32)
            if self._squared:
                square = self._sum(f"squares/{name}", self._squares[name], leave_out) / safe
                unbiased = np.where(count > 1, safe / np.maximum(safe - 1, 1e-300), 0)
                yield f"square/{name}", square.astype(np.float32)
                yield f"variance/{name}", (np.maximum(square - mean * mean, 0) * unbiased).astype(np.float32)

    def _sum(self, name: str, groups: Doubles, leave_out: int | None) -> Doubles:
        """Return the sum over groups; what a jackknife leaves out in turn is taken from one sum of all."""
        if name not in self._whole:
            self._whole[name] = groups.sum(axis=0)
        return self._whole[name] if leave_out is None else self._whole[name] - groups[leave_out]


def _joined(rows: Sequence[Evaluated]) -> Evaluated:
    outputs = {name: np.concatenate([each.outputs[name] for each in rows]) for name in rows[0].outputs}
    samples, masks = (np.concatenate(parts) for parts in ([r.samples for r in rows], [r.masks for r in rows]))
    return Evaluated(outputs, samples, masks)
