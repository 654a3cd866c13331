"""What a score says of itself, held against the numbers that it puts out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tinynet import CLASSES, TinyNet, image

import onnxsal
from onnxsal.anatomy import Score, X, body
from onnxsal.anatomy.select import LOGITS, PROBABILITIES
from onnxsal.explanation.build import build, choose_layer
from onnxsal.explanation.method_plan import plan
from onnxsal.explanation.target import resolve_target
from onnxsal.graph import Program
from onnxsal.runtime import Session
from onnxsal.tasks.target import Target

UNREAD = {"probability": np.zeros(CLASSES, np.float32)}


@pytest.fixture(scope="module")
def model() -> onnxsal.Model:
    return onnxsal.load(TinyNet().model())


@pytest.mark.parametrize(("kind", "source"), [("logit", LOGITS), ("probability", PROBABILITIES)])
@pytest.mark.parametrize("target", [3, (0, 2), (2, 1)])
def test_a_column_is_what_the_program_itself_gives(
    model: onnxsal.Model, kind: str, source: str, target: int | tuple[int, int]
) -> None:
    goal = resolve_target(model, target, UNREAD)
    score = model.score(kind, goal)
    assert (score.kind, score.source) == (kind, source)
    feeds = {X: np.stack([image(0), image(1)]), **{name: np.repeat(v, 2, axis=0) for name, v in goal.feeds.items()}}
    np.testing.assert_array_equal(model.session(score).run(feeds)["score"], Session(score).run(feeds)["score"])


def test_the_ends_are_those_of_the_numbers(model: onnxsal.Model) -> None:
    """A softmax that is sure of one class comes to the ends; nothing passes them."""
    steep = TinyNet()
    steep.v = steep.v * 1000
    sure, x = onnxsal.load(steep.model()), image()[None]
    for target in [*range(CLASSES), *((a, b) for a in range(CLASSES) for b in range(CLASSES) if a != b)]:
        goal = resolve_target(sure, target, UNREAD)
        score = sure.score("probability", goal)
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
    found = model.session(score).run({X: image()[None]})["score"]
    np.testing.assert_allclose(found, model.scores(image())[0].sum(keepdims=True), rtol=1e-5)


def test_programs_are_told_apart_and_one_is_built_once(model: onnxsal.Model) -> None:
    op = body(model.anatomy).extend()
    program = op.finish(score=op.ReduceMax(op[LOGITS], [1], keepdims=0))
    first, again = (resolve_target(model, program, UNREAD).program for _ in range(2))
    assert first == again
    assert hash(first) == hash(again)
    assert first != model.score("logit")


@pytest.mark.parametrize("kind", ["logit", "probability"])
def test_a_sum_of_weighted_columns_is_that_of_numpy(model: onnxsal.Model, kind: str) -> None:
    """Any number of terms, a column twice among them, as the program gives it and as its columns do."""
    indices, weights = np.array([4, 0, 0, 2]), np.array([0.25, -3, 1, 0.5], np.float32)
    goal = Target(None, "a sum", None, indices, weights)
    score, feeds = model.score(kind, goal), {X: image()[None], **goal.feeds}
    values = model.scores(image())[kind == "probability"]
    for session in (model.session(score), Session(score)):
        np.testing.assert_allclose(session.run(feeds)["score"], [float(values[indices] @ weights)], rtol=1e-6)
    assert goal.value(values) == pytest.approx(float(values[indices] @ weights), rel=1e-6)
    assert score.ends == (None if kind == "logit" else (-3.0, 1.75))
    assert model.score(kind, goal) == score


def test_one_column_with_a_coefficient_is_no_single_class(model: onnxsal.Model) -> None:
    goal = Target(None, "half", None, np.array([1]), np.array([0.5], np.float32))
    assert goal.weighted
    found = model.session(model.score("logit", goal)).run({X: image()[None], **goal.feeds})["score"]
    np.testing.assert_array_equal(found, 0.5 * model.scores(image())[0][1:2])


def masked(gate: str) -> onnx.ModelProto:
    """Classes 1 and 3 are always at minus infinity, as a mask of classes leaves them."""
    rng = np.random.default_rng(3)
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, 8, 8] x) => (float[n, 4] y) {{
      c = Conv <pads = [1, 1, 1, 1]> (x, w)
      r = Relu (c)
      p = ReduceMean <keepdims = 0> (r, axes)
      l = MatMul (p, v)
      y = {gate}
    }}"""
    model = onnx.parser.parse_model(text)
    arrays = {"w": rng.normal(size=(5, 3, 3, 3)).astype(np.float32), "v": rng.normal(size=(5, 4)).astype(np.float32),
              "axes": np.array([2, 3]), "kept": np.array([True, False, True, False]),
              "low": np.array(-np.inf, np.float32), "mask": np.array([0, -np.inf, 0, -np.inf], np.float32)}  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in arrays.items() if f"{k}" in text)
    return model


@pytest.mark.parametrize("gate", ["Where (kept, l, low)", "Add (l, mask)"])
@pytest.mark.parametrize("target", [0, (0, 2)])
@pytest.mark.parametrize("method", ["gradient", "grad-cam", "hirescam"])
def test_a_class_at_minus_infinity_beside_the_explained_ones_changes_nothing(
    gate: str, target: int | tuple[int, int], method: str
) -> None:
    """The oracle is the same network without the mask: its logits are given as they are."""
    x = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    finite = onnxsal.load(masked("Identity (l)"))
    sure = resolve_target(finite, target, {})
    closed = onnxsal.load(masked(gate))
    feeds = {X: x[None], **sure.feeds}
    assert np.isneginf(
        closed.session(closed.program("body", lambda: body(closed.anatomy))).run({X: x[None]})[LOGITS]
    ).any()
    for make in (score_of, lambda model, goal: map_of(model, goal, method)):
        wanted, found = (next(iter(Session(make(model, sure)).run(feeds).values())) for model in (finite, closed))
        assert wanted.any()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def score_of(model: onnxsal.Model, goal: Target) -> Program:
    return model.score("logit", goal)


def map_of(model: onnxsal.Model, goal: Target, method: str) -> Program:
    steps = plan(method, {})
    layer = choose_layer(model, steps, "r") if steps.needs_layer else None
    made = build(model, steps, layer=layer, score=model.score("logit", goal))
    assert isinstance(made, Program)
    return made
