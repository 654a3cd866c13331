"""Ctrl-C in a real process: the map so far, marked partial, with its error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tinynet import TinyNet, image

import onnxsal
from onnxsal.interrupts import whole
from onnxsal.streaming import moments

CHILD = """
import sys
import numpy as np
import onnxsal
from tinynet import TinyNet, image

def progress(done, total):
    if done >= 200:
        print("drawing", flush=True)

found = onnxsal.explain(
    onnxsal.load(TinyNet().model()), image(), method="ss-cam", layer="a2", target=1, samples=10_000_000,
    keep_partial=True, progress=progress,
)
found.to_npz(sys.argv[1])
"""


def _hears_ctrl_c() -> None:
    """Shells let what they start in the background ignore the signal, and a process hands that down."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_signal_waits_for_the_end_of_a_step() -> None:
    done = []
    before = signal.getsignal(signal.SIGINT)

    def steps() -> None:
        with whole():
            signal.raise_signal(signal.SIGINT)
            done.append("the step")
        done.append("what comes behind it")

    with pytest.raises(KeyboardInterrupt), _default_handler():
        steps()
    assert done == ["the step"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_failure_in_a_step_leaves_the_handler_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="no step"), whole():
        raise ValueError("no step")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_is_not_lost_where_the_step_fails() -> None:
    def steps() -> None:
        try:
            with whole():
                signal.raise_signal(signal.SIGINT)
                raise MemoryError("no step")
        except MemoryError:
            pass  # caught, as a run does that goes on with smaller batches

    with pytest.raises(KeyboardInterrupt), _default_handler():
        steps()


# Name of the sums' part that the signal comes behind, and at which of its calls.
STEPS = [
    ("smoothgrad", {}, "add_rows", 3),
    ("smooth-grad-cam++", {"layer": "a2"}, "add_rows", 7),
    ("smooth-grad-cam++", {"layer": "a2"}, "add_rows", 8),
    ("ss-cam", {"layer": "a2"}, "Accumulator._replace", 4),
]


@pytest.mark.parametrize(("method", "options", "name", "at"), STEPS)
def test_a_signal_inside_a_sum_leaves_whole_sums(monkeypatch, method: str, options: dict, name: str, at: int) -> None:
    """Counts, sums and squares of every output, and the number of draws, are those of one and the same draw."""
    model, calls = onnxsal.load(TinyNet().model()), []
    how = {"method": method, "target": 1, "samples": 1000, "batch_size": 4, **options}
    owner = moments if "." not in name else moments.Accumulator
    step = getattr(owner, name.rpartition(".")[2])

    def interrupted(*given, **named):
        step(*given, **named)
        calls.append(name)
        if len(calls) == at:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, _default_handler():
        patch.setattr(owner, name.rpartition(".")[2], interrupted)
        found = onnxsal.explain(model, image(), **how, keep_partial=True)
    assert (found.manifest["stopped"], found.manifest["partial"]) == ("interrupted", True)
    again = onnxsal.explain(model, image(), **how, forwards=found.manifest["forwards"])
    np.testing.assert_array_equal(found.raw, again.raw)
    np.testing.assert_array_equal(found.stderr, again.stderr)


@contextmanager
def _default_handler() -> Iterator[None]:
    """Tests may run in the background, where the signal is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_gives_the_map_so_far(tmp_path: Path) -> None:
    file = tmp_path / "map.npz"
    folders = [str(Path(onnxsal.__file__).parent.parent), str(Path(sys.modules["tinynet"].__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    arguments = [sys.executable, "-c", CHILD, str(file)]
    with subprocess.Popen(arguments, env=environment, preexec_fn=_hears_ctrl_c, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    arrays = np.load(file)
    manifest = json.loads(str(arrays["manifest"]))
    assert (manifest["stopped"], manifest["partial"]) == ("interrupted", True)
    assert 200 // 7 <= manifest["samples"] < 10_000_000
    again = onnxsal.explain(
        onnxsal.load(TinyNet().model()), image(), method="ss-cam", layer="a2", target=1, samples=manifest["samples"]
    )
    np.testing.assert_allclose(arrays["raw"], again.raw, rtol=0, atol=1e-6 * again.raw.max())
    np.testing.assert_allclose(arrays["stderr"], again.stderr, rtol=0, atol=1e-4 * again.stderr.max())
