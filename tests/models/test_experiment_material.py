"""The scripts that make what the experiments need: folders of scenes, and models trained with noise."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from onnxsal.experiments.scenes import read_scenes


@pytest.mark.parametrize(("kind", "objects"), [("several", [2, 3, 4]), ("pairs", [2, 2, 2]), ("one", [1, 1, 1])])
def test_a_folder_of_scenes_is_read_as_it_was_drawn(models: Path, scenes, tmp_path: Path, kind: str, objects) -> None:
    asked = [sys.executable, str(models / "write_scenes.py"), "--out", str(tmp_path), "--kind", kind, "--count", "3"]
    subprocess.run([*asked, "--size", "64"], check=True)
    found = read_scenes(str(tmp_path))
    assert [len(scene.labels) for scene in found] == objects
    for scene in found:
        assert (len(set(scene.labels)) == 2) == (kind == "pairs")
        assert set(scene.labels) <= set(scenes.LABELS)
    if kind == "pairs":
        drawn = scenes.draw_pair(50_000_001, size=64)
        assert (found[1].image == drawn.image).all()
        assert all(((found[1].objects == k + 1) == mask).all() for k, mask in enumerate(drawn.masks))


def test_models_of_the_series_differ_in_noise_alone(series: ModuleType) -> None:
    for seed in range(3):
        first, *others = (series.settings(noise, seed, 6) for noise in (0, 10, 20))
        assert [first.noise, *(other.noise for other in others)] == [0, 0.1, 0.2]
        assert all(replace(other, noise=0) == first for other in others)


def test_seeds_of_the_series_draw_scenes_of_their_own(series: ModuleType, recipe: ModuleType) -> None:
    used = [
        range(chosen.first, chosen.first + chosen.scenes) for chosen in (series.settings(0, k, 6) for k in range(3))
    ]
    used += [range(first, first + 10_000) for first in (0, recipe.VALIDATION, recipe.FRESH, recipe.EMPTY, 50_000_000)]
    assert len({seed for part in used for seed in part}) == sum(map(len, used))


def test_noise_in_training_is_a_share_of_the_range_which_has_two(recipe: ModuleType) -> None:
    x = np.full((3, 3, 96, 96), 0.5, np.float32)
    noisy = recipe._noisy(x, np.array([0, 0.05, 0.2], np.float32), np.random.default_rng(0))
    assert (noisy[0] == x[0]).all()
    assert noisy.std(axis=(1, 2, 3)) == pytest.approx([0, 0.1, 0.4], rel=0.02)


def test_steady_noise_grows_in_the_first_two_fifths_of_the_steps(
    recipe: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = recipe.Settings(scenes=10, empty=0, epochs=10, batch=10, noise=0.2, steady=True)
    levels = []
    monkeypatch.setattr(recipe, "_noisy", lambda x, level, rng: levels.append(level) or np.ascontiguousarray(x))
    recipe.train(settings, np.zeros((10, 96, 96, 3), np.uint8), 1)
    assert levels == pytest.approx([0, 0.05, 0.1, 0.15] + 6 * [0.2])


def test_the_same_settings_train_the_same_weights(recipe: ModuleType) -> None:
    settings = recipe.Settings(scenes=10, empty=2, epochs=2, batch=6, noise=0.1, steady=True, seed=1)
    images = np.random.default_rng(0).integers(0, 256, (12, 96, 96, 3), np.uint8)
    one, again, other = (recipe.train(replace(settings, seed=seed), images, 1) for seed in (1, 1, 2))
    assert all((one[name] == again[name]).all() for name in one)
    assert not any((one[name] == other[name]).all() for name in one if name.endswith("weight"))


@pytest.fixture
def recipe(models: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module ``models/recipe.py``."""
    monkeypatch.syspath_prepend(str(models))
    return importlib.import_module("recipe")


@pytest.fixture
def series(recipe: ModuleType) -> ModuleType:
    """The module ``models/noise_series.py``."""
    return importlib.import_module("noise_series")
