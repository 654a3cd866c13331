"""YOLO's label files: a text file a picture, a line an object, in shares of the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.evaluation.items import Box, Outline
from onnxsal.files import read_text
from onnxsal.plain_yaml import parse_yaml

Kind = str | int
"""A class by its name, or by its number where no file tells names."""

CLASSES = "classes.txt"
_DATA = ("data.yaml", "dataset.yaml")
_ABOVE = 3
"""Folders in which a data set's own file is looked for: that of the labels, and those that hold it."""


@dataclass(frozen=True)
class Convention:
    """What a data set's own file says: names of classes, and the numbers of a keypoint line, 0 where there are none."""

    names: tuple[str, ...] = ()
    keypoints: int = 0

    def kind(self, text: str, where: str) -> Kind:
        """Return the class of a line. Raises: UsageError: it is no number, or none of the names."""
        number = _number(text, where)
        index = int(number)
        if index != number or index < 0 or (self.names and index >= len(self.names)):
            known = f"0 to {len(self.names) - 1}" if self.names else "a whole number"
            raise UsageError(f"{where}: the first number is the class, {known}; got {text!r}")
        return self.names[index] if self.names else index


def read_yolo(folder: Path) -> dict[str, list[tuple[Box, Kind]]]:
    """Return the boxes of every label file in a folder and below, in shares of the picture, by its path in it.

    A line is ``class x y width height`` of a box and its centre, with what is left of a prediction's confidence
    behind it; ``class x1 y1 x2 y2 ...`` of an outline or a box on its corner, of which the least upright box counts; or
    a box and its keypoints, where their number leaves no doubt or ``kpt_shape`` in ``data.yaml`` says so. Names come
    from ``classes.txt``, or ``names`` in ``data.yaml``, in that folder or above.

    Raises: UsageError: a file is none of these, or a box lies outside of its picture.
    """
    return {name: [(box, kind) for box, kind, _ in found] for name, found in read_turned(folder).items()}


def read_turned(folder: Path) -> dict[str, list[tuple[Box, Kind, Outline | None]]]:
    """Return the same with the four corners of each box that is turned, in shares of the picture."""
    told = convention(folder)
    files = sorted(path for path in folder.rglob("*.txt") if path.name != CLASSES and path.is_file())
    return {path.relative_to(folder).with_suffix("").as_posix(): list(_boxes(path, told)) for path in files}


def convention(folder: Path) -> Convention:
    """Return what the data set's own file in a folder or above says."""
    places = [folder, *folder.absolute().parents[: _ABOVE - 1]]
    listed = next((path for place in places if (path := place / CLASSES).is_file()), None)
    data = next((path for place in places for name in _DATA if (path := place / name).is_file()), None)
    names = _lines(listed) if listed is not None else () if data is None else _names(data)
    return Convention(names, 0 if data is None else _keypoints(data))


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(line.strip() for line in read_text(path, "classes").splitlines() if line.strip())


def _names(path: Path) -> tuple[str, ...]:
    found = _part(path, "names")
    if isinstance(found, dict) and sorted(found, key=str) != sorted(range(len(found)), key=str):
        raise UsageError(f"{path}: 'names' numbers its classes from 0 without a gap; got {list(found)[:5]}")
    if found is None:
        return ()
    if not isinstance(found, dict | list):
        raise UsageError(f"{path}: 'names' is a list of classes or a mapping from their numbers; got {found!r}")
    return tuple(str(found[index]) for index in range(len(found)))


def _keypoints(path: Path) -> int:
    shape = _part(path, "kpt_shape")
    if shape is None:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(size, int) for size in shape):
        raise UsageError(f"{path}: 'kpt_shape' is the count of keypoints and of their numbers; got {shape!r}")
    return int(shape[0] * shape[1])


def _part(path: Path, key: str) -> Any:
    """Return one entry of a YAML file: others, such as scripts that fetch the data, may be written in any form."""
    lines = [line.split(" #")[0].rstrip() for line in read_text(path, "data set").splitlines()]
    at = next((number for number, line in enumerate(lines) if line.startswith(f"{key}:")), None)
    if at is None:
        return None
    rest = lines[at + 1 :]
    end = next((number for number, line in enumerate(rest) if line and line[0] not in " -#"), len(rest))
    found = parse_yaml("\n".join([lines[at], *rest[:end]]), f"{path}, {key!r}")
    if key not in found:
        raise UsageError(f"{path}, {key!r}: line {at + 1} is no entry of this key: {lines[at]!r:.80}")
    return found[key]


def _boxes(path: Path, told: Convention) -> Iterator[tuple[Box, Kind, Outline | None]]:
    for line, text in enumerate(read_text(path, "labels").splitlines(), 1):
        if cells := text.split():
            where = f"{path}, line {line}"
            numbers = [_number(cell, where) for cell in cells[1:]]
            box = _checked(_box(numbers, told.keypoints, where), where)
            yield box, told.kind(cells[0], where), _turned(numbers, told.keypoints)


def _turned(numbers: Sequence[float], keypoints: int) -> Outline | None:
    """Return the corners of a box that is turned: four, of which not all sides are upright."""
    if len(numbers) != _CORNERS or _is_upright(len(numbers), keypoints):
        return None
    x, y = numbers[::2], numbers[1::2]
    upright = len({*x}) == len({*y}) == _CORNERS // 4
    return None if upright else tuple(zip(x, y, strict=True))


def _is_upright(count: int, keypoints: int) -> bool:
    """Whether so many numbers are a box by its middle and its size, whatever stands behind them."""
    return count in (4, 5, 4 + keypoints, 5 + keypoints) or (count > 5 and count % 2 == 1 and (count - 4) % 3 == 0)


def _box(numbers: Sequence[float], keypoints: int, where: str) -> Box:
    count = len(numbers)
    if _is_upright(count, keypoints):
        x, y, width, height = numbers[:4]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if count < 6 or count % 2:
        raise UsageError(
            f"{where}: a class and x, y, width, height, or the corners of an outline; got {count + 1} numbers"
        )
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


_CORNERS = 8
"""Numbers of four corners."""

_OVER = 0.01
"""Shares by which a rounded box may stand over its picture's edge."""


def _checked(box: Box, where: str) -> Box:
    left, top, right, bottom = box
    if not (-_OVER <= left < right <= 1 + _OVER and -_OVER <= top < bottom <= 1 + _OVER):
        shown = ", ".join(f"{value:g}" for value in box)
        raise UsageError(f"{where}: a box of shares of its picture lies between 0 and 1 and has a size; got {shown}")
    return max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0)


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{where}: a label file holds numbers; got {text!r}") from None
