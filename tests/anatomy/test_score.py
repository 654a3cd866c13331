"""What a score says of itself, held against the numbers that it puts out."""

from __future__ import annotations

import numpy as np
import pytest
from tinynet import CLASSES, TinyNet, picture

import onnxsal
from onnxsal.anatomy import Score, X, body
from onnxsal.anatomy.select import LOGITS, PROBABILITIES
from onnxsal.explanation.target import resolve_target
from onnxsal.runtime import Session

UNREAD = np.zeros(CLASSES, np.float32)


@pytest.fixture(scope="module")
def model() -> onnxsal.Model:
    return onnxsal.load(TinyNet().model())


@pytest.mark.parametrize(("kind", "source"), [("logit", LOGITS), ("probability", PROBABILITIES)])
@pytest.mark.parametrize("target", [3, (0, 2), (2, 2)])
def test_a_column_is_what_the_program_itself_gives(
    model: onnxsal.Model, kind: str, source: str, target: int | tuple[int, int]
) -> None:
    goal = resolve_target(model, target, UNREAD)
    score = model.score(kind, versus=goal.versus)
    assert (score.kind, score.source) == (kind, source)
    feeds = {X: np.stack([picture(0), picture(1)]), **{name: np.repeat(v, 2, axis=0) for name, v in goal.feeds.items()}}
    np.testing.assert_array_equal(model.session(score).run(feeds)["score"], Session(score).run(feeds)["score"])


def test_the_ends_are_those_of_the_numbers(model: onnxsal.Model) -> None:
    """A softmax that is sure of one class comes to the ends; nothing passes them."""
    steep = TinyNet()
    steep.v = steep.v * 1000
    sure, x = onnxsal.load(steep.model()), picture()[None]
    for target in [*range(CLASSES), *((a, b) for a in range(CLASSES) for b in range(CLASSES))]:
        goal = resolve_target(sure, target, UNREAD)
        score = sure.score("probability", versus=goal.versus)
        low, high = score.ends or (0.0, 0.0)
        (found,) = sure.session(score).run({X: x, **goal.feeds})["score"]
        assert low <= found <= high
    assert (score.widest(), score.widest(against=True)) == (1, 2)
    assert model.score("logit").ends is None
    assert model.score("logit").widest() is None


def test_a_program_that_somebody_wrote_is_run_itself_and_nothing_is_known_of_it(model: onnxsal.Model) -> None:
    op = body(model.anatomy).extend()
    program = op.finish(score=op.ReduceSum(op[LOGITS], [1], keepdims=0))
    score = resolve_target(model, program, UNREAD).program
    assert score == Score(program.model)
    assert (score.kind, score.ends, score.source) == ("value", None, None)
    assert resolve_target(model, score, UNREAD).program is score
    found = model.session(score).run({X: picture()[None]})["score"]
    np.testing.assert_allclose(found, model.scores(picture())[0].sum(keepdims=True), rtol=1e-5)


def test_programs_are_told_apart_and_one_is_built_once(model: onnxsal.Model) -> None:
    op = body(model.anatomy).extend()
    program = op.finish(score=op.ReduceMax(op[LOGITS], [1], keepdims=0))
    first, again = (resolve_target(model, program, UNREAD).program for _ in range(2))
    assert first == again
    assert hash(first) == hash(again)
    assert first != model.score("logit")
