"""Maps of a picture's detections by methods whose runs serve them all: made once, and handed to one after another."""

from __future__ import annotations

from collections.abc import Sequence

from onnxsal.errors import ImageError, ModelError, NotSeenError
from onnxsal.evaluation.sources import Found, Source, Subject
from onnxsal.explanation.target import TargetSource

AT_ONCE = 32
"""Detections whose maps are made together at most: of each, sums as large as the picture are kept meanwhile."""


class Together:
    """What is to be explained of one picture. Args: targets: in the order in which their maps are asked for."""

    def __init__(self, targets: Sequence[TargetSource]) -> None:
        self._targets = list(targets)
        self._made: dict[tuple[str, int], Found] = {}
        self._alone: set[str] = set()

    def map(self, source: Source, subject: Subject, at: int) -> Found:
        """Return the map of the target at this place, as ``source.map`` gives it.

        Raises: as ``source.map``.
        """
        found = self._made.pop((source.label, at), None)
        if found is None and source.label not in self._alone:
            found = self._shared(source, subject, at)
        return source.map(subject) if found is None else found

    def _shared(self, source: Source, subject: Subject, at: int) -> Found | None:
        """Make the map with those that come after it; what one of them fails by is told where that one is asked for."""
        try:
            made = source.together(subject, self._targets[at : at + AT_ONCE])
        except (ImageError, ModelError, NotSeenError):
            made = None
        if made is None:
            self._alone.add(source.label)
            return None
        self._made |= {(source.label, at + k): found for k, found in enumerate(made)}
        return self._made.pop((source.label, at))
