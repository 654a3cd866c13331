"""Fixtures: the drawing module of ``models/``, which is no package, and the bundled model."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

MODELS = Path(__file__).resolve().parent.parent.parent / "models"


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of the bundled model."""
    return MODELS


@pytest.fixture(scope="session")
def scenes() -> ModuleType:
    """The module ``models/scenes.py``."""
    _module("layout")
    return _module("scenes")


@pytest.fixture(scope="session")
def training() -> ModuleType:
    """The module ``models/training.py``."""
    return _module("training")


@pytest.fixture(scope="session")
def network(scenes: ModuleType) -> ModuleType:
    """The module ``models/network.py``."""
    _module("layers")
    return _module("network")


@pytest.fixture(scope="session")
def measure(training: ModuleType, network: ModuleType) -> ModuleType:
    """The module ``models/measure.py``, and the recipe that it needs."""
    _module("recipe")
    return _module("measure")


@pytest.fixture(scope="session")
def detector_network(scenes: ModuleType) -> ModuleType:
    """The module ``models/detector_network.py``."""
    _module("layers")
    return _module("detector_network")


@pytest.fixture(scope="session")
def detector_scenes(detector_network: ModuleType) -> ModuleType:
    """The module ``models/detector_scenes.py``."""
    return _module("detector_scenes")


@pytest.fixture(scope="session")
def detector_measure(detector_scenes: ModuleType) -> ModuleType:
    """The module ``models/detector_measure.py``."""
    return _module("detector_measure")


@pytest.fixture(scope="session")
def detector_recipe(detector_measure: ModuleType, training: ModuleType) -> ModuleType:
    """The module ``models/detector_recipe.py``."""
    return _module("detector_recipe")


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, MODELS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
