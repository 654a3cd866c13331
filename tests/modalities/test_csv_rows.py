"""Rows of a table in text files: every way to write them, and what is wrong named with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxsal.errors import ImageError, OnnxsalError, UsageError
from onnxsal.modalities.csv_rows import Rows, read_rows

NUMBERS = np.array([[38.5, np.nan, 1], [-0.2, 4, 0]])
WORDS = ("m", "")
BARE = "38.5,NA,True,m\n-.2,4,FALSE,\n"
COLUMNS = ("age", "fare", "flag", "sex")


def written(folder: Path, text: str, columns: tuple[str, ...] = COLUMNS) -> Rows:
    (folder / "x.csv").write_text(text, encoding="utf-8", newline="")
    return read_rows(folder / "x.csv", columns)


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (f"age,fare,flag,sex\n{BARE}", []),
        (f"\ufeffage,fare,flag,sex\r\n{BARE}\r\n", []),
        (f"# age,fare,flag,sex\n{BARE}", []),
        ("age;fare;flag;sex\n38,5;;1;m\n-0,2;4;0;\n", ["';', so '38,5' is taken for a number with a decimal comma"]),
        ("sex\tflag\tage\tfare\nm\t1\t 38.5 \tnan\n\t0\t-2e-1\t4\n  \n", []),
        ('"age","fare","flag","sex"\n38.5,"null","1","m"\n-0.2,4,0,""\n', []),
        ("who,age,fare,flag,sex,y\n7,38.5,N/A,1,m,a\n8,-0.2,4.0,0,,b\n", ["does not take 'who', 'y'; left aside"]),
    ],
)  # fmt: skip
def test_every_way_to_write_them(tmp_path: Path, text: str, notes: list[str]) -> None:
    rows = written(tmp_path, text).in_order(COLUMNS, named=True)
    np.testing.assert_array_equal(np.stack([rows.numbers(at) for at in range(3)], axis=1), NUMBERS)
    assert (rows.texts(3), rows.names) == (WORDS, COLUMNS)
    assert [note.endswith(end) for note, end in zip(rows.notes, notes, strict=True)] == [True] * len(notes)


def test_names_as_exporters_write_them(tmp_path: Path) -> None:
    rows = written(tmp_path, "a,sepal length (cm),1st,나이\n0,1,2,3\n", ()).in_order(
        ("나이", "_1st", "sepal_length__cm_"), named=True
    )
    assert rows.cells == (("3", "2", "1"),)


@pytest.mark.parametrize(
    ("text", "names", "cells"),
    [
        ("5,6,7\n8,9,1\n", (), 2), ("5,,7\n8,9,1\n", (), 2), ("0,1\n1,0\n", (), 2),
        ("l,m,n\n5,6,7\n8,9,1\n", ("l", "m", "n"), 2), ("0,1,2\n5,6,7\n", ("0", "1", "2"), 1),
        (",0,1,2\n0,5,6,7\n1,8,9,1\n", ("0", "1", "2"), 2), (",l,m,n\n0,5,6,7\n", ("l", "m", "n"), 1),
    ],
)  # fmt: skip
def test_columns_that_the_model_has_no_names_for(tmp_path: Path, text: str, names: tuple[str, ...], cells: int) -> None:
    own = tuple(f"x{at}" for at in range(len(text.split("\n")[1].split(",")) - text.startswith(",")))
    rows = written(tmp_path, text, own).in_order(own, named=False)
    assert (rows.names, len(rows)) == (names or own, cells)
    assert rows.numbers(0)[0] == (5 if cells == 1 or names else float(text[0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table '.*x.csv' is empty"), (" \n\n", "is empty"),
        ("age,fare,flag,sex\n", "has names of columns .'age', 'fare', 'flag', 'sex'. and no row below"),
        ("age,fare,flag,sex\n1,2,3\n", "line 2 has 3 cells, and line 1 has 4"),
        ("age,fare,flag,sex\n1,2,3,m\n\n1,2,3,m", "line 3 is blank"),
        ('age,fare,flag,sex\n1,2,3,"m\n', "line 2: "),
        ("22,7.25,1,male\n", r"line 1 \('22', '7.25', '1', 'male'\) may be a row or the names of the columns"),
        ("age,fair,flag,sex\n1,2,3,m", "no column 'fare'; did you mean 'fair'?"),
        ("age,fare,flag,sex,fare\n1,2,3,m,4", "has 2 columns that are called 'fare'"),
        ("1,2,3\n4,5,6\n", "x.csv has 3 columns, and no line with their names; the model takes 4: 'age', 'fare'"),
        ('age,fare,flag,sex\n"1\n",2,3,m\n4,old,5,m', "x.csv, line 4: 'fare' takes a number, not 'old'"),
        ("age,fare,flag,sex\n1,2,3,m\n4,1_000,5,m", "line 3: 'fare' takes a number, not '1_000'"),
        ("age,fare,flag,sex\n1,1e999,3,m", "'fare' takes a number, not '1e999'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OnnxsalError, match=message):
        written(tmp_path, text).in_order(COLUMNS, named=True).numbers(1)


def test_what_would_be_guessed_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="may be a row or the names"):
        written(tmp_path, "m,S\nf,C\nm,C\nf,S\n", ("x0", "x1"))
    with pytest.raises(UsageError, match=r"3 columns \('l', 'm', 'y'\); the model takes 2, and tells no names"):
        written(tmp_path, "l,m,y\n1,2,3\n", ()).in_order(("x0", "x1"), named=False)
