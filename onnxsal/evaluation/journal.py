"""The journal of a run: a line as soon as something is known, so that whatever ends the run, nothing is lost."""

from __future__ import annotations

import binascii
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from onnxsal.errors import OutputError, UsageError
from onnxsal.fingerprint import fingerprint

Entry = Mapping[str, Any]


def key(*parts: Any) -> str:
    """Return a short name of everything that a result depends on: equal for equal parts alone."""
    text = json.dumps(fingerprint(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Journal:
    """Entries by kind and key; with a path each is appended to a file at once, and read back by the next run.

    One line is one entry and one write, so a process that is killed leaves at most half a line at the end, which the
    next run passes over. An entry that is there already is not written again. Of pictures and maps only their place in
    the file is kept in memory.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._entries: dict[tuple[str, str], Entry | _Place] = {}
        self.unreadable = 0
        """How many lines were cut off or damaged."""
        self._file = None if self.path is None else self._open(self.path)

    def _open(self, path: Path) -> int:
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise OutputError(f"cannot write the journal {str(path)!r}: {error.strerror}; name another") from None
        line, at = b"", 0
        with path.open("rb") as file:
            for line in file:
                self._take(line, at)
                at += len(line)
        if at and not self._entries and not line.startswith(_BEGINNING):
            os.close(handle)
            raise UsageError(f"{str(path)!r} is no journal of onnxsal; name another file, so that it is not damaged")
        if at and not line.endswith(b"\n"):
            _append(handle, b"\n", path)
        return handle

    def _take(self, line: bytes, at: int) -> None:
        try:
            entry = json.loads(line)
            if not _is_whole(entry):
                raise ValueError("an entry of which a part is missing or of another type")
            self._entries.setdefault((entry["kind"], entry["key"]), self._kept(entry, at, len(line)))
        except (ValueError, KeyError, TypeError):
            self.unreadable += 1

    def _kept(self, entry: Entry, at: int, length: int) -> Entry | _Place:
        return _Place(at, length) if self.path is not None and entry["kind"] in LARGE else entry

    def __contains__(self, which: tuple[str, str]) -> bool:
        return which in self._entries

    def get(self, kind: str, name: str) -> Entry | None:
        """Return an entry, or None."""
        found = self._entries.get((kind, name))
        return self._read(found) if isinstance(found, _Place) else found

    def _read(self, place: _Place) -> Entry:
        assert self.path is not None
        with self.path.open("rb") as file:
            file.seek(place.at)
            entry: Entry = json.loads(file.read(place.length))
        return entry

    def entries(self, kind: str) -> list[Entry]:
        """Return all entries of a kind, in the order in which they were written."""
        names = [name for each, name in self._entries if each == kind]
        return [entry for name in names if (entry := self.get(kind, name)) is not None]

    def add(self, kind: str, name: str, entry: Entry) -> None:
        """Write an entry down, unless it is there already.

        Raises: OutputError: the disk is full or gone; what was written before is whole.
        """
        if (kind, name) in self._entries:
            return
        whole = {"kind": kind, "key": name, **entry}
        at, line = 0, json.dumps(whole, default=fingerprint).encode() + b"\n"
        if self._file is not None and self.path is not None:
            at = _append(self._file, line, self.path)
        self._entries[kind, name] = self._kept(whole, at, len(line))

    def close(self) -> None:
        """Close the file; entries can still be read."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _is_whole(entry: Any) -> bool:
    """Whether an entry has what those of its kind are read by; whatever edited a journal, it is made again then."""
    if entry["kind"] == "row":
        numbers = all(_is_number(entry[name]) for name in ("probability", "value"))
        numbers = numbers and (isinstance(entry["target"], str) or _is_number(entry["target"]))
        return numbers and all(isinstance(entry[name], str) for name in ("image", "label", "method", "metric"))
    if entry["kind"] == "detections":
        return all(isinstance(entry[name], list) for name in ("found", "chosen", "photo", "view"))
    coded = {"picture": "jpeg", "map": "png"}.get(entry["kind"])
    return coded is None or bool(binascii.a2b_base64(entry[coded], strict_mode=True))


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


_BEGINNING = b'{"kind": '
"""Of every line: a file that was cut off in its first one is a journal all the same."""

LARGE = ("map", "picture")
"""Kinds of entries that are left in the file."""


class _Place(NamedTuple):
    """Where in the file an entry stands. Units: bytes."""

    at: int
    length: int


def _append(handle: int, line: bytes, path: Path) -> int:
    """Write a line whole, or take back what a full disk let through of it; return where it begins."""
    before = os.fstat(handle).st_size
    written, error = 0, None
    try:
        while written < len(line):
            written += os.write(handle, line[written:])
    except OSError as failure:
        error = failure
    if error is not None:
        if written and os.fstat(handle).st_size == before + written:
            os.ftruncate(handle, before)
        raise OutputError(
            f"cannot write the journal {str(path)!r}: {error.strerror}; what was judged so far is kept in it. "
            "Make room and give the same command again: it goes on from there"
        ) from None
    return os.lseek(handle, 0, os.SEEK_CUR) - len(line)  # right even where another run appends too
