"""Tests over five seconds say why: ``@pytest.mark.slow("reason")``. A plug-in of pytest's, which pyproject.toml names.

Held is time on a processor, the test's own and that of the processes it waited for, not time on the wall, which depends
on what else the machine does; and only where each test runs on one thread, in the workers of tests/support/parallel.py.
``pytest -m 'not slow'`` leaves these tests out; ``nox -s slow`` lists them with their reasons.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import ClassVar

import pytest
from parallel import WORKER

LIMIT = 5.0
"""Seconds that a test may take without a reason."""

NOISE = 1.6
"""The same test takes up to so many times as long where both cores are busy, or are slower ones."""

SLOW_FIXTURES = {
    "tests/models/test_shapes.py::found": "draws 300 scenes and runs the bundled model on them, once for all tests",
    "tests/runtimes/test_runtimes.py::detectors": "compiles detectors of several forms, once for all runtimes",
    "tests/runtimes/test_runtimes.py::jobs": "compiles every method and explains with each, once for all runtimes",
}
"""Fixtures over the limit and why: they are shared, so no one test is to blame."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--why-slow", action="store_true", help="list the tests that are marked slow and why; runs nothing"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"slow(reason): takes more than {LIMIT:g} s of a processor, for this reason")


compiling: list[float] = [0.0]
"""The seconds that Numba has compiled for: whichever test is first to need a kernel is not to blame."""


def spent() -> float:
    """The seconds of a processor that this process and those it waited for have used, but for compiling kernels."""
    return used() - compiling[0]


def used() -> float:
    """The same with compiling."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    if WORKER:
        watch_compiling()


def watch_compiling() -> None:
    """Have Numba tell when it compiles; a kernel compiles the functions in it on the way."""
    from numba.core import event

    class Compiling(event.Listener):
        started: ClassVar[list[float]] = []

        def on_start(self, event: object) -> None:
            self.started.append(used())

        def on_end(self, event: object) -> None:
            since = self.started.pop()
            compiling[0] += 0 if self.started else used() - since

    event.register("numba:compile", Compiling())


def reason(item: pytest.Item) -> str | None:
    """Why the test is slow, if it says so."""
    mark = item.get_closest_marker("slow")
    if mark is None:
        return None
    if len(mark.args) != 1 or mark.kwargs or not isinstance(mark.args[0], str) or len(mark.args[0].split()) < 3:
        raise pytest.UsageError(f'{item.nodeid}: write @pytest.mark.slow("why it takes its time")')
    return mark.args[0]


def too_slow(seconds: float) -> str | None:
    """What is said of a test, or a fixture, that took so long without a reason."""
    if seconds <= LIMIT * NOISE:
        return None
    return f"took {seconds:.1f} s of a processor: make it smaller"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    before = spent()
    result = yield
    said = too_slow(spent() - before)
    if said and WORKER and reason(item) is None:
        pytest.fail(f'{said}, or mark it @pytest.mark.slow("why")', pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    before = spent()
    result = yield
    said = too_slow(spent() - before)
    name = f"{fixturedef.baseid}::{fixturedef.argname}"
    if said and WORKER and name not in SLOW_FIXTURES:
        pytest.fail(f"fixture {name} {said}, or give its reason in {__file__}", pytrace=False)
    return result


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {item.nodeid.partition("[")[0]: said for item in items if (said := reason(item))}
    if config.getoption("why_slow"):
        config.hook.pytest_deselected(items=items[:])
        items.clear()
        for name, said in {**reasons, **{f"fixture {name}": why for name, why in SLOW_FIXTURES.items()}}.items():
            print(f"{name}\n    {said}")
