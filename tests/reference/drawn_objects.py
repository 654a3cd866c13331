"""Drawn pictures with known boxes for the bundled detector, by the module that draws what it is trained on."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

MODELS = Path(__file__).resolve().parents[2] / "models"
PICTURES = (40_000_000, 40_000_001, 40_000_002, 40_000_003)
CLASSES = ("disc", "square", "triangle")


@functools.cache
def _scenes() -> ModuleType:
    for name in ("layout", "scenes"):
        if name not in sys.modules:
            _load(name)
    return sys.modules["scenes"]


def _load(name: str) -> None:
    spec = importlib.util.spec_from_file_location(name, MODELS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


@functools.cache
def scene(seed: int, *labels: str) -> Any:
    """Return a scene of 96 x 96 pixels: objects of these classes, or one to three of any, as training has them."""
    kinds = _kinds(seed) if not labels else tuple(CLASSES.index(label) for label in labels)
    return _scenes().draw_objects(seed, kinds)


def _kinds(seed: int) -> tuple[int, ...]:
    choice = np.random.Generator(np.random.PCG64([seed, 5]))
    count = int(choice.integers(1, 4))
    return tuple(int(k) for k in choice.integers(0, len(CLASSES), count))


def picture(seed: int, *labels: str) -> np.ndarray:
    """Return the scene's picture, float32 [3, 96, 96] from 0 to 1."""
    image = scene(seed, *labels).image
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(255)


def truth(seed: int, *labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the objects' boxes in pixels, [n, 4], and their classes, [n]."""
    drawn = scene(seed, *labels)
    return drawn.boxes.astype(float), np.array(drawn.labels)


def masks(seed: int, *labels: str) -> np.ndarray:
    """Return the objects' masks on a grid of 24 x 24, bool [n, 24, 24]: what at least half of a cell is."""
    drawn = scene(seed, *labels)
    return np.asarray(drawn.masks.reshape(-1, 24, 4, 24, 4).mean((2, 4)) >= 0.5)
