"""Names of the files to write: templates filled in, and every clash found before any work is done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from onnxsal.errors import OutputError, UsageError, nearest
from onnxsal.files import check_writable

FIELDS = ("stem", "method", "target")
PREDICTED = "predicted"
"""Stands for the class that a model will predict, where names are checked before it has."""


@dataclass(frozen=True)
class Template:
    """A file name with {stem}, {method} and {target} in it."""

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

    def fill(self, stem: str, method: str, target: str) -> Path:
        """Return the file name for one picture, method and target."""
        return Path(self.text.format(stem=stem, method=method, target=target))


def default_template(targets: Sequence[str | None]) -> Template:
    """Return the name that a picture gets unless told otherwise."""
    return Template("{stem}.{method}.{target}.png" if len(targets) > 1 else "{stem}.{method}.png", "-o")


def slug(target: str | None) -> str:
    """Return a target as part of a file name."""
    return PREDICTED if target is None else re.sub(r"[^\w+]+", "-", target.strip().lower()).strip("-") or "target"


def check_outputs(paths: Iterable[Path], inputs: Iterable[str], again: str | None = None) -> None:
    """Check that every file can be written, none twice, and none over what is read.

    Args: again: what to do about it, where it is not one option that names the files by templates.

    Raises: UsageError: two results would have one name, or an input would be overwritten. OutputError: a folder,
    or a place where nothing can be written.
    """
    read = {_resolved(Path(each)): each for each in inputs}
    seen: set[Path] = set()
    for path in paths:
        whole = _resolved(path)
        if whole in read:
            raise UsageError(
                f"{str(path)!r} would be overwritten, and it is read: {again or 'name another file with -o'}"
            )
        if whole in seen:
            raise UsageError(
                f"{str(path)!r} would be written more than once; "
                + (again or "tell the results apart with {stem}, {method} or {target} in its name")
            )
        seen.add(whole)
        check_writable(path)


def check_page(path: str, what: str) -> None:
    """Raises: UsageError: a page (``what`` says which) would not be called .html."""
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{what} is a page: {path!r} should end in .html")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {str(path)!r}: {error}") from None
