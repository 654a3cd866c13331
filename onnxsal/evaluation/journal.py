"""The journal of a run: a line as soon as something is known, so that whatever ends the run, nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxsal.errors import OutputError, UsageError

Entry = Mapping[str, Any]


def key(*parts: Any) -> str:
    """Return a short name of everything that a result depends on: equal for equal parts alone."""
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Journal:
    """Entries by kind and key; with a path each is appended to a file at once, and read back by the next run.

    One line is one entry and one write, so a process that is killed leaves at most half a line at the end, which the
    next run passes over. An entry that is there already is not written again.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._entries: dict[tuple[str, str], Entry] = {}
        self.unreadable = 0
        self._file = None if self.path is None else self._open(self.path)
        self.found = len(self._entries)
        """How many entries were there when it was opened."""

    def _open(self, path: Path) -> int:
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise OutputError(f"cannot write the journal {str(path)!r}: {error.strerror}; name another") from None
        content = path.read_bytes()
        for line in content.splitlines():
            self._take(line)
        if content and not self._entries:
            os.close(handle)
            raise UsageError(f"{str(path)!r} is no journal of onnxsal; name another file, so that it is not damaged")
        if content and not content.endswith(b"\n"):
            _append(handle, b"\n", path)
        return handle

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            self._entries.setdefault((entry["kind"], entry["key"]), entry)
        except (ValueError, KeyError, TypeError):
            self.unreadable += 1

    def __contains__(self, which: tuple[str, str]) -> bool:
        return which in self._entries

    def get(self, kind: str, name: str) -> Entry | None:
        """Return an entry, or None."""
        return self._entries.get((kind, name))

    def entries(self, kind: str) -> list[Entry]:
        """Return all entries of a kind, in the order in which they were written."""
        return [entry for (each, _), entry in self._entries.items() if each == kind]

    def add(self, kind: str, name: str, entry: Entry) -> None:
        """Write an entry down, unless it is there already.

        Raises: OutputError: the disk is full or gone; what was written before is whole.
        """
        if (kind, name) in self._entries:
            return
        whole = {"kind": kind, "key": name, **entry}
        if self._file is not None and self.path is not None:
            _append(self._file, json.dumps(whole, default=str).encode() + b"\n", self.path)
        self._entries[kind, name] = whole

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _append(handle: int, line: bytes, path: Path) -> None:
    """Write a line whole, or take back what a full disk let through of it."""
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
