"""A folder of maps that an earlier run began: which things are done in it, so that it can be gone on with."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsal.errors import OutputError, UsageError
from onnxsal.files import parse_json, read_text
from onnxsal.maps.read import row_in
from onnxsal.maps.rows import as_text
from onnxsal.maps.schema import REQUEST, check_header
from onnxsal.maps.write import MANIFEST
from onnxsal.tasks.detection.task import ALL


@dataclass(frozen=True)
class Begun:
    """What lies in a folder of maps.

    Attributes:
        runs: the manifests that are there, by their keys.
        next: the number of the next file.
        files: of every thing its files, with their rows; last: the thing that was written last.
        damaged: files that hold no map.
    """

    runs: Mapping[str, Any]
    next: int
    files: Mapping[str, Sequence[tuple[Path, Mapping[str, Any]]]]
    last: str | None
    damaged: Sequence[Path]

    def is_done(self, id: str, goals: Sequence[str | None], methods: Sequence[str]) -> bool:
        """Return whether every map of a thing is there, whole: of each target by each method.

        How many detections ``all`` stood for is not known: of the thing that was written last some may be missing.
        """
        rows = [row for _, row in self.files.get(as_text(id), ())]
        if any(json.loads(row["about"]).get("stopped") == "interrupted" for row in rows):
            return False
        there = Counter((row["asked"], row["method"]) for row in rows)
        several = [goal for goal in goals if goal is not None and goal.strip() == ALL]
        if several and (as_text(id) == self.last or not _numbers(there, methods)):
            return False
        ones = [None if goal is None else as_text(goal) for goal in goals if goal not in several]
        return all((goal, method) in there for goal in ones for method in methods)

    def take_away(self, ids: Sequence[str]) -> None:
        """Take away what is no map, and the maps of some things: they are made again."""
        again = [path for id in ids for path, _ in self.files.get(as_text(id), ())]
        for path in (*self.damaged, *again):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot remove {str(path)!r}, which is to be made again: {error}") from error


def _numbers(there: Counter[tuple[Any, Any]], methods: Sequence[str]) -> bool:
    """Return whether the same detections are there by every method, and one at least."""
    numbered = [(asked, method) for asked, method in there if (asked or "").startswith(f"{ALL}-")]
    found = [{asked for asked, of in numbered if of == method} for method in methods]
    return bool(found[0]) and all(each == found[0] for each in found)


def begun_in(folder: Path, request: str, dtype: str) -> Begun | None:
    """Return what lies in a folder; None where nothing does. Args: request: which maps they are to be.

    Raises: UsageError: they are of another request, or kept in another type.
    """
    if not (folder / MANIFEST).is_file():
        return None
    where = repr(str(folder))
    header = check_header(parse_json(read_text(folder / MANIFEST, "maps"), repr(str(folder / MANIFEST))), where)
    if header.get(REQUEST) != request or header.get("dtype") != dtype:
        raise UsageError(
            f"--skip-existing: the maps in {where} are of another model, method, option, target or type than is asked "
            "for now, or of another version: name another folder"
        )
    files, last, damaged = defaultdict[str, list[tuple[Path, Mapping[str, Any]]]](list), None, list[Path]()
    paths = sorted(folder.glob("*.npz"))
    for path in paths:
        try:
            row = row_in(path)
        except UsageError:
            damaged.append(path)
            continue
        files[row["id"]].append((path, row))
        last = row["id"]
    return Begun(header["runs"], _number(paths[-1]) + 1 if paths else 0, files, last, damaged)


def _number(path: Path) -> int:
    head = path.name.partition("-")[0]
    return int(head) if head.isdecimal() else 0
