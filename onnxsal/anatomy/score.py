"""The score that is explained, as a thing: a program, and what is known of the numbers it puts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph.program import Keeping

_DIGITS = 6
"""Of the ends of a sum."""


Arrays = Mapping[str, NDArray[Any]]

Pick = Callable[[Arrays, Arrays], NDArray[np.float32]]
"""From what the program that predicts puts out and what a score is fed to the score: [B], or [B, T] of T targets whose
feeds have an axis for them behind the batch's."""


@dataclass(frozen=True)
class Picked:
    """A score that is worked out of a head's numbers, as a value of a graph and of numbers that are there already."""

    value: ir.Value
    ends: tuple[float, float] | None
    reads: tuple[str, ...]
    """The outputs of the program that predicts of which it is worked out."""
    pick: Pick


@dataclass(frozen=True)
class Score(Keeping):
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

    reads: tuple[str, ...] = ()
    """The outputs of the program that predicts that ``pick`` reads."""
    pick: Pick | None = field(default=None, compare=False)
    """What works it out of these, so that one run of that serves any target; None where it is a column of ``source``,
    or has to be run itself."""

    size: tuple[int, ...] | None = field(default=None, compare=False)
    """Of the positions of ``sal/x``, where its graph leaves that open."""

    def of(self, coefficients: NDArray[np.float32] | None) -> Score:
        """Return the same program with the ends of a sum of terms that have this one's, times their coefficients.

        Rounded, so that all means have the same ends. Without ends where the coefficients are not known.
        """
        if self.ends is None or coefficients is None or not len(coefficients):
            return replace(self, ends=None)
        terms = np.multiply.outer(np.array(self.ends), coefficients.astype(np.float64))
        low, high = terms.min(axis=0).sum(), terms.max(axis=0).sum()
        return replace(self, ends=(round(float(low), _DIGITS), round(float(high), _DIGITS)))

    def widest(self, *, against: bool = False) -> float | None:
        """Return the largest size of the score, or of what tells it from another one of its kind; None: unbounded."""
        if self.ends is None:
            return None
        low, high = self.ends
        return high - low if against else max(abs(low), abs(high))
