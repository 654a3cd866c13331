"""TreeEnsemble, ai.onnx.ml 5: branches and leaves in lists of their own, thresholds of the input's type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError
from onnxsal.trees.ensemble import MODES, Doubles, Ensemble
from onnxsal.trees.given import Given
from onnxsal.trees.layout import Links
from onnxsal.trees.older import FAR, LEAF, regression_head, scaled
from onnxsal.trees.source import Branches, Leaves, built
from onnxsal.trees.transforms import TRANSFORMS

AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
MEMBER = MODES.index("BRANCH_MEMBER")


def tree_ensemble(given: Given) -> Ensemble:
    """Return what a TreeEnsemble holds.

    Raises: ModelError: its attributes contradict. UnsupportedError: it takes the smallest or largest of its trees.
    """
    targets = int(given.get("n_targets", 0))
    if targets < 1:
        raise ModelError(f"{given.name}: n_targets is {targets}; there has to be one at least")
    branches, links, kind = _branches(given)
    columns = given.indices("leaf_targetids", (0, targets))
    weights, _ = given.numbers("leaf_weights", len(columns))
    leaves = Leaves(len(branches.mode) - len(columns) + np.arange(len(columns)), columns, weights)
    trees = scaled(
        built(branches, links, leaves, given.name), _named(given, "aggregate_function", 1, AGGREGATES), given.name
    )
    head = regression_head(targets, np.zeros(0), _named(given, "post_transform", 0, TRANSFORMS))
    return trees.finished(head, given.compared_as(kind), given.name)


def _named(given: Given, name: str, default: int, names: tuple[str, ...]) -> str:
    number = int(given.get(name, default))
    if not 0 <= number < len(names):
        raise ModelError(f"{given.name}: {name} is {number}; it goes from 0 to {len(names) - 1}")
    return names[number]


def _branches(given: Given) -> tuple[Branches, Links, np.dtype[np.generic]]:
    """Return branches with the leaves behind them, and how they are linked."""
    features = given.indices("nodes_featureids", (0, FAR))
    count, leaves = len(features), len(given.array("leaf_targetids"))
    modes = given.indices("nodes_modes", (0, len(MODES)), count).astype(np.uint8)
    thresholds, kind = given.numbers("nodes_splits", count)
    member = modes == MEMBER
    sets = _sets(given, int(member.sum()))
    thresholds[member] = np.arange(len(sets))
    missing = np.zeros(count, bool)
    tracks = given.array("nodes_missing_value_tracks_true")[:count]
    missing[: len(tracks)] = tracks == 1
    covers, _ = given.numbers("nodes_hitrates")
    behind = np.zeros(leaves, np.int64)
    branches = Branches(
        np.concatenate([features, behind]), np.concatenate([thresholds, behind]),
        np.concatenate([modes, np.full(leaves, LEAF, np.uint8)]), np.concatenate([missing, behind > 0]),
        np.concatenate([covers, np.full(leaves, np.nan)]) if len(covers) == count and count else None, sets,
    )  # fmt: skip
    return branches, _links(given, count, leaves), kind


def _sets(given: Given, count: int) -> list[Doubles]:
    """Return the members of each set, in the order of the branches that ask: NaN ends one."""
    values, _ = given.numbers("membership_values")
    ends = np.flatnonzero(np.isnan(values))
    sets = [part[~np.isnan(part)] for part in np.split(values, ends)]
    if values.size == 0 or np.isnan(values[-1]):
        sets.pop()
    if len(sets) != count or not all(map(len, sets)):
        empty = ", one of them empty" if sets and not all(map(len, sets)) else ""
        raise ModelError(
            f"{given.name}: membership_values has {len(sets)} sets{empty}, and {count} branches ask for one"
        )
    return sets


def _links(given: Given, count: int, leaves: int) -> Links:
    ends = [_ends(given, side, (count, leaves)) for side in ("true", "false")]
    roots = given.indices("tree_roots", (0, max(count, 1)))
    if not count and len(roots):
        raise ModelError(f"{given.name}: tree_roots has {len(roots)} roots and nodes_featureids no node")
    yes, no = ends
    if count:  # a tree that is one leaf is written as a branch that leads to it either way
        roots = np.where((yes[roots] == no[roots]) & (yes[roots] >= count), yes[roots], roots)
    behind = np.zeros(leaves, np.int64)
    is_leaf = np.arange(count + leaves) >= count
    return Links(roots, np.concatenate([yes, behind]), np.concatenate([no, behind]), is_leaf)


def _ends(given: Given, side: str, sizes: tuple[int, int]) -> NDArray[np.int64]:
    """Return where branches lead if their test holds (``true``) or fails: leaves are counted on behind branches."""
    count, leaves = sizes
    is_leaf = given.array(f"nodes_{side}leafs", count) != 0
    name = f"nodes_{side}nodeids"
    nodes = given.array(name, count).astype(np.int64)
    wrong = np.flatnonzero((nodes < 0) | (nodes >= np.where(is_leaf, leaves, count)))
    if wrong.size:
        at = int(wrong[0])
        kind, most = ("leaf", leaves) if is_leaf[at] else ("branch", count)
        raise ModelError(f"{given.name}: {name} names {kind} {nodes[at]} at place {at}; there are {most}")
    return np.where(is_leaf, nodes + count, nodes)
