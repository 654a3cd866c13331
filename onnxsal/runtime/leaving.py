"""The end of the process waits for threads that are inside ONNX Runtime.

A thread that comes back from native code while Python is torn down is ended by ``pthread_exit``, and the C++ of ONNX
Runtime's bindings answers that with ``std::terminate``: an abort instead of an exit status. Daemon threads can be
there, and any thread after Ctrl-C in ``Thread.join``, which CPython 3.11 then takes for ended.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 10.0
"""Seconds that the end of the process waits for a run."""


class _Gate:
    """Counts the threads inside; once closed it lets none in but the main thread, whose own exit hooks may compute."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside = 0
        self.closed = False

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Be inside for the length of a block. Raises: SystemExit: the process ends, and so does this thread."""
        with self.changed:
            if self.closed and threading.current_thread() is not threading.main_thread():
                raise SystemExit
            self.inside += 1
        try:
            yield
        finally:
            with self.changed:
                self.inside -= 1
                self.changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and wait until all are out."""
        with self.changed:
            self.closed = True
            self.changed.wait_for(lambda: self.inside == 0, LONGEST)


GATE = _Gate()
atexit.register(GATE.close)
if hasattr(os, "register_at_fork"):  # a child has none of the threads that were inside
    os.register_at_fork(after_in_child=GATE.__init__)  # type: ignore[misc]
