"""What ``onnxsal draw`` does: every name is checked, then a picture for the maps of one thing and target at a time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from onnxsal.cli.opening import tell
from onnxsal.cli.outputs import Template, check_outputs, default_template, slug
from onnxsal.errors import ImageError, UnsupportedError
from onnxsal.explanation.figure import Kind, sheet
from onnxsal.maps.read import Maps, read_maps
from onnxsal.maps.record import SavedMap
from onnxsal.maps.things import OTHER, Things
from onnxsal.tasks.detection.task import ALL
from onnxsal.viz.colour import colour_table
from onnxsal.viz.save import fast, image_format, save_image

_ONE = ("id", "asked", "target", "minus", "target_text", "label", "detection")
"""What rows have in common that are drawn into one picture: they differ in their methods."""


@dataclass(frozen=True)
class Asked:
    """The command line of ``onnxsal draw``."""

    maps: str
    images: str
    output: str | None
    kind: Kind
    colours: str | None


@dataclass(frozen=True)
class Sheet:
    """A picture to draw: of how many maps, of what, and where to; or why not."""

    count: int
    image: Path | None
    output: Path | None
    why: str = ""


def draw_all(asked: Asked) -> int:
    """Draw and print the names of all pictures; return the exit status."""
    maps = read_maps(asked.maps)
    if asked.colours is not None:
        colour_table(asked.colours)
    sheets = _sheets(asked, maps)
    check_outputs(
        [each.output for each in sheets if each.output is not None],
        [asked.maps, *dict.fromkeys(str(each.image) for each in sheets if each.image is not None)],
        "tell the pictures apart with {stem}, {folder}, {method} and {target} in -o",
    )
    if not maps.header["complete"]:
        tell([f"{asked.maps} is what a run that was ended early left"])
    records = iter(maps)
    return max([0, *(_drawn(asked, each, list(islice(records, each.count))) for each in sheets)])


def _sheets(asked: Asked, maps: Maps) -> list[Sheet]:
    """Return the pictures in the order of the maps."""
    groups = [(rows[0], [row["method"] for row in rows]) for rows in _together(maps.words())]
    template = _template(asked, [row for row, _ in groups])
    things, found = Things(asked.images, {row["id"] for row, _ in groups}), list[Sheet]()
    for row, methods in groups:
        try:
            image = things.find(row["id"])
        except ImageError as error:
            found.append(Sheet(len(methods), None, None, str(error)))
            continue
        target = slug(row["asked"] if row["asked"] is not None else row["label"])
        output = template.fill(str(image), "+".join(methods), target)
        image_format(output)
        found.append(Sheet(len(methods), image, output))
    return found


def _together(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield neighbouring rows of one thing and target."""
    for _, several in groupby(rows, key=lambda row: [row[name] for name in _ONE]):
        yield list(several)


def _template(asked: Asked, rows: Sequence[Mapping[str, Any]]) -> Template:
    """Return the names of the pictures: those of ``explain``, unless told otherwise."""
    if asked.output is not None:
        return Template(asked.output, "-o")
    several = max(Counter(row["id"] for row in rows).values(), default=0) > 1
    numbered = any((row["asked"] or "").startswith(f"{ALL}-") for row in rows)
    return default_template([None, None] if several or numbered else [None])


def _drawn(asked: Asked, sheet_of: Sheet, records: Sequence[SavedMap]) -> int:
    """Draw a picture; return the exit status."""
    try:
        if sheet_of.image is None or sheet_of.output is None:
            raise ImageError(sheet_of.why)
        made = [record.on(sheet_of.image) for record in records]
        tell([OTHER] if OTHER in made[0].manifest["notes"] else [], sheet_of.image.name)
        drawn = sheet(made, kind=asked.kind, colours=asked.colours)
        save_image(drawn, sheet_of.output, effort=fast(sheet_of.output, None))
    except (ImageError, UnsupportedError) as error:
        print(f"onnxsal: {error}", file=sys.stderr)
        return 1
    print(sheet_of.output, flush=True)
    return 0
