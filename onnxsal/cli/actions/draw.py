"""What ``onnxsal draw`` does: every name is checked, then a picture for the maps of one thing and target at a time."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from onnxsal.cli.opening import tell
from onnxsal.cli.outputs import Template, check_outputs, default_template, slug
from onnxsal.errors import ImageError, UnsupportedError
from onnxsal.explanation.figure import Kind, sheet
from onnxsal.interrupts import whole
from onnxsal.maps.read import Maps, read_maps
from onnxsal.maps.record import SavedMap, undamaged
from onnxsal.maps.things import OTHER, Things
from onnxsal.modalities.image.images import decoded_bytes
from onnxsal.pipeline import Bounds, InOrder, bounds
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


@dataclass(frozen=True)
class Drawn:
    """A picture that was drawn; or why it was not, and whether it is on another photograph than was explained."""

    of: Sheet
    broken: ImageError | UnsupportedError | None = None
    other: bool = False


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
        tell(
            [f"{str(asked.maps)!r} holds the maps of a run that ended early: those of further pictures may be missing"]
        )
    return _all_drawn(asked, sheets, iter(maps))


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


def _all_drawn(asked: Asked, sheets: Sequence[Sheet], records: Iterator[SavedMap]) -> int:
    """Draw the pictures beside each other and tell of them in order; return the exit status.

    However it ends, those that were begun are drawn and told of.
    """
    states, within = [0], bounds(idle=True) if len(sheets) > 1 else Bounds(workers=0, items=1)

    def tell_of(found: Drawn) -> None:
        states.append(_told(found))

    with InOrder(partial(_drawn, asked), within, "onnxsal-draw") as behind:
        try:
            for each in sheets:
                work = (each, list(islice(records, each.count)))
                with whole():  # else Ctrl-C could come between a file and the line that tells of it
                    behind.pass_on(work, _weight(*work), tell_of)
        finally:
            with whole():
                behind.drain(tell_of)
    return max(states)


def _weight(sheet_of: Sheet, records: Sequence[SavedMap]) -> int:
    """Return about how many bytes drawing a picture takes."""
    photo = 0 if sheet_of.image is None else decoded_bytes(sheet_of.image)
    return 3 * photo + sum(each.raw.nbytes + 4 * math.prod(each.size) for each in records)


def _drawn(asked: Asked, work: tuple[Sheet, Sequence[SavedMap]]) -> Drawn:
    """Draw a picture; return what is to be told of it. Raises: OutputError."""
    sheet_of, records = work
    try:
        if sheet_of.image is None or sheet_of.output is None:
            raise ImageError(sheet_of.why)
        with undamaged(records[0].id):  # what stands in a manifest is read where it is drawn
            made = [record.on(sheet_of.image) for record in records]
            drawn = sheet(made, kind=asked.kind, colours=asked.colours)
        save_image(drawn, sheet_of.output, effort=fast(sheet_of.output, None))
    except (ImageError, UnsupportedError) as error:
        return Drawn(sheet_of, error)
    return Drawn(sheet_of, other=OTHER in made[0].manifest["notes"])


def _told(found: Drawn) -> int:
    """Print the name of a picture, or why there is none; return the exit status."""
    if found.broken is not None:
        print(f"onnxsal: {found.broken}", file=sys.stderr)
        return 1
    tell([OTHER] if found.other else [], found.of.image.name if found.of.image is not None else "")
    print(found.of.output, flush=True)
    return 0
