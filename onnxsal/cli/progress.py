"""A bar on stderr for methods that evaluate the model many times: how far, and how much longer."""

from __future__ import annotations

import shutil
import sys
import time

from onnxsal.cli.text import seconds, shortened

_PAUSE = 0.1
"""Seconds between two drawings of the bar."""


class StatusLine:
    """One line on stderr that is written again in place."""

    def __init__(self) -> None:
        self._length = 0

    def write(self, line: str) -> None:
        """Put a line where the last one was."""
        sys.stderr.write("\r" + line.ljust(self._length))
        sys.stderr.flush()
        self._length = len(line)

    def close(self) -> None:
        """Take the line away."""
        if self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()
            self._length = 0


class Progress:
    """Call it with (done, of all); nothing is shown where stderr is no terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = 0.0
        self._line = StatusLine()
        self._started: float | None = None
        self._first = 0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._started is None or done < self._first:
            self._started, self._first = now, done  # loading and compiling would spoil the estimate
        if sys.stderr.isatty() and (now - self._shown > _PAUSE):
            self._shown = now
            self._draw(done, total, now - self._started)

    def _draw(self, done: int, total: int, passed: float) -> None:
        self._line.write(progress_line(self._what, (done, total), self._left(done, total, passed)))

    def _left(self, done: int, total: int, passed: float) -> str:
        if done <= self._first:
            return ""
        return f"{seconds(passed / (done - self._first) * (total - done))} left"

    def close(self) -> None:
        """Take the bar away."""
        self._line.close()


def progress_line(what: str, count: tuple[int, int], left: str) -> str:
    """Return the bar as one line that fits the terminal."""
    from onnxsal.cli.text import bar

    done, total = count
    numbers = f" {done}/{total} {100 * done // max(1, total):3d} %  {left}"
    room = max(20, shutil.get_terminal_size((80, 24)).columns - 1) - len(numbers)
    name = shortened(what, max(8, room - 22))
    return f"{name} {bar(done / max(1, total), max(4, min(30, room - len(name) - 1)))}{numbers}"
