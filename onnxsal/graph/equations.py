"""Equations of Einsum with every axis as a letter."""

from __future__ import annotations

import string
from collections.abc import Sequence


def explicit(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return the labels of every operand and of the output, with letters in place of dots.

    Args: ranks: how many axes each operand has.
    """
    left, arrow, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [c for c in string.ascii_letters if c not in equation]
    widths = [r - len(t.replace("...", "")) if "..." in t else 0 for t, r in zip(terms, ranks, strict=True)]
    dots = "".join(free[: max(widths)])
    letters = left.replace("...", "").replace(",", "")
    if not arrow:
        out = ("..." if dots else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    full = [t.replace("...", dots[len(dots) - w :]) for t, w in zip(terms, widths, strict=True)]
    return full, out.replace("...", dots)
