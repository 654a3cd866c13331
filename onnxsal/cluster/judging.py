"""The class that judges rows where they are, and what many such judgements are together."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onnxsal.cluster.columns import Batch, Columns
from onnxsal.cluster.worker import Share
from onnxsal.errors import UsageError
from onnxsal.evaluation import Evaluation, Item
from onnxsal.evaluation.detections import Detections
from onnxsal.evaluation.evaluate import evaluate
from onnxsal.evaluation.journal import Journal
from onnxsal.model import Model

JUDGED = "evaluation"
"""The column of results: an Evaluation each, as Ray itself sends objects."""

OF_ONE = ("pictures", "batch")
"""Settings that differ from part to part of a data set: how many pictures, and what their first run told."""


@dataclass(frozen=True)
class Judging:
    """What is done to every row. Attributes: methods, metrics, options: as ``evaluate`` has them."""

    model: Model
    methods: Any
    metrics: Any
    columns: Columns
    share: Share
    options: Mapping[str, Any] = field(default_factory=dict)


class Judge:
    """Rows in, an evaluation of all of them out."""

    def __init__(self, work: Judging) -> None:
        self._work, self._model = work, work.share.opened(work.model)

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Return the evaluation of a batch's rows, as a row itself."""
        return {JUDGED: [pickle.dumps(self.judged(batch))]}

    def judged(self, batch: Batch) -> Evaluation:
        """Return the evaluation of a batch's rows, without small copies of pictures and maps.

        Raises: as ``evaluate``.
        """
        work = self._work
        items = [Item(row.image, row.id, row.target) for row in work.columns.rows(batch)]
        found = evaluate(self._model, items, methods=work.methods, metrics=work.metrics, **work.options)
        return replace(found, journal=Journal())


def together(parts: Iterable[Evaluation]) -> Evaluation:
    """Return evaluations of parts of a data set as one: rows by picture in the order of their names.

    Raises: UsageError: there are none, or their settings differ: workers have different versions.
    """
    several = list(parts)
    if not several:
        raise UsageError("there are no pictures to judge on: the data set is empty")
    first = several[0]
    for each in several:
        _check_alike(first.settings, each.settings)
    left_out = sum((Counter(each.left_out) for each in several), Counter[str]())
    return replace(
        first,
        rows=tuple(sorted((row for each in several for row in each.rows), key=lambda row: row.image)),
        failures=tuple(sorted((one for each in several for one in each.failures), key=lambda one: one.image)),
        settings={**first.settings, "pictures": sum(each.settings["pictures"] for each in several)},
        left_out=dict(left_out), reused=sum(each.reused for each in several),
        detections=_summed([each.detections for each in several if each.detections is not None]),
    )  # fmt: skip


def _check_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for name in one.keys() | other.keys():
        if name not in OF_ONE and one.get(name) != other.get(name):
            raise UsageError(
                f"workers differ in {name!r}: {one.get(name)!r} and {other.get(name)!r}, so that their numbers are no "
                "one evaluation; install the same on all machines"
            )


_COUNTS = ("pictures", "found", "judged", "empty", "ignored", "unknown")


def _summed(several: list[Detections]) -> Detections | None:
    if not several:
        return None
    found: dict[str, Any] = {name: sum(getattr(each, name) for each in several) for name in _COUNTS}
    for name in ("false", "missed"):
        found[name] = tuple(sorted((one for each in several for one in getattr(each, name)), key=lambda one: one.image))
    true = None if any(each.true is None for each in several) else sum(each.true or 0 for each in several)
    notes = tuple(dict.fromkeys(note for each in several for note in each.notes))
    return replace(several[0], true=true, notes=notes, **found)
