"""What ONNX Runtime makes of a classifier's sums: of two classes it depends on whose weights the leaves hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.trees.ensemble import Doubles
from onnxsal.trees.given import Given
from onnxsal.trees.source import Head, Trees


def class_head(trees: Trees, base: Doubles, held: tuple[Doubles, NDArray[Any]], given: Given) -> Head:
    """Return what becomes of a classifier's sums, one column a class.

    Raises: ModelError: base values of another number. UnsupportedError: scores are no sums of leaves' weights.
    """
    classes = len(given.get("classlabels_strings", ())) or len(given.get("classlabels_int64s", ()))
    transform = str(given.get("post_transform", "NONE"))
    allowed = (0, classes) if classes > 2 else (0, 1, 2) if classes == 2 else (0, 1)
    if base.size not in allowed:
        raise ModelError(f"{given.name}: base_values has {base.size} values, not {' or '.join(map(str, allowed))}")
    if classes != 2:
        shown = "NONE" if classes == 1 else transform  # of one class ONNX Runtime transforms nothing
        return Head(np.eye(classes), base if base.size else np.zeros(classes), shown)
    return _two_classes(trees, base, held, (given.name, transform))


def _two_classes(trees: Trees, base: Doubles, held: tuple[Doubles, NDArray[Any]], said: tuple[str, str]) -> Head:
    name, transform = said
    weights, ids = held
    present = set(np.unique(ids).tolist())
    if present <= {0}:
        return _one_column(base, bool((weights >= 0).all()), name, transform)
    if base.size == 2:
        raise UnsupportedError(
            f"{name}: with two base_values and weights of class 1 ONNX Runtime leaves class 1's trees out of its "
            "scores; export the model with one base value, or none"
        )
    if present == {1}:
        return Head(np.eye(2), np.zeros(2), transform)  # ONNX Runtime leaves one base value out here
    if not _always(trees, 1) or (base.size and not _always(trees, 0)):
        raise UnsupportedError(
            f"{name}: some leaves have a weight for one class only, so that ONNX Runtime's scores of the two classes "
            "are no sums; export the model with both weights at every leaf"
        )
    return Head(np.eye(2), np.array([base[0] if base.size else 0.0, 0.0]), transform)


def _one_column(base: Doubles, positive: bool, name: str, transform: str) -> Head:
    """Return the head of weights for class 0 alone, which are those of the second score."""
    if base.size == 2:
        return Head(np.eye(2), np.array([base[0], 0.0]), transform)
    if transform == "PROBIT":
        raise UnsupportedError(f"{name}: PROBIT of two classes with the weights of one is defined nowhere")
    given = float(base.sum())
    if positive and transform != "LOGISTIC":  # weights are shares of a vote
        return Head(np.array([[-1.0, 1.0], [0.0, 0.0]]), np.array([1 - given, given]), "NONE")
    shown = transform if transform == "LOGISTIC" else "NONE"
    return Head(np.array([[-1.0, 1.0], [0.0, 0.0]]), np.array([-given, given]), shown)


def _always(trees: Trees, column: int) -> bool:
    """Return whether every row meets a weight of this class: some tree has one at each of its leaves."""
    nodes, held = trees.nodes, trees.weights
    owners = np.repeat(np.arange(len(nodes.other)), np.diff(held.first))
    has = nodes.other >= 0
    has[owners[held.column == column]] = True
    begins = nodes.start[:-1]
    return bool(begins.size and np.logical_and.reduceat(has, begins).any())
