"""YOLO's label files against the same boxes in other formats, and against shapes whose boxes are plain to see."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.evaluation.annotations import with_boxes
from onnxsal.evaluation.items import Item
from onnxsal.evaluation.yolo import Convention, convention, read_yolo
from onnxsal.model import Model

NAMES = "names:\n  0: red\n  1: car\n"
SAME = {
    "a.json": '{"images": [{"id": 1, "file_name": "0_red0.png"}], "categories": [{"id": 4, "name": "red"}, {"id": 5, '
    '"name": "car"}], "annotations": [{"image_id": 1, "bbox": [0,0,20,40], "category_id": 4}, {"image_id": 1, "bbox": '
    '[30,10,12,20], "category_id": 4}, {"image_id": 1, "bbox": [20,0,40,40], "category_id": 5}]}',
    "a.xml": "<annotation><filename>0_red0.png</filename><object><name>red</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
    "<xmax>20</xmax><ymax>40</ymax></bndbox></object><object><name>red</name><bndbox><xmin>31</xmin><ymin>11</ymin>"
    "<xmax>42</xmax><ymax>30</ymax></bndbox></object><object><name>car</name><bndbox><xmin>21</xmin><ymin>1</ymin>"
    "<xmax>60</xmax><ymax>40</ymax></bndbox></object></annotation>",
    "a.csv": "image,left,top,right,bottom,label\n0_red0.png,0,0,20,40,red\n0_red0.png,30,10,42,30,red\n"
    "0_red0.png,20,0,60,40,car\n",
    "labels/0_red0.txt": "0 0.16666667 0.5 0.33333333 1\n0 0.6 0.5 0.2 0.5\n1 0.66666667 0.5 0.66666667 1\n",
}


def test_a_line_that_is_no_entry_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names:\n  0: red\nkpt_shape:: red\n")
    with pytest.raises(UsageError, match=r"data\.yaml, 'kpt_shape': line 3 is no entry of this key: 'kpt_shape:: red'"):
        convention(tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_the_same_boxes_in_four_formats(model: Model, photos: Path, tmp_path: Path, named: bool) -> None:
    """The picture is 60 x 40; a number without a name is the model's own class, of which 0 is red."""
    found = {}
    for name, text in SAME.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        if named:
            (tmp_path / "data.yaml").write_text(NAMES)
        (row,) = onnxsal.evaluate(model, photos / "0_red0.png", methods=["gradient"], metrics=["energy-pointing"],
                                  boxes=path if path.parent == tmp_path else path.parent).rows  # fmt: skip
        found[name] = row.value
    assert 0.01 < found["a.json"] < 0.99
    assert list(found.values()) == [pytest.approx(found["a.json"], abs=1e-6)] * 4


def boxes(tmp_path: Path, text: str) -> list[tuple[tuple[float, ...], str | int]]:
    (tmp_path / "a.txt").write_text(text)
    (found,) = read_yolo(tmp_path).values()
    return [(tuple(round(value, 6) for value in box), kind) for box, kind in found]


LINES = {
    "3 .5 .5 .4 .2": ((0.3, 0.4, 0.7, 0.6), 3),
    "3 .5 .5 .4 .2 .91": ((0.3, 0.4, 0.7, 0.6), 3),
    "0 .1 .5 .5 .1 .9 .5 .5 .9": ((0.1, 0.1, 0.9, 0.9), 0),  # a box on its corner
    "2 .1 .2 .3 .2 .25 .6": ((0.1, 0.2, 0.3, 0.6), 2),  # the outline of a triangle
    "1 .5 .5 .4 .2 .5 .5 2": ((0.3, 0.4, 0.7, 0.6), 1),  # one keypoint and whether it is seen
    "0 .045 .5 .1 .2": ((0.0, 0.4, 0.095, 0.6), 0),  # rounded over the edge
}


@pytest.mark.parametrize("line", LINES)
def test_lines(tmp_path: Path, line: str) -> None:
    assert boxes(tmp_path, f"{line}\n\n") == [LINES[line]]


def test_keypoints_of_two_numbers_are_told_from_outlines_by_the_data_set(tmp_path: Path) -> None:
    line = "0 .5 .5 .4 .2 .1 .1 .9 .9\n"
    assert boxes(tmp_path, line) == [((0.1, 0.1, 0.9, 0.9), 0)]
    (tmp_path / "data.yaml").write_text("kpt_shape: [2, 2]  # count, numbers\n")
    assert boxes(tmp_path, line) == [((0.3, 0.4, 0.7, 0.6), 0)]


YAMLS = {
    "path: ../x # root\ntrain: images # 4\nnames:\n  0: a b\n  1: c # last\n\ndownload: |\n  import os\n": ("a b", "c"),
    "names: [a, 'b: c']\nnc: 2\n": ("a", "b: c"),
    "names:\n- a\n- b\nnc: 2\n": ("a", "b"),
    "nc: 3\n": (),
}


@pytest.mark.parametrize("text", YAMLS)
def test_names_of_a_data_set(tmp_path: Path, text: str) -> None:
    """Above the labels, as Ultralytics lays its files; scripts in them are not read."""
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "data.yaml").write_text(text)
    assert convention(tmp_path / "labels" / "train") == Convention(YAMLS[text])
    (tmp_path / "labels" / "classes.txt").write_text("x\ny\n")
    assert convention(tmp_path / "labels" / "train").names == ("x", "y")


WRONG = {
    "a .5 .5 .1 .1": "a label file holds numbers; got 'a'",
    "0 .5 .5 .1": "got 4 numbers",
    "0 .5 .5 .1 nan": "between 0 and 1 and has a size",
    "0 .5 .5 0 .1": "between 0 and 1 and has a size",
    "0 50 50 10 10": "a.txt, line 1: a box of shares of its picture lies between 0 and 1",
    "0.5 .5 .5 .1 .1": "the first number is the class, a whole number; got '0.5'",
    "-1 .5 .5 .1 .1": "a whole number; got '-1'",
}


@pytest.mark.parametrize("line", WRONG)
def test_lines_that_are_wrong(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match=WRONG[line]):
        boxes(tmp_path, line)


def test_a_class_beyond_the_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("red\n")
    with pytest.raises(UsageError, match="the first number is the class, 0 to 0; got '1'"):
        boxes(tmp_path, "1 .5 .5 .1 .1")


def test_names_with_a_gap_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names:\n  1: a\n  2: b\n")
    with pytest.raises(UsageError, match="'names' numbers its classes from 0 without a gap"):
        convention(tmp_path)


def test_pictures_are_found_below_and_may_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "labels" / "val").mkdir(parents=True)
    (tmp_path / "labels" / "val" / "a.txt").write_text("")
    (tmp_path / "labels" / "val" / "b.txt").write_text("7 .5 .5 1 1")
    items = [Item(tmp_path / "images" / "val" / f"{name}.jpg", f"{name}.jpg") for name in "abc"]
    found = with_boxes(items, tmp_path / "labels")
    assert [each.boxes for each in found] == [(), ((0.0, 0.0, 1.0, 1.0),), None]
    assert [each.kinds for each in found] == [(), (7,), None]


def test_a_photograph_that_lies_on_its_side(model: Model, tmp_path: Path) -> None:
    """Shares are of the upright picture, as YOLO's own reader counts: its left half is the file's upper half."""
    picture = Image.new("RGB", (40, 60), "black")
    picture.paste("red", (0, 0, 40, 30))
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by 90 degrees against the clock
    picture.save(tmp_path / "p.png", exif=exif)
    (tmp_path / "labels").mkdir()
    values = []
    for half in ("0 .25 .5 .5 1", "0 .75 .5 .5 1"):
        (tmp_path / "labels" / "p.txt").write_text(half)
        found = onnxsal.evaluate(model, tmp_path / "p.png", methods=["input-x-gradient"], metrics=["energy-pointing"],
                                 boxes=tmp_path / "labels", truth={"p.png": 0}, target="label")  # fmt: skip
        values.append(found.rows[0].value)
    assert sum(values) == pytest.approx(1, abs=1e-3) and values[0] > 0.9
