"""Rows of tables in an evaluation: metrics change columns as the method does, to those of background rows.

What a metric is given for a row is one number a column: 1 where the column is the row's, 0 where it is a background
row's; the score is the mean over these. So whatever takes columns away or puts them back judges what was explained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.evaluation.items import Item
from onnxsal.evaluation.sources import Found, Making, Subject
from onnxsal.explanation.method_plan import Common, MethodPlan
from onnxsal.explanation.shapley.background import Background, background_of
from onnxsal.explanation.shapley.explain import Options, explain_rows
from onnxsal.explanation.shapley.game import Game
from onnxsal.explanation.shapley.margins import SCORES, Scored, scored
from onnxsal.explanation.target import TargetSource
from onnxsal.fingerprint import fingerprint
from onnxsal.modalities.csv_rows import is_rows_file
from onnxsal.modalities.table import Table
from onnxsal.modalities.table_rows import TableRows
from onnxsal.model import Model, Sample
from onnxsal.model.table import as_table, table_in
from onnxsal.tasks import Target

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def opened_for_rows(model: Model, images: Any) -> Model:
    """Return the model as one of rows of a table where CSV files are judged; else as it is."""
    several = images if isinstance(images, list | tuple) else [images]
    is_vector = model.modality.name == "array" and model.anatomy.entry.input_axes == "NW"
    return as_table(model) if is_vector and all(map(is_rows_file, several)) else model


def of_rows(model: Model, items: Sequence[Item]) -> list[Item]:
    """Return an item for each row of things; the items themselves of a model that takes something else."""
    if not isinstance(model.modality, Table):
        return list(items)
    tables = [table_in(model).rows(each.source, each.name) for each in items]
    return [Item(each.row(at + 1), name) for each in tables for at, name in enumerate(each.names)]


def judged_against(model: Model, given: Any, items: Sequence[Item]) -> Background | None:
    """Return the background rows of a run, None of a model that takes something else.

    Raises: UsageError: one row alone is judged, and none was given.
    """
    if not isinstance(model.modality, Table):
        if given is not None:
            raise UsageError(f"background= is for rows of a table, and this model takes {model.modality.name}")
        return None
    table = table_in(model)
    found = background_of(table, given, table.rows([each.source for each in items]))
    if found.by_covers:
        raise UsageError(
            "background=covers: metrics exchange columns for those of rows; give some, and the covers to the method "
            "alone, shapley[background=covers]"
        )
    return found


def given_of(model: Model, prepared: Sample, goal: Target, background: Doubles) -> dict[str, Any]:
    """Return what metrics judge a row by, of a score and what it is explained by, with all columns and without."""
    assert prepared.row is not None
    kind = "probability" if "probability" in model.task.kinds else None
    width = len(prepared.row)
    scores = {
        name: _mixed(Game(partial(_score, model, _scored(model, kind), goal), prepared.row, background))
        for name, kind in (("score", kind), ("logit", None))
    }
    return {**scores, "x": np.ones((1, 1, width), np.float32), "baseline": np.zeros((1, 1, width), np.float32)}


def _scored(model: Model, kind: str | None) -> Scored:
    found: Scored = model.program(("scored", kind), lambda: scored(model, kind))
    return found


def _score(model: Model, explained: Scored, goal: Target, rows: Doubles) -> Doubles:
    found = model.run_rows(explained.program, rows)[SCORES]
    return np.asarray(found[:, goal.indices].astype(np.float64) @ goal.coefficients)


def _mixed(game: Game) -> Callable[[Floats], Doubles]:
    def score(parts: Floats) -> Doubles:
        shares = parts.reshape(len(parts), -1)
        if not np.isin(shares, (0, 1)).all():
            raise UsageError(
                "a column of a row is the row's or a background row's, and nothing between: metrics that change it by "
                "degrees do not judge rows; deletion, insertion, comprehensiveness, sufficiency and completeness do"
            )
        return game.means(shares[:, game.players] == 1)

    return score


@dataclass(frozen=True)
class ExplainedRows:
    """Values of columns by a method of rows."""

    label: str
    options: Options

    cost = 1
    computed = True

    def identity(self) -> Any:
        """Return method and who brought it, options, score, seed and limits."""
        steps, common = self.options.steps, self.options.common
        own = {**steps.options, "background": fingerprint(steps.options.get("background"))}
        return {
            "method": steps.method.name, "origins": steps.origins(), "options": fingerprint(own),
            "score": self.options.score, "seed": self.options.seed,
            "limits": [common.forwards, common.seconds, common.tolerance],
        }  # fmt: skip

    def map(self, subject: Subject) -> Found:
        """Return the values of a row's columns."""
        (found,) = self.together(subject, [subject.target])
        return found

    def together(self, subject: Subject, targets: Sequence[TargetSource]) -> list[Found]:
        """Return the values for each of several targets."""
        started, sample = time.perf_counter(), subject.prepared
        assert sample.row is not None
        rows = TableRows((sample.name,), sample.row[None], (sample.cells,), sample.columns)
        made = explain_rows(subject.model, rows, targets, self.options)
        took = (time.perf_counter() - started) / len(made)
        known = {*subject.model.notes, *sample.notes}
        return [
            Found(each.saliency, each.raw[None], took, each.manifest["forwards"], 0,
                  tuple(note for note in each.manifest["notes"] if note not in known))
            for each in made
        ]  # fmt: skip

    def maps(self, subject: Subject) -> None:
        """A row that is changed by degrees is none."""

    def randomised(self, subject: Subject) -> None:
        """Trees have no weights that could be drawn anew."""


def explained_rows(
    background: Background | None, given: Making
) -> Callable[[str, MethodPlan, Common], ExplainedRows] | None:
    """Return what makes the source of a method of rows; None where no rows are judged."""
    if background is None:
        return None
    values = background.values

    def made(label: str, steps: MethodPlan, common: Common) -> ExplainedRows:
        told = steps.options.get("background")
        own = replace(steps, options={**steps.options, "background": values if told is None else told})
        return ExplainedRows(label, Options(own, common, given.score, given.seed))

    return made


def about(background: Background | None) -> Mapping[str, Any]:
    """Return what a run says of its background."""
    return {} if background is None else background.about()
