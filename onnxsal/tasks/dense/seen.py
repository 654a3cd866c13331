"""Where a model sees its classes on a picture, and what is to be said where it sees none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxsal.tasks.dense.region import Mask
from onnxsal.tasks.dense.scores import DenseScores
from onnxsal.tasks.labels import Labels, is_background
from onnxsal.tasks.limits import told_apart
from onnxsal.tasks.task import Numbers

SURE = 0.5
"""Where a sigmoid says that a position belongs to a class."""


def members(scores: DenseScores, numbers: Numbers) -> Mask:
    """Return which positions belong to which class, [classes, positions]."""
    values = numbers["probability"].reshape(scores.classes, scores.positions)
    if not scores.exclusive:
        return values > SURE
    return np.asarray(values.argmax(axis=0)[None] == np.arange(scores.classes)[:, None])


def foreground(scores: DenseScores, labels: Labels | None) -> NDArray[np.int64]:
    """Return 1 for every class, 0 for those whose labels say that they are background; int64 [classes]."""
    names = () if labels is None or scores.classes == 1 else labels.names
    return np.array([0 if is_background(name) else 1 for name in names] or [1] * scores.classes)


def surest(scores: DenseScores, numbers: Numbers, labels: Labels | None) -> int:
    """Return the class of the highest probability anywhere, that of background aside."""
    most = numbers["probability"].reshape(scores.classes, scores.positions).max(axis=1)
    return int(np.where(foreground(scores, labels) > 0, most, -np.inf).argmax())


def highest(scores: DenseScores, numbers: Numbers, index: int) -> str:
    """Return how sure the model is of a class at most, and why that is no region."""
    value = float(numbers["probability"].reshape(scores.classes, scores.positions)[index].max())
    if scores.exclusive:
        return f"the highest probability is {value:.3g}, and another class has more there"
    told, least = told_apart(value, SURE)
    return f"the highest probability is {told}, and a region is where it is above {least}"


def ask_at(scores: DenseScores, numbers: Numbers, index: int) -> str:
    """Return how to ask for a class where its probability is highest."""
    at = int(numbers["probability"].reshape(scores.classes, scores.positions)[index].argmax())
    places = [(int(i) + 0.5) / n for i, n in zip(np.unravel_index(at, scores.grid), scores.grid, strict=True)]
    flat = len(places) == 2
    point = ", ".join(f"{place:.3f}" for place in (places[::-1] if flat else places))
    asked = f"'{index}@X,Y' in pixels" if flat else f"'{index}@Z,Y,X' in voxels"
    return f"Region({index}, point=({point})), or on a command line -t {asked}"
