"""The score that is explained, as a thing: a program, and what is known of the numbers it puts out."""

from __future__ import annotations

from dataclasses import dataclass

from onnxsal.graph import Program


@dataclass(frozen=True)
class Score(Program):
    """A program from the explained value ``sal/x`` to ``score``, float32 [B], and what is known of it.

    Whoever takes a Program can take it. One that somebody wrote is of the kind ``value``: nothing else is known of it.
    """

    kind: str = "value"
    """What its numbers are: ``logit``, ``probability``, ``value``."""
    ends: tuple[float, float] | None = None
    """The least and the greatest number that it can be; None where there are none."""
    source: str | None = None
    """The output, [B, N], of the program that predicts, whose columns it picks: one run of that serves any target. None
    where it has to be run itself."""

    def widest(self, *, against: bool = False) -> float | None:
        """Return the largest size of the score, or of what tells it from another one of its kind; None: unbounded."""
        if self.ends is None:
            return None
        low, high = self.ends
        return high - low if against else max(abs(low), abs(high))
