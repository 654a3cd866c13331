"""Running out of memory: batches are halved and the run goes on, with the same map."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tinynet import image

import onnxsal
from onnxsal.errors import OutOfMemoryError
from onnxsal.runtime import Session
from onnxsal.streaming import allocation
from onnxsal.streaming.device import Host
from onnxsal.streaming.moments import Accumulator
from onnxsal.streaming.stages import Stages

X = image()
SS = {"method": "ss-cam", "layer": "a2", "target": 1, "samples": 6}


def scarce(monkeypatch: pytest.MonkeyPatch, room: int, *, after: int = 0) -> list[int]:
    """Let runs of more than ``room`` images fail as ONNX Runtime does, once ``after`` images went through."""
    sizes: list[int] = []
    run = Session._run

    def limited(self: Session, names: list[str], given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "sal/logits" not in self.outputs:
            return run(self, names, given)
        rows = max(len(a) for a in given.values())
        if rows > room and sum(sizes) >= after:
            raise OutOfMemoryError("the model cannot be run: out of memory")
        sizes.append(rows)
        return run(self, names, given)

    monkeypatch.setattr(Session, "_run", limited)
    return sizes


@pytest.mark.parametrize(("room", "last"), [(16, 16), (5, 4), (1, 1)])
@pytest.mark.parametrize("after", [0, 20])
def test_a_batch_that_does_not_fit_is_halved(tiny, monkeypatch, room: int, last: int, after: int) -> None:
    whole = onnxsal.explain(tiny, X, **SS, batch_size=16)
    sizes = scarce(monkeypatch, room, after=after)
    found = onnxsal.explain(tiny, X, **SS, batch_size=16)
    assert found.manifest["batch_size"] == last
    assert found.manifest.get("batch_size_asked", 16) == 16
    assert found.manifest["forwards"] == whole.manifest["forwards"] == 6 * 7 + 1
    assert max(sizes[-3:]) <= room
    assert_allclose(found.raw, whole.raw, rtol=0, atol=1e-6 * whole.raw.max())
    assert_allclose(found.stderr, whole.stderr, rtol=0, atol=1e-5 * whole.stderr.max())


def test_buffers_that_do_not_fit_are_halved_too(tiny: onnxsal.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = Host.buffer

    def limited(self: Host, rows: int) -> np.ndarray:
        if rows > 3:
            raise MemoryError(f"Unable to allocate {rows}")
        return buffer(self, rows)

    monkeypatch.setattr(Host, "buffer", limited)
    assert onnxsal.explain(tiny, X, **SS, batch_size=16).manifest["batch_size"] == 2


def test_one_image_that_does_not_fit_ends_the_run(tiny: onnxsal.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: Host, rows: int) -> np.ndarray:
        raise MemoryError("Unable to allocate")

    monkeypatch.setattr(Host, "buffer", none)
    with pytest.raises(OutOfMemoryError, match="one image at a time"):
        onnxsal.explain(tiny, X, **SS, batch_size=16)


def test_a_record_inside_a_record_is_halved_too(tiny: onnxsal.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"method": "smoothgrad", "inner": "score-cam", "layer": "a2", "target": 1, "samples": 3}
    whole = onnxsal.explain(tiny, X, **how)
    scarce(monkeypatch, 3)
    found = onnxsal.explain(tiny, X, **how)
    assert found.manifest["batch_size"] == 3
    assert_allclose(found.raw, whole.raw, rtol=0, atol=1e-6 * whole.raw.max())


def test_every_target_keeps_its_sums_when_a_batch_is_halved(tiny: onnxsal.Model, monkeypatch) -> None:
    how = {"method": "score-cam", "layer": "a2", "target": [0, 2], "batch_size": 4}
    whole = onnxsal.explain(tiny, X, **how)
    scarce(monkeypatch, 2, after=4)
    for found, wanted in zip(onnxsal.explain(tiny, X, **how), whole, strict=True):
        assert_allclose(found.raw, wanted.raw, rtol=0, atol=1e-6 * wanted.raw.max())


ADDED = [
    ({"method": "smoothgrad"}, Accumulator, "_store"),
    ({"method": "smooth-grad-cam++", "layer": "a2"}, Accumulator, "_store"),
    ({"method": "ss-cam", "layer": "a2"}, Accumulator, "_store"),
    ({"method": "ss-cam", "layer": "a2", "estimator": "neyman"}, Stages, "adding"),
    ({"method": "ss-cam", "layer": "a2", "estimator": "neyman"}, allocation, "_rank"),
]


@pytest.mark.parametrize(("options", "owner", "name"), ADDED)
@pytest.mark.parametrize("at", [2, 3])
def test_memory_short_while_sums_are_added_counts_nothing_twice(tiny, monkeypatch, options, owner, name, at) -> None:
    how = {"target": 1, "samples": 24, "batch_size": 4, "forwards": 60, **options}
    wanted = onnxsal.explain(tiny, X, **how)
    fails_once(monkeypatch, owner, name, at)
    found = onnxsal.explain(tiny, X, **how)
    assert (found.manifest["batch_size"], found.manifest["forwards"]) == (2, wanted.manifest["forwards"])
    assert_allclose(found.raw, wanted.raw, rtol=0, atol=1e-6 * np.abs(wanted.raw).max())
    assert_allclose(found.stderr, wanted.stderr, rtol=0, atol=1e-6 * wanted.stderr.max())


def test_memory_short_for_one_of_several_targets_counts_nothing_twice(tiny: onnxsal.Model, monkeypatch) -> None:
    how = {"method": "score-cam", "layer": "a2", "target": [0, 2], "batch_size": 4}
    whole = onnxsal.explain(tiny, X, **how)
    fails_once(monkeypatch, Accumulator, "adding", 4)
    for found, wanted in zip(onnxsal.explain(tiny, X, **how), whole, strict=True):
        assert found.manifest["forwards"] == wanted.manifest["forwards"]
        assert_allclose(found.raw, wanted.raw, rtol=0, atol=1e-6 * wanted.raw.max())


def fails_once(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, at: int) -> None:
    """Let one call find no memory."""
    calls, found = [], getattr(owner, name)

    def short(*given, **named):
        calls.append(name)
        if len(calls) == at:
            raise MemoryError("Unable to allocate")
        return found(*given, **named)

    monkeypatch.setattr(owner, name, short)


PEAK = """
import sys
from onnxsal.cli import main
status = main(sys.argv[1:])
print(status, next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024)
"""
# Not resource.getrusage: a process inherits the peak of the one that started it.


@pytest.mark.slow("a real network's masks in a process of their own, whose memory is what is held")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_bounds_the_whole_process(shared: Path, tmp_path: Path) -> None:
    """With the batch that was asked for the process takes 760 MiB; the bound is kept by a smaller one."""
    photo = shared / "images" / "imagenet" / "0281_tabby.jpg"
    arguments = ["explain", str(shared / "models" / "squeezenet1.0_fp32.onnx"), str(photo), "--preprocess", "caffe",
                 "-m", "score-cam", "-O", "batch_size=64", "-O", "forwards=65", "--memory", "500M"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(onnxsal.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    status, peak = done.stdout.split()[-2:]
    assert status == "0"
    assert 200 < int(peak) <= 500
