"""Rows of tables on the command line: what is printed and written is what the file itself gives, row by row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tables import NAMES, ROWS, TREES, pipeline
from tables import run as run_file

import onnxsal

Run = Callable[..., Any]


@pytest.fixture
def table(folder: Path) -> Path:
    """The current folder with ``rows.csv``, which has a column that the model does not take, and its model."""
    onnx.save(pipeline(TREES), folder / "pipeline.onnx")
    cells = [["NA" if row[name] is None else str(row[name]) for name in NAMES] for row in ROWS]
    cells[0][0] = "22.000000000"
    lines = [";".join(("who", *NAMES)), *(";".join((str(at), *row)) for at, row in enumerate(cells))]
    (folder / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_predict_tells_of_every_row(table: Path, run: Run) -> None:
    (wanted,) = run_file(pipeline(TREES), ROWS, "chances")
    found = run("predict", "pipeline.onnx", "rows.csv", "--json")
    rows = json.loads(found.out)["results"]
    assert [row["image"] for row in rows] == [f"rows.csv#{at}" for at in range(1, len(ROWS) + 1)]
    chances = [{each["index"]: each["probability"] for each in row["classes"]} for row in rows]
    assert np.array_equal([[each[0], each[1]] for each in chances], wanted)
    assert "does not take 'who'; left aside" in found.err and "holds 'x', which the model does not know" in found.err

    told = re.findall(r"^ +(\d) +(\d|class \d) +([\d.]+) %$", run("predict", "pipeline.onnx", "rows.csv").out, re.M)
    assert [(int(at), float(share)) for at, _, share in told] == [
        (at, pytest.approx(100 * row.max(), abs=0.05)) for at, row in enumerate(wanted, 1)
    ]
    one = run("predict", "pipeline.onnx", "rows.csv", "--row", "4").out
    assert one.startswith("rows.csv#4\n") and f"{100 * wanted[3].max():.1f} %" in one
    assert "rows 1 to 6, and no row 7" in run("predict", "pipeline.onnx", "rows.csv", "--row", "7").err
    assert "--row is for rows of a table" in run("predict", "model.onnx", "red.png", "--row", "1").err


def test_explain_shows_draws_and_writes_what_columns_count_for(table: Path, run: Run) -> None:
    model = onnxsal.load(table / "pipeline.onnx")
    wanted = onnxsal.explain(model, str(table / "rows.csv"), method="shapley", target=1)
    asked = ["explain", "pipeline.onnx", "rows.csv", "--background", "rows.csv", "-t", "1"]
    assert "grad-cam++ needs maps of a layer" in run(*asked, "-m", "grad-cam++").err

    one = run(*asked, "--row", "4", "-o", "bars.png", "--npz", "{stem}.npz")
    told = dict(re.findall(r"^  (\w[\w ]*?)  +(?:\S+ +)?([-+]?[\d.]+(?:e-\d+)?)(?:  [█▏▎▍▌▋▊▉]+)?$", one.out, re.M))
    assert one.status == 0 and one.out.startswith("bars.png\nrows.csv#4\n  class   class 1 (1)")
    assert [float(told[name]) for name in NAMES] == pytest.approx(wanted[3].values.tolist(), rel=1e-3, abs=1e-9)
    assert float(told["score"]) == pytest.approx(float(told["base value"]) + wanted[3].values.sum(), abs=1e-3)
    with np.load("rows.npz") as arrays:
        np.testing.assert_array_equal(arrays["raw"], wanted[3].raw)

    many = run(*asked, "-o", "{stem}.{target}.png", "--out", "values.csv")
    sizes = dict(re.findall(r"^  (\w+) +([\d.e-]+)(?:  [█▏▎▍▌▋▊▉]+)?$", many.out.partition("mean |value|")[2], re.M))
    mean = np.abs([each.values for each in wanted]).mean(axis=0)
    assert [float(sizes[name]) for name in NAMES] == pytest.approx(mean.tolist(), rel=1e-3)
    assert {"rows.1.png", "bars.png", "values.csv"} <= {each.name for each in table.iterdir()}
    lines = (table / "values.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 4 * len(ROWS) and lines[1].startswith("rows.csv#1,class 1,shapley,age,22.000000000,")
    assert lines[9].startswith("rows.csv#3,class 1,shapley,age,NA,")
    third = run(*asked, "--row", "3").out
    assert "age         (missing)" in third and "NA" not in third

    document = json.loads(run(*asked, "--json").out)["explanations"]
    values = [[column["value"] for column in each["columns"]] for each in document]
    np.testing.assert_allclose(values, [each.values for each in wanted], atol=1e-12)
    assert [document[at]["columns"][0]["cell"] for at in (0, 2)] == ["22.000000000", "NA"]
    assert run(*asked, "-o", "page.html").status == 0 and "rows.csv#6" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--row", "1"], "what a column adds is told against other rows: name some"),
        (["--background", "other.csv"], "other.csv has no column 'sex'"),
        (["--background", "gone.csv"], "no such file: 'gone.csv'"),
        (["--row", "9"], "there are rows 1 to 6, and no row 9"),
        (["--kind", "heat"], "--kind: rows of a table have no maps that this is for"),
        (["--out", "values.xlsx"], "is written as .csv or .parquet"),
        (["--npz", "x.npz"], "--npz holds one row, and 'rows.csv' has 6"),
        (["-o", "rows.csv"], "'rows.csv' would be overwritten, and it is read"),
        (["-l", "features"], "has no layers"),
        (["-m", "shaply"], "did you mean 'shapley'"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_with_rows_is_said(table: Path, run: Run, more: list[str], message: str) -> None:
    (table / "other.csv").write_text("age,cabin\n1,2\n", encoding="utf-8")
    ended = run("explain", "pipeline.onnx", "rows.csv", *more)
    assert ended.status != 0 and message in " ".join(ended.err.split())
    assert not (table / "values.xlsx").exists()


@pytest.mark.parametrize("action", ["explain", "predict"])
def test_one_bad_file_of_several_is_left_out(table: Path, run: Run, action: str) -> None:
    (table / "other.csv").write_text("age,cabin\n1,2\n", encoding="utf-8")
    asked = [action, "pipeline.onnx", "other.csv", "rows.csv", "gone.csv", "--json"]
    ended, whole = run(*asked), run(action, "pipeline.onnx", "rows.csv", "--json")
    assert (
        ended.status == 1 and "other.csv has no column 'sex'" in ended.err and "no such file: 'gone.csv'" in ended.err
    )
    first, second = (
        next(each for each in json.loads(one.out).values() if type(each) is list) for one in (ended, whole)
    )
    assert [each["image"] for each in first] == [each["image"] for each in second] and len(first) == len(ROWS)
    bad = run(action, "pipeline.onnx", "other.csv", "gone.csv")
    assert (bad.status, bad.out) == (1, "") and bad.err.count("onnxsal: ") == 2


def test_ctrl_c_leaves_the_rows_that_are_whole(table: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = onnxsal.explain(table / "pipeline.onnx", str(table / "rows.csv"), method="shapley", target=[0, 1])
    monkeypatch.setattr("onnxsal.cli.actions.explain_rows.explain", lambda *given, **named: whole[:5])
    asked = ["explain", "pipeline.onnx", "rows.csv", "-t", "0", "-t", "1", "--out", "values.csv"]
    ended = run(*asked)
    assert ended.status == 130 and "interrupted; what there is so far is written" in ended.err
    assert ended.out.count("rows.csv: 2 rows") == 2  # of the third there is one target of two
    assert len((table / "values.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 2 * len(NAMES)

    monkeypatch.setattr("onnxsal.cli.actions.explain_rows.explain", lambda *given, **named: whole[:1])
    assert (run(*asked[:-1], "none.csv").status, (table / "none.csv").exists()) == (130, False)


def test_evaluate_judges_every_row(table: Path, run: Run) -> None:
    found = run(
        "evaluate", "pipeline.onnx", "rows.csv", "-m", "shapley", "--json", "rows.json", "--report", "page.html"
    )
    assert found.status == 0 and "the 6 rows themselves are the background" in found.err
    rows = json.loads((table / "rows.json").read_text(encoding="utf-8"))["rows"]
    assert {(row["image"], row["metric"]) for row in rows} == {
        (f"rows.csv#{at}", metric) for at in range(1, 7) for metric in ("deletion", "insertion", "sparseness")
    }
    means = {
        each: np.mean([row["value"] for row in rows if row["metric"] == each]) for each in ("deletion", "insertion")
    }
    assert means["deletion"] < means["insertion"]
    page = (table / "page.html").read_text(encoding="utf-8")
    assert "on 6 rows." in page and "Means over rows with" in page and not re.search(r">[^<]*[Pp]icture", page)
    assert (
        "background= is for rows"
        in run("evaluate", "model.onnx", "red.png", "-m", "rise", "--background", "rows.csv").err
    )
