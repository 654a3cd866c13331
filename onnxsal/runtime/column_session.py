"""Scores of chosen classes from a session that puts out all classes: one session for every target, and one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError
from onnxsal.runtime.session import DeviceBuffer, Session

Array = NDArray[Any]


class ColumnSession:
    """A session in place of a program that ends in picking columns of ``source`` [B, N], one or a sum of several.

    Indices are [B] for one target, which gives ``score`` [B], or [B, T] for several, which gives [B, T]. With
    coefficients a target is a sum of M terms: both are [B, M], or [B, T, M].
    """

    def __init__(self, session: Session, source: str, index: str, coefficients: str | None = None) -> None:
        self.session = session
        self.inputs = (*session.inputs, index, *(() if coefficients is None else (coefficients,)))
        self.outputs = ("score",)
        self.provider, self.on_gpu, self.device_id = session.provider, session.on_gpu, session.device_id
        self._source, self._index, self._coefficients = source, index, coefficients

    @property
    def single(self) -> bool:
        """Whether it is run row by row."""
        return self.session.single

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Return ``score`` for arrays by name. Raises: ModelError: the run failed."""
        return self._picked(self.session.run(feeds, [self._source]), feeds)

    def run_placed(
        self, places: Mapping[str, DeviceBuffer], feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Return ``score`` for inputs that lie where they are used. Raises: ModelError: the run failed."""
        return self._picked(self.session.run_placed(places, feeds, [self._source]), feeds)

    def _picked(self, found: Mapping[str, Array], feeds: Mapping[str, Array]) -> dict[str, Array]:
        values = _columns(found[self._source], feeds[self._index])
        if self._coefficients is None:
            return {"score": values}
        return {"score": (values * feeds[self._coefficients]).sum(axis=-1)}


class PickedSession(ColumnSession):
    """A session in place of a program that works its score out of several of the outputs of another one.

    ``pick`` returns the score of what that puts out and of what is fed beside: [B], or [B, T] of several targets, whose
    feeds have an axis for them behind the batch's.
    """

    def __init__(
        self, session: Session, sources: Sequence[str], feeds: Sequence[str],
        pick: Callable[[Mapping[str, Array], Mapping[str, Array]], Array],
    ) -> None:  # fmt: skip
        super().__init__(session, sources[0], feeds[0])
        self.inputs = (*session.inputs, *feeds)
        self._sources, self._pick = list(sources), pick

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Return ``score`` for arrays by name. Raises: ModelError: the run failed."""
        each = [feeds] if not self.session.single else [_row(feeds, i) for i in range(_count(feeds))]
        return self._joined([self._pick(self.session.run(one, self._sources), one) for one in each])

    def run_placed(
        self, places: Mapping[str, DeviceBuffer], feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Return ``score`` for inputs that lie where they are used. Raises: ModelError: the run failed."""
        each = [(places, feeds)]
        if self.session.single:
            rows = next(iter(places.values())).shape[0]
            each = [({n: place.row(i) for n, place in places.items()}, _row(feeds, i)) for i in range(rows)]
        return self._joined([self._pick(self.session.run_placed(*one, self._sources), one[1]) for one in each])

    def _joined(self, scores: Sequence[Array]) -> dict[str, Array]:
        """Return the scores of things that were run one by one: each may have as many numbers as it likes."""
        return {"score": np.concatenate(scores)}


def _count(feeds: Mapping[str, Array]) -> int:
    return len(next(iter(feeds.values())))


def _row(feeds: Mapping[str, Array], i: int) -> Mapping[str, Array]:
    return {name: array[i : i + 1] for name, array in feeds.items()}


def _columns(values: Array, index: Array) -> Array:
    if index.size and int(index.max()) >= values.shape[1]:
        raise ModelError(
            f"number {int(index.max())} is explained, and the output has {values.shape[1]} for a changed input: how "
            "many there are depends on the input; explain it by a method that does not change it, such as gradient"
        )
    rows = np.arange(len(values))[:, None]
    return values[rows, index.reshape(len(values), -1)].reshape(index.shape)
