"""Rows of tables, judged: columns go to those of background rows, and the areas are those of a closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError

WEIGHTS, OFFSET = np.array([2.0, -1.0, 0.5]), 0.25
LINEAR = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]> g (float[N, 3] x) => (float[N, 1] y) {
    y = ai.onnx.ml.LinearRegressor <coefficients = [2.0, -1.0, 0.5], intercepts = [0.25]> (x) }"""
ROWS = np.array([[1.0, 2, 3], [-2, 0.5, 1], [0.5, -1, 4]])
BACKGROUND = np.array([[0.0, 1, 1], [1, -1, 0]])


def areas(row: np.ndarray) -> tuple[float, float]:
    """Deletion and insertion of a sum of columns: the largest value goes first, or comes first."""
    values = WEIGHTS * (row - BACKGROUND.mean(axis=0))
    base = WEIGHTS @ BACKGROUND.mean(axis=0) + OFFSET
    known = base + np.concatenate([[0], np.cumsum(np.sort(values)[::-1])])
    gone = base + values.sum() - np.concatenate([[0], np.cumsum(np.sort(values)[::-1])])
    return float(np.trapezoid(gone, dx=1 / 3)), float(np.trapezoid(known, dx=1 / 3))


def test_deletion_and_insertion_of_columns_are_those_of_a_sum(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "rows.csv", ROWS, delimiter=",", header="a,b,c", comments="")
    np.savetxt(tmp_path / "background.csv", BACKGROUND, delimiter=",", header="a,b,c", comments="")
    model = onnxsal.load(onnx.parser.parse_model(LINEAR), task="regression")
    found = onnxsal.evaluate(
        model, tmp_path / "rows.csv", methods=["shapley"], metrics=["deletion", "insertion", "completeness"],
        background=tmp_path / "background.csv", journal=tmp_path / "journal.jsonl",
    )  # fmt: skip
    assert not found.failures and [row.image for row in found.rows[::3]] == [f"rows.csv#{at}" for at in (1, 2, 3)]
    values = np.array([row.value for row in found.rows]).reshape(3, 3)
    np.testing.assert_allclose(values[:, :2], [areas(row) for row in ROWS], atol=1e-6)
    np.testing.assert_allclose(values[:, 2], 0, atol=1e-6)
    again = onnxsal.evaluate(
        model, tmp_path / "rows.csv", methods=["shapley"], metrics=["deletion"], background=BACKGROUND + 1,
        journal=tmp_path / "journal.jsonl",
    )  # fmt: skip
    assert again.reused == 0 and again.settings["background"] != found.settings["background"]


@pytest.mark.parametrize(
    ("metric", "rows", "said"),
    [
        ("infidelity", ROWS, "changes numbers by degrees, and a column is the row's or a background row's"),
        ("max-sensitivity", ROWS, "asks for maps of things that differ by degrees"),
        ("deletion", ROWS[0], "name some, such as those that the model was trained on"),
    ],
)
def test_what_does_not_judge_rows_says_why(metric: str, rows: np.ndarray, said: str) -> None:
    model = onnxsal.load(onnx.parser.parse_model(LINEAR), task="regression")
    with pytest.raises(UsageError, match=said):
        onnxsal.evaluate(model, [rows], methods=["shapley"], metrics=[metric])


def test_covers_are_of_the_method_and_no_rows() -> None:
    model = onnxsal.load(onnx.parser.parse_model(LINEAR), task="regression")
    with pytest.raises(UsageError, match=r"the covers to the method alone, shapley\[background=covers\]"):
        onnxsal.evaluate(model, ROWS, methods=["shapley"], metrics=["deletion"], background="covers")
    asked = "shapley[background=covers]"
    with pytest.raises(UnsupportedError, match="the score is no sum of trees alone"):  # the method was asked for them
        onnxsal.evaluate(model, ROWS, methods=[asked], metrics=["deletion"])
    with pytest.raises(UsageError, match="values in a file are means over rows"):
        onnxsal.compile(model, method="shapley", background="covers")
