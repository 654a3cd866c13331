"""Fixtures for all tests: where the reference material lies, if it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material; the test skips where it is absent."""
    folder = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    if not (folder / "models").is_dir():
        pytest.skip("needs the reference material: set ONNXSAL_SHARED, or put it in ../shared")
    return folder
