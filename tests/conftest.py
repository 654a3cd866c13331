"""Fixtures for all tests: where the reference material lies, if it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxsal.methods.registry import MADE
from onnxsal.metrics.registry import _MADE as METRICS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material; the test skips where it is absent."""
    folder = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    if not (folder / "models").is_dir():
        pytest.skip("needs the reference material: set ONNXSAL_SHARED, or put it in ../shared")
    return folder


@pytest.fixture(autouse=True)
def _registries_stay_as_they_were() -> Iterator[None]:
    """What a test has made is gone after it: the next one may be any other. Built-ins that were loaded may stay."""
    before = {name for made in (MADE, METRICS) for name in made}
    yield
    for made in (MADE, METRICS):
        for name in set(made) - before:
            if not _is_ours(made[name]):
                del made[name]


def _is_ours(made: object) -> bool:
    function = getattr(made, "build", None) or getattr(made, "judge", None)
    return getattr(function, "__module__", "").startswith("onnxsal")
