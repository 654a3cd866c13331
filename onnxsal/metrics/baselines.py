"""The pictures that pixels are exchanged for, and pictures seen through a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from onnxsal.errors import UsageError
from onnxsal.kernels.blur import gaussian_blur
from onnxsal.metrics.judgement import Doubles, Floats, Score
from onnxsal.metrics.scoring import BATCH

Baseline: TypeAlias = Literal["black", "zero", "blur", "mean", "pad", "mask"]

OF_TEXTS = ("pad", "mask")
"""Those of texts: the vector of that token in the place of every one that the tokenizer has not added."""


def make_baseline(kind: Baseline, x: Floats, black: Floats | None) -> Floats:
    """Return the picture that pixels are exchanged for, float32 [C, H, W].

    Args:
        kind: ``black`` of the model (zero where it is not given), ``zero`` of its preprocessed domain, ``blur`` of the
            picture (kernel 11, sigma 5), ``mean`` of each channel; of texts the token ``pad`` or ``mask``, which are
            handed over as ``black``.
    Raises: UsageError: it is of texts, and nothing is handed over.
    """
    if kind in OF_TEXTS and black is None:
        raise UsageError(f"to={kind} is a token of texts, and this is none")
    if kind == "blur":
        return gaussian_blur(x, kernel=11, sigma=5.0)
    if kind == "mean":
        return np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)
    return np.zeros_like(x) if kind == "zero" or black is None else np.broadcast_to(black, x.shape)


@dataclass(frozen=True)
class Among:
    """Positions that a baseline changes, as one row of them: what is exchanged there, maps, and the score of both."""

    score: Score
    x: Floats
    """[C, 1, n]."""
    base: Floats
    maps: Doubles
    """[M, 1, n]."""


def among_changed(score: Score, x: Floats, base: Floats, maps: Doubles) -> Among | None:
    """Return the positions at which a baseline differs from what is judged; None where it is the same everywhere."""
    changed = (x != base).any(axis=0)
    if not changed.any():
        return None

    def scored(rows: Floats) -> Doubles:
        whole = np.repeat(x[None], len(rows), axis=0)
        whole[:, :, changed] = rows[:, :, 0]
        return score(whole)

    scored.batch = getattr(score, "batch", BATCH)  # type: ignore[attr-defined]
    return Among(scored, x[:, changed][:, None], base[:, changed][:, None], maps[:, changed][:, None])


def seen_through(weights: Doubles, x: Floats, base: Floats) -> Floats:
    """Return base + (x - base) o weights, the picture where a map [H, W] is 1 and the baseline where it is 0."""
    return base + (x - base) * weights.astype(np.float32)


def stretched(saliency: Doubles) -> Doubles:
    """Return a map that is not flat stretched to [0, 1]."""
    low, high = saliency.min(), saliency.max()
    return np.asarray((saliency - low) / (high - low))
