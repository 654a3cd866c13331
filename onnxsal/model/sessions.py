"""What a model keeps for its next explanation: programs, made once, and their inference sessions, bound by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock, RLock
from typing import Any

import onnx_ir as ir

from onnxsal.anatomy import Anatomy
from onnxsal.graph import Program
from onnxsal.graph.files import weight_bytes
from onnxsal.runtime import Session
from onnxsal.runtime.heap import DROPPED, give_back
from onnxsal.runtime.session import Rows

PROGRAMS = 256
"""Graphs that a model keeps, and what running once told of it; they share their weights, so that each is small."""

OTHERS = 4
"""Models of the same file, opened for other sizes and held inputs, that are kept for the next thing."""

LEAST, TIMES, SPARED = 2**29, 16, 5
"""What sessions may take where nothing is asked for: 512 MiB, or 16 times the weights where that is more; the five used
last stay whatever they take, for that is what one explanation needs at most."""


@dataclass(eq=False)
class _Slot:
    """The place of one value: made by the first who asks, while others who ask for the same wait."""

    lock: Any = field(default_factory=RLock)
    value: Any = None
    made: bool = False


class Programs:
    """Values by key, each made once however many threads ask for it; different ones are made at the same time."""

    def __init__(self, bound: int = PROGRAMS) -> None:
        self._bound, self._lock = bound, Lock()
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()

    def __call__(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of a key, or what ``make`` makes; the one not asked for longest goes where it is full."""
        slot = self._slot(key)
        with slot.lock:
            if not slot.made:
                slot.value, slot.made = make(), True
            return slot.value

    def get(self, key: Hashable) -> Any:
        """Return the value of a key, or None where it is not made yet."""
        with self._lock:
            slot = self._slots.get(key)
            return None if slot is None else slot.value

    def _slot(self, key: Hashable) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > self._bound:
                self._slots.popitem(last=False)
            return slot


@dataclass(eq=False)
class _Opened:
    """A program, its session as long as that is kept, and what outlives it."""

    program: Program
    rows: Rows
    session: Session | None = None
    lock: Any = field(default_factory=RLock)


class Sessions:
    """Inference sessions by program, each opened once however many threads ask; different ones open at the same time.

    Together they take ``memory`` bytes at most, by ``Session.weight``: those that were not used for longest go first,
    and a thread that runs one keeps it until it is done. The one that is asked for stays whatever it weighs.
    """

    def __init__(self, open_session: Callable[[Program, Rows], Session], memory: int, spared: int = 1) -> None:
        self.memory, self._spared = memory, spared
        self.opens = 0
        """How many were opened so far."""
        self._open, self._lock = open_session, Lock()
        self._opened: OrderedDict[int, _Opened] = OrderedDict()

    def __call__(self, program: Program) -> Session:
        """Return the session of a program. Raises: what opening it raises; the next who asks tries again."""
        opened = self._of(program)
        with opened.lock:
            session = opened.session
            if session is None:
                DROPPED.collect()
                session = opened.session = self._open(program, opened.rows)
                with self._lock:
                    self.opens += 1
        self._bound(opened)
        return session

    def take(self, program: Program, session: Session) -> None:
        """Keep a session that was opened elsewhere."""
        opened = self._of(program)
        opened.rows, opened.session = session.rows, session

    def rows(self, program: Program) -> Rows:
        """Return what is known of the rows of a program's batch, with or without a session."""
        return self._of(program).rows

    def count(self) -> int:
        """Return how many sessions are open."""
        with self._lock:
            return sum(each.session is not None for each in self._opened.values())

    def weight(self) -> int:
        """Return the bytes that all sessions take."""
        with self._lock:
            return sum(each.session.weight for each in self._opened.values() if each.session is not None)

    def _of(self, program: Program) -> _Opened:
        """Programs hold their graph, so that no other can come to lie at its address while one is remembered."""
        with self._lock:
            key = id(program.model)
            opened = self._opened.get(key)
            if opened is None:  # what its shapes say is read once
                opened = self._opened[key] = _Opened(program, Rows.of(program))
            self._opened.move_to_end(key)
            while len(self._opened) > PROGRAMS:
                self._opened.popitem(last=False)
            return opened

    def _bound(self, latest: _Opened) -> None:
        """Let the oldest go until the rest is within the bound."""
        with self._lock:
            gone = self._dropped(latest)
        if gone:
            give_back()

    def _dropped(self, latest: _Opened) -> int:
        """Drop what is over the bound, and return how many that were."""
        open_now = [each for each in self._opened.values() if each.session is not None]
        weights = [0 if each.session is None else each.session.weight for each in open_now]
        over, gone = sum(weights) - self.memory, 0
        for each, weight in list(zip(open_now, weights, strict=True))[: -self._spared]:
            if over > 0 and each is not latest:
                each.session, over, gone = None, over - weight, gone + 1
        return gone


@dataclass(frozen=True, eq=False)
class Basis:
    """All of a model that its programs and sessions depend on."""

    anatomy: Anatomy
    source: ir.Model
    provider: str | None
    custom_ops: tuple[str, ...]
    threads: int | None
    memory: int | None

    def serves(self, other: Basis) -> bool:
        """Whether what is kept for this one is right for another one: graphs are compared by identity."""
        same = self.anatomy.is_of(other.anatomy) and self.source is other.source
        return same and self._options() == other._options()

    def _options(self) -> tuple[Any, ...]:
        return self.provider, self.custom_ops, self.threads, self.memory

    def open(self, program: Program, rows: Rows | None = None) -> Session:
        """Return a session that runs as the model does."""
        return Session(program, provider=self.provider, threads=self.threads, custom_ops=self.custom_ops, rows=rows)

    def bound(self) -> int:
        """Return the bytes that sessions may take together."""
        return self.memory or max(LEAST, TIMES * weight_bytes(self.anatomy.model))


class Kept:
    """The programs and sessions of a model, and of the copies of it that change nothing they depend on."""

    def __init__(self, basis: Basis) -> None:
        self.basis = basis
        DROPPED.watch(basis.source, weight_bytes(basis.source))
        self.programs = Programs()
        self.others = Programs(OTHERS)
        self.sessions = Sessions(basis.open, basis.bound(), SPARED if basis.memory is None else 1)
