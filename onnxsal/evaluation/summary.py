"""Rows brought together: a mean with its interval for each method and metric, and who is better than whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from onnxsal.evaluation.rows import About, Row
from onnxsal.evaluation.statistics import Difference, Mean, Values, differences, means
from onnxsal.modalities.nouns import Nouns, nouns_of


@dataclass(frozen=True)
class Summary:
    """What rows say of each method under each metric."""

    methods: tuple[str, ...]
    metrics: tuple[About, ...]
    values: Mapping[str, Values]
    """Values by metric, method and picture, or detection."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """The pictures that detections are on."""
    nouns: Nouns = field(default_factory=lambda: nouns_of("image"))

    @property
    def things(self) -> str:
        """What values are counted in."""
        return "detections" if self.owners else self.nouns.things

    @cached_property
    def means(self) -> dict[str, dict[str, Mean]]:
        """Means with intervals, by metric and method."""
        return {
            metric.name: means(self.values[metric.name], metric.ends, owners=self.owners) for metric in self.metrics
        }

    @cached_property
    def differences(self) -> dict[str, list[Difference]]:
        """All pairs of methods compared, by metric."""
        return {
            metric.name: differences(self.values[metric.name], metric.ends, owners=self.owners)
            for metric in self.metrics
        }

    def best(self, metric: About) -> str | None:
        """Return the method of the best mean; None where no method has a value."""
        known = {m: mean.value for m, mean in self.means[metric.name].items() if mean.n}
        pick = max if metric.higher_is_better else min
        return pick(known, key=lambda name: known[name]) if known else None

    def level(self, metric: About) -> set[str]:
        """Return the best method, and those whose difference from it may be chance."""
        best = self.best(metric)
        if best is None:
            return set()
        behind = {m for d in self.differences[metric.name] if d.more_than_chance and best in (d.a, d.b)
                  for m in (d.a, d.b)} - {best}  # fmt: skip
        return {m for m, mean in self.means[metric.name].items() if mean.n} - behind


def summarise(rows: Sequence[Row], metrics: Sequence[About], nouns: Nouns | None = None) -> Summary:
    """Return the summary of rows; methods come in the order in which they appear."""
    methods = tuple(dict.fromkeys(row.method for row in rows))
    values: dict[str, dict[str, dict[str, float]]] = {each.name: {} for each in metrics}
    for row in rows:
        values[row.metric].setdefault(row.method, {})[row.name] = row.value
    owners = {row.name: row.image for row in rows if row.detection is not None}
    ordered = {metric: {m: each[m] for m in methods if m in each} for metric, each in values.items()}
    return Summary(methods, tuple(metric for metric in metrics if ordered[metric.name]), ordered, owners,
                   nouns or nouns_of("image"))  # fmt: skip


def text_table(summary: Summary, width: int | None = None) -> str:
    """Return the summary as a table to read: means with intervals, ``*`` at the best and what may equal it.

    Args: width: characters a line; where they are too few for all metrics, there are several tables.
    """
    first = _column("method", list(summary.methods), str.ljust)
    columns = [_column(_head(m), [_cell(summary, m, each) for each in summary.methods], str.rjust)
               for m in summary.metrics]  # fmt: skip
    return "\n\n".join(_lines([first, *block]) for block in _blocks(first, columns, width))


def _head(metric: About) -> str:
    return f"{metric.name} {'↑' if metric.higher_is_better else '↓'}"


def _column(head: str, cells: Sequence[str], aligned: Callable[[str, int], str]) -> list[str]:
    size = max(map(len, [head, *cells]))
    return [aligned(cell, size) for cell in [head, *cells]]


def _blocks(first: list[str], columns: Sequence[list[str]], width: int | None) -> list[list[list[str]]]:
    """Columns by tables that fit the width; a column that fits none has a table of its own."""
    blocks: list[list[list[str]]] = [[]]
    for column in columns:
        used = len(first[0]) + sum(2 + len(each[0]) for each in (*blocks[-1], column))
        if width is not None and used > width and blocks[-1]:
            blocks.append([])
        blocks[-1].append(column)
    return blocks


def _lines(columns: Sequence[list[str]]) -> str:
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def _cell(summary: Summary, metric: About, method: str) -> str:
    mean = summary.means[metric.name].get(method)
    if mean is None or not mean.n:
        return "-"
    mark = "*" if method in summary.level(metric) else " "
    ends = f" [{mean.low:.3f}, {mean.high:.3f}]" if mean.low == mean.low else ""
    return f"{mean.value:.3f}{ends}{mark}"


def notes(summary: Summary) -> list[str]:
    """Return the sentences that explain the table."""
    if not summary.metrics:
        return []
    counts = {mean.n for each in summary.means.values() for mean in each.values()}
    lines = ["↑ higher is better, ↓ lower is better; 95 % intervals; * the best, and what may equal it by chance."]
    if len(counts) > 1:
        lines.append(
            f"Numbers of {summary.things} differ: " + "; ".join(_counts(summary, m) for m in summary.metrics) + "."
        )
    without = _without(summary)
    if without:
        lines.append(f"No value, as for a map that is the same everywhere: {'; '.join(without)}.")
    return lines


def _without(summary: Summary) -> list[str]:
    """Say on how many pictures a method has no value, and under which metrics where it is not under all."""
    found: dict[str, list[str]] = {}
    for metric in summary.metrics:
        for method, values in summary.values[metric.name].items():
            gone = sum(value != value for value in values.values())
            if gone:
                found.setdefault(f"{method} {gone} of {len(values)} {summary.things}", []).append(metric.name)
    return [
        text if len(metrics) == len(summary.metrics) else f"{text} ({', '.join(metrics)})"
        for text, metrics in found.items()
    ]


def _counts(summary: Summary, metric: About) -> str:
    counts = sorted({mean.n for mean in summary.means[metric.name].values()})
    return f"{metric.name} {counts[0]}" if len(counts) == 1 else f"{metric.name} {counts[0]} to {counts[-1]}"
