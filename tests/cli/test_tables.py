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

Run = Callable[..., Any]


@pytest.fixture
def table(folder: Path) -> Path:
    """The current folder with ``rows.csv``, which has a column that the model does not take, and its model."""
    onnx.save(pipeline(TREES), folder / "pipeline.onnx")
    cells = [["" if row[name] is None else str(row[name]) for name in NAMES] for row in ROWS]
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
