"""Limits beside the number of samples: images through the model, seconds, and an error that is small enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["forwards", "seconds", "tolerance", "interrupted"]

FIRST_LOOK = 10
"""Samples before the error is looked at: of fewer it is hardly known itself."""

FIRST_LOOK_ALLOCATED = 3
"""The same where every draw has noise of its own: the errors of many masks are known together."""

FIRST_LOOK_SPARING = 48
"""Scored masks before it is looked at where scores are foreseen; before, it is hardly known how they go together."""

_GROWTH = 1.25


@dataclass(frozen=True)
class Limits:
    """When to end before the samples are through; None is never."""

    forwards: int | None = None
    seconds: float | None = None
    tolerance: float | None = None
    """Relative standard error of the map: the norm of the errors over the norm of the map."""
    keep_partial: bool = False
    """Whether an interruption (Ctrl-C) gives the map so far instead of ending the run."""

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.forwards is not None or self.seconds is not None or self.tolerance is not None


@dataclass
class Stopper:
    """Says after every batch whether to go on."""

    limits: Limits
    error: Callable[[], float]
    """The relative standard error so far; called rarely, it costs a few tails."""
    started: float = field(default_factory=time.perf_counter)
    _look: int = FIRST_LOOK
    growth: float = _GROWTH
    """How far a look is from the one before."""

    @property
    def look(self) -> int | None:
        """The whole samples after which the error is looked at next; None where it is no matter.

        Their numbers are fixed. A batch that went beyond one would put the end elsewhere than another size of batch.
        """
        return None if self.limits.tolerance is None else self._look

    def reached(self, images: int, samples: int) -> Reason | None:
        """Return the limit that is reached after so many images and whole samples, or None."""
        limits = self.limits
        if limits.forwards is not None and images >= limits.forwards:
            return "forwards"
        if limits.seconds is not None and time.perf_counter() - self.started >= limits.seconds:
            return "seconds"
        if limits.tolerance is not None and samples >= self._look:
            self._look = max(samples + 1, int(samples * self.growth))
            return "tolerance" if self.error() <= limits.tolerance else None
        return None
