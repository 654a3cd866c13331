"""What is measured of the bundled model, on maps that are known."""

from __future__ import annotations

from statistics import mean, median
from types import ModuleType
from typing import Any

import numpy as np
import pytest


class Known:
    """A session whose maps are 1 on the left of every picture and 0 on the right, and which names class 3 always."""

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        count = len(feeds["picture"])
        maps = np.zeros((count, 1, 96, 96), np.float32)
        maps[..., :48] = 1
        return [np.tile(np.eye(10, dtype=np.float32)[3] * 2, (count, 1)), maps]


@pytest.fixture(scope="module")
def drawn(measure: ModuleType) -> list[Any]:
    return measure.drawn(60)  # type: ignore[no-any-return]


def classifier(measure: ModuleType, weights: np.ndarray) -> Any:
    return measure.Classifier(Known(), weights.astype(np.float32)[:, None])


def test_names_and_probabilities_are_counted(measure: ModuleType, drawn: list[Any]) -> None:
    model = classifier(measure, np.ones(10))
    assert measure.named(model, drawn) == 0.1
    assert measure.surest(model, drawn) == pytest.approx(np.exp(2) / (np.exp(2) + 9), abs=1e-6)


def test_the_share_inside_is_that_of_the_mask_on_the_left(measure: ModuleType, drawn: list[Any]) -> None:
    model = classifier(measure, np.ones(10))
    shares = [scene.mask[:, :48].sum() / (96 * 48) for scene in drawn]
    assert measure.inside(model, drawn) == pytest.approx(median(shares), rel=1e-5)
    on_the_left = [bool(mask[:, :48].any()) for scene in drawn for mask in scene.masks]
    assert measure.reached(model, drawn) == mean(on_the_left)


def test_two_classes_are_told_apart_by_the_difference_of_their_weights(measure: ModuleType) -> None:
    pairs = [measure.draw_pair(k) for k in range(30)]
    model = classifier(measure, np.arange(10.0))
    more = [s.labels[0] > s.labels[1] and _left(s.masks[0]) > _left(s.masks[1]) for s in pairs]
    assert measure.told_apart(model, pairs) == mean(more)


def _left(mask: np.ndarray) -> int:
    return int(mask[:, :48].sum())
