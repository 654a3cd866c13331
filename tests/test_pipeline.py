"""Order, bounds, errors and ends of work that threads do ahead of and behind a loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from onnxsal.pipeline import Bounds, InOrder, ahead

BOUNDS = [Bounds(0, 1), Bounds(1, 1), Bounds(1, 3), Bounds(3, 4), Bounds(2, 3, room=-1)]


def late_first(release: threading.Event, seen: list[int]) -> Callable[[int], int]:
    """Return work whose first item is done after all the others that may begin beside it."""

    def work(item: int) -> int:
        seen.append(item)
        if item == 0:
            release.wait(0.05)
        if item == 3:
            raise ValueError("the fourth")
        return item * item

    return work


@pytest.mark.parametrize("within", BOUNDS)
def test_results_come_in_order_and_an_error_in_its_turn(within: Bounds) -> None:
    seen: list[int] = []
    found: list[object] = []
    for item, result in ahead(range(6), late_first(threading.Event(), seen), within):
        try:
            found.append((item, result()))
        except ValueError as error:
            found.append((item, str(error)))
    assert found == [(0, 0), (1, 1), (2, 4), (3, "the fourth"), (4, 16), (5, 25)]
    assert sorted(seen) == list(range(6))


def test_the_others_are_done_while_the_first_is_waited_for() -> None:
    others = threading.Barrier(2, timeout=5)
    with InOrder(lambda item: others.wait() * 0 + item, Bounds(2, 2)) as both:
        both.put(1)
        both.put(2)
        assert (both.full(), len(both), both.take(), both.take()) == (True, 2, 1, 2)


@pytest.mark.parametrize(
    ("within", "weight", "most"), [(Bounds(2, 3), 0, 3), (Bounds(2, 9, 100), 40, 2), (Bounds(1, 9, 5), 40, 1)]
)
def test_no_more_is_under_way_than_the_bounds_say(within: Bounds, weight: int, most: int) -> None:
    """What was begun and not yet taken; an item heavier than the room has nothing beside it."""
    begun: list[int] = []
    for taken, (_, result) in enumerate(ahead(range(20), begun.append, within, lambda _: weight)):
        assert len(begun) <= taken + most
        result()
    assert sorted(begun) == list(range(20))


def test_an_end_in_the_middle_ends_the_threads_and_what_has_not_begun() -> None:
    begun: list[int] = []
    with closing(ahead(range(1000), begun.append, Bounds(2, 8))) as coming:
        next(coming)[1]()
    assert len(begun) <= 9
    assert not [each for each in threading.enumerate() if each.name.startswith("onnxsal-ahead")]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_first_error_is_raised_whatever_fails_behind_it(workers: int) -> None:
    """A full disk fails every file: it is the first of these that is named."""

    def work(item: int) -> int:
        raise OSError(str(item))

    with InOrder(work, Bounds(workers, 2)) as behind:
        behind.put(1)
        behind.put(2)
        with pytest.raises(OSError, match=r"^1$"):
            behind.pass_on(3, 0, print)
        with pytest.raises(OSError, match=r"^1$"):
            behind.drain(print)
        assert len(behind) == 0


def test_what_is_interrupted_while_it_is_waited_for_is_still_there() -> None:
    """As Ctrl-C does in the loop: the wait ends, the work goes on, and its result can be taken."""
    go = threading.Event()
    with InOrder(lambda item: go.wait(5) and item, Bounds(1, 2)) as behind:
        behind.put(7)
        get, done, weight = behind._under_way[0]

        def interrupted() -> int:
            raise KeyboardInterrupt

        behind._under_way[0] = (interrupted, done, weight)
        with pytest.raises(KeyboardInterrupt):
            behind.take()
        behind._under_way[0] = (get, done, weight)
        go.set()
        assert behind.take() == 7 and len(behind) == 0
