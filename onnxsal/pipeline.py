"""Work ahead of and behind a loop, in threads: in order, and of a bounded number and weight at a time.

The loop hands everything over and takes everything back itself, so that no bound needs a lock, and Ctrl-C is its own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")
R = TypeVar("R")

ROOM = 256 * 2**20
"""Bytes that what is under way may take, unless told otherwise."""

_MOST = 4
"""Threads."""


@dataclass(frozen=True)
class Bounds:
    """How much is under way: threads, 0 of which leave the work to the loop; items, and their weight in bytes.

    An item heavier than all of the room has nothing beside it: the loop does its work itself.
    """

    workers: int
    items: int
    room: int = ROOM


def bounds(*, most: int | None = None, room: int = ROOM, idle: bool = False) -> Bounds:
    """Return bounds for this machine: half of its processors, since the loop computes too.

    Args: most: threads. idle: whether it does not, and leaves all of them.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(max(1, processors if idle else processors // 2), _MOST if most is None else most)
    return Bounds(workers, 2 * workers + 1, room)


class InOrder(Generic[T, R]):
    """Work on items whose results are taken in the order in which the items were put.

    Whoever puts asks first whether there is room (``full``). Use it as a context manager, or close it.
    """

    def __init__(self, work: Callable[[T], R], within: Bounds, name: str = "onnxsal") -> None:
        self._work, self._within, self._name = work, within, name
        self._under_way: deque[tuple[Callable[[], R], Callable[[], bool], int]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._weight = 0
        self._failure: Exception | None = None

    def __len__(self) -> int:
        return len(self._under_way)

    def full(self, weight: int = 0) -> bool:
        """Return whether an item of that weight has to wait until another one is taken."""
        heavy = self._weight + weight > self._within.room
        return len(self) >= self._within.items or (heavy and len(self) > 0)

    def put(self, item: T, weight: int = 0) -> None:
        """Hand an item over."""
        if self._within.workers == 0 or weight > self._within.room:
            self._under_way.append((_at_once(self._work, item), lambda: True, weight))
        else:
            future = self._threads().submit(self._work, item)
            self._under_way.append((future.result, future.done, weight))
        self._weight += weight

    def ready(self) -> bool:
        """Return whether the next result can be taken without waiting."""
        return bool(self._under_way) and self._under_way[0][1]()

    def take(self) -> R:
        """Return the next result, waiting for it. Raises: what its work raised."""
        get, is_done, _ = self._under_way[0]
        try:
            return get()
        finally:
            if is_done():  # Ctrl-C ends the wait, not the work
                self.pop()

    def pop(self) -> Callable[[], R]:
        """Return what gives the next result, waiting for it; it counts no longer."""
        get, _, weight = self._under_way.popleft()
        self._weight -= weight
        return get

    def pass_on(self, item: T, weight: int, tell: Callable[[R], object]) -> None:
        """Hand an item over once there is room, and tell of those before it that are done."""
        while self.full(weight):
            self._tell(tell)
        self.put(item, weight)
        while self.ready():
            self._tell(tell)

    def drain(self, tell: Callable[[R], object]) -> None:
        """Tell of all that are left. Raises: the first error, also where it came before these, once all are told of."""
        while len(self):
            with suppress(Exception):  # the first of these is raised below
                self._tell(tell)
        if self._failure is not None:
            raise self._failure

    def _tell(self, tell: Callable[[R], object]) -> None:
        try:
            tell(self.take())
        except Exception as error:
            self._failure = self._failure or error
            raise

    def close(self) -> None:
        """Forget what has not begun, and wait for what has."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> InOrder[T, R]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # what serves one item needs none

            self._pool = ThreadPoolExecutor(self._within.workers, thread_name_prefix=self._name)
        return self._pool


def _at_once(work: Callable[[T], R], item: T) -> Callable[[], R]:
    """Return what gives a result, or raises what its work raised, as of work in a thread."""
    try:
        result = work(item)
    except Exception as error:  # noqa: BLE001  # it is raised where the result is taken
        return partial(_failed, error)
    return lambda: result


def _failed(error: Exception) -> NoReturn:
    raise error


def ahead(
    items: Iterable[T], work: Callable[[T], R], within: Bounds, weigh: Callable[[T], int] = lambda _: 0
) -> Generator[tuple[T, Callable[[], R]]]:
    """Yield every item and what gives its result, or raises what its work raised; close it to end its threads.

    Work is done on the items behind it meanwhile. Without threads it is done when the result is asked for.
    """
    if within.workers == 0:
        yield from ((item, partial(work, item)) for item in items)
        return
    with InOrder(work, within, "onnxsal-ahead") as coming:
        waiting: deque[T] = deque()
        for item in items:
            weight = weigh(item)
            while coming.full(weight):
                yield waiting.popleft(), coming.pop()
            coming.put(item, weight)
            waiting.append(item)
        while waiting:
            yield waiting.popleft(), coming.pop()
