"""Scores beside the limit that decides about them, in words."""

from __future__ import annotations


def exact(number: float) -> str:
    """Return a number as its user wrote it, with as many digits as it has."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


def told_apart(score: float, limit: float) -> tuple[str, str]:
    """Return a score, of three digits or of as many as show on which side of a limit it is, and that limit."""
    written = exact(limit)
    side = (score > limit) - (score < limit)
    for digits in range(3, 17):
        told = f"{score:.{digits}g}"
        if (float(told) > limit) - (float(told) < limit) == side:
            return told, written
    return repr(float(score)), written
