"""Closed forms: scores that are sums of trees and of numbers that depend on one column each.

The score is followed backwards through sums, products with constants and moves. What it is a sum of then is either a
number that depends on one column, whose value is its weight times its distance from the background's mean; or an
ensemble of trees, whose values are exact; or there is no closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError
from onnxsal.explanation.shapley.linear import terms_of
from onnxsal.explanation.shapley.pipeline import NONE, SEVERAL, Columns, columns_in
from onnxsal.graph import Program
from onnxsal.graph.infer import infer_shapes
from onnxsal.graph.program import values_by_name
from onnxsal.model import Model
from onnxsal.trees import Ensemble, ensemble_of, is_ensemble

Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]

OF_TREES = (
    "background=covers: the score is no sum of trees alone whose features depend on one column each; give rows instead"
)

PART = "sal/part/{}"


@dataclass(frozen=True)
class Numbers:
    """Numbers of which each depends on one column, or none: the value's name, their weights [n, N], these columns."""

    name: str
    weights: Doubles
    columns: Labels


@dataclass(frozen=True)
class Trees:
    """An ensemble: the name of what goes into it, its weights [outputs, N], the columns that its features depend on."""

    name: str
    weights: Doubles
    columns: Labels
    ensemble: Ensemble


@dataclass(frozen=True)
class Form:
    """A score as a sum of such parts and a constant [N], and the program that gives what goes into them."""

    parts: tuple[Numbers | Trees, ...]
    constant: Doubles
    program: Program

    @property
    def way(self) -> str:
        """What the values are, in words."""
        trees = sum(isinstance(part, Trees) for part in self.parts)
        linear = len(self.parts) > trees
        return " and ".join(
            [*(["closed form of trees"] if trees else []), *(["closed form of sums"] if linear else [])]
        )

    def against(self, model: Model, background: Doubles) -> Closed:
        """Return it with background rows [n, F]."""
        return Closed(self, model, model.run_rows(self.program, background), background.shape[1])

    def by_covers(self, model: Model, width: int) -> Closed:
        """Return it without background rows. Raises: UnsupportedError: it is not of trees alone."""
        if not all(isinstance(part, Trees) or not (part.columns != NONE).any() for part in self.parts):
            raise UnsupportedError(OF_TREES)
        return Closed(self, model, None, width)


@dataclass(frozen=True)
class Closed:
    """A closed form against background rows: what goes into its parts for each of them."""

    form: Form
    model: Model
    behind: Mapping[str, NDArray[Any]] | None
    """None where trees are followed by their covers."""
    width: int

    @property
    def way(self) -> str:
        """What the values are, in words."""
        return self.form.way if self.behind is not None else "path-dependent form of trees"

    def values(self, rows: Doubles) -> tuple[Doubles, Doubles]:
        """Return the values of every column for every number of the score, [n, F, N], and their base [N]."""
        fed = self.model.run_rows(self.form.program, rows)
        values, base = np.zeros((len(rows), self.width, len(self.form.constant))), self.form.constant.copy()
        for at, part in enumerate(self.form.parts):
            name = PART.format(at)
            behind = None if self.behind is None else self.behind[name]
            own, mean = _values(part, fed[name], behind, self.model.threads)
            values[:, : own.shape[1]] += own
            base += mean
        return values, base


def _values(
    part: Numbers | Trees, rows: NDArray[Any], background: NDArray[Any] | None, threads: int | None
) -> tuple[Doubles, Doubles]:
    """Return the values of a part of a sum, [n, players, N], and the mean of it over the background, [N]."""
    if isinstance(part, Trees):
        from onnxsal.trees.shapley import interventional, path_dependent

        values, base = (
            path_dependent(part.ensemble, rows, part.columns, threads=threads) if background is None
            else interventional(part.ensemble, rows, background, part.columns, threads=threads)
        )  # fmt: skip
        return values @ part.weights, base @ part.weights
    background = rows[:1] if background is None else background  # the same for any row
    mean = background.reshape(len(background), -1).mean(axis=0, dtype=np.float64)
    apart = rows.reshape(len(rows), -1) - mean
    values = np.zeros((len(rows), int(part.columns.max(initial=NONE)) + 1, part.weights.shape[1]))
    for column in range(values.shape[1]):
        own = part.columns == column
        values[:, column] = apart[:, own] @ part.weights[own]
    return values, mean @ part.weights


def closed_form(program: Program, name: str) -> Form | None:
    """Return an output of a program from rows as a sum whose values are known; None where it is no such sum."""
    known = program.model.clone()
    infer_shapes(known)
    graph = known.graph
    columns = columns_in(graph)
    terms = terms_of(graph, values_by_name(graph)[name], columns)
    if terms is None:
        return None
    parts = [_part(value, weights, columns) for value, weights in terms.weights.items()]
    found = tuple(part for part in parts if part is not None)
    if len(found) < len(parts):
        return None
    op = program.extend()
    fed = op.finish_with({PART.format(at): op[part.name] for at, part in enumerate(found)})
    return Form(found, terms.constant, fed)


def _part(value: ir.Value, weights: Doubles, columns: Columns) -> Numbers | Trees | None:
    node = value.producer()
    if node is not None and is_ensemble(node):
        return _trees(node, value, weights, columns)
    labels = columns.of(value)
    if labels is None or not columns.is_by_row(value):
        return None
    own, counts = labels.reshape(-1), weights.any(axis=1)
    if (own[counts] == SEVERAL).any():
        return None
    return Numbers(str(value.name), weights, np.where(counts, own, NONE))


def _trees(node: ir.Node, value: ir.Value, weights: Doubles, columns: Columns) -> Trees | None:
    """Return an ensemble whose margins a value holds, where each feature that it tests depends on one column."""
    labels, source = columns.of(node.inputs[0]), node.inputs[0]
    if labels is None or source is None or value is not node.outputs[-1] or not columns.is_by_row(source):
        return None
    try:
        ensemble = ensemble_of(node)
    except UnsupportedError:  # its answers are no sums: it is played with as any other model
        return None
    own, tested = labels.reshape(-1), np.unique(ensemble.nodes.feature[ensemble.nodes.other >= 0])
    if ensemble.post_transform != "NONE" or len(weights) != ensemble.outputs or (own[tested] == SEVERAL).any():
        return None
    untested = np.setdiff1d(np.arange(own.size), tested)
    own = own.copy()
    own[untested] = max(int(own.max()), 0)  # whose they are changes nothing
    return Trees(str(source.name), weights, own, ensemble)
