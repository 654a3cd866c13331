"""The bar itself, which rich draws: the one module that loads it."""

from __future__ import annotations

import sys
import time

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn
from rich.table import Column

from onnxsal.cli.text import seconds

_LEAST, _BAR = 7, 18
"""Columns of the least bar and the gaps, and how many more it has before a long name takes them."""


class _Screen(Console):
    """Stderr, whose cursor is never hidden: what is killed could not show it again."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


class Bar:
    """A line on stderr that is drawn in place: name, bar, counts, time left."""

    def __init__(self) -> None:
        self._screen = _Screen(file=sys.stderr, force_terminal=True, markup=False, emoji=False, highlight=False)
        plain = (TextColumn(f"{{task.{each}}}", markup=False, table_column=Column(no_wrap=True)) for each in _TEXTS)
        name, counts, left = plain
        self._rich = Progress(
            name, BarColumn(30, "bright_black", "default", "default"), counts, left, console=self._screen,
            auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False,
            get_time=time.monotonic, disable=self._screen.is_dumb_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._first = 0

    def show(self, what: str, done: int, total: int, left: str | None) -> None:
        """Draw the line; without ``left`` the time that is left follows from the pace since the first call."""
        task = self._counted(done, total)
        counts = f"{done}/{total} {100 * done // max(1, total):3d} %"
        left = self._left(task) if left is None else left
        self._rich.update(task.id, description=self._fitting(what, f"{counts} {left}"), counts=counts, left=left)
        self._rich.start()
        self._rich.refresh()

    def count(self, done: int, total: int) -> None:
        """Take note of the pace alone."""
        self._counted(done, total)

    def close(self) -> None:
        """Take the line away."""
        self._rich.stop()

    def _counted(self, done: int, total: int) -> Task:
        if self._task is None:
            self._first, self._task = done, self._rich.add_task("", total=total, completed=done, counts="", left="")
        elif done < self._rich.tasks[0].completed:  # the next target: what went before is part of no pace
            self._first = done
            self._rich.reset(self._task, total=total, completed=done)
        self._rich.update(self._task, total=total, completed=done)
        return self._rich.tasks[0]

    def _left(self, task: Task) -> str:
        """The mean pace so far, where rich's own forgets batches of half a minute before the next one is there."""
        made = task.completed - self._first
        if made <= 0 or task.finished or task.elapsed is None or task.remaining is None:
            return ""
        return f"{seconds(task.elapsed / made * task.remaining)} left"

    def _fitting(self, what: str, numbers: str) -> str:
        """The name's end, where names differ, beside the bar and the numbers, which stay whole."""
        free = self._screen.width - cell_len(numbers) - _LEAST
        room = max(min(8, free), free - _BAR)
        if room < 1:
            return ""
        short = what
        while cell_len(short) > room:
            short = "…" + short.removeprefix("…")[1:]
        return short


_TEXTS = ("description", "fields[counts]", "fields[left]")
