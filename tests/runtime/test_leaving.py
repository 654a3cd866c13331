"""A process that ends while a thread is inside ONNX Runtime ends with its own status, not with an abort."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from onnxsal.runtime.leaving import _Gate

MODEL = Path(__file__).resolve().parent.parent.parent / "models" / "shapes.onnx"
SCRIPT = f"""
import sys, threading
import numpy as np
import onnxsal
model = onnxsal.load({str(MODEL)!r})
started = threading.Event()
def work():
    while True:
        model.predict(np.zeros((96, 96, 3), np.uint8))
        started.set()
thread = threading.Thread(target=work, daemon=True)
thread.start()
started.wait()
sys.exit(3)
"""


def test_a_daemon_thread_at_work_does_not_abort_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, b"")


def test_the_gate_waits_for_who_is_inside_and_lets_no_other_thread_in() -> None:
    gate, order, entered = _Gate(), list[str](), threading.Event()

    def work() -> None:
        with gate.passed():
            entered.set()
            time.sleep(0.1)
            order.append("out")
        with pytest.raises(SystemExit), gate.passed():
            order.append("in again")

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait()
    gate.close()
    order.append("closed")
    thread.join()
    assert order == ["out", "closed"]
    with gate.passed():  # the main thread's own exit hooks may compute
        order.append("main")
    assert order[-1] == "main" and gate.inside == 0


def test_a_run_that_fails_is_out_again() -> None:
    gate = _Gate()
    with pytest.raises(KeyError), gate.passed():
        raise KeyError
    gate.close()
    assert gate.inside == 0
