"""What a server takes on: how many requests, how large, for how long; and what it says where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from onnxsal.errors import OnnxsalError


class Refused(OnnxsalError):
    """A request is not served: why, and the status of HTTP that says so."""

    def __init__(self, status: int, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True)
class Limits:
    """What a server takes on."""

    queue: int = 64
    """Requests under way, those that run and those that wait."""
    deadline: float = 30.0
    """Seconds from a request's first byte to the last of its answer."""
    body: int = 32 * 2**20
    """Bytes of one request."""
    memory: int = 2**30
    """Bytes that requests under way may take together, beside what the threads that work on some of them take."""
    grace: float = 30.0
    """Seconds in which what runs may end when the server is told to."""


TEXT_TIMES = 24
"""Bytes that Python makes of one of JSON at most, while it is read: lists of nothing are the worst."""


class Admission:
    """Counts what is under way; used by the thread of the event loop alone, so that it needs no lock."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests, self.bytes = 0, 0
        self.stopping = False
        self._seconds = 0.1

    @contextmanager
    def enter(self) -> Iterator[Share]:
        """Let a request in until the block ends. Raises: Refused: there is no room, or the server ends."""
        if self.stopping:
            raise Refused(503, "the server is shutting down", retry_after=5)
        if self.requests >= self.limits.queue:
            raise self.full(f"{self.requests} requests are under way, which is as many as are taken on")
        self.requests += 1
        share = Share(self)
        try:
            yield share
        finally:
            share.take(-share.bytes)
            self.requests -= 1

    def full(self, why: str) -> Refused:
        """Return what is said where there is no room: come back once about half of what is here is done."""
        wait = self._seconds * self.requests / 2
        return Refused(503, why, retry_after=max(1, min(round(wait), 60)))

    def took(self, seconds: float) -> None:
        """Learn how long one of them takes, of what it was worked on."""
        self._seconds += 0.1 * (seconds - self._seconds)


class Share:
    """The bytes of one request."""

    def __init__(self, admission: Admission) -> None:
        self._all, self.bytes = admission, 0

    def take(self, count: int) -> None:
        """Take so many bytes more, or give them back. Raises: Refused: there is no room for them."""
        limits = self._all.limits
        if count > 0 and self.bytes + count > limits.memory:
            raise Refused(413, f"the request takes {self.bytes + count} bytes of memory; {limits.memory} are allowed")
        if count > 0 and self._all.bytes + count > limits.memory:
            raise self._all.full("requests under way take all the memory that they may")
        self.bytes += count
        self._all.bytes += count

    @contextmanager
    def for_now(self, count: int) -> Iterator[None]:
        """Take so many bytes until the block ends. Raises: as ``take``."""
        self.take(count)
        try:
            yield
        finally:
            self.take(-count)
