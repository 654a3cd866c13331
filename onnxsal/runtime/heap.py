"""Memory that nobody uses, handed back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref

ENOUGH = 64 * 2**20
"""Bytes of weights that nobody can reach any more and that are worth a collection: loading as much takes longer."""


def give_back() -> None:
    """Hand free memory back where the C library keeps it for itself, as glibc does.

    Opening a session of a large model leaves more free memory than its weights take: a third of the process, measured.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


class Dropped:
    """Counts the bytes that dropped graphs keep: nodes and values refer to each other, so that only a collection frees.

    Python's collector counts objects, not bytes: ten models of a gigabyte and three operators are nothing to it, and
    stay until it runs for something else.
    """

    def __init__(self) -> None:
        self._watched: weakref.WeakSet[object] = weakref.WeakSet()
        self._bytes, self._collections = 0, 0

    def watch(self, owner: object, weights: int) -> None:
        """Count ``weights`` bytes once nobody holds the owner of a graph; asked again for the same one, once."""
        if owner not in self._watched:
            self._watched.add(owner)
            weakref.finalize(owner, self._add, weights).atexit = False

    def bytes(self) -> int:
        """Return what may lie about: what was dropped since the last collection of everything."""
        return self._bytes if self._collections == _collections() else 0

    def collect(self) -> None:
        """Free what was dropped where that is much; for whoever is about to take more. Not where collecting is off."""
        if self.bytes() >= ENOUGH and gc.isenabled():
            gc.collect()
            give_back()

    def _add(self, weights: int) -> None:
        self._bytes, self._collections = self.bytes() + weights, _collections()


def _collections() -> int:
    found: int = gc.get_stats()[-1]["collections"]
    return found


DROPPED = Dropped()
