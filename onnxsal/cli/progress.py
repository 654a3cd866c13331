"""A bar on stderr for what takes long: how far, and how much longer."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxsal.cli.bar import Bar

_PAUSE = 0.1
"""Seconds between two drawings of the bar."""


class StatusBar:
    """Call it with a name, (done, of all) and, where it is known better, the time left.

    Nothing is shown, and rich is not loaded, where stderr is no terminal.
    """

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._shown = 0.0

    def __call__(self, what: str, done: int, total: int, left: str | None = None) -> None:
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from onnxsal.cli.bar import Bar

            self._bar = Bar()
        now = time.monotonic()
        if now - self._shown > _PAUSE:
            self._shown = now
            self._bar.show(what, done, total, left)
        else:
            self._bar.count(done, total)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Progress:
    """Call it with (done, of all); nothing is shown where stderr is no terminal."""

    def __init__(self, what: str) -> None:
        self._what, self._bar = what, StatusBar()

    def __call__(self, done: int, total: int) -> None:
        self._bar(self._what, done, total)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
