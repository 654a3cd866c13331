"""What is explained is finite: refusals that say how many numbers are not, and where the first one stands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import OnnxsalError, UsageError


def check_finite(
    x: NDArray[Any], name: str, *, error: type[OnnxsalError] = UsageError, things: str = "numbers", batch: bool = True
) -> None:
    """Refuse what holds NaN or infinity.

    Args: name: as a message begins, quoted where it is a file's. batch: whether the first axis is the batch's, which
    whoever hands over one thing does not know.
    Raises: UsageError: it does, or what ``error`` says.
    """
    if not np.isfinite(x).all():
        raise error(f"{name} holds {things} that are not finite{how_many(x, batch=batch)}")


def how_many(x: NDArray[Any], *, batch: bool = True) -> str:
    """Return how many are not finite, and where the first one is; nothing where all are."""
    at = np.argwhere(~np.isfinite(x))
    return (
        f": {len(at)} of {x.size} are NaN or infinite, the first at {at[0, int(batch) :].tolist()}" if len(at) else ""
    )
