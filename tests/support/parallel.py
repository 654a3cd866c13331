"""Tests on every core, each worker on one thread: a plug-in of pytest's, which pyproject.toml names.

``pytest`` starts a worker for every core; a handful of files, ``--pdb`` and ``-s`` run in the process itself.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""The worker's name, as ``gw0``; empty where tests run in the process that was called."""

if WORKER:
    # Two processes that write Numba's cache at once may give two kernels the same file: each worker has its own cache.
    ROOT = os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).resolve().parents[2] / ".pytest_cache" / "numba"
    os.environ["NUMBA_CACHE_DIR"] = str(Path(ROOT, WORKER))

FEW = 8
"""Up to so many files no worker is started: each costs two seconds of a processor before its first test."""

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def cores() -> int:
    """The number of cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def files_asked_for(config: pytest.Config) -> int:
    """The number of test files behind the command's arguments, each of which may be a folder or end in ``::test``."""
    here = config.invocation_params.dir
    paths = {here / argument.partition("::")[0] for argument in config.args}
    return sum(len(list(path.rglob("test_*.py"))) if path.is_dir() else 1 for path in paths)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What ``-n auto`` stands for."""
    shown_live = config.getoption("capture") == "no"
    return 0 if shown_live or files_asked_for(config) <= FEW else cores()


GARBAGE = (20_000, 20, 100)
"""Thresholds of the collection of garbage in workers: by Python's own it takes a twelfth of the time of all tests."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers inherit the environment, and libraries read it when they are loaded.

    Processes that tests start load the bytecode that workers leave, whatever else is wanted of Python here: without any
    each compiles all sources, which takes longer than most of what is asked of them.
    """
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """ONNX Runtime reads no variable, so in workers its sessions are bounded as they are made."""
    if WORKER:
        gc.set_threshold(*GARBAGE)
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        session = onnxruntime.InferenceSession
        session.__init__ = on_one_thread(session.__init__, onnxruntime.SessionOptions)


def on_one_thread(create: Callable[..., None], new_options: Callable[[], Any]) -> Callable[..., None]:
    """``InferenceSession.__init__`` on one thread where its options leave the number open."""

    def bounded(self: object, model: object, sess_options: Any = None, *rest: object, **named: object) -> None:
        options = sess_options or new_options()
        options.intra_op_num_threads = options.intra_op_num_threads or 1
        create(self, model, options, *rest, **named)

    return bounded
