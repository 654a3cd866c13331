"""Tiny models that every method is held against, loaded once."""

from __future__ import annotations

import pytest
from tinynet import TinyNet, linear

import onnxsal


@pytest.fixture(scope="session")
def net() -> TinyNet:
    return TinyNet()


@pytest.fixture(scope="session")
def tiny(net: TinyNet) -> onnxsal.Model:
    return onnxsal.load(net.model())


@pytest.fixture(scope="session")
def flat() -> onnxsal.Model:
    """The linear model."""
    return onnxsal.load(linear())
