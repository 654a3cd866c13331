"""What is put into a page: every name comes out as it went in, and every number is there."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from onnxsal.evaluation import About, Evaluation, Failure, Row
from onnxsal.evaluation.journal import Journal
from onnxsal.evaluation.report import Section, page
from onnxsal.evaluation.report.evaluation import report
from onnxsal.evaluation.thumbnails import image_jpeg, map_png

HOSTILE = (
    "<script>alert(1)</script>", "</script><b>", "a & b &amp; c", "\"double\" 'single' `tick`", "$5 and $x^2$",
    "{{ 7 * 7 }} {% if x %} {# no #}", "골든 리트리버", "柴犬・レトリバー", "long " * 60 + "end",
)  # fmt: skip


class _Texts(HTMLParser):
    """Collects what a browser shows and what attributes hold, and which scripts there are."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.held: list[str] = []
        self.tags: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.held += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


@pytest.mark.parametrize("name", HOSTILE, ids=[f"{k}" for k in range(len(HOSTILE))])
def test_every_name_comes_out_as_it_went_in(name: str) -> None:
    """A name of a picture, a class, a method, a metric, a setting and a failure, in text and in attributes."""
    plain = _Texts(report_of("name"))
    found = _Texts(report_of(name))
    assert found.tags == plain.tags
    assert [each for each in found.shown if each == name].count(name) >= 6
    for told in (f"best: 0.250: {name} · {name} 90 %", f"{name} falls", name):
        assert told in found.held, told
    assert f"{name}, {name}: broken" in found.shown


def report_of(name: str) -> str:
    """The page of an evaluation in which everything that can be is called ``name``."""
    journal = Journal()
    journal.add("picture", "0", image_jpeg(np.zeros((8, 8, 3), np.uint8)))
    journal.add("map", "k", {**map_png(np.eye(8)), "picture": "0"})
    curve = [[0.0, 1.0], [1.0, 0.0]]
    row = Row(name, 0, name, 0.9, name, name, 0.25, curve=curve, map_key="k", parameters={name: name})
    settings = {name: name, "versions": {}, "methods": {name: {}}}
    about = (About(name, f"{name} falls", False, name),)
    return report(Evaluation((row,), (Failure(name, name, "broken"),), about, settings, journal=journal))


def test_what_is_no_part_of_a_page_is_escaped_in_it() -> None:
    html = page("t", [Section("s", "<b>text</b>")])  # type: ignore[arg-type]
    assert "&lt;b&gt;text" in html and "<b>text" not in html


def test_a_page_holds_the_numbers_of_the_evaluation() -> None:
    random = np.random.default_rng(0)
    rows = [Row(f"{k}.jpg", 3, "c", 0.9, method, metric, float(random.normal())) for k in range(6)
            for method in ("first", "second") for metric in ("deletion", "sparseness")]  # fmt: skip
    judged = Evaluation(tuple(rows), (), (About("deletion", "", False), About("sparseness", "", True)), {})
    found, summary = _Numbers(report(judged)), judged.summary
    for metric in summary.metrics:
        means = summary.means[metric.name]
        assert {method: mean.value for method, mean in means.items()} == found.column("summary-table", metric.name)
    values = found.tables["values-table"]
    assert [(r[0][1], r[3][1], r[4][1], float(r[5][0])) for r in values[1:]] == [
        (row.image, row.method, row.metric, row.value) for row in rows
    ]


class _Numbers(HTMLParser):
    """Collects tables by id: rows of (what a cell sorts by, the first of what it shows)."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self._name = ""
        self._open = False
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "table":
            self._name = known["id"] or ""
            self.tables[self._name] = []
        elif tag == "tr":
            self.tables[self._name].append([])
        elif tag in ("th", "td"):
            self._open = True
            self.tables[self._name][-1].append((known.get("data-value") or "", ""))

    def handle_data(self, data: str) -> None:
        if self._open:
            row = self.tables[self._name][-1]
            row[-1] = (row[-1][0], data)
            self._open = False

    def column(self, table: str, name: str) -> dict[str, float]:
        """Return the numbers of a column by the first of its row."""
        head, *rows = self.tables[table]
        at = next(k for k, (_, shown) in enumerate(head) if shown.startswith(name))
        return {row[0][1]: float(row[at][0]) for row in rows}
