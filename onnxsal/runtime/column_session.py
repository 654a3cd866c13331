"""Scores of chosen classes from a session that puts out all classes: one session for every target, and one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.runtime.session import DeviceBuffer, Session

Array = NDArray[Any]


class ColumnSession:
    """A session in place of a program that ends in picking columns of ``source`` [B, classes].

    Indices are [B] for one target, which gives ``score`` [B], or [B, T] for several, which gives [B, T].
    """

    def __init__(self, session: Session, source: str, index: str, minus: str | None = None) -> None:
        self.session = session
        self.inputs = (*session.inputs, index, *(() if minus is None else (minus,)))
        self.outputs = ("score",)
        self.provider, self.on_gpu = session.provider, session.on_gpu
        self._source, self._index, self._minus = source, index, minus

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Return ``score`` for arrays by name. Raises: ModelError: the run failed."""
        return self._picked(self.session.run(feeds, [self._source]), feeds)

    def run_placed(
        self, places: Mapping[str, DeviceBuffer], feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
    ) -> dict[str, Array]:
        """Return ``score`` for inputs that lie where they are used. Raises: ModelError: the run failed."""
        return self._picked(self.session.run_placed(places, feeds, [self._source]), feeds)

    def _picked(self, found: Mapping[str, Array], feeds: Mapping[str, Array]) -> dict[str, Array]:
        values = found[self._source]
        score = _columns(values, feeds[self._index])
        return {"score": score if self._minus is None else score - _columns(values, feeds[self._minus])}


def _columns(values: Array, index: Array) -> Array:
    rows = np.arange(len(values))[:, None]
    return values[rows, index.reshape(len(values), -1)].reshape(index.shape)
