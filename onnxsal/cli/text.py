"""Plain text for terminals: widths, tables, bars, numbers as a person reads them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence

_WIDEST = 120


def width() -> int:
    """Return how many columns the output may take."""
    return max(40, min(_WIDEST, shutil.get_terminal_size((80, 24)).columns))


def table(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), gap: int = 2) -> list[str]:
    """Return the rows as lines with their columns aligned.

    Args: right: columns whose cells stand at the right.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    space = " " * gap
    return [
        space.join(
            cell.rjust(size) if at in right else cell.ljust(size)
            for at, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def wrapped(text: str, indent: int) -> list[str]:
    """Return a paragraph in lines of the terminal's width, each indented."""
    return textwrap.wrap(text, width(), initial_indent=" " * indent, subsequent_indent=" " * indent)


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters; of a longer one the end is kept, where names differ."""
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]


def layer_name(name: str, most: int) -> str:
    """Return a layer's name at readable length; converters join the names of all operators that they fused."""
    return shortened(name.split(";")[0], most)


def bar(share: float, size: int) -> str:
    """Return a share of 1 as a bar of ``size`` characters, blank where it ends."""
    full, empty = ("█", "░") if can_write("█░") else ("#", ".")
    filled = round(min(1.0, max(0.0, share)) * size)
    return full * filled + empty * (size - filled)


def can_write(text: str) -> bool:
    """Return whether the terminal's encoding has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def percent(share: float) -> str:
    """Return a share as per cent; nothing for NaN."""
    return "" if share != share else f"{100 * share:.1f} %"


def seconds(duration: float) -> str:
    """Return a duration as a person reads it."""
    if duration < 0.0995:
        return f"{max(duration, 1e-6) * 1000:.2g} ms"
    if duration < 10:
        return f"{duration:.2g} s"
    if duration < 100:
        return f"{duration:.0f} s"
    minutes = round(duration / 60)
    return f"{minutes} min" if minutes < 100 else f"{duration / 3600:.1f} h"


def many(count: int, thing: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def command_line(arguments: Sequence[str]) -> str:
    """Return arguments as a line to copy into a shell."""
    return subprocess.list2cmdline(arguments) if os.name == "nt" else shlex.join(arguments)
