"""From a name and options to a plan, and from a plan to the program that is made once."""

from __future__ import annotations

import numpy as np
import pytest
from tinynet import TinyNet, image, linear, linear_weights

import onnxsal
from onnxsal.anatomy import Score
from onnxsal.errors import UsageError
from onnxsal.explanation.build import build, build_layers, choose_layer, map_of
from onnxsal.explanation.method_plan import MethodPlan, plan, split_options
from onnxsal.explanation.target import resolve_target
from onnxsal.graph import Program
from onnxsal.records import Record


@pytest.fixture(scope="module")
def tiny() -> onnxsal.Model:
    return onnxsal.load(TinyNet().model())


@pytest.fixture
def mine() -> onnxsal.Method:
    """A method of this program."""

    @onnxsal.method("times-a-number", paper="a test")
    def mine(score: Program, *, factor: float = 2.0) -> Program:
        """The picture times a number."""
        op = score.extend()
        return op.finish(saliency=op.Mul(op["sal/x"], factor), score=op["score"])

    return mine


def test_common_options_are_told_from_the_methods_own() -> None:
    common, own = split_options({"batch_size": "3", "seconds": 2, "samples": 7, "keep_partial": "true"})
    assert (common.batch_size, common.seconds, common.keep_partial, common.fuse) == (3, 2.0, True, None)
    assert own == {"samples": 7}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "batch_size"), ({"batch_size": "many"}, "batch_size"), ({"percentile": 0}, "percentile"),
        ({"percentile": 101}, "percentile"), ({"fuse": "median"}, "fuse"), ({"sign": "both"}, "sign"),
        ({"seconds": -1}, "seconds"), ({"tolerance": 0}, "tolerance"), ({"keep_partial": "perhaps"}, "keep_partial"),
    ],
)  # fmt: skip
def test_a_common_option_out_of_its_range_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        split_options(options)


def test_a_wrapper_passes_on_what_only_its_inner_method_has() -> None:
    found = plan("smoothgrad", {"inner": "integrated-gradients", "steps": 7, "samples": 5})
    assert found.options["samples"] == 5
    assert found.inner is not None
    assert found.inner.options["steps"] == 7
    assert found.described() == {**found.described(), "inner": "integrated-gradients", "steps": 7, "samples": 5}
    assert (found.innermost.method.name, found.needs_layer, found.backward) == ("integrated-gradients", False, True)


def test_an_option_of_both_is_the_wrappers_and_the_inner_one_is_told_apart() -> None:
    found = plan("smoothgrad", {"inner": "smooth-grad-cam++", "samples": 5})
    assert (found.options["samples"], found.inner and found.inner.options["samples"]) == (5, 50)
    described = found.described()
    assert (described["samples"], described["inner.samples"]) == (5, 50)


def test_wrappers_nest_and_their_costs_multiply() -> None:
    found = plan("smoothgrad", {"inner": "vargrad", "samples": 4})
    assert found.innermost.method.name == "gradient"
    assert (found.forwards(0), found.backwards(0)) == (4 * 50, 4 * 50)
    by_maps = plan("smoothgrad", {"inner": "score-cam", "samples": 3})
    assert by_maps.forwards(8) == 3 * 9
    assert not by_maps.backward


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("grad-cam", {"inner": "gradient"}, "wraps no other method"),
        ("grad-cam", {"smaples": 3}, "smaples"),
        ("smoothgrad", {"smaples": 3}, r"smoothgrad.* round .*gradient.* no option 'smaples'.*samples"),
        ("smoothgrad", {"inner": "integrated-gradients", "stepss": 3}, "'stepss'.*steps"),
        ("smoothgrad", {"inner": 3}, "inner=3: expected the name of a method"),
        ("smoothgrad", {"inner": "no-such"}, "no-such"),
        ("smoothgrad", {"samples": 0}, "samples"),
    ],
)
def test_what_a_plan_cannot_be_is_named(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan(name, options)


def test_a_method_of_this_program_is_named_by_the_hash_of_its_code(mine: onnxsal.Method) -> None:
    (origin,) = plan("times-a-number", {}).origins()
    assert origin.startswith("this program, SHA-256 ")
    ours, theirs = plan("smoothgrad", {"inner": "times-a-number"}).origins()
    assert (ours, theirs) == ("built-in", origin) or ours.startswith("onnxsal")


def made(model: onnxsal.Model, name: str, layer: str | None = None, **options: object) -> Program | Record:
    steps = plan(name, options)
    at = choose_layer(model, steps, layer) if steps.needs_layer else None
    return build(model, steps, layer=at, score=model.score("logit"))


def test_what_is_asked_for_again_is_made_once(tiny: onnxsal.Model) -> None:
    first = made(tiny, "smoothgrad", samples=5)
    assert made(tiny, "smoothgrad", samples=5) is first
    assert made(tiny, "smoothgrad", samples=6) is not first
    assert made(tiny, "smoothgrad", samples=5, inner="input-x-gradient") is not first
    assert made(tiny, "grad-cam", "a2") is made(tiny, "grad-cam", "a2")
    assert made(tiny, "grad-cam", "a2") is not made(tiny, "grad-cam", "a3")


def test_scores_and_targets_tell_programs_apart(tiny: onnxsal.Model) -> None:
    steps = plan("gradient", {})
    scores = [tiny.score(kind) for kind in ("logit", "probability")]
    scores += [Score(tiny.score("logit").model) for _ in range(2)]  # of somebody's own programs
    found = [build(tiny, steps, layer=None, score=score) for score in scores]
    assert len({id(program) for program in found[:2]}) == 2
    assert [build(tiny, steps, layer=None, score=score) for score in scores] == found


def test_a_method_made_anew_under_its_name_is_not_the_old_one(tiny: onnxsal.Model, mine: onnxsal.Method) -> None:
    steps = plan("times-a-number", {})
    again = MethodPlan(
        onnxsal.method("times-a-number", paper="a test")(lambda score, *, factor=2.0: mine.build(score, factor=5.0)), {}
    )
    maps = [build(tiny, each, layer=None, score=tiny.score("logit")) for each in (steps, again)]
    assert maps[0] is not maps[1]


def test_arrays_among_options_tell_programs_apart(tiny: onnxsal.Model) -> None:
    """What a large array prints is the same for these two."""
    black = np.zeros((3, 12, 12), np.float32)
    other = black.copy()
    other[1, 6, 6] = 1
    maps = [onnxsal.explain(tiny, image(), method="occlusion", target=1, baseline=b).raw for b in (black, other)]
    assert not np.array_equal(*maps)


@pytest.mark.parametrize(
    "options",
    [{"method": "gradient"}, {"method": "smoothgrad", "samples": 3}, {"method": "smoothgrad", "inner": "smoothgrad"}],
)
def test_what_is_built_gives_the_closed_form(options: dict[str, object]) -> None:
    """Of a linear model the gradient is its weights, however often a mean over noise is taken of it."""
    found = onnxsal.explain(linear(), image(), target=3, **options)
    np.testing.assert_allclose(found.raw, linear_weights()[3], rtol=1e-5)


def test_a_layer_is_the_one_named_or_the_methods_own_or_the_last(tiny: onnxsal.Model) -> None:
    assert choose_layer(tiny, plan("grad-cam", {}), "a1").name == "a1"
    assert choose_layer(tiny, plan("grad-cam", {}), None).name == tiny.anatomy.layers.find(None).name
    assert choose_layer(tiny, plan("smoothgrad", {"inner": "cam"}), None).name == "a3"


@pytest.mark.parametrize("method", ["layercam", "grad-cam", "grad-cam++", "xgrad-cam", "seg-xres-cam", "eigencam"])
def test_the_maps_of_several_layers_come_from_one_run(tiny: onnxsal.Model, method: str) -> None:
    steps, score = plan(method, {}), tiny.score("logit")
    layers = [tiny.anatomy.layers.find(name) for name in ("a2", "a1")]
    feeds = {"sal/x": image()[None], **resolve_target(tiny, 1, {}).feeds}
    joined = build_layers(tiny, steps, layers=layers, score=score)
    assert joined is not None and joined is build_layers(tiny, steps, layers=layers, score=score)
    found = tiny.session(joined).run(feeds)
    for name, layer in zip([map_of(0), map_of(1)], layers, strict=True):
        alone = build(tiny, steps, layer=layer, score=score)
        assert isinstance(alone, Program)
        np.testing.assert_array_equal(found[name], tiny.session(alone).run(feeds)["saliency"])
        assert found[name].any()
    both = onnxsal.explain(tiny, image(), method=method, target=1, layer=["a2", "a1"]).manifest
    assert (both["forwards"], both["backwards"]) == (1, int(steps.backward))


def test_layers_of_a_method_that_draws_are_run_one_by_one(tiny: onnxsal.Model) -> None:
    layers = [tiny.anatomy.layers.find(name) for name in ("a1", "a2")]
    assert build_layers(tiny, plan("score-cam", {}), layers=layers, score=tiny.score("logit")) is None
