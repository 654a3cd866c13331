"""A small model to stream through."""

from __future__ import annotations

import pytest
from tinynet import TinyNet

import onnxsal


@pytest.fixture(scope="session")
def tiny() -> onnxsal.Model:
    return onnxsal.load(TinyNet().model())
