"""Ctrl-C between steps, never inside one: sums that are half added to are no map."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def whole(wanted: bool = True) -> Iterator[None]:
    """Let an interruption wait until the block has ended; signals reach the main thread alone."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is not None
    if not (wanted and ours):
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:  # also where the block failed: the failure may be caught, and the wish to end would be forgotten
            signal.raise_signal(signal.SIGINT)
