"""What both generations of operators are read into, and the ensemble that is built of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError
from onnxsal.trees.ensemble import Doubles, Ensemble, Nodes, Sets, Weights
from onnxsal.trees.layout import Layout, Links, laid_out

SMALL = 31
"""Sets of fewer values, all from 0 to 30, are looked up as they are; of others ONNX Runtime holds whole numbers."""


@dataclass(frozen=True, eq=False)
class Branches:
    """Nodes as a file lists them, leaves among them; what tests say of a leaf plays no part."""

    feature: NDArray[np.int64]
    threshold: Doubles
    mode: NDArray[np.uint8]
    missing: NDArray[np.bool_]
    covers: Doubles | None
    sets: list[Doubles] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Leaves:
    """Weights as a file lists them: which node's, of which column, how much."""

    node: NDArray[np.int64]
    column: NDArray[np.int64]
    weight: Doubles


@dataclass(frozen=True, eq=False)
class Head:
    """What is made of the sums of the leaves' weights."""

    mix: Doubles
    base: Doubles
    post_transform: str


@dataclass(frozen=True, eq=False)
class Trees:
    """An ensemble without its head: nodes in pre-order and what their leaves add."""

    nodes: Nodes
    sets: Sets
    weights: Weights

    def finished(self, head: Head, dtype: np.dtype[Any], name: str) -> Ensemble:
        """Return the ensemble."""
        return Ensemble(
            self.nodes, self.sets, self.weights, head.mix, head.base, dtype, head.post_transform, name
        )  # fmt: skip


def built(branches: Branches, links: Links, leaves: Leaves, name: str) -> Trees:
    """Return the trees that a file lists. Raises: ModelError: what it lists are no trees."""

    def twice(node: int) -> ModelError:
        return ModelError(f"{name}: two branches lead to the branch at place {node}: a cycle, or no tree")

    layout = laid_out(links, twice)
    source, other = layout.source, layout.other
    covers = None if branches.covers is None else branches.covers[source]
    inside = other >= 0
    if inside.any() and branches.feature[source[inside]].min() < 0:
        raise ModelError(f"{name}: nodes_featureids holds {branches.feature[source[inside]].min()}, which is no column")
    nodes = Nodes(
        branches.feature[source].astype(np.int32), branches.threshold[source], branches.mode[source],
        branches.missing[source], other.astype(np.int32), layout.start, covers,
    )  # fmt: skip
    return Trees(nodes, _sets(branches.sets), _weights(leaves, layout, len(links.yes)))


def _sets(sets: list[Doubles]) -> Sets:
    whole = [
        not (len(values) < SMALL and values.min() >= 0 and values.max() < SMALL)
        and bool((values == np.trunc(values)).all())
        for values in sets
    ]
    first = np.cumsum([0, *map(len, sets)])
    return Sets(first, np.concatenate([np.zeros(0), *map(np.sort, sets)]), np.array(whole, bool))


def _weights(leaves: Leaves, layout: Layout, count: int) -> Weights:
    """Return the weights by node in pre-order; those of branches play no part, as in ONNX Runtime."""
    by_node = np.argsort(leaves.node, kind="stable")
    begin = np.searchsorted(leaves.node[by_node], np.arange(count + 1))
    sizes = np.where(layout.other < 0, np.diff(begin)[layout.source], 0)
    first = np.concatenate([[0], np.cumsum(sizes)])
    within = np.arange(first[-1]) - np.repeat(first[:-1], sizes)
    picked = by_node[np.repeat(begin[:-1][layout.source], sizes) + within]
    return Weights(first, leaves.column[picked].astype(np.int32), leaves.weight[picked])
