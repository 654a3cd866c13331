"""Average drop and increase in confidence on scores whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from onnxsal.metrics.drop import (
    average_drop,
    average_drop_top,
    increase_in_confidence,
    increase_in_confidence_top,
)

RNG = np.random.default_rng(2)
X = RNG.random((3, 8, 8)).astype(np.float32) + 0.5
OBJECT = np.zeros((8, 8))
OBJECT[2:6, 3:7] = 1


def on_object(images: np.ndarray) -> np.ndarray:
    """Return the share of the object's light that is left."""
    return np.asarray((images * OBJECT).sum(axis=(1, 2, 3)) / (X * OBJECT).sum())


def disturbed(images: np.ndarray) -> np.ndarray:
    """Return a score that rises as what is beside the object goes."""
    return 0.5 + 0.5 * (1 - ((images * (1 - OBJECT)).sum(axis=(1, 2, 3)) / (X * (1 - OBJECT)).sum()))


def test_a_map_of_the_object_drops_nothing_and_its_negative_all() -> None:
    assert average_drop(on_object, X, OBJECT).value == pytest.approx(0, abs=1e-6)
    assert average_drop(on_object, X, -OBJECT).value == pytest.approx(1)


def test_of_a_linear_score_the_drop_is_the_weighted_mean_of_what_is_hidden() -> None:
    saliency = RNG.random((8, 8))
    weights = (saliency - saliency.min()) / np.ptp(saliency)
    expected = 1 - (X * OBJECT * weights).sum() / (X * OBJECT).sum()
    assert average_drop(on_object, X, saliency).value == pytest.approx(expected, abs=1e-6)
    assert average_drop(on_object, X, 7 * saliency - 3).value == pytest.approx(expected, abs=1e-6)


def test_the_drop_is_relative_to_the_score_before() -> None:
    saliency = RNG.random((8, 8))
    whole = average_drop(on_object, X, saliency).value
    assert average_drop(lambda p: 0.2 * on_object(p), X, saliency).value == pytest.approx(whole)
    assert average_drop_top(lambda p: 0.2 * on_object(p), X, -OBJECT).value == 1


def test_confidence_rises_where_what_disturbs_is_hidden() -> None:
    assert increase_in_confidence(disturbed, X, OBJECT).value == 1
    assert average_drop(disturbed, X, OBJECT).value == 0
    assert increase_in_confidence(on_object, X, OBJECT + 1e-9).value == 0


def test_what_shows_through_is_the_baseline() -> None:
    brighter = average_drop(on_object, X, -OBJECT, np.full(3, 0.25)).value
    assert brighter == pytest.approx(1 - 0.25 * 3 * OBJECT.sum() / (X * OBJECT).sum(), abs=1e-6)
    assert average_drop(on_object, X, -OBJECT, np.full(3, 0.25), to="zero").value == pytest.approx(1)


def test_the_highest_half_keeps_half_of_the_pixels() -> None:
    kept: list[np.ndarray] = []

    def watch(images: np.ndarray) -> np.ndarray:
        kept.append(images[1, 0] != 0)
        return on_object(images)

    saliency = RNG.random((8, 8))
    average_drop_top(watch, X, saliency)
    np.testing.assert_array_equal(kept[0], saliency > np.median(saliency))
    average_drop_top(watch, X, OBJECT)
    assert kept[1].sum() == 32
    assert kept[1][OBJECT > 0].all()
    average_drop_top(watch, X, OBJECT, keep=0.25)
    np.testing.assert_array_equal(kept[2], OBJECT > 0)


def test_the_top_variants_tell_the_object_from_the_rest() -> None:
    assert average_drop_top(on_object, X, OBJECT).value == 0
    assert average_drop_top(on_object, X, -OBJECT).value == 1
    assert increase_in_confidence_top(disturbed, X, OBJECT).value == 1
    assert increase_in_confidence_top(lambda p: 2 - disturbed(p), X, OBJECT).value == 0


def test_flat_maps_and_scores_of_nothing_are_not_defined() -> None:
    for each in (average_drop, average_drop_top, increase_in_confidence, increase_in_confidence_top):
        flat, other = each(on_object, X, np.stack([np.full((8, 8), 0.7), OBJECT]))
        assert np.isnan(flat.value) and not np.isnan(other.value)
    assert np.isnan(average_drop(lambda p: np.zeros(len(p)), X, OBJECT).value)


def test_the_mean_over_pictures_is_the_paper_s_number() -> None:
    assert average_drop.aggregate == increase_in_confidence.aggregate == "mean"
