"""The report of an evaluation: summary, differences, curves, best and worst examples, rows, settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from markupsafe import Markup

from onnxsal.evaluation.report.charts import Axis, Chart, Interval, Series, curves, intervals
from onnxsal.evaluation.report.examples import examples
from onnxsal.evaluation.report.page import Section, page
from onnxsal.evaluation.report.render import part
from onnxsal.evaluation.report.tables import Cell, Column, Row, Table
from onnxsal.evaluation.results import Results, left_out, nouns_in
from onnxsal.evaluation.rows import About
from onnxsal.evaluation.rows import Row as Judged
from onnxsal.evaluation.statistics import PROCEDURE, Difference, Doubles, Mean, drawn, interval
from onnxsal.evaluation.summary import Summary
from onnxsal.files import replacing
from onnxsal.modalities.nouns import Nouns, spoken

PAIRS = 24
"""Compared pairs of methods that are shown without a click."""

ROWS = 4000
"""Rows in the page's own table; beyond, the page would be slow, and files have them all."""


def write_report(found: Results, path: str | os.PathLike[str]) -> None:
    """Write the page. Raises: OutputError: it cannot be written."""
    content = report(found)
    with replacing(path) as part:
        part.write_text(content, encoding="utf-8")


def report(found: Results) -> str:
    """Return the page as HTML."""
    summary = found.summary
    model = os.path.basename(str(found.settings.get("model") or "")) or "a model"
    nouns = nouns_in(found.settings)
    say = partial(spoken, nouns=nouns)
    lead = (
        f"{len(summary.methods)} methods judged by {len(summary.metrics)} metrics on "
        f"{found.settings.get('pictures', len({row.image for row in found.rows}))} {nouns.things}."
    )
    sections = [
        Section("Summary", _summary(summary), say(_READ)),
        *([Section("Curves", _curves(found.rows, summary), say(_CURVES))] if any(r.curve for r in found.rows) else []),
        Section("Intervals", _intervals(summary), "The same means as dots, their 95 % intervals as lines."),
        Section("Differences", _differences(summary), say(f"{PROCEDURE} Printed are those that are more than chance.")),
        Section("Examples", examples(found), say(_EXAMPLES)),
        Section("All values", _rows(found.rows, nouns.thing), say(_VALUES)),
        *([Section("Detections", part("blocks", "listed", found.detections.says()))] if found.detections else []),
        *([Section("Left out", _failures(found))] if found.failures or found.left_out else []),
        Section("Settings", _settings(found)),
    ]  # fmt: skip
    version = found.settings.get("versions", {}).get("onnxsal", "")
    return page(f"How {model} is explained", sections, lead=lead, foot=f"Made by onnxsal {version}.")


_READ = (
    "A method a line, a metric a column; below each mean is its 95 % interval. Shaded: the best, and what may equal it "
    "by chance. Numbers compare only with numbers of the same steps, baselines and pictures."
)
_VALUES = "Every picture, method and metric. Files written with --csv, --json or --parquet hold the same."
_CURVES = "Means over pictures with 95 % intervals. Point at a name to see its curve alone, click to take it away."
_EXAMPLES = (
    "For each method and metric the pictures on which it does best and worst. A click enlarges, arrow keys go on."
)


def _arrow(metric: About) -> str:
    return f"{metric.name} {'↑' if metric.higher_is_better else '↓'}"


def _summary(summary: Summary) -> Markup:
    columns = [Column("method"), *(_column(metric, summary.nouns) for metric in summary.metrics)]
    levels = {metric.name: summary.level(metric) for metric in summary.metrics}
    rows = [Row([_named(method), *(_mean(summary, m, method, levels) for m in summary.metrics)])
            for method in summary.methods]  # fmt: skip
    rewards = {_arrow(metric): f"{spoken(metric.when, summary.nouns)}. {metric.paper}." for metric in summary.metrics}
    table = Table(columns, rows, "summary-table", "Means by method and metric")
    return part("evaluation", "summary", table, rewards)


def _named(method: str) -> Cell:
    """A method with its options in small print."""
    name, _, options = method.partition("[")
    return Cell(name, small=options.removesuffix("]").replace(",", ", "))


def _column(metric: About, nouns: Nouns) -> Column:
    name, _, options = metric.name.partition("[")
    shown = f"{name} {'↑' if metric.higher_is_better else '↓'}"
    when = spoken(metric.when, nouns)
    return Column(shown, when, True, metric.higher_is_better, options.removesuffix("]").replace(",", ", "))


def _mean(summary: Summary, metric: About, method: str, levels: Mapping[str, set[str]]) -> Cell:
    mean = summary.means[metric.name].get(method)
    if mean is None or not mean.n:
        return Cell("–", float("nan"))
    small = f"{_short(mean.low)} to {_short(mean.high)}" if mean.low == mean.low else "no interval"
    most = max(map(len, summary.values[metric.name].values()))
    small += f", n = {mean.n} of {most}" if mean.n < most else ""
    return Cell(_short(mean.value), mean.value, small, best=method in levels[metric.name])


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def _curves(rows: Sequence[Judged], summary: Summary) -> Markup:
    charts = [_chart(rows, summary, metric) for metric in summary.metrics
              if any(row.curve for row in rows if row.metric == metric.name)]  # fmt: skip
    return part("charts", "charts", charts)


def _chart(rows: Sequence[Judged], summary: Summary, metric: About) -> Chart:
    series = [_band(rows, metric, method, at) for at, method in enumerate(summary.methods)]
    known = [each for each in series if each is not None]
    # Scores begin at 0; a curve that falls below it, as correlations may, is shown down to its end.
    lowest = 0.0 if all(min(each.low or each.y) >= 0 for each in known) else None
    return curves(
        _arrow(metric), known, x=Axis("share", 0.0, 1.0),
        y=Axis("score" if metric.name.partition("[")[0] in ("deletion", "insertion") else "value", lowest),
    )  # fmt: skip


def _band(rows: Sequence[Judged], metric: About, method: str, at: int) -> Series | None:
    given = [(r.image, np.asarray(r.curve)) for r in rows
             if r.metric == metric.name and r.method == method and r.curve]  # fmt: skip
    found = [(image, each) for image, each in given if np.isfinite(each).all()]
    same = [(image, each) for image, each in found if each.shape == found[0][1].shape]
    if not same:
        return None
    stack = np.stack([each for _, each in same])
    mean = stack[..., 1].mean(axis=0)
    places = {image: at for at, image in enumerate(dict.fromkeys(image for image, _ in same))}
    owners = np.array([places[image] for image, _ in same])
    sums, each, draws = np.zeros((len(places), stack.shape[1])), np.bincount(owners), drawn(len(places), 0)
    np.add.at(sums, owners, stack[..., 1])
    ends = [interval(column, draws, each) for column in sums.T] if len(places) > 2 else None
    low, high = (None, None) if ends is None else np.clip(ends, *_reach(stack[..., 1], metric)).T.tolist()
    return Series(method, stack[0, :, 0].tolist(), mean.tolist(), low, high, place=at)


def _reach(scores: Doubles, metric: About) -> tuple[float, float]:
    """The least and the greatest value of a curve: the metric's, where the curve is of what has those ends."""
    low, high = metric.ends
    return (low, high) if low <= scores.min() and scores.max() <= high else (-np.inf, np.inf)


def _intervals(summary: Summary) -> Markup:
    return part("charts", "charts", [_dots(summary, metric) for metric in summary.metrics])


def _dots(summary: Summary, metric: About) -> Chart:
    known = {method: mean for method, mean in summary.means[metric.name].items() if mean.n}
    ordered = sorted(known, key=lambda name: known[name].value, reverse=metric.higher_is_better)
    places = {method: at for at, method in enumerate(summary.methods)}
    rows = [Interval(m, known[m].value, *_ends(known[m]), places[m]) for m in ordered]
    return intervals(f"{_arrow(metric)}, best first", rows, x=Axis("mean and 95 % interval"))


def _ends(mean: Mean) -> tuple[float, float]:
    """The interval, or where there is none the value itself: a dot alone."""
    return (mean.low, mean.high) if mean.low == mean.low else (mean.value, mean.value)


def _differences(summary: Summary) -> Markup:
    columns = [Column("metric"), Column("better"), Column("than"), Column("by", numeric=True, high_first=True),
               Column("p, corrected", "Holm, over all pairs of methods under the metric", numeric=True),
               Column("more than chance"), Column(summary.things, numeric=True, high_first=True)]  # fmt: skip
    rows = [_difference(metric, each) for metric in summary.metrics for each in summary.differences[metric.name]]
    names = [metric.name for metric in summary.metrics]
    selects = {"metric": names, "verdict": ["more than chance", "may be chance"]}
    table = Table(columns, rows, "differences-table", "Pairs of methods compared")
    return part("evaluation", "differences", table, selects, PAIRS)


def _difference(metric: About, each: Difference) -> Row:
    flip = (each.value < 0) == metric.higher_is_better
    better, other = (each.b, each.a) if flip else (each.a, each.b)
    low, high = sorted((abs(each.low), abs(each.high)))
    crosses = "interval holds 0" if each.low * each.high <= 0 else "no interval"
    small = f"{_short(low)} to {_short(high)}" if each.low * each.high > 0 else crosses
    verdict = "more than chance" if each.more_than_chance else "may be chance"
    cells = [Cell(metric.name), Cell(better), Cell(other), Cell(_short(abs(each.value)), abs(each.value), small),
             Cell(_p(each.corrected), each.corrected), Cell("yes" if each.more_than_chance else "no"),
             Cell(each.n, each.n)]  # fmt: skip
    return Row(cells, {"metric": metric.name, "verdict": verdict})


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _rows(rows: Sequence[Judged], thing: str) -> Markup:
    columns = [Column(thing), Column("class"), Column("probability", numeric=True, high_first=True),
               Column("method"), Column("metric"), Column("value", numeric=True, high_first=True)]  # fmt: skip
    shown = [_value(row) for row in rows[:ROWS]]
    selects = {
        "method": list(dict.fromkeys(r.method for r in rows)),
        "metric": list(dict.fromkeys(r.metric for r in rows)),
    }
    return part("evaluation", "rows", Table(columns, shown, "values-table", "Every value"), selects, len(rows))


def _value(row: Judged) -> Row:
    cells = [Cell(row.name), Cell(row.label), _number(row.probability), Cell(row.method),
             Cell(row.metric), _number(row.value)]  # fmt: skip
    return Row(cells, {"method": row.method, "metric": row.metric})


def _number(value: float) -> Cell:
    return Cell("–" if value != value else _short(value), value)


def _failures(found: Results) -> Markup:
    lines = [str(each) for each in found.failures]
    lines += [f"{metric}: {left_out(n, found)}." for metric, n in found.left_out.items()]
    return part("blocks", "listed", lines)


def _settings(found: Results) -> Markup:
    settings = dict(found.settings)
    parameters = {row.metric: row.parameters for row in reversed(found.rows)}
    methods = settings.pop("methods", {})
    settings.pop("metrics", None)
    versions = ", ".join(f"{name} {version}" for name, version in settings.pop("versions", {}).items())
    say = partial(spoken, nouns=nouns_in(settings))
    plain = {say(name.replace("_", " ")): value for name, value in settings.items()}
    known = {**plain, "versions": versions, "statistics": say(PROCEDURE)}
    return part("evaluation", "settings", known, _json(methods), _json(parameters))


def _json(known: Mapping[str, object]) -> str:
    return json.dumps(known, indent=1, default=str)
