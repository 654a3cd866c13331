"""TreeEnsembleRegressor and TreeEnsembleClassifier, ai.onnx.ml 1 to 3: nodes by number of tree and number in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.trees.classes import class_head
from onnxsal.trees.ensemble import MODES, Ensemble, Weights
from onnxsal.trees.given import Given
from onnxsal.trees.layout import Links
from onnxsal.trees.source import Branches, Head, Leaves, Trees, built

LEAF = len(MODES)
FAR = 1 << 31


def regressor(given: Given) -> Ensemble:
    """Return what a TreeEnsembleRegressor holds.

    Raises: ModelError: its attributes contradict. UnsupportedError: it takes the smallest or largest of its trees.
    """
    targets = int(given.get("n_targets", 0))
    if targets < 1:
        raise ModelError(f"{given.name}: n_targets is {targets}; there has to be one at least")
    trees, dtype = _trees(given, "target", targets)
    base, _ = given.numbers("base_values")
    if base.size not in (0, targets):
        raise ModelError(f"{given.name}: base_values has {base.size} values, not {targets}")
    transform = str(given.get("post_transform", "NONE"))
    averaged = scaled(trees, str(given.get("aggregate_function", "SUM")), given.name)
    head = regression_head(targets, base, transform)
    return averaged.finished(head, dtype, given.name)


def regression_head(targets: int, base: NDArray[np.float64], transform: str) -> Head:
    """Return sums as they are, with ``base`` or nothing; of one target ONNX Runtime computes PROBIT alone."""
    shown = transform if targets > 1 or transform == "PROBIT" else "NONE"
    return Head(np.eye(targets), base if base.size else np.zeros(targets), shown)


def scaled(trees: Trees, aggregate: str, name: str) -> Trees:
    """Return trees whose sum is the aggregate. Raises: UnsupportedError: a minimum or maximum is no sum."""
    if aggregate in ("MIN", "MAX"):
        raise UnsupportedError(f"{name}: aggregate_function {aggregate} is no sum over trees, so no exact values")
    if aggregate not in ("SUM", "AVERAGE"):
        raise ModelError(f"{name}: aggregate_function {aggregate!r}; it is SUM, AVERAGE, MIN or MAX")
    count = len(trees.nodes.start) - 1
    if aggregate == "SUM" or not count:
        return trees
    held = trees.weights
    return replace(trees, weights=Weights(held.first, held.column, held.weight / count))


def classifier(given: Given) -> Ensemble:
    """Return what a TreeEnsembleClassifier holds.

    Raises: ModelError: its attributes contradict. UnsupportedError: ONNX Runtime's scores of it are no sums.
    """
    classes = len(given.get("classlabels_strings", ())) or len(given.get("classlabels_int64s", ()))
    if not classes:
        raise ModelError(f"{given.name}: neither classlabels_strings nor classlabels_int64s names a class")
    trees, dtype = _trees(given, "class", classes)
    base, _ = given.numbers("base_values")
    weights, _ = given.numbers("class_weights")
    head = class_head(trees, base, (weights, given.array("class_ids")), given)
    return trees.finished(head, dtype, given.name)


def _trees(given: Given, what: str, columns: int) -> tuple[Trees, np.dtype[np.generic]]:
    numbers, count = _numbered(given)
    modes = _modes(given, count)
    thresholds, kind = given.numbers("nodes_values", count)
    covers, _ = given.numbers("nodes_hitrates")
    missing = np.zeros(count, bool)
    tracks = given.array("nodes_missing_value_tracks_true")[:count]
    missing[: len(tracks)] = tracks == 1
    features = given.indices("nodes_featureids", (-FAR, FAR), count)
    branches = Branches(features, thresholds, modes, missing, covers if len(covers) == count and count else None)
    trees = built(branches, _links(given, numbers, modes == LEAF), _leaves(given, what, (columns, numbers)), given.name)
    if columns == 1 and np.diff(trees.weights.first).max(initial=0) > 1:
        raise ModelError(f"{given.name}: a leaf has two weights for the only {what}; ONNX Runtime would read one")
    return trees, given.compared_as(kind)


def _numbered(given: Given) -> tuple[NDArray[np.int64], int]:
    """Return tree and number of every node, as one number each. Raises: ModelError: two nodes have the same."""
    ids = given.indices("nodes_nodeids", (0, FAR))
    trees = given.indices("nodes_treeids", (0, FAR), len(ids))
    numbers = _joined(trees, ids)
    unique, counts = np.unique(numbers, return_counts=True)
    if (counts > 1).any():
        tree, node = divmod(int(unique[counts > 1][0]), FAR)
        raise ModelError(f"{given.name}: nodes_nodeids has node {node} of tree {tree} twice")
    return numbers, len(ids)


def _joined(trees: NDArray[np.int64], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    return trees * FAR + nodes


def _modes(given: Given, count: int) -> NDArray[np.uint8]:
    known = {name: number for number, name in enumerate((*MODES[:-1], "LEAF"))} | {"LEAF": LEAF}
    texts = list(given.get("nodes_modes", ()))
    if len(texts) != count:
        raise ModelError(f"{given.name}: nodes_modes has {len(texts)} values, not {count}")
    if strange := set(texts) - set(known):
        raise ModelError(f"{given.name}: nodes_modes holds {sorted(strange)[0]!r}; known are {', '.join(known)}")
    return np.array([known[text] for text in texts], np.uint8)


def _links(given: Given, numbers: NDArray[np.int64], is_leaf: NDArray[np.bool_]) -> Links:
    trees = numbers // FAR
    begins = np.flatnonzero(np.diff(trees, prepend=-1))
    if len(np.unique(trees[begins])) != len(begins):
        raise ModelError(f"{given.name}: nodes_treeids goes back to a tree that it had left; runtimes would read two")
    ends = []
    for name in ("nodes_truenodeids", "nodes_falsenodeids"):
        nodes = given.array(name, len(numbers)).astype(np.int64)
        end = np.zeros(len(numbers), np.int64)
        end[~is_leaf] = _found(given, name, numbers, (trees[~is_leaf], nodes[~is_leaf]))
        ends.append(end)
    return Links(begins, ends[0], ends[1], is_leaf)


def _found(
    given: Given, name: str, numbers: NDArray[np.int64], asked: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Return where the nodes of these trees and numbers stand. Raises: ModelError: one is nowhere."""
    trees, nodes = asked
    wanted = np.where(nodes < 0, -1, _joined(trees, nodes))
    order = np.argsort(numbers)
    places = np.searchsorted(numbers[order], wanted)
    found = np.append(order, 0)[places]
    nowhere = np.flatnonzero(np.append(numbers, -2)[np.where(places < len(order), found, -1)] != wanted)
    if nowhere.size:
        at = int(nowhere[0])
        raise ModelError(f"{given.name}: {name} names node {nodes[at]} of tree {trees[at]}, which is not there")
    return found


def _leaves(given: Given, what: str, parts: tuple[int, NDArray[np.int64]]) -> Leaves:
    columns, numbers = parts
    ids = given.indices(f"{what}_ids", (0, columns))
    nodes = given.indices(f"{what}_nodeids", (0, FAR), len(ids))
    trees = given.indices(f"{what}_treeids", (0, FAR), len(ids))
    weights, _ = given.numbers(f"{what}_weights", len(ids))
    return Leaves(_found(given, f"{what}_nodeids", numbers, (trees, nodes)), ids, weights)
