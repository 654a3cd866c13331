"""The GPU's twins: on numba's simulator everywhere, on a GPU where there is one."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from onnxsal.errors import UnsupportedError
from onnxsal.kernels import masks

pytest.importorskip("numba.cuda", reason="this numba has no CUDA target: needs numba-cuda")
HERE = Path(__file__).resolve().parent


def run_twins(tolerance: float, **environment: str) -> None:
    path = os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error:Grid size", str(HERE / "cuda_twins.py"), str(tolerance)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


def test_on_the_simulator_they_agree_with_the_processor():
    run_twins(1e-6, NUMBA_ENABLE_CUDASIM="1")


def test_on_a_gpu_they_agree_with_the_processor():
    """A GPU fuses multiplication and addition, so the last bits may differ."""
    run_twins(1e-5, NUMBA_ENABLE_CUDASIM="0")


def test_without_the_package_one_sentence_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    monkeypatch.delitem(sys.modules, "onnxsal.kernels.cuda", raising=False)
    with pytest.raises(UnsupportedError, match=r"numba-cuda: pip install 'onnxsal\[gpu\]'"):
        importlib.import_module("onnxsal.kernels.cuda")


def test_without_a_gpu_one_sentence_says_what_is_missing(monkeypatch):
    cuda = importlib.import_module("onnxsal.kernels.cuda")
    monkeypatch.setattr(cuda.cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda.cuda, "cuda_error", lambda: "\nno driver\nfound\n")
    with pytest.raises(UnsupportedError, match=r"onnxsal\[gpu\].*no driver found$"):
        cuda.upload([1.0])


ASKING = {  # all that takes memory on the GPU
    "room": lambda cuda: cuda.room((2, 1024, 1024)),
    "upload": lambda cuda: cuda.upload(np.zeros((2, 1024, 1024), np.float32)),
    "masks": lambda cuda: cuda._masks(np.zeros((1, 3, 3), np.float32), (5, 5)),
    "launch": lambda cuda: cuda._launch(None, (np.zeros((3, 4, 4)),) * 2, None, (masks.make_rows(2), None), (0, 0, 0)),
}


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize(
    ("said", "kind"), [("CUDA_ERROR_OUT_OF_MEMORY", MemoryError), ("CUDA_ERROR_UNKNOWN", UnsupportedError)]
)
def test_a_gpu_without_room_is_short_of_memory(monkeypatch, asking, said, kind):
    """So the executor halves the batch; any other failure of the driver is one sentence that says what it is."""
    cuda = importlib.import_module("onnxsal.kernels.cuda")
    failure = cuda._driver_error(2 if kind is MemoryError else 999, f"Call to cuMemAlloc results in {said}")

    def fails(*given, **options):
        raise failure

    monkeypatch.setattr(cuda, "check_available", lambda: None)
    monkeypatch.setattr(cuda.cuda, "device_array", fails)
    monkeypatch.setattr(cuda.cuda, "to_device", fails)
    size = "8" if asking in ("room", "upload") else ".*"
    with pytest.raises(kind, match=rf"no room for {size} MiB" if kind is MemoryError else f"driver fails: .*{said}"):
        ASKING[asking](cuda)


def launched(monkeypatch, cuda, rows, size):
    """The launches, numbers of blocks first, that fill so many rows of a picture [3, size, size]."""
    launches = []

    class Launch:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, launch):
            self.kernel[launch]
            return lambda *given: launches.append(launch)

    for name in ("_planes", "_compose"):
        monkeypatch.setattr(cuda, name, Launch(getattr(cuda, name)))
    monkeypatch.setattr(cuda.cuda, "to_device", lambda values, stream: values)
    image = np.broadcast_to(np.float32(0), (3, size, size))
    cuda._launch(None, (image, image), None, (masks.make_rows(rows), None), ((0, 0), False, 0))
    assert len(launches) == 2
    return launches


@pytest.mark.parametrize("rows", [1, 8])
def test_numba_has_nothing_to_say_of_small_batches(monkeypatch, recwarn, rows):
    """It warns of launches of few blocks, which a batch of few rows would be."""
    cuda = importlib.import_module("onnxsal.kernels.cuda")
    if cuda.SIMULATED:
        pytest.skip("the simulator has launches without opinions")
    launched(monkeypatch, cuda, rows, 4)
    assert not recwarn.list


@pytest.mark.parametrize(("rows", "size"), [(65536, 8), (1, 4096), (8, 224)])
def test_launches_keep_to_the_limits_of_a_gpu(monkeypatch, rows, size):
    """The first axis takes 2^31 - 1 blocks and the second 65535: any number of rows is on the first."""
    cuda = importlib.import_module("onnxsal.kernels.cuda")
    for (first, second), block, _ in launched(monkeypatch, cuda, rows, size):
        assert first == rows
        assert second <= 65535
        assert block == 128
