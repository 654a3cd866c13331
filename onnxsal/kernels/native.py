"""The formulas compiled for the processor, and the decorators that compile the loops over them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from onnxsal.kernels import formulas

_jit: Any = numba.njit
_SOURCES = sorted(Path(__file__).parent.glob("*.py"))
_DIGEST = hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest()[:8]


def scalar(function: Callable[..., Any]) -> Any:
    """Return ``function`` compiled into its callers, so that their loops become vector code."""
    return _jit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def part(function: Callable[..., Any]) -> Any:
    """Return ``function`` compiled for use inside a kernel only."""
    return _jit(no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Return ``function`` compiled without the interpreter lock, its machine code kept on disk where that works."""
    # numba's cache watches the kernel's own file alone; the name makes it watch the formulas and parts as well.
    function.__qualname__ = f"{function.__name__}_{_DIGEST}"
    try:
        return _jit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found no folder that it can write
        return _jit(nogil=True)(function)


# math.sqrt sets errno and so keeps loops scalar; numpy's does not.
_bound = formulas.bind(scalar, np.sqrt)
lerp, level, blend, normals = _bound["lerp"], _bound["level"], _bound["blend"], _bound["normals"]
