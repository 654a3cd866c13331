"""Quantiles of Student's t, for whoever states an interval."""

from __future__ import annotations

NORMAL = 1.959964
"""The 97.5 % quantile of the normal law."""

_TABLE = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306)
"""Student's with 1 to 8 degrees of freedom, where the series is not good enough yet."""


def student(degrees: float) -> float:
    """Return the 97.5 % quantile of Student's t.

    To three decimals where the degrees of freedom are whole, from 5 on to 0.1 % between them; below 5 they are whole.

    Source: the expansion about the normal quantile, Abramowitz and Stegun 1964, 26.7.5.
    """
    if degrees <= len(_TABLE) and float(degrees).is_integer():
        return _TABLE[int(degrees) - 1]
    z = NORMAL
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + sum(term / degrees ** (k + 1) for k, term in enumerate(terms))
