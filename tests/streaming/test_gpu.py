"""The executor on a GPU: on numba's simulator everywhere, on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.runtime import Session

pytest.importorskip("numba.cuda", reason="this numba has no CUDA target: needs numba-cuda")
HERE = Path(__file__).resolve().parent


def run_twin(tolerance: float, **environment: str) -> None:
    folders = [str(HERE.parent.parent), str(HERE.parent / "reference"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-W", "error:Grid size", str(HERE / "gpu_twin.py"), str(tolerance)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow("Numba's simulator of a GPU runs kernels as Python, a thread of theirs at a time")
def test_on_the_simulator_maps_are_those_of_the_host() -> None:
    run_twin(1e-6, NUMBA_ENABLE_CUDASIM="1")


def test_on_a_gpu_maps_are_those_of_the_host() -> None:
    run_twin(1e-3, NUMBA_ENABLE_CUDASIM="0")


def test_a_session_on_a_gpu_that_the_kernels_cannot_use_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never silently on the processor: what the kernels lack is the message."""
    cuda = pytest.importorskip("onnxsal.kernels.cuda")
    monkeypatch.setattr(cuda.cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda.cuda, "cuda_error", lambda: "no driver")
    start = Session.__init__

    def starts(self: Session, *given: object, **options: object) -> None:
        start(self, *given, **options)  # type: ignore[arg-type]
        self.on_gpu = True

    monkeypatch.setattr(Session, "__init__", starts)
    model = onnxsal.load(TinyNet().model())
    with pytest.raises(UnsupportedError, match="numba cannot use a GPU here: no driver"):
        onnxsal.explain(model, image(), method="score-cam", layer="a2", target=1)
