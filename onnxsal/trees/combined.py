"""Ensembles made of others: sums of several, functions of one tree, trees behind a selection of columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.trees.ensemble import Doubles, Ensemble, Nodes, Sets, Weights


def over(ensemble: Ensemble, columns: NDArray[Any]) -> Ensemble:
    """Return the ensemble of rows of which it read only ``columns``, such as those that a Gather picks.

    Raises: UsageError: it reads more columns than there are in ``columns``, or one is negative.
    """
    picked = np.asarray(columns, np.int64)
    if len(picked) < ensemble.features or (picked < 0).any():
        raise UsageError(f"{ensemble.name} reads {ensemble.features} columns; {picked.tolist()} are picked")
    nodes = ensemble.nodes
    feature = np.where(nodes.other >= 0, nodes.feature, 0)
    return replace(ensemble, nodes=replace(nodes, feature=np.append(picked, 0)[feature].astype(np.int32)))


def mapped(ensemble: Ensemble, function: Callable[[Doubles], NDArray[Any]], name: str) -> Ensemble:
    """Return an ensemble of one tree whose margins are a function of another's: each leaf says what becomes of it.

    Args:
        ensemble: of one tree, such as one whose leaves are numbered and whose numbers are looked up.
        function: of margins [N, outputs], row by row; returns [N, other outputs].
        name: of the result, in messages.

    Raises: UnsupportedError: there are several trees, and a function of a sum is no sum.
    """
    if ensemble.trees != 1:
        raise UnsupportedError(
            f"{ensemble.name} has {ensemble.trees} trees; a function of their sum is no sum of trees"
        )
    leaves = np.flatnonzero(ensemble.nodes.other < 0)
    said = np.asarray(function(_said(ensemble)[leaves]), np.float64).reshape(len(leaves), -1)
    return replace(_dense(ensemble, leaves, said), name=name, post_transform="NONE")


def added(ensembles: Sequence[Ensemble], factors: Sequence[float] | None = None, name: str = "sum") -> Ensemble:
    """Return one ensemble whose margins are the sum of others', each times its factor (1 by default).

    Raises: UsageError: there is none, or they differ in outputs or in the type that they compare.
    """
    if not ensembles:
        raise UsageError(f"{name}: a sum of no ensembles")
    if len({(each.outputs, each.dtype) for each in ensembles}) > 1:
        shapes = ", ".join(f"{each.name} ({each.outputs} outputs, {each.dtype})" for each in ensembles)
        raise UsageError(f"{name}: outputs or types differ: {shapes}")
    by = [1.0] * len(ensembles) if factors is None else list(factors)
    mixed = [_mixed(each, factor) for each, factor in zip(ensembles, by, strict=True)]
    nodes, sets = _joined_nodes(mixed)
    weights = Weights(
        _stacked([each.weights.first for each in mixed]),
        np.concatenate([each.weights.column for each in mixed]),
        np.concatenate([each.weights.weight for each in mixed]),
    )
    base = np.sum([factor * each.base for each, factor in zip(ensembles, by, strict=True)], axis=0)
    return Ensemble(nodes, sets, weights, np.eye(len(base)), base, ensembles[0].dtype, "NONE", name)


def _said(ensemble: Ensemble) -> Doubles:
    """Return what a row's margins are that ends in each node, of one tree: [nodes, outputs]."""
    held = ensemble.weights
    sums = np.zeros((len(ensemble.nodes.other), len(ensemble.mix)))
    np.add.at(sums, (np.repeat(np.arange(len(sums)), np.diff(held.first)), held.column), held.weight)
    return np.asarray(sums @ ensemble.mix + ensemble.base)


def _dense(ensemble: Ensemble, leaves: NDArray[Any], said: Doubles) -> Ensemble:
    """Return an ensemble whose leaves say this, [leaves, outputs], and nothing else."""
    counts = np.zeros(len(ensemble.nodes.other), np.int64)
    counts[leaves] = said.shape[1]
    columns = np.tile(np.arange(said.shape[1], dtype=np.int32), len(leaves))
    weights = Weights(np.concatenate([[0], np.cumsum(counts)]), columns, said.ravel())
    outputs = said.shape[1]
    return replace(ensemble, weights=weights, mix=np.eye(outputs), base=np.zeros(outputs))


def _mixed(ensemble: Ensemble, factor: float) -> Ensemble:
    """Return an ensemble whose weights are those of outputs, times a factor."""
    held, mix = ensemble.weights, ensemble.mix * factor
    if (ensemble.mix == np.eye(*ensemble.mix.shape)).all():
        return replace(ensemble, weights=Weights(held.first, held.column, held.weight * factor))
    outputs = mix.shape[1]
    weight = (held.weight[:, None] * mix[held.column]).ravel()
    columns = np.tile(np.arange(outputs, dtype=np.int32), len(held.weight))
    return replace(ensemble, weights=Weights(held.first * outputs, columns, weight))


def _joined_nodes(ensembles: Sequence[Ensemble]) -> tuple[Nodes, Sets]:
    offsets = np.cumsum([0, *(len(each.nodes.other) for each in ensembles)])
    before = np.cumsum([0, *(len(each.sets.whole) for each in ensembles)])
    every = [each.nodes for each in ensembles]
    thresholds = [
        np.where(nodes.mode == 6, nodes.threshold + many, nodes.threshold)
        for nodes, many in zip(every, before[:-1], strict=True)
    ]
    other = [np.where(n.other < 0, -1, n.other + offset) for n, offset in zip(every, offsets[:-1], strict=True)]
    covers = [nodes.covers for nodes in every if nodes.covers is not None]
    nodes = Nodes(
        np.concatenate([nodes.feature for nodes in every]), np.concatenate(thresholds),
        np.concatenate([nodes.mode for nodes in every]), np.concatenate([nodes.missing for nodes in every]),
        np.concatenate(other).astype(np.int32), _stacked([nodes.start for nodes in every]),
        np.concatenate(covers) if len(covers) == len(every) else None,
    )  # fmt: skip
    sets = [each.sets for each in ensembles]
    whole = np.concatenate([each.whole for each in sets])
    return nodes, Sets(_stacked([each.first for each in sets]), np.concatenate([each.values for each in sets]), whole)


def _stacked(firsts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return beginnings, each list's end behind its last, as those of all lists one behind the other."""
    ends = np.cumsum([0, *(int(first[-1]) for first in firsts)])
    shifted = [first[:-1] + end for first, end in zip(firsts, ends[:-1], strict=True)]
    return np.concatenate([*shifted, ends[-1:]]).astype(np.int64)
