"""What runs give: what is said of a map, and what several layers give together, against closed forms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from onnxsal.explanation import figure
from onnxsal.explanation.outcome import EMPTY, ZERO, Outcome, few_maps, fused, noted, warnings_of

R = np.random.default_rng(2)
LAYERS = ("early", "late")


def one(raw: np.ndarray | None = None, error: np.ndarray | None = None, **about: object) -> Outcome:
    raw = np.ones((2, 3), np.float32) if raw is None else raw
    ended = {"stopped": None, "partial": False, **about} if about or error is not None else {}
    return Outcome(raw, None, {}, forwards=7, backwards=3, samples=5, about=ended, saliency_stderr=error)


def maps() -> list[np.ndarray]:
    return [R.uniform(0, 1, (4, 6)).astype(np.float32) for _ in LAYERS]


@pytest.mark.parametrize(("reliability", "told"), [(1.0, 0), (0.5, 0), (0.49, 1), (0.0, 1)])
def test_weights_that_are_mostly_noise_are_told(reliability: float, told: int) -> None:
    found = warnings_of({"weight_reliability": reliability})
    assert len(found) == told
    assert all(f"{100 * reliability:.0f} % of their spread" in note for note in found)


@pytest.mark.parametrize(("error", "share"), [(0.7, None), (0.8, 36), (1.0, 0), (9.0, 0)])
def test_a_map_that_is_mostly_noise_is_told_by_the_share_of_its_square(error: float, share: int | None) -> None:
    """What is drawn is map plus error, so of its square 1 - error^2 is the map's own."""
    found = warnings_of({"relative_error": error})
    assert [f"{share} % of its square" in note for note in found] == ([] if share is None else [True])


def test_both_are_told_and_nothing_known_is_nothing_said() -> None:
    assert len(warnings_of({"weight_reliability": 0.1, "relative_error": 2.0})) == 2
    assert warnings_of({}) == ()


@pytest.mark.parametrize(
    ("error", "said"),
    [({}, "too few to tell"), ({"relative_error": 0.9}, "off by 90 %"), ({"relative_error": 0.1}, "")],
)
def test_foreseen_scores_say_where_they_tell_little(error: dict[str, float], said: str) -> None:
    notes = warnings_of({"maps_scored": 12, "maps_foreseen": 88, **error})
    assert len(notes) == bool(said)
    assert not said or ("12 of 100" in notes[0] and said in notes[0])


def test_the_advice_on_few_maps_says_how_many() -> None:
    assert "this layer has 12" in few_maps(12)[0]
    assert few_maps(1000) == ()


def never() -> str:
    raise AssertionError("a map that is not empty has no cause to look for")


def test_what_a_map_cannot_show_is_added_to_what_was_said() -> None:
    outcome = Outcome(np.eye(3, dtype=np.float32), None, {}, 1, 1, notes=("before",))
    assert noted(outcome, never, ("unseen",)).notes == ("before", "unseen")
    assert noted(outcome, never) is outcome


@pytest.mark.parametrize(
    ("shape", "cause", "said"),
    [((3, 3), None, EMPTY), ((2, 3, 3), None, ZERO), ((3, 3), "its own", "its own"), ((2, 3, 3), "its own", "its own")],
)
def test_a_map_of_zeros_has_its_cause_or_the_usual_one(shape: tuple[int, ...], cause: str | None, said: str) -> None:
    outcome = Outcome(np.zeros(shape, np.float32), None, {}, 1, 1, notes=("before",))
    assert noted(outcome, lambda: cause, ("not said of it",)).notes == ("before", said)


def test_layers_fuse_by_their_mean_or_their_maximum() -> None:
    a, b = maps()
    outcomes = [one(), one()]
    assert_allclose(fused(outcomes, [a, b], LAYERS, "mean").raw, (a + b) / 2, rtol=1e-6)
    assert_allclose(fused(outcomes, [a, b], LAYERS, "max").raw, np.where(a > b, a, b))


def test_what_they_cost_adds_up() -> None:
    found = fused([one(), one()], maps(), LAYERS, "mean")
    assert (found.forwards, found.backwards, found.samples) == (14, 6, 5)


def test_the_error_of_the_mean_is_exact_for_layers_that_share_their_noise_and_a_bound_for_others() -> None:
    a, b = maps()
    errors = [R.uniform(0.1, 0.3, (4, 6)).astype(np.float32) for _ in LAYERS]
    found = fused([one(error=e) for e in errors], [a, b], LAYERS, "mean")
    draws = R.standard_normal((2, 40000, 1, 1))
    shared = (draws[0] * errors[0] + draws[0] * errors[1]).std(axis=0) / 2
    apart = (draws[0] * errors[0] + draws[1] * errors[1]).std(axis=0) / 2
    assert found.stderr is not None
    assert_allclose(found.stderr, shared, rtol=0.03)
    assert (found.stderr > apart).all()
    assert found.numbers["relative_error"] == pytest.approx(
        np.linalg.norm(found.stderr) / np.linalg.norm(found.raw), rel=1e-5
    )


def test_the_error_of_the_maximum_is_that_of_the_layer_that_it_is() -> None:
    a, b = maps()
    errors = [np.full((4, 6), 0.1, np.float32), np.full((4, 6), 0.2, np.float32)]
    found = fused([one(error=e) for e in errors], [a, b], LAYERS, "max")
    assert_allclose(found.stderr, np.where(a > b, 0.1, 0.2), rtol=1e-6)


@pytest.mark.parametrize("constant", [False, True])
def test_no_error_is_stated_where_that_of_a_layer_is_not_known(constant: bool) -> None:
    """A constant map is stretched to 0 whatever it is, so its error says nothing either."""
    error = np.full((4, 6), 0.1, np.float32)
    a, b = maps()
    other = one(error=error if constant else None, stopped=None)
    found = fused([one(error=error), other], [a, np.zeros_like(b) if constant else b], LAYERS, "mean")
    assert found.stderr is None
    assert "relative_error" not in found.numbers


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ((None, None), None), ((None, "forwards"), "forwards"), (("tolerance", "seconds"), "seconds"),
        (("forwards", "interrupted"), "interrupted"), (("tolerance", "forwards"), "forwards"),
    ],
)  # fmt: skip
def test_the_end_of_all_is_the_hardest_of_theirs(ends: tuple[str | None, ...], wanted: str | None) -> None:
    found = fused([one(stopped=end) for end in ends], maps(), LAYERS, "mean")
    assert found.about["stopped"] == wanted
    assert [row["stopped"] for row in found.about["by_layer"]] == list(ends)
    again = [note for note in found.notes if "again" in note]
    assert len(again) == (wanted is not None)
    assert all(("each layer of by_layer" in note) == (wanted in ("seconds", "interrupted")) for note in again)


def test_layers_that_were_not_reached_are_named() -> None:
    found = fused([one(stopped=None)], maps()[:1], LAYERS, "mean")
    assert (found.about["stopped"], found.about["partial"]) == ("interrupted", True)
    assert any("before layer late" in note for note in found.notes)


def test_the_smallest_batch_is_told_with_what_was_asked_for() -> None:
    halved = one(stopped=None, batch_size=2, batch_size_asked=8)
    found = fused([one(stopped=None, batch_size=4, batch_size_asked=8), halved], maps(), LAYERS, "mean")
    assert (found.about["batch_size"], found.about["batch_size_asked"]) == (2, 8)


def test_what_is_said_of_two_layers_is_said_once() -> None:
    said = Outcome(np.ones((4, 6), np.float32), None, {}, 1, 1, samples=3, notes=("the same",))
    more = Outcome(np.ones((4, 6), np.float32), None, {}, 1, 1, samples=4, notes=("the same", "another"))
    found = fused([said, more], maps(), LAYERS, "mean")
    assert found.notes == ("the same", "another")
    assert found.samples is None


@pytest.mark.parametrize(("seconds", "said"), [(132.4, "130 s"), (301, "300 s"), (0.0123, "0.012 s"), (4.31, "4.3 s")])
def test_a_sheet_tells_seconds_without_powers_of_ten(seconds: float, said: str) -> None:
    drawable: Any = SimpleNamespace(manifest={"forwards": 2, "seconds": seconds})
    assert figure._detail(drawable, with_label=False) == f"2 forwards, {said}"
