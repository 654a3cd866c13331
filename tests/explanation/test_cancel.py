"""How an explanation in a worker thread is ended: by its progress function, which may raise whatever it likes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tinynet import TinyNet, image

import onnxsal


class CancelledError(Exception):
    pass


@pytest.fixture
def model():
    return onnxsal.load(TinyNet().model())


def begun(model, error, **options):
    """Return what a worker thread gives that is told to stop once it has begun."""
    started, stop = threading.Event(), threading.Event()

    def progress(done, total):
        started.set()
        if stop.wait(20):
            raise error

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(
            onnxsal.explain, model, image(), method="smoothgrad", target=1, samples=400, progress=progress, **options
        )
        assert started.wait(20)
        stop.set()
        return found.result(20)


def test_what_progress_raises_ends_it_and_the_model_goes_on(model):
    before = onnxsal.explain(model, image(), method="smoothgrad", target=1).raw
    with pytest.raises(CancelledError, match="by the user"):
        begun(model, CancelledError("by the user"))
    assert not [t for t in threading.enumerate() if t.name.startswith("onnxsal")]
    np.testing.assert_array_equal(onnxsal.explain(model, image(), method="smoothgrad", target=1).raw, before)


def test_an_interruption_from_progress_gives_the_map_so_far(model):
    found = begun(model, KeyboardInterrupt(), keep_partial=True)
    assert (found.manifest["stopped"], found.manifest["partial"]) == ("interrupted", True)
    samples = found.manifest["samples"]
    assert 0 < samples < 400
    whole = onnxsal.explain(model, image(), method="smoothgrad", target=1, samples=samples)
    np.testing.assert_allclose(found.raw, whole.raw, rtol=1e-4, atol=1e-6)
