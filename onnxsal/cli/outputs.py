"""Names of the files to write: templates filled in, and every clash found before any work is done."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from string import Formatter
from typing import NamedTuple

from onnxsal.errors import OutputError, UsageError, nearest
from onnxsal.files import check_writable, stem_of
from onnxsal.modalities.said import Said

FIELDS = ("stem", "folder", "method", "target")
PREDICTED = "predicted"
"""Stands for the class that a model will predict, where names are checked before it has."""


class _Result(NamedTuple):
    """What one file is of."""

    image: str
    method: str
    target: str


@dataclass(frozen=True)
class Template:
    """A file name with {stem}, {folder}, {method} and {target} in it."""

    text: str
    option: str

    def __post_init__(self) -> None:
        for field in self.fields:
            if field not in FIELDS:
                known = ", ".join("{" + name + "}" for name in FIELDS)
                hint = nearest(field, FIELDS)
                raise UsageError(f"{self.option} {self.text!r}: there is no {{{field}}}{hint} (there are {known})")

    @property
    def fields(self) -> tuple[str, ...]:
        """The names in braces."""
        try:
            return tuple(name for _, name, _, _ in Formatter().parse(self.text) if name is not None)
        except ValueError as error:
            raise UsageError(f"{self.option} {self.text!r}: {error}; a brace itself is written twice") from None

    def fill(self, image: str, method: str, target: str) -> Path:
        """Return the file name for one picture, method and target."""
        return Path(self.text.format(**_values(image, method, target)))

    def fill_all(self, images: Sequence[str], methods: Sequence[str], targets: Sequence[str]) -> list[Path]:
        """Return the file names for all pictures, methods and targets.

        Raises: UsageError: two results would have one name; what would tell them apart is said.
        """
        found: dict[Path, _Result] = {}
        paths: list[Path] = []
        for each in map(_Result._make, product(images, methods, targets)):
            path = self.fill(*each)
            before = found.setdefault(_resolved(path), each)
            if len(found) == len(paths):
                hint = self._apart(before, each, twice=list(targets).count(each.target) > 1)
                raise UsageError(f"{str(path)!r} would be written more than once; {hint}")
            paths.append(path)
        return paths

    def _apart(self, first: _Result, second: _Result, *, twice: bool) -> str:
        """What to do about two results of one name; ``twice`` says whether their target is given more than once."""
        values = _values(*first), _values(*second)
        differ = ["{" + name + "}" for name in FIELDS if values[0][name] != values[1][name]]
        if differ:
            return f"tell the results apart with {' or '.join(differ)} in {self.option}"
        if os.path.abspath(first.image) != os.path.abspath(second.image):
            return f"{first.image!r} and {second.image!r} have one stem and folder: explain each on its own"
        return (
            f"the target {second.target!r} is given twice" if twice else f"the picture {second.image!r} is given twice"
        )


def _values(image: str, method: str, target: str) -> dict[str, str]:
    """What stands for the fields; the folder's name is that of the whole path, so never .. or empty."""
    if isinstance(image, Said):
        return {"stem": image.short, "folder": "text", "method": method, "target": target}
    path = Path(os.path.abspath(image))
    return {"stem": stem_of(path), "folder": path.parent.name or "root", "method": method, "target": target}


def default_template(targets: Sequence[str | None]) -> Template:
    """Return the name that a picture gets unless told otherwise."""
    several = len(targets) > 1 or "all" in targets
    return Template("{stem}.{method}.{target}.png" if several else "{stem}.{method}.png", "-o")


def slug(target: str | None) -> str:
    """Return a target as part of a file name."""
    return PREDICTED if target is None else re.sub(r"[^\w+]+", "-", target.strip().lower()).strip("-") or "target"


def check_outputs(paths: Iterable[Path], inputs: Iterable[str], again: str | None = None) -> None:
    """Check that every file can be written, none twice, and none over what is read.

    Args: again: what to do about it, where it is not one option -o that names the file.

    Raises: UsageError: two results would have one name, or an input would be overwritten. OutputError: a folder,
    or a place where nothing can be written.
    """
    read = {_resolved(Path(each)): each for each in inputs if not isinstance(each, Said)}
    seen: set[Path] = set()
    for path in paths:
        whole = _resolved(path)
        if whole in read:
            raise UsageError(
                f"{str(path)!r} would be overwritten, and it is read: {again or 'name another file with -o'}"
            )
        if whole in seen:
            raise UsageError(
                f"{str(path)!r} would be written more than once; {again or 'give each kind of file its own name'}"
            )
        seen.add(whole)
        check_writable(path)


def check_page(path: str, what: str) -> None:
    """Raises: UsageError: a page (``what`` says which) would not be called .html."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{what} is a page: {path!r} should end in .html")


def check_model(path: str) -> None:
    """Raises: UsageError: a model would not be called .onnx, by which runtimes and other commands know it."""
    if Path(path).suffix.lower() != ".onnx":
        raise UsageError(f"what is written is a model: {path!r} should end in .onnx")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {str(path)!r}: {error}") from None
