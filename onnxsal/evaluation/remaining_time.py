"""How far a run is, and how much longer it takes."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Counts pictures. Those that the journal knew take no time and say nothing about the ones to come."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done, self.name = total, 0, ""
        self._clock, self._worked, self._spent = clock, 0, 0.0
        self._since = clock()

    def now(self, name: str) -> Pace:
        """Return the pace at the moment, with the name of the picture in work."""
        self.name = name
        return self

    def step(self, *, worked: bool) -> None:
        """Count a picture."""
        passed, self._since = self._clock() - self._since, self._clock()
        self.done += 1
        if worked:
            self._worked += 1
            self._spent += passed

    @property
    def left(self) -> float | None:
        """Seconds until the end, if the rest takes as long as what was worked on; None before there is any."""
        return None if not self._worked else self._spent / self._worked * (self.total - self.done)
