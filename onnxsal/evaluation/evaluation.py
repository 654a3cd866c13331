"""What ``onnxsal.evaluate`` gives: rows, their summary, and the files that they are written to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from onnxsal.evaluation.detections import Detections
from onnxsal.evaluation.export import to_csv, to_json, to_parquet
from onnxsal.evaluation.journal import Journal
from onnxsal.evaluation.results import nouns_in
from onnxsal.evaluation.rows import About, Failure, Row
from onnxsal.evaluation.statistics import PROCEDURE
from onnxsal.evaluation.summary import Summary, notes, summarise, text_table
from onnxsal.modalities.nouns import spoken


@dataclass(frozen=True)
class Evaluation:
    """Methods judged on pictures.

    Attributes:
        rows: one an image x method x metric.
        failures: pictures and maps that could not be judged, with the reason.
        metrics: what each metric rewards, and whether higher is better.
        settings: everything that the values depend on.
        left_out: pictures that a metric had to leave out because their object is not in view, by its name.
        reused: how many rows were in the journal already.
        detections: of a detector what it found on all pictures, held against the true boxes.
    """

    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    metrics: tuple[About, ...]
    settings: Mapping[str, Any]
    left_out: Mapping[str, int] = field(default_factory=dict)
    reused: int = 0
    journal: Journal = field(default_factory=Journal, repr=False, compare=False)
    """Small copies of pictures and maps, for the report."""
    detections: Detections | None = None

    @cached_property
    def summary(self) -> Summary:
        """Means with intervals and the differences between methods, by metric."""
        return summarise(self.rows, self.metrics, nouns_in(self.settings))

    @property
    def _procedure(self) -> str:
        return spoken(PROCEDURE, nouns_in(self.settings))

    def table(self, width: int | None = None) -> str:
        """Return the summary as text: a line a method, a column a metric, 95 % intervals.

        Args: width: characters a line; where they are too few for all metrics, there are several tables.

        ``*`` stands at the best method of a metric and at those that may equal it: whose paired difference from it is
        not more than chance (sign-flip test, Holm's correction over all pairs of methods under the metric).
        """
        found = [] if self.detections is None else ["", *self.detections.says()]
        if not self.rows:
            return "\n".join(["no results", *found])
        return "\n".join([text_table(self.summary, width), "", *notes(self.summary), *found])

    def about(self) -> dict[str, Any]:
        """Return what is to know of the run as plain data: settings, summary, differences, failures."""
        summary = self.summary
        return {
            "settings": dict(self.settings), "statistics": self._procedure,
            "summary": {m: {name: vars(mean) for name, mean in each.items()} for m, each in summary.means.items()},
            "differences": {m: [{**vars(d), "more_than_chance": d.more_than_chance} for d in each]
                            for m, each in summary.differences.items()},
            "higher_is_better": {m.name: m.higher_is_better for m in self.metrics},
            "failures": [vars(each) for each in self.failures], "left_out": dict(self.left_out),
            **({} if self.detections is None else {"detections": self.detections.plain()}),
        }  # fmt: skip

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows, a line each; curves are left out. Raises: OutputError: it cannot be written."""
        to_csv(self.rows, path)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write settings, summary, differences, and rows with their curves. Raises: OutputError."""
        to_json(self.rows, self.about(), path)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as typed columns. Raises: EnvironmentSetupError: pyarrow is missing. OutputError."""
        to_parquet(self.rows, {"settings": dict(self.settings), "statistics": self._procedure}, path)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one self-contained HTML page: tables, curves, best and worst examples, settings.

        Raises: OutputError: it cannot be written.
        """
        from onnxsal.evaluation.report.evaluation import write_report

        write_report(self, path)
