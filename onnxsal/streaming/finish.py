"""From moments to the map, its standard error, and whether its weights can be told from noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.jackknife import jackknife
from onnxsal.records import Record
from onnxsal.runtime import ColumnSession, Session
from onnxsal.streaming.moments import Accumulator
from onnxsal.streaming.plan import Plan
from onnxsal.streaming.sparing import Spared, spread
from onnxsal.streaming.stages import Stages, propagated
from onnxsal.streaming.weighed import Weighed

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

AT_ONCE = 4 * 2**20
"""Bytes of maps that a tail makes in one run: as many as stay in the processor's caches."""


class Tail(NamedTuple):
    """A record's tail, and all that it takes beside the moments."""

    session: Session | ColumnSession
    given: Mapping[str, NDArray[Any]]


class Finish:
    """Makes the map of a record's moments: once for the map, once a group for its error."""

    def __init__(self, record: Record, plan: Plan, sums: Accumulator, tail: Tail | None) -> None:
        self._record, self._plan, self._sums, self._tail = record, plan, sums, tail
        self._by_mask = record.moments.per == "mask"

    def settle(self) -> None:
        """Take in what an early end left open."""
        self._sums.settle()

    def map(self, leave_out: int | None = None) -> tuple[Floats, dict[str, float]]:
        """Return the map, of all groups or of all but one, and the tail's other outputs as numbers."""
        return self._mapped(self._sums.totals(leave_out))

    def _mapped(self, totals: Mapping[str, Floats]) -> tuple[Floats, dict[str, float]]:
        if self._tail is None:
            moments = self._record.moments
            return totals[f"{moments.shown}/{moments.names[0]}"], {}
        moments_in = {n: self._scatter(v) if self._by_mask else v[None] for n, v in totals.items()}
        drawn = self._scatter(self._sums.drawn()) if self._by_mask else np.ones(1, np.float32)
        outputs = self._tail.session.run({**self._tail.given, **moments_in, "drawn": drawn})
        numbers = {name: float(np.ravel(v)[0]) for name, v in outputs.items() if name != "saliency"}
        return outputs["saliency"][0].astype(np.float32), numbers

    def _scatter(self, values: Floats) -> Floats:
        full = np.zeros(self._plan.of, np.float32)
        full[self._plan.kept] = values
        return full

    def stderr(self, made: Callable[[Floats], Floats] | None = None) -> Floats | None:
        """Return the error of a mean, and of foreseen scores, in closed form, of anything else by jackknife; None where
        nothing is drawn or foreseen.

        Args: made: of the map, where the error of that is wanted: what all positions have in common goes into the
        error of the map, and not into that of a map which is stretched by its own minimum and maximum.
        """
        if isinstance(self._sums, Spared):
            return self._foreseen(self._sums, made)
        if not self._record.draws.sampled:
            return None
        if isinstance(self._sums, Stages):
            return self._propagated(self._sums, made)
        shown = self._record.moments.shown
        if made is None and self._tail is None and shown == "mean":
            n = float(self._sums.sizes().sum())
            variance = self._sums.totals()[f"variance/{self._record.moments.names[0]}"]
            return np.asarray(np.sqrt(variance / n), np.float32) if n > 1 else None
        own = _of(self.map()[0], made)
        return self._jackknife(own, lambda groups: self._maps_without(groups, made, own))

    def _foreseen(self, sums: Spared, made: Callable[[Floats], Floats] | None) -> Floats | None:
        error, saliency = sums.error(), self.map()[0]
        if error is None:
            return None
        if made is not None:
            return spread(made, saliency, error)
        return np.asarray(np.sqrt(np.maximum(np.diag(error), 0)).reshape(saliency.shape), np.float32)

    def _propagated(self, sums: Stages, made: Callable[[Floats], Floats] | None) -> Floats | None:
        errors, (name, mean) = sums.errors(), next(iter(sums.totals().items()))
        if errors is None:
            return None
        spread = propagated(lambda v: _of(self._mapped({name: v})[0], made), mean, errors)
        return np.asarray(sums.widening() * spread, np.float32)

    def _jackknife(self, whole: NDArray[Any], without: Callable[[list[int]], NDArray[Any]]) -> Floats | None:
        """Return the delete-a-group error of any function of the moments; None for too few samples.

        Args: whole: the function of all. without: returns it of all but each of these groups, [G, ...].
        """
        groups, sizes = self._sums.filled(), self._sums.sizes()
        # One sample is no spread, and leaving one of two out leaves one.
        if len(groups) < 2 or sizes.sum() < 3:
            return None
        return jackknife(whole, without(groups), sizes.sum() / sizes)

    def _maps_without(self, groups: list[int], made: Callable[[Floats], Floats] | None, like: Floats) -> Floats:
        """Return what is made of the maps of all groups but each of these, [G, ...]. Args: like: one of them."""
        found = np.empty((len(groups), *like.shape), like.dtype)
        step = max(AT_ONCE // max(like.nbytes, 1), 1)
        for at in range(0, len(groups), step):
            maps = self._some_without(groups[at : at + step])
            for to, each in zip(found[at:], maps, strict=False):
                to[...] = _of(each, made)
        return found

    def _some_without(self, groups: list[int]) -> Iterable[Floats]:
        """Return the maps of all groups but each of these, from one run where the tail takes means of maps alone."""
        session, sums = None if self._tail is None else self._tail.session, self._sums
        if isinstance(session, Session) and isinstance(sums, Weighed) and not session.single:
            means = sums.means_without(groups)
            if means.keys() >= set(session.inputs):
                return np.asarray(session.run(means, ["saliency"])["saliency"], np.float32)
        return (self.map(leave_out=g)[0] for g in groups)

    def relative_error(self) -> float:
        """Return the norm of the errors over the norm of the map; infinity where it is not known."""
        error = self.stderr()
        share = float("nan") if error is None else relative(error, self.map()[0])
        return float("inf") if np.isnan(share) else share

    def reliability(self) -> float | None:
        """Return which share of the spread of the masks' weights is not noise; None where they are not sampled.

        Weights are centred first, because what all share says nothing about which mask is better. Its square root is
        the correlation to expect with the weights of endless samples.
        """
        if not (self._by_mask and self._record.draws.sampled) or self._plan.per_sample < 3:
            return None
        name = self._record.moments.names[0]
        error = self._weight_errors(name)
        if error is None:
            return None
        spread = float(_centred(self._sums.totals()[f"mean/{name}"]).var())
        return 0.0 if spread == 0 else max(1 - float(np.square(error, dtype=np.float64).mean()) / spread, 0.0)

    def _weight_errors(self, name: str) -> NDArray[Any] | None:
        if isinstance(self._sums, Stages):
            return self._sums.errors()
        whole = _centred(self._sums.totals()[f"mean/{name}"])
        return self._jackknife(
            whole, lambda groups: np.stack([_centred(self._sums.totals(g)[f"mean/{name}"]) for g in groups])
        )


def _of(values: Floats, made: Callable[[Floats], Floats] | None) -> Floats:
    return values if made is None else made(values)


def relative(error: Floats, values: Floats) -> float:
    """Return the norm of the errors over the norm of the map; NaN for an empty map.

    A map that is clipped at 0 everywhere has no spread, however uncertain what was clipped is.
    """
    norms = [float(np.linalg.norm(np.asarray(a, np.float64))) for a in (error, values)]
    return norms[0] / norms[1] if norms[1] > 0 else float("nan")


def _centred(weights: Floats) -> Doubles:
    exact = weights.astype(np.float64)
    return np.asarray(exact - exact.mean(), np.float64)
