"""What an NVIDIA provider needs on this machine, looked up piece by piece so that a failure names what is missing."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from pathlib import Path
from typing import Any

from onnxsal.runtime.environment import onnxruntime

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
ON_GPU = (CUDA, TENSORRT)
"""Providers that take their inputs from CUDA device memory."""

_FILES = {CUDA: "onnxruntime_providers_cuda", TENSORRT: "onnxruntime_providers_tensorrt"}
_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def preload() -> None:
    """Load the CUDA libraries that pip installed beside ONNX Runtime; what it prints of others is noise."""
    load = getattr(onnxruntime(), "preload_dlls", None)
    if load is not None:
        with contextlib.redirect_stdout(io.StringIO()):
            load()


def missing(provider: str) -> list[str]:
    """Return what stands in the way of a provider, each as a clause; empty where nothing can be found."""
    return [clause for clause in (_library(provider), _driver()) if clause is not None]


def _library(provider: str) -> str | None:
    name = f"{_FILES[provider]}.dll" if sys.platform == "win32" else f"lib{_FILES[provider]}.so"
    path = Path(str(onnxruntime().__file__)).parent / "capi" / name
    try:
        _load(str(path))
    except OSError as error:
        return f"the provider's library cannot be loaded ({error})"
    return None


def devices() -> int:
    """Return how many GPUs the NVIDIA driver finds; 0 without one."""
    try:
        return _count(_load(_DRIVER))[1]
    except OSError:
        return 0


def _driver() -> str | None:
    try:
        status, count = _count(_load(_DRIVER))
    except OSError:
        return f"no NVIDIA driver is installed ({_DRIVER} is not there)"
    return None if status == 0 and count else f"the NVIDIA driver finds no GPU (its status is {status})"


def _count(driver: Any) -> tuple[int, int]:
    """Return the driver's status, 0 where all is well, and how many GPUs it finds."""
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return int(status), count.value


def _load(name: str) -> Any:
    return ctypes.CDLL(name)
