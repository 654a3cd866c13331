"""How tests are run: in how many workers, on how many threads, and for how long without a reason."""

from __future__ import annotations

import gc
import sys
import types
from pathlib import Path
from typing import Any

import onnxruntime
import parallel
import pytest
import slow_tests

ROOT = Path(__file__).resolve().parent.parent


def config(*arguments: str, capture: str = "fd") -> Any:
    return types.SimpleNamespace(
        args=arguments, invocation_params=types.SimpleNamespace(dir=ROOT), getoption=lambda name: capture
    )


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["tests/test_floors.py"], 1), (["tests/test_floors.py::one", "tests/test_floors.py::another[x::y]"], 1),
        (["tests/viz/test_grid.py", "tests/viz/test_plot.py"], 2), ([str(ROOT / "tests" / "test_floors.py")], 1),
    ],
)  # fmt: skip
def test_files_are_counted_and_a_handful_runs_in_the_process_itself(arguments: list[str], files: int) -> None:
    assert parallel.files_asked_for(config(*arguments)) == files
    assert parallel.pytest_xdist_auto_num_workers(config(*arguments)) == 0


def test_folders_run_on_every_core_unless_they_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 5)
    assert parallel.files_asked_for(config("tests", "plugins")) > 150
    assert parallel.pytest_xdist_auto_num_workers(config("tests", "plugins")) == 5
    assert parallel.pytest_xdist_auto_num_workers(config("tests", capture="no")) == 0


@pytest.mark.parametrize(("asked", "wanted"), [(None, 1), (0, 1), (1, 1), (3, 3)])
def test_sessions_in_a_worker_have_one_thread_unless_they_say_how_many(asked: int | None, wanted: int) -> None:
    seen: list[Any] = []
    create = parallel.on_one_thread(
        lambda self, *given, **named: seen.append((given, named)), onnxruntime.SessionOptions
    )
    options = None if asked is None else onnxruntime.SessionOptions()
    if options is not None:
        options.intra_op_num_threads = asked
    create(object(), b"model", options, providers=["CPUExecutionProvider"])
    ((model, used), named) = seen[0]
    assert (model, used.intra_op_num_threads, named) == (b"model", wanted, {"providers": ["CPUExecutionProvider"]})


def test_workers_do_run_on_one_thread() -> None:
    if not parallel.WORKER:
        pytest.skip("no worker: `pytest` with more than a handful of files")
    import numba

    assert numba.config.NUMBA_NUM_THREADS == 1
    assert parallel.WORKER in numba.config.CACHE_DIR
    assert onnxruntime.InferenceSession.__init__.__name__ == "bounded"
    assert gc.get_threshold() == parallel.GARBAGE
    assert not sys.dont_write_bytecode


@pytest.mark.parametrize(("seconds", "told"), [(0.0, False), (5.0, False), (7.9, False), (8.1, True)])
def test_a_test_over_the_limit_and_its_noise_is_told(seconds: float, told: bool) -> None:
    said = slow_tests.too_slow(seconds)
    assert (said is not None) == told
    assert said is None or f"took {seconds:.1f} s" in said


def marked(*arguments: object) -> Any:
    mark = pytest.mark.slow(*arguments).mark if arguments else None
    return types.SimpleNamespace(nodeid="t", get_closest_marker=lambda name: mark)


def test_a_mark_gives_its_reason() -> None:
    assert slow_tests.reason(marked()) is None
    assert slow_tests.reason(marked("trains a network")) == "trains a network"
    for bad in (("slow",), (3,), ("one reason", "and another reason")):
        with pytest.raises(pytest.UsageError, match="why it takes its time"):
            slow_tests.reason(marked(*bad))


def test_time_on_a_processor_counts_work_and_not_waiting() -> None:
    import time

    before, wall = slow_tests.spent(), time.monotonic()
    while slow_tests.spent() - before < 0.05:
        sum(range(1000))
    worked = slow_tests.spent()
    time.sleep(0.1)
    assert 0.05 <= worked - before <= time.monotonic() - wall + 0.05
    assert slow_tests.spent() - worked < 0.05


def test_fixtures_that_are_excused_are_there() -> None:
    for name in slow_tests.SLOW_FIXTURES:
        path, _, function = name.partition("::")
        assert f"\ndef {function}(" in (ROOT / path).read_text(encoding="utf-8"), name
