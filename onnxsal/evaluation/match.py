"""Which entry of a file, and which file of a folder, belongs to which picture: by name, never to two by chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from onnxsal.errors import UsageError
from onnxsal.evaluation.items import Item

T = TypeVar("T")
Parts = tuple[str, ...]


def matched(items: Sequence[Item], known: Mapping[str, T], where: str) -> list[T | None]:
    """Return each picture's entry, None where it has none.

    An entry's name may be the end of a picture's path (``dog/001.jpg``, ``001.jpg``), with or without the ending
    (``dog/001``); the longest that fits counts. Where none does, the last part alone may, if one entry alone has it.

    Raises: UsageError: an entry would serve pictures of several folders, or several entries one picture.
    """
    names = _Names(known)
    keys = [names.of(each, where) for each in items]
    _refuse_shared(items, keys, where)
    return [None if key is None else known[key] for key in keys]


class _Names:
    """Names of entries by their last part, with and without its ending."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = set(known)
        self._by_end: dict[str, list[tuple[Parts, str]]] = defaultdict(list)
        for key in known:
            parts = _parts(key)
            for each in dict.fromkeys((parts, _bare(parts))):
                if each:
                    self._by_end[each[-1]].append((each, key))

    def of(self, item: Item, where: str) -> str | None:
        """Return the name that is meant for a picture."""
        if item.path is None and item.name in self._known:
            return item.name
        whole = _parts(item.name if item.path is None else item.path.absolute().as_posix())
        for parts in dict.fromkeys((whole, _bare(whole))):
            here = self._by_end.get(parts[-1], []) if parts else []
            fitting = [(len(each), key) for each, key in here if parts[-len(each) :] == each]
            if fitting:
                return max(fitting, key=lambda one: one[0])[1]
            others = list(dict.fromkeys(key for _, key in here))
            if len(others) > 1:
                raise UsageError(
                    f"{where} has several entries for {item.name!r}: {', '.join(map(repr, others[:4]))}; lay the "
                    "pictures in folders of these names"
                )
            if others:
                return others[0]
        return None


def _parts(name: str) -> Parts:
    return tuple(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "."))


def _bare(parts: Parts) -> Parts:
    return (*parts[:-1], Path(parts[-1]).stem) if parts else parts


def _refuse_shared(items: Sequence[Item], keys: Sequence[str | None], where: str) -> None:
    first: dict[str, Item] = {}
    for item, key in zip(items, keys, strict=True):
        if key is None:
            continue
        other = first.setdefault(key, item)
        if _folder(other) != _folder(item):
            raise UsageError(
                f"{where} has one entry {key!r}, and two pictures are called so: {_shown(other)} and "
                f"{_shown(item)}; name them there with their folders"
            )


def _folder(item: Item) -> Path | None:
    return None if item.path is None else item.path.absolute().parent


def _shown(item: Item) -> str:
    return repr(item.name if item.path is None else item.path.as_posix())


def files_below(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Return the files of these endings in a folder and below, by their path in it."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}
