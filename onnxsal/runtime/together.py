"""Whether the rows of a batch change each other: the same rows run alone and together.

A batch axis that a file leaves open promises nothing: normalisation over the whole tensor, batch normalisation in
training mode and dynamic quantisation mix the pictures of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.runtime.session import Session, Verdict

Arrays = Mapping[str, NDArray[Any]]

ROUNDING = 1e-5
"""Of the outputs' span. What kernels round otherwise for batches of another size was measured to stay below 6e-7 of it,
on trained models in float32, float16 and int8, scores and gradients."""

OTHER_SIZE = 2e-2
"""Of the span, where other rows beside it change nothing: what a batch of another size alone may change."""


def hold(session: Session, feeds: Arrays, together: Arrays, rows: Sequence[int]) -> None:
    """Compare rows of a batch with the same rows alone, once a session; what differs runs row by row from then on.

    Of several threads the first compares; what another one ran together meanwhile is as wrong as its own.
    Args: feeds: [n, ...] each. together: what the session put out for them. rows: those that are run alone.
    Rows that all give the same prove nothing: the verdict then stays open.
    """
    with session.rows.lock:
        if session.verdict is None:
            session.rows.settle(_verdict(session, feeds, together, rows))


def _verdict(session: Session, feeds: Arrays, together: Arrays, rows: Sequence[int]) -> Verdict | None:
    names = list(together)
    alone = [session.run(_row(feeds, i), names) for i in rows]
    if not all(_alike(together[name], one[name], len(_first(feeds))) for one in alone for name in names):
        return "mixes"
    scales = {name: _scale([one[name] for one in alone] + [together[name]]) for name in names}
    apart = [_apart(one, _row(together, i), scales) for i, one in zip(rows, alone, strict=True)]
    worst = int(np.argmax(apart))
    if apart[worst] <= ROUNDING:
        return "free" if _differ(together, scales) else None
    if _apart(session.run(_row(feeds, rows[worst]), names), alone[worst], scales) > ROUNDING:
        return "draws"
    changed = _by_company(session, feeds, together, rows[worst], scales)
    return "mixes" if changed > ROUNDING or apart[worst] > OTHER_SIZE else "free"


def _by_company(session: Session, feeds: Arrays, together: Arrays, row: int, scales: Mapping[str, float]) -> float:
    """Return how far a row moves at its place beside copies of itself: the size, and so the rounding, is the same."""
    copies = {name: np.repeat(_row(feeds, row)[name], len(array), axis=0) for name, array in feeds.items()}
    beside = session.run(copies, list(together))
    return _apart(_row(beside, row), _row(together, row), scales)


def _first(feeds: Arrays) -> NDArray[Any]:
    return next(iter(feeds.values()))


def _row(arrays: Arrays, index: int) -> dict[str, NDArray[Any]]:
    return {name: array[index : index + 1] for name, array in arrays.items()}


def _alike(together: NDArray[Any], alone: NDArray[Any], rows: int) -> bool:
    """Whether both have a row a picture, of the same shape."""
    return together.ndim > 0 and len(together) == rows and alone.shape == (1, *together.shape[1:])


def _scale(arrays: Sequence[NDArray[Any]]) -> float:
    """Return the span of the outputs, or a hundredth of their size where they hardly differ."""
    finite = np.concatenate([a[np.isfinite(a)].reshape(-1).astype(np.float64) for a in arrays])
    return max(float(np.ptp(finite)), 0.01 * float(np.abs(finite).max())) if finite.size else 0.0


def _apart(one: Arrays, other: Arrays, scales: Mapping[str, float]) -> float:
    return max(_distance(one[name], other[name], scales[name]) for name in scales)


def _distance(one: NDArray[Any], other: NDArray[Any], scale: float) -> float:
    finite = np.isfinite(one)
    if (finite != np.isfinite(other)).any():
        return float("inf")
    distance = float(np.abs(one[finite].astype(np.float64) - other[finite]).max(initial=0.0))
    return distance / scale if distance else 0.0


def _differ(together: Arrays, scales: Mapping[str, float]) -> bool:
    """Whether some row gives something else than the first: only then a lack of change says something."""
    return any(_distance(a[i], a[0], scales[name]) > ROUNDING for name, a in together.items() for i in range(1, len(a)))
