"""What a model puts out for inputs that are made up: asked only where neither graph nor words say what it holds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import Anatomy, X
from onnxsal.anatomy.parts import Head
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.modalities.registry import Modality
from onnxsal.model.batch_axis import Probe

Floats = NDArray[np.float32]

SCALES = (0.1, 1.0, 10.0, 100.0)
"""Of noise, one input each: small ones stay near what a model gives for nothing, large ones leave its middle."""


def made_up(anatomy: Anatomy, modality: Modality, session: Probe, head: Head) -> Floats:
    """Return the numbers of a head's first kind, [n, N], for inputs of normal noise of several scales (seed 0)."""
    entry = anatomy.entry
    size = entry.size or tuple(modality.default_size.values())
    noise = np.random.default_rng(0).normal(0, 1, (len(SCALES), 1, entry.channels, *size)).astype(np.float32)
    run, name = session(replace(anatomy, head=head)).run, next(iter(head.kinds.values()))
    return np.concatenate([run({X: np.float32(scale) * x})[name] for scale, x in zip(SCALES, noise, strict=True)])


def last_changed(anatomy: Anatomy, modality: Modality, session: Probe, head: Head) -> Floats:
    """Return the numbers of a head's first kind, [2, N], for noise (seed 0) and the same with another last position.

    None, [0, N], where there is but one position, or running fails. Both are run together where that is taken: int8
    that is scaled by what comes in has one scale for all of it, by which a position would be told of every other one.
    """
    entry = anatomy.entry
    size = entry.size or tuple(modality.default_size.values())
    if size[-1] < 2:
        return np.zeros((0, 1), np.float32)
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (2, 1, entry.channels, *size)).astype(np.float32)
    second[..., :-1] = first[..., :-1]
    run = partial(_run, anatomy, session, head)
    for each in ((np.concatenate([first, second]),), (first, second)):
        try:
            found = np.concatenate([run(x) for x in each])
        except (ModelError, UnsupportedError):  # loading is no place to tell of it
            continue
        if len(found) == 2:
            return found
    return np.zeros((0, 1), np.float32)


def _run(anatomy: Anatomy, session: Probe, head: Head, x: Floats) -> Floats:
    found: Floats = session(replace(anatomy, head=head)).run({X: x})[next(iter(head.kinds.values()))]
    return found


__all__ = ["SCALES", "last_changed", "made_up"]
