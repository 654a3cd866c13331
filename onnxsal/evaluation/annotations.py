"""Boxes from COCO, Pascal VOC, YOLO and CSV files, by picture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from onnxsal.errors import UsageError, nearest
from onnxsal.evaluation.items import Box, Item, Outline
from onnxsal.evaluation.match import matched
from onnxsal.evaluation.yolo import Kind, convention, read_turned
from onnxsal.files import csv_cells, nearest_file, number, parse_json, read_text
from onnxsal.model import Model

Boxes = dict[str, list[Box]]

CROWD, DIFFICULT = "crowd", "difficult"
"""Boxes that a detector is not judged by: a group in one box (COCO), an object that is hard to see (Pascal VOC)."""


class Mark(NamedTuple):
    """A box, what is in it where the file says so, and why a detector is not judged by it; empty where it is."""

    box: Box
    kind: Kind | None = None
    ignored: str = ""
    outline: Outline | None = None
    """The corners of a box that is turned."""


class Marked(dict[str, list[Mark]]):
    """Boxes by picture, and what the annotations tell of: every kind that they list or that a box of theirs has."""

    def __init__(self, marks: Mapping[str, list[Mark]], listed: Iterable[Kind] = ()) -> None:
        super().__init__(marks)
        found = (mark.kind for each in self.values() for mark in each)
        self.kinds: frozenset[Kind] = frozenset([*listed, *(kind for kind in found if kind is not None)])


def with_boxes(items: Sequence[Item], source: str | os.PathLike[str] | Mapping[str, Any] | None) -> list[Item]:
    """Return the pictures with their boxes; one that is in no file keeps none.

    Args: source: COCO (.json), Pascal VOC (.xml, or a folder of them), a folder of YOLO's labels (.txt), CSV
        (image,left,top,right,bottom or image,x,y,width,height), or a mapping from names to boxes (left, top, right,
        bottom).
    Raises: UsageError: it cannot be read, or holds none of these pictures.
    """
    if source is None:
        return list(items)
    shares = not isinstance(source, Mapping) and _is_yolo(Path(source))
    where = "the boxes given" if isinstance(source, Mapping) else os.fspath(source)
    known = _given(source) if isinstance(source, Mapping) else _read(Path(source), shares)
    marks = matched(items, known, where)
    found = [
        each if own is None else _marked(each, own, known.kinds, shares=shares)
        for each, own in zip(items, marks, strict=True)
    ]
    if not any(own is not None for own in marks):
        names = f": it names {next(iter(known))!r}, and there is {items[0].name!r}" if known else ""
        raise UsageError(
            f"{where} has boxes for {len(known)} pictures, but for none of these{names}{nearest(items[0].name, known)}"
        )
    return found


def _read(path: Path, shares: bool) -> Marked:
    if not shares:
        return read_marked(path)
    marks = {name: [Mark(box, kind, outline=turned) for box, kind, turned in found]
             for name, found in read_turned(path).items()}  # fmt: skip
    return Marked(marks, convention(path).names)


def _marked(item: Item, marks: Sequence[Mark], listed: frozenset[Kind], *, shares: bool) -> Item:
    boxes, kinds, ignored, outlines = (tuple(part) for part in zip(*marks, strict=True)) if marks else ((),) * 4
    return replace(item, boxes=boxes, kinds=kinds, shares=shares, ignored=ignored, listed=listed,
                   outlines=outlines if any(outlines) else None)  # fmt: skip


def of_classes(items: Sequence[Item], model: Model) -> list[Item]:
    """Return the pictures with the class of every box, where at least one is called as a class of the model is.

    Otherwise, as with WordNet numbers, nothing is known of them, and every box stands for the object.
    """
    names = {kind for each in items for kind in each.kinds or () if kind is not None}
    classes: dict[Kind | None, int | None] = {kind: _class(model, kind) for kind in names}
    if all(index is None for index in classes.values()):
        return list(items)
    known = {**classes, None: None}
    return [each if each.kinds is None else replace(each, classes=tuple(known[k] for k in each.kinds))
            for each in items]  # fmt: skip


def _class(model: Model, kind: Kind) -> int | None:
    if isinstance(kind, int):
        return kind
    try:
        return None if model.labels is None else model.labels.exactly(kind)
    except UsageError:
        return None  # two classes are called so


def _given(source: Mapping[str, Any]) -> Marked:
    return Marked({name: [Mark(_box(each, f"the boxes of {name!r}")) for each in boxes]
                   for name, boxes in source.items()})  # fmt: skip


def read_boxes(source: str | os.PathLike[str]) -> Boxes:
    """Return boxes by picture name from a COCO, Pascal VOC or CSV file, or a folder of Pascal VOC files.

    Raises: UsageError: it cannot be read, or a box is none.
    """
    return {name: [mark.box for mark in marks] for name, marks in read_marked(source).items()}


def _is_yolo(path: Path) -> bool:
    return path.is_dir() and not any(path.glob("*.xml")) and any(path.rglob("*.txt"))


def read_marked(source: str | os.PathLike[str]) -> Marked:
    """Return the same with what is in each box: COCO's category, Pascal VOC's name, a CSV's column label or class."""
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise UsageError(f"no such file of boxes: {str(path)!r}{nearest_file(path)}")
    readers = {".json": _coco, ".xml": _voc, ".csv": _csv}
    if path.suffix.lower() not in readers:
        raise UsageError(
            f"boxes are read from COCO .json, Pascal VOC .xml, a folder of YOLO's .txt, or .csv; got {str(path)!r}"
        )
    return readers[path.suffix.lower()](path)


def _folder(folder: Path) -> Marked:
    files = sorted(folder.glob("*.xml"))
    if not files:
        raise UsageError(f"the folder {str(folder)!r} holds neither Pascal VOC files (.xml) nor YOLO's labels (.txt)")
    return Marked({file.stem: [mark for each in _voc(file).values() for mark in each] for file in files})


def _coco(path: Path) -> Marked:
    data = parse_json(read_text(path, "boxes"), str(path))
    if not isinstance(data, dict) or not all(isinstance(data.get(k), list) for k in ("images", "annotations")):
        raise UsageError(f"{path} is no COCO file: expected an object with lists 'images' and 'annotations'")
    try:
        names = {image["id"]: str(image["file_name"]) for image in data["images"]}
        kinds = _categories(data.get("categories") or (), path)
        marks = [(each["image_id"], each["bbox"], kinds.get(each.get("category_id")), bool(each.get("iscrowd")))
                 for each in data["annotations"] if "bbox" in each]  # fmt: skip
        strange = [each["category_id"] for each in data["annotations"]
                   if kinds and each.get("category_id") is not None and each["category_id"] not in kinds]  # fmt: skip
        if strange:
            raise UsageError(f"{path}: an annotation has 'category_id' {strange[0]!r}, and no category has this 'id'")
        unknown = [identity for identity, *_ in marks if identity not in names]
        if unknown:
            raise UsageError(f"{path}: an annotation has 'image_id' {unknown[0]!r}, and there is no image of this 'id'")
        found: dict[str, list[Mark]] = {name: [] for name in names.values()}
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: an image has 'id' and 'file_name', an annotation 'image_id' and 'bbox', a category "
                         f"'id' and 'name'; something is wrong with {error}") from None  # fmt: skip
    for identity, bbox, kind, is_crowd in marks:
        box = _from_size(bbox, f"{path}, a bbox of {names[identity]!r}")
        found[names[identity]].append(Mark(box, kind, CROWD if is_crowd else ""))
    return Marked(found, kinds.values())


def _categories(listed: Iterable[Any], path: Path) -> dict[Any, str]:
    """Return the names of categories by their numbers, which are no places in a list. Raises: UsageError: two share
    one."""
    found: dict[Any, str] = {}
    for each in listed:
        name = str(each["name"])
        if found.setdefault(each["id"], name) != name:
            raise UsageError(f"{path}: two categories have the 'id' {each['id']!r}: {found[each['id']]!r} and {name!r}")
    return found


def _voc(path: Path) -> Marked:
    """Pascal VOC counts pixels from 1, and its right and bottom pixels are inside."""
    text = read_text(path, "boxes")
    declared = next((word for word in ("<!DOCTYPE", "<!ENTITY") if word in text), None)
    if declared:  # entities stand for any text, by each other for more than there is memory
        raise UsageError(f"{path} has a {declared}: Pascal VOC has none, and none is read; leave it out")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UsageError(f"{path} is not valid XML: {error}") from None
    if root.tag != "annotation":
        raise UsageError(f"{path} is no Pascal VOC file: its root is <{root.tag}>, expected <annotation>")
    marks = []
    for each, place in ((o, p) for o in root.iterfind("object") for p in o.iterfind("bndbox")):
        ends = [_coordinate(place.findtext(side), side, path) for side in ("xmin", "ymin", "xmax", "ymax")]
        box = _box([ends[0] - 1, ends[1] - 1, ends[2], ends[3]], str(path))
        hard = (each.findtext("difficult") or "").strip() == "1"
        marks.append(Mark(box, each.findtext("name"), DIFFICULT if hard else ""))
    return Marked({root.findtext("filename") or path.stem: marks})


def _coordinate(text: str | None, side: str, path: Path) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise UsageError(f"{path}: {side} is a number; got {text!r}") from None


def _csv(path: Path) -> Marked:
    lines = enumerate(read_text(path, "boxes").splitlines(), 1)
    rows = [csv_cells(line, f"{path}, line {number}") for number, line in lines]
    head = [cell.lower() for cell in rows[0]] if rows else []
    names, sized = _csv_columns(head)
    if names is None:
        raise UsageError(
            f"{path}: the first line names the columns: image,left,top,right,bottom (or xmin,ymin,xmax,ymax), "
            f"or image,x,y,width,height; got {','.join(head)}"
        )
    kind_at = next((head.index(name) for name in ("label", "class", "category") if name in head), None)
    found: dict[str, list[Mark]] = {}
    for line, row in enumerate(rows[1:], 2):
        if row:
            where = f"{path}, line {line}"
            kind = None if kind_at is None else _cell(row, kind_at, where) or None
            mark = Mark(_csv_box(row, names[1:], sized, where), kind)
            found.setdefault(_cell(row, names[0], where), []).append(mark)
    return Marked(found)


_CORNERS = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SIZES = (("x", "y", "width", "height"), ("left", "top", "width", "height"), ("x", "y", "w", "h"))


def _csv_columns(head: Sequence[str]) -> tuple[list[int] | None, bool]:
    name = next((n for n in ("image", "file", "filename", "file_name", "name") if n in head), None)
    for columns in (*_CORNERS, *_SIZES):
        if name is not None and set(columns) <= set(head):
            return [head.index(name), *(head.index(c) for c in columns)], columns in _SIZES
    return None, False


def _csv_box(row: Sequence[str], at: Iterable[int], sized: bool, where: str) -> Box:
    cells = [_cell(row, index, where) for index in at]
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        raise UsageError(f"{where}: a box is four numbers; got {', '.join(cells)}") from None
    return _from_size(values, where) if sized else _box(values, where)


def _cell(row: Sequence[str], index: int, where: str) -> str:
    if index >= len(row):
        raise UsageError(f"{where}: {len(row)} columns, expected at least {index + 1}")
    return row[index]


def _from_size(values: Any, where: str) -> Box:
    if not isinstance(values, list) or len(values) != 4:
        raise UsageError(f"{where}: a box is x, y, width and height; got {values!r}")
    x, y, width, height = (number(v, "a box", where) for v in values)
    return _box([x, y, x + width, y + height], where)


def _box(values: Any, where: str) -> Box:
    left, top, right, bottom = (float(number(v, "a box", where)) for v in values)
    if left >= right or top >= bottom:
        raise UsageError(f"{where}: a box of no size: left {left:g}, top {top:g}, right {right:g}, bottom {bottom:g}")
    return left, top, right, bottom
