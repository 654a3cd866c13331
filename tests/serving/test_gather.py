"""Gathering: what is alike together, what nobody waits for not at all, and no want harmed by another."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

import pytest

from onnxsal.serving.gather import Gatherer, Gathering


class Held:
    """Work that begins, and ends when it is let, or when it is told that nobody waits."""

    def __init__(self) -> None:
        self.begun, self.let = threading.Semaphore(0), threading.Event()
        self.batches: list[list[Any]] = []
        self.stopped = False

    def __call__(self, several: Sequence[Any], stopped: Callable[[], bool]) -> list[Any]:
        self.batches.append(list(several))
        self.begun.release()
        while not self.let.wait(0.002):
            if stopped():
                self.stopped = True
                break
        if "broken" in several:
            raise ValueError("broken")
        return [str(each) for each in several]


@contextmanager
def gatherer(batch: int = 1) -> Iterator[tuple[Gatherer[Any, Any], Held]]:
    made, held = Gatherer[Any, Any](Gathering(batch=batch, seconds=0.05)), Held()
    try:
        yield made, held
    finally:
        held.let.set()
        assert made.close(10), "a thread did not end"


def test_those_of_a_key_are_taken_together_as_they_come() -> None:
    with gatherer(batch=3) as (made, held):
        first = made.put(held, 0, "a")
        held.begun.acquire()  # alone: nothing came within the time
        rest = [made.put(held, at, key) for at, key in ((1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "a"))]
        held.let.set()
        assert [job.future.result(10) for job in (first, *rest)] == ["0", "1", "2", "3", "4", "5"]
    assert held.batches == [[0], [1, 3, 4], [2], [5]]


def test_the_thread_that_rested_last_goes_on() -> None:
    """Its processor still holds what it ran; threads in turn cost a tenth more."""
    made = Gatherer[Any, Any](Gathering(workers=3))

    def name(several: Sequence[Any], stopped: Callable[[], bool]) -> list[Any]:
        return [threading.current_thread().name]

    names = list[str]()
    for at in range(12):
        names.append(made.put(name, at, at).future.result(10))
        time.sleep(0.01)  # it is at rest again
    assert made.close(10)
    assert max(names.count(each) for each in names) >= 10  # in turn: 4


def test_a_broken_one_harms_no_other() -> None:
    with gatherer(batch=3) as (made, held):
        held.let.set()
        jobs = [made.put(held, each, "a") for each in ("x", "broken", "y")]
        assert [jobs[0].future.result(10), jobs[2].future.result(10)] == ["x", "y"]
        with pytest.raises(ValueError, match="broken"):
            jobs[1].future.result(10)
        assert made.put(held, "after", "a").future.result(10) == "after"


def test_what_nobody_waits_for_is_not_begun_or_told_to_stop() -> None:
    with gatherer() as (made, held):
        running, waiting, abandoned = (made.put(held, each, "a") for each in ("r", "w", "c"))
        held.begun.acquire()
        made.leave(waiting)
        abandoned.future.cancel()  # as a loop does that ends a wait
        made.leave(running)
        running.future.result(10)
        assert held.stopped
        assert made.waiting <= 1
        assert made.put(held, "n", "a")
        held.begun.acquire()
        held.let.set()
    assert held.batches == [["r"], ["n"]]


def test_a_batch_goes_on_while_one_of_it_waits() -> None:
    with gatherer(batch=2) as (made, held):
        jobs = [made.put(held, each, "a") for each in ("gone", "here")]
        held.begun.acquire()
        made.leave(jobs[0])
        held.let.wait(0.02)
        assert not held.stopped
        held.let.set()
        assert jobs[1].future.result(10) == "here"


def test_the_end_drops_what_waits_and_stops_what_runs() -> None:
    with gatherer() as (made, held):
        running, waiting = (made.put(held, each, "a") for each in "rw")
        held.begun.acquire()
        assert made.close(10)
        assert held.stopped
        assert running.future.result(0) == "r"
        for job in (waiting, made.put(held, "late", "a")):
            with pytest.raises(CancelledError):
                job.future.result(0)


def test_an_error_keeps_nothing_of_what_was_computed() -> None:
    """The arrays of a request that failed are not to wait for a collection of garbage."""
    kept = list[weakref.ref[Any]]()

    def broken(several: Sequence[Any], stopped: Callable[[], bool]) -> list[Any]:
        large = Held()
        kept.append(weakref.ref(large))
        try:
            raise KeyError("within")
        except KeyError as error:
            raise ValueError("broken") from error

    gc.disable()
    try:
        with gatherer() as (made, _):
            job = made.put(broken, 0, "a")
            assert str(job.future.exception(10)) == "broken" and kept[0]() is None
    finally:
        gc.enable()
