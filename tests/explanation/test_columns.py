"""Explanations of rows as bars, a beeswarm, a page and a table: numbers of the explanation, cells of the row."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tables import NAMES, NET, ROWS, pipeline

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.explanation import Explanation
from onnxsal.explanation.columns import attribution_of, drawn_swarm, swarm_of
from onnxsal.explanation.figure import compare
from onnxsal.maps.columns import COLUMNS, write_columns

VALUES = np.array([0.5, -0.25, 1.0, -2.0])


@pytest.fixture(scope="module")
def found() -> list[Explanation]:
    """Every row: the first one with values that add up, the third one with a map alone, as of methods of pictures."""
    made = onnxsal.explain(onnxsal.load(pipeline(NET)), list(ROWS), target=1, score="probability")
    adding = replace(made[0], values=VALUES, base_value=made[0].score - VALUES.sum())
    alone = replace(made[2], values=None, base_value=None, names=(), features=())
    return [adding, made[1], alone, *made[3:]]


def test_parts_are_the_values_of_the_columns(found: list[Explanation]) -> None:
    whole = attribution_of(found[0])
    assert [(part.name, part.value, part.cell) for part in whole.parts] == list(
        zip(NAMES, VALUES.tolist(), ("22", "3", "m", "S"), strict=True)
    )
    assert whole.base is not None and whole.score == pytest.approx(whole.base + VALUES.sum())
    assert whole.title == "probability of class 1"
    assert [part.value for part in attribution_of(found[2]).parts] == pytest.approx(found[2].raw.ravel().tolist())
    assert attribution_of(found[2]).parts[0].label == "age = (missing)"
    ages = [{**ROWS[0], "age": age} for age in (np.float32(0.1), 1 / 3)]
    exact = onnxsal.explain(onnxsal.load(pipeline(NET)), ages, target=1)
    assert [each.features[0] for each in exact] == ["0.1", "0.3333333333333333"]
    assert attribution_of(exact[1]).parts[0].label == "age = 0.333333"


def test_a_swarm_has_cells_for_numbers_and_none_for_words(found: list[Explanation]) -> None:
    swarm = swarm_of(found)
    ages = [np.nan if row["age"] is None else row["age"] for row in ROWS]
    np.testing.assert_array_equal(swarm.cells[:, 0], ages)
    np.testing.assert_array_equal(swarm.cells[:, 1], [row["cabin"] for row in ROWS])
    assert np.isnan(swarm.cells[:, 2:]).all() and swarm.values[0].tolist() == VALUES.tolist()
    assert drawn_swarm(found).shape[1] == 880


def test_a_row_is_shown_in_notebooks_and_pictures(found: list[Explanation], tmp_path: Path) -> None:
    page = found[0]._repr_html_() or ""
    assert all(text in page for text in (*NAMES, "-0.25", "base value", "class 1")) and found[0]._repr_png_() is None
    found[0].save(tmp_path / "bars.png")
    assert compare(found[:2]).height > compare(found[:1]).height
    assert "<!doctype html>" in found[0].html()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_has_a_line_for_each_column_of_each_row(found: list[Explanation], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    if suffix == ".csv":
        write_columns(found, path)
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        write_columns(iter(found), path)
        lines = parquet.read_table(path).to_pylist()
    assert tuple(lines[0]) == COLUMNS and len(lines) == len(ROWS) * len(NAMES)
    values = [[float(line["value"]) for line in lines[at : at + 4]] for at in range(0, len(lines), 4)]
    np.testing.assert_array_equal(values, swarm_of(found).values)
    assert [line["column"] for line in lines[:4]] == list(NAMES) and lines[8]["cell"] == ""
    base, score = (float(lines[0][name]) for name in ("base_value", "score"))
    assert score - base == pytest.approx(VALUES.sum()) and lines[8]["base_value"] in ("", None)


def test_what_is_no_row_and_what_is_no_table_is_refused(found: list[Explanation], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"written as \.csv or \.parquet; got"):
        write_columns(found, tmp_path / "table.xlsx")
    with pytest.raises(UnsupportedError, match="columns are of rows of a table, and 'x' is image"):
        attribution_of(replace(found[0], sample=None, name="x", modality="image"))
