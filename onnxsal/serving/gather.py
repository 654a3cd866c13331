"""Explanations that threads make of what requests want: those that are alike together, as they come.

Whoever wants something puts it in and waits for its future, with or without an event loop. What nobody waits for any
more is taken out of the queue; where it runs already, alone or with others of its kind, it is told to stop.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

W = TypeVar("W")
A = TypeVar("A")

Work = Callable[[Sequence[W], Callable[[], bool]], "Sequence[A | Exception]"]
"""Makes an answer of each of several wants of one kind, an exception of one that fails; asks whether to stop."""


@dataclass(frozen=True)
class Gathering:
    """How many threads work, and how they gather."""

    workers: int = 1
    batch: int = 1
    """Wants of one kind that a thread takes at a time."""
    seconds: float = 0.002
    """That it waits for more of them where it has fewer."""


@dataclass(eq=False)
class Job(Generic[W, A]):
    """One want."""

    wanted: W
    key: Hashable
    work: Work[W, A]
    then: Callable[[A], Any]
    """Makes of the answer what the future gives, in the thread that made the answer."""
    future: Future[Any] = field(default_factory=Future)
    left: bool = False
    """Nobody waits for it any more."""


class Gatherer(Generic[W, A]):
    """Threads that work on a queue. Args: told: is told of every batch that begins, how many are in it."""

    def __init__(self, gathering: Gathering, told: Callable[[int], None] = lambda _: None, name: str = "serve") -> None:
        self._how, self._told = gathering, told
        self._jobs: deque[Job[W, A]] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._resting: list[threading.Condition] = []
        """Of threads without work: the one that rested last is the first to be called. What it ran is still in its
        processor's cache, which makes a tenth of an explanation of 15 ms."""
        self._closed = False
        self._running: list[Job[W, A]] = []
        self._threads = [
            threading.Thread(target=self._serve, name=f"onnxsal-{name}-{at}", daemon=True)
            for at in range(gathering.workers)
        ]
        for thread in self._threads:
            thread.start()

    def put(
        self, work: Work[W, A], wanted: W, key: Hashable, then: Callable[[A], Any] = lambda answer: answer
    ) -> Job[W, A]:
        """Return a want that is worked on in its turn, with others of equal key; its future gives the answer.

        Args: then: makes of the answer what the future is to give.
        """
        job = Job(wanted, key, work, then)
        with self._changed:
            if self._closed:
                job.future.cancel()
            else:
                self._jobs.append(job)
                self._changed.notify_all()  # those that gather
                self._call_one()
        return job

    def leave(self, job: Job[W, A]) -> None:
        """Forget a want: it is not begun, or stopped where all of its batch have left."""
        with self._changed:
            job.left = True
            if job in self._jobs:
                self._jobs.remove(job)
                job.future.cancel()

    @property
    def waiting(self) -> int:
        """How many are not begun."""
        return len(self._jobs)

    def drop_waiting(self) -> None:
        """Cancel what is not begun."""
        with self._changed:
            while self._jobs:
                self._jobs.popleft().future.cancel()

    def close(self, seconds: float = 0.0) -> bool:
        """Stop what runs, drop what waits; return whether all threads have ended within so many seconds."""
        self.drop_waiting()
        with self._changed:
            self._closed = True
            for job in self._running:
                job.left = True
            self._changed.notify_all()
            while self._resting:
                self._call_one()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self) -> None:
        while (batch := self._next()) is not None:
            if batch:
                self._told(len(batch))
                self._answer(batch)
            with self._changed:
                self._running = [job for job in self._running if job not in batch]
            del batch  # what it holds is not kept until the next one comes

    def _next(self) -> list[Job[W, A]] | None:
        """Return a batch that has begun, waiting for one, empty where it was left meanwhile; None at the end."""
        with self._changed:
            while not self._jobs:
                if self._closed:
                    return None
                self._rest()
            batch = self._begun(self._jobs.popleft())
            key, end = batch[0].key if batch else None, time.monotonic() + self._how.seconds
            while batch and len(batch) < self._how.batch:
                more = next((job for job in self._jobs if job.key == key), None)
                if more is not None:
                    self._jobs.remove(more)
                    batch += self._begun(more)
                elif (left := end - time.monotonic()) <= 0 or not self._changed.wait(left):
                    break
            return batch

    def _rest(self) -> None:
        """Wait for work, or the end."""
        called = threading.Condition(self._lock)
        self._resting.append(called)
        called.wait()

    def _call_one(self) -> None:
        """Wake a thread that rests, where one does; the lock is held."""
        if self._resting:
            self._resting.pop().notify()

    def _begun(self, job: Job[W, A]) -> list[Job[W, A]]:
        """Return a job as one that runs; nothing where it was cancelled before."""
        if not job.future.set_running_or_notify_cancel():
            return []
        self._running.append(job)
        return [job]

    def _answer(self, batch: Sequence[Job[W, A]]) -> None:
        """Answer all of a batch; where it fails as a whole, one by one, so that a broken one harms no other."""
        try:
            answers = batch[0].work([job.wanted for job in batch], lambda: all(job.left for job in batch))
        except BaseException as error:  # noqa: BLE001  # whoever waits is told; the thread serves the next
            if len(batch) > 1:
                for job in batch:
                    self._answer([job])
                return
            answers = [_failure(error)]
        for job, answer in zip(batch, answers, strict=False):
            _settle(job, answer)


def _settle(job: Job[Any, Any], answer: Any) -> None:
    try:
        if isinstance(answer, Exception):
            raise answer
        made = job.then(answer)
    except BaseException as error:  # noqa: BLE001  # as above
        job.future.set_exception(_failure(error))
    else:
        job.future.set_result(made)


def _failure(error: BaseException) -> Exception:
    """Return what a future can raise in a loop: an end of an iteration is none."""
    fits = isinstance(error, Exception) and not isinstance(error, StopIteration)
    found = error if fits and isinstance(error, Exception) else RuntimeError(f"ended by {type(error).__name__}")
    _leave_frames(found)
    return found


def _leave_frames(error: BaseException | None) -> None:
    """Let an error and what it came of forget their frames: what was computed there would live until the next
    collection of garbage, half a megabyte of a picture."""
    seen = set[int]()  # what two errors came of may be each other
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
