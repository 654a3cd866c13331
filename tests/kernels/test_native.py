"""How kernels are compiled: lazily, and without a place for the cache too."""

from __future__ import annotations

import subprocess
import sys

import numba
import numpy as np

from onnxsal.kernels import native


def double(values):
    for i in range(values.size):
        values[i] *= 2


def test_a_kernel_works_where_no_cache_can_be_written(monkeypatch):
    def refuses_cache(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function 'double': no locator available for file '<somewhere>'")
        return numba.njit(**options)

    monkeypatch.setattr(native, "_jit", refuses_cache)
    values = np.arange(3.0)
    native.kernel(double)(values)
    np.testing.assert_array_equal(values, [0, 2, 4])


def test_the_short_ways_load_no_compiler():
    modules = "import onnxsal.kernels.resize, onnxsal.kernels.blur, onnxsal.kernels.rank, onnxsal.kernels.noise"
    check = f"{modules}, sys; sys.exit('numba' in sys.modules or 'llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
