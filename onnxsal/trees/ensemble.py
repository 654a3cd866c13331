"""An ensemble of trees as arrays, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.trees import few
from onnxsal.trees.transforms import transformed

Doubles = NDArray[np.float64]

FEW = 5 * 10**5
"""Rows times trees that are walked without a kernel, at most: it takes a second to compile."""

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""Tests of a branch, by their number in TreeEnsemble of ai.onnx.ml 5."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """All trees' nodes in pre-order: where a test holds, the next node follows; where it fails, ``other`` does.

    ``other`` is -1 for a leaf. ``threshold`` of a membership is the number of its set. ``covers`` are None where the
    file carries none.
    """

    feature: NDArray[np.int32]
    threshold: Doubles
    mode: NDArray[np.uint8]
    missing: NDArray[np.bool_]
    other: NDArray[np.int32]
    start: NDArray[np.int64]
    covers: Doubles | None = None


@dataclass(frozen=True, eq=False)
class Sets:
    """Sets of a membership: that of number i is ``values[first[i]:first[i + 1]]``, sorted.

    ``whole`` are those for which ONNX Runtime cuts a number's fraction off before it looks it up.
    """

    first: NDArray[np.int64]
    values: Doubles
    whole: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Weights:
    """What leaves add: of node i, ``weight[first[i]:first[i + 1]]``, each to its ``column``."""

    first: NDArray[np.int64]
    column: NDArray[np.int32]
    weight: Doubles


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trees whose leaves' weights add up; margin = sums @ mix + base, [rows, outputs].

    ``mix`` is the identity, except of a classifier of two classes whose leaves hold the weights of one. ``dtype`` is
    what values are compared as, and ``post_transform`` what the file does to its margins (``scores``).
    """

    nodes: Nodes
    sets: Sets
    weights: Weights
    mix: Doubles
    base: Doubles
    dtype: np.dtype[Any]
    post_transform: str
    name: str

    @property
    def trees(self) -> int:
        """How many trees there are."""
        return len(self.nodes.start) - 1

    @property
    def features(self) -> int:
        """How many columns rows have at least: one more than the largest number of a feature."""
        branches = self.nodes.feature[self.nodes.other >= 0]
        return int(branches.max()) + 1 if branches.size else 0

    @property
    def outputs(self) -> int:
        """How many numbers a row has: targets, or classes."""
        return len(self.base)

    def columns(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows [N, F] as trees read them, [F, N]: in the type that the file compares.

        Raises: UsageError: they are no rows of numbers, or have too few columns.
        """
        values = np.asarray(rows)
        if values.ndim != 2 or values.dtype.kind not in "fiub":
            raise UsageError(f"{self.name}: rows are numbers [N, {self.features}], not {values.dtype} {values.shape}")
        if values.shape[1] < self.features:
            raise UsageError(f"{self.name} reads {self.features} columns; rows have {values.shape[1]}")
        with np.errstate(over="ignore"):
            compared = values.astype(self.dtype, copy=False)
        return np.ascontiguousarray(compared.T, np.float64)  # which holds every narrower float as it is

    def margins(self, rows: NDArray[Any]) -> Doubles:
        """Return what the file says before its post transform, [N, outputs]. Raises: UsageError: see ``columns``."""
        columns = self.columns(rows)
        sums = np.zeros((columns.shape[1], len(self.mix)))
        if columns.shape[1] * self.trees <= FEW:
            few.leaf_sums(sums, columns, self.tests, self.held)
        else:
            from onnxsal.kernels.tree_walk import leaf_sums

            leaf_sums(sums, columns, self.tests, self.held)
        return np.asarray(sums @ self.mix + self.base)

    def scores(self, rows: NDArray[Any]) -> Doubles:
        """Return what the file says, [N, outputs]. Raises: UsageError: see ``columns``."""
        return transformed(self.margins(rows), self.post_transform)

    @property
    def tests(self) -> tuple[Any, ...]:
        """The nodes and sets, as kernels take them."""
        nodes, sets = self.nodes, self.sets
        tests = nodes.feature, nodes.threshold, nodes.mode, nodes.missing, nodes.other, nodes.start
        return (*tests, sets.first, sets.values, sets.whole)

    @property
    def held(self) -> tuple[Any, ...]:
        """The leaves' weights, as kernels take them."""
        return self.weights.first, self.weights.column, self.weights.weight
