"""Every experiment on models and scenes whose outcome is known."""

from __future__ import annotations

import shutil
from itertools import cycle
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_models

from onnxsal.errors import ImageError, UnsupportedError, UsageError
from onnxsal.experiments.catalogue import NAMES, get
from onnxsal.experiments.discrimination import _verdict
from onnxsal.experiments.fluctuation import _noisy, sign_changes
from onnxsal.experiments.measures import correlations, hit, total_variation
from onnxsal.experiments.score_variants import METRICS, _curve, _Found, _says
from onnxsal.experiments.statistics import mean
from onnxsal.experiments.training_noise import _check_seeds, _estimate, _files, _gap
from onnxsal.metrics.judgement import Judgement
from onnxsal.model.load import load

RED, BLUE = ("red", (6, 26, 6, 26)), ("blue", (38, 58, 36, 56))


def linear() -> onnx.ModelProto:
    """Return a classifier whose scores are linear in the picture."""
    body = tiny_models.BODY
    start = body[: body.index("{") + 1]
    text = start + "flat = Flatten (picture)\n logits = Gemm (flat, w, b) }"
    weights = np.random.default_rng(1).normal(size=(768, 4)).astype(np.float32)
    return tiny_models.build(text, {"w": weights, "b": np.zeros(4, np.float32)})


@pytest.fixture
def linear_model(tmp_path: Path) -> Path:
    return tiny_models.write(linear(), tmp_path / "linear.onnx")


def column(outcome, name: str) -> list:
    at = outcome.table.columns.index(name)
    return [row[at] for row in outcome.table.rows]


def test_every_experiment_is_what_its_entry_says() -> None:
    for name in NAMES:
        found = get(name)
        assert found.name == name
        assert found.paper
        assert found.options
    with pytest.raises(UsageError, match="did you mean 'noise-grid'"):
        get("noise-grit")


def test_measures_by_hand() -> None:
    assert total_variation(np.full((4, 4), 3.0)) == 0
    assert total_variation(np.eye(2)) == pytest.approx((1 + 1) / (2 * 0.5))
    assert np.isnan(total_variation(np.zeros((3, 3))))
    a = np.array([[0.0, 1.0], [2.0, 3.0]])
    expected = np.array([[1, 1, -1], [1, 1, -1], [-1, -1, 1]])
    assert correlations(np.stack([a, 2 * a + 1, -a])) == pytest.approx(expected)
    mask = np.array([[True, False], [False, False]])
    assert hit(np.array([[0.5, 1.0], [0, 0]]), mask, 0.5)
    assert not hit(np.array([[0.49, 1.0], [0, 0]]), mask, 0.5)
    assert not hit(np.zeros((2, 2)), mask, 0.1)


def test_noise_does_nothing_to_a_linear_model(case, linear_model: Path, photo) -> None:
    """Its gradient is the same everywhere, so every cell of the grid is the same map."""
    outcome = get("noise-grid").run(case(photo("p", RED), path=linear_model), noise=(0.0, 0.3), samples=(1, 4), seeds=2)
    assert [e.value for e in column(outcome, "stability")] == pytest.approx([1.0] * 4, abs=1e-5)
    assert all(np.isnan(e.low) and np.isnan(e.high) for e in column(outcome, "stability"))  # one pair of maps
    for name in ("sparseness", "variation"):
        values = [e.value for e in column(outcome, name)]
        assert values == pytest.approx([values[0]] * 4, rel=1e-4)
    assert outcome.image.dtype == np.uint8


def test_more_samples_make_maps_of_different_seeds_agree(case, photo) -> None:
    outcome = get("noise-grid").run(case(photo("p", RED, BLUE)), noise=(0.3,), samples=(1, 32), seeds=3)
    few, many = column(outcome, "stability")
    assert many.value > few.value
    assert many.value > 0.9
    assert few.high - few.low > many.high - many.low > 0
    assert many.high <= 1.0


def spread(*numbers: float):
    """Return a measure that gives these numbers in turn: so far apart that Student's interval leaves [0, 1]."""
    given = cycle(numbers)
    return lambda *arguments: next(given)


@pytest.mark.parametrize("name", ["noise-grid", "combine"])
def test_sparseness_and_variation_reach_no_further_than_they_can(case, photo, monkeypatch, name: str) -> None:
    module = f"onnxsal.experiments.{name.replace('-', '_')}"
    monkeypatch.setattr(f"{module}.sparseness", spread(0.0, 1.0, 1.0))
    monkeypatch.setattr(f"{module}.total_variation", spread(0.1, 3.0, 0.1))
    options = {"noise": (0.3,), "samples": (1,)} if name == "noise-grid" else {"methods": ("gradient",), "samples": 1}
    images = [photo(f"p{k}", RED) for k in range(1 if name == "noise-grid" else 3)]
    outcome = get(name).run(case(*images), **options)
    sparse, variation = (column(outcome, each)[0] for each in ("sparseness", "variation"))
    assert (sparse.low, sparse.high) == (0, 1)
    assert variation.low == 0 and variation.high > 1


def test_shares_on_objects_and_their_differences_reach_no_further_than_they_can() -> None:
    shares = {(0.0, 0.0): {"": [0.0, 1.0, 1.0]}, (20.0, 0.0): {"": [1.0, 0.0, 0.0]}}
    found = _estimate(shares[0.0, 0.0])
    assert (found.low, found.high) == (0, 1)
    assert _gap(shares, (0.0, 0.0), (20.0, 0.0)).high == 1


def test_the_areas_and_curves_of_score_variants_reach_no_further_than_they_can() -> None:
    judged = [Judgement(v, curve=np.array([[0.0, 1.0], [1.0, v]])) for v in (0.0, 1.0, 1.0)]
    curve = _curve("m", judged)
    assert (curve.low[1], curve.high[1]) == (0, 1)
    plain = [Judgement(v) for v in (1.0, 0.0, 0.0)]
    found = {name: _Found([], dict.fromkeys(METRICS, each)) for name, each in (("score-cam", plain), ("b", judged))}
    assert all(line.endswith(" to 1.000)") for line in _says(found))


def test_the_grid_takes_numbers_that_ascend(case, photo) -> None:
    with pytest.raises(UsageError, match=r"option samples=5, 5: expected one or more numbers, each above"):
        get("noise-grid").run(case(photo("p", RED)), noise=(0.1,), samples=(5, 5))


def test_signs_are_counted() -> None:
    assert sign_changes([1, -1, 0, -2, 3, 0, 4]) == 2
    assert sign_changes([0.0, 0.0]) == 0


def test_the_gradient_of_a_linear_model_does_not_fluctuate(case, linear_model: Path, photo) -> None:
    outcome = get("fluctuation").run(case(photo("p", RED), path=linear_model), noise=0.05, steps=20, pixel=(3, 4))
    assert column(outcome, "standard deviation") == pytest.approx([0.0] * 3, abs=1e-6)
    weights = onnx.numpy_helper.to_array(onnx.load(linear_model).graph.initializer[0]).reshape(3, 16, 16, 4)
    label = ["red", "green", "blue", "green apple"].index(outcome.settings["label"])
    expected = weights[:, 3, 4, label] / np.abs(weights[..., label]).max()
    assert column(outcome, "mean") == pytest.approx(list(expected), rel=1e-4)
    assert column(outcome, "channel") == ["red", "green", "blue"]


def test_a_path_through_kinks_fluctuates(case, photo) -> None:
    outcome = get("fluctuation").run(case(photo("p", RED, BLUE)), noise=0.5, steps=60)
    assert max(column(outcome, "standard deviation")) > 0.01


@pytest.mark.parametrize("preprocess", ["imagenet", "caffe"])
def test_the_picture_at_the_end_of_the_path_is_that_of_its_noise(model: Path, preprocess: str) -> None:
    """Of a picture with few levels the range of x is small, and so is noise that is a share of it."""
    opened = load(model, preprocess=preprocess)
    pixels = np.random.default_rng(0).integers(110, 140, (16, 16, 3), dtype=np.uint8)
    prepared = opened.prepare(pixels)
    moved = np.zeros((16, 16, 3))
    moved[..., 0], moved[..., 2] = 8, -5  # red and blue, in levels
    shown = np.clip(pixels + moved, 0, 255).astype(np.uint8)
    far = opened.prepare(shown).x - prepared.x
    np.testing.assert_array_equal(_noisy(opened, prepared, far), shown)


def test_a_pixel_outside_is_refused_and_so_are_two_pictures(case, photo) -> None:
    with pytest.raises(UsageError, match=r"option pixel=\(16, 0\): expected row,column inside 16 x 16"):
        get("fluctuation").run(case(photo("p", RED)), pixel=(16, 0))
    with pytest.raises(UsageError, match="about one picture; got 2"):
        get("fluctuation").run(case(photo("p", RED), photo("q", BLUE)))


def test_smoothing_a_linear_model_changes_nothing(case, linear_model: Path, photo) -> None:
    outcome = get("combine").run(case(photo("p", RED), path=linear_model), methods=("gradient",), samples=5)
    plain, smooth = (e.value for e in column(outcome, "variation"))
    assert smooth == pytest.approx(plain, rel=1e-4)
    assert "+0 %" in outcome.says[0] or "-0 %" in outcome.says[0]


def test_a_method_that_cannot_serve_is_left_out_by_name(case, tmp_path: Path, photo) -> None:
    smooth = tiny_models.write(tiny_models.changed("r1 = Relu (c1)", "r1 = Softplus (c1)"), tmp_path / "smooth.onnx")
    asked = case(photo("p", RED), path=smooth)
    outcome = get("combine").run(asked, methods=("gradient", "guided-backprop"), samples=2)
    assert set(column(outcome, "method")) == {"gradient"}
    assert any(line.startswith("guided-backprop is left out: ") for line in outcome.says)
    with pytest.raises(UnsupportedError, match="Softplus"):
        get("combine").run(asked, methods=("guided-backprop",), samples=2)
    with pytest.raises(UsageError, match="smoothed already"):
        get("combine").run(asked, methods=("smoothgrad",))


def test_maps_follow_the_target_where_classes_are_colours(case, scenes) -> None:
    folder = scenes([[RED, BLUE], [("blue", (4, 20, 40, 60)), ("red", (36, 60, 4, 28))], [RED, ("red", BLUE[1])]])
    outcome = get("discrimination").run(case(folder), methods=("grad-cam", "eigencam"))
    found = dict(zip(column(outcome, "method"), outcome.table.rows, strict=True))
    assert outcome.settings["scenes"] == 2  # the third is of one class
    assert found["grad-cam"][1].value > 0.8
    assert found["grad-cam"][2] == "2 of 2"  # a scene is one difference: for b it is the same
    assert found["eigencam"][1].value == pytest.approx(0.0, abs=1e-6)  # it knows no class


def test_a_scene_counts_once_with_what_lies_on_its_objects(case, scenes, monkeypatch) -> None:
    """Maps with 6 on a and 2 on b for a, 1 on a and 3 on b for b: 6/8 - 1/4, whatever lies beside the objects."""
    shares = iter([0.6, 0.2, 0.1, 0.3])
    monkeypatch.setattr("onnxsal.experiments.discrimination.share_inside", lambda saliency, mask: next(shares))
    outcome = get("discrimination").run(case(scenes([[RED, BLUE]])), methods=("gradient",))
    name, found, right = outcome.table.rows[0]
    assert (name, found.value, found.n, right) == ("gradient", pytest.approx(0.5), 1, "1 of 1")


def test_a_map_with_nothing_on_either_object_tells_nothing(case, scenes, monkeypatch) -> None:
    """In the first scene the map for a is beside both; the second counts: 3/4 - 1/4."""
    shares = iter([0.0, 0.0, 0.5, 0.1, 0.3, 0.1, 0.1, 0.3])
    monkeypatch.setattr("onnxsal.experiments.discrimination.share_inside", lambda saliency, mask: next(shares))
    outcome = get("discrimination").run(case(scenes([[RED, BLUE], [RED, BLUE]])), methods=("gradient",))
    _, found, right = outcome.table.rows[0]
    assert (found.value, found.n, right) == (pytest.approx(0.5), 1, "1 of 1")
    assert outcome.says[-1] == "gradient: in 1 of 2 scenes a map has nothing on either object; they are left out"


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([0.5, 0.6, 0.7], "its maps follow the target"),
        ([-0.5, -0.6, -0.7], "its maps lie on the other object"),
        ([-0.1, 0.1, 0.2], "the target makes no difference that these scenes show"),
        ([0.998], "one scene gives no interval, and cannot tell whether its maps follow the target"),
        ([float("nan")] * 2, "a map is flat on both objects in every scene, which tells nothing"),
    ],
)
def test_what_differences_say(differences: list[float], said: str) -> None:
    assert _verdict(mean(differences)) == said


def test_photographs_become_pairs(case, photo) -> None:
    red, blue = photo("r", ("red", (8, 56, 8, 56))), photo("b", ("blue", (8, 56, 8, 56)))
    outcome = get("discrimination").run(case(red, blue), methods=("grad-cam",))
    assert outcome.settings["scenes"] == 1
    assert outcome.table.rows[0][1].value > 0.5
    assert outcome.says == (
        "grad-cam: one scene gives no interval, and cannot tell whether its maps follow the target",
    )
    with pytest.raises(UsageError, match="two pictures of different classes"):
        get("discrimination").run(case(red, red), methods=("grad-cam",))


def test_scenes_that_do_not_serve_are_refused(case, scenes) -> None:
    with pytest.raises(ImageError, match="no scene with two objects of two classes"):
        get("discrimination").run(case(scenes([[RED]])))
    with pytest.raises(ImageError, match="no scene with two to four objects of one class"):
        get("occurrences").run(case(scenes([[RED, BLUE]])))


def test_all_blocks_of_a_colour_are_found(case, scenes) -> None:
    three = [RED, ("red", (38, 58, 36, 56)), ("red", (6, 26, 38, 58))]
    outcome = get("occurrences").run(case(scenes([three[:2], three])), methods=("grad-cam",), threshold=0.3)
    assert outcome.table.columns == ("method", "2 objects", "3 objects", "all")
    assert outcome.table.rows[0][3].value == 1.0
    assert outcome.settings["objects"] == 5


def test_a_photograph_is_repeated(case, photo) -> None:
    outcome = get("occurrences").run(case(photo("r", ("red", (8, 56, 8, 56)))), methods=("grad-cam",))
    assert outcome.table.columns[1:] == ("2 objects", "3 objects", "4 objects", "all")
    assert outcome.table.rows[0][4].value == 1.0


def test_score_variants_without_noise_are_score_cam(case, photo) -> None:
    images = photo("r", ("red", (8, 40, 8, 40))), photo("b", ("blue", (20, 56, 20, 56)))
    outcome = get("score-variants").run(case(*images), samples=2, noise=0.0, steps=8)
    for name in ("deletion", "insertion"):
        values = [e.value for e in column(outcome, name)]
        assert values == pytest.approx([values[0]] * 3, abs=1e-5)
    deletion, insertion = (column(outcome, name)[0].value for name in ("deletion", "insertion"))
    assert deletion < insertion
    assert column(outcome, "forwards a picture") == [7, 13, 13]  # 6 maps once or twice, and the head


def test_models_that_are_the_same_differ_by_nothing(case, model: Path, tmp_path: Path, scenes) -> None:
    for noise in (0, 10):
        for seed in (0, 1):
            shutil.copy(model, tmp_path / f"n{noise}-s{seed}.onnx")
    asked = case(scenes([[RED], [BLUE]]), path=tmp_path / "n{noise}-s{seed}.onnx")
    outcome = get("training-noise").run(asked, noise=(0.0, 0.2), samples=3)
    assert outcome.table.columns == ("training noise", "inference 0 %", "inference 20 %")
    assert [row[0] for row in outcome.table.rows] == ["0 %", "10 %"]
    first, second = ([e.value for e in row[1:]] for row in outcome.table.rows)
    assert first == second
    assert 400 / 64**2 < first[0] < 1  # more than the blocks' share of the picture
    assert outcome.says[0].endswith(": 0.000 (0.000 to 0.000)")
    assert outcome.says[1].startswith("inference noise 20 % minus 0 %, trained with 0 %: ")
    assert outcome.settings["unit"] == "trained models"
    alone = get("training-noise").run(asked, noise=(0.0,), samples=3)
    assert [line[:4] for line in alone.says] == ["trai", "most"]  # nothing to compare no noise with


def test_names_of_trained_models(tmp_path: Path) -> None:
    for name in ("a0-x.onnx", "a10-x.onnx", "a2.5-y.onnx", "other.onnx"):
        (tmp_path / name).touch()
    found = _files(str(tmp_path / "a{noise}-{seed}.onnx"))
    assert [(each.noise, each.seed) for each in found] == [(0, "x"), (2.5, "y"), (10, "x")]
    assert [each.seed for each in _files(str(tmp_path / "a{noise}-x.onnx"))] == ["", ""]
    with pytest.raises(UsageError, match=r"with \{noise\} in its name"):
        _files("model.onnx")
    with pytest.raises(UsageError, match=r"0 file\(s\) fit; at least two levels"):
        _files(str(tmp_path / "b{noise}.onnx"))
    with pytest.raises(UsageError, match="no \\* or \\?"):
        _files("*{noise}.onnx")


def test_trained_models_are_compared_seed_by_seed() -> None:
    """Seeds 0 to 2 without noise, 1 to 3 with it: means 0.2 and 0.4 of the common 1 and 2, that gain 0.01 and 0.03."""
    plain = {"0": [0.9, 0.9], "1": [0.1, 0.3], "2": [0.4, 0.4]}
    noisy = {"1": [0.11, 0.31], "2": [0.43, 0.43], "3": [0.0, 0.0]}
    found = _gap({(0, 0): plain, (20, 0): noisy}, (20, 0), (0, 0))
    assert (found.value, found.n) == (pytest.approx(0.02), 2)
    assert found.high - found.value == pytest.approx(12.706 * 0.01)  # 0.01: the standard error of 0.01 and 0.03
    alone = _gap({(0, 0): plain, (20, 0): {"1": [0.3, 0.4]}}, (20, 0), (0, 0))
    assert (alone.value, alone.n) == (pytest.approx(0.15), 2)  # over the two scenes of seed 1


def test_seeds_that_do_not_match_are_refused_before_any_work(case, scenes, model: Path, tmp_path: Path) -> None:
    for name in ("n0-s0", "n0-s1", "n10-s5", "n20-s1", "n20-s2"):
        shutil.copy(model, tmp_path / f"{name}.onnx")
    asked = case(scenes([[RED]]), path=tmp_path / "n{noise}-s{seed}.onnx")
    with pytest.raises(UsageError, match="2 in common are needed: 0 % has 0, 1 and 20 % has 1, 2"):
        get("training-noise").run(asked, noise=(0.0,), samples=1)
    (tmp_path / "n0-s0.onnx").unlink()
    _check_seeds(_files(asked.path))  # one without noise: its seed is among the others'
    shutil.copy(model, tmp_path / "n0.0-s1.onnx")
    with pytest.raises(UsageError, match="another model of training noise 0 % and this seed"):
        _check_seeds(_files(asked.path))
    for name in ("n0.0-s1", "n20-s1"):
        (tmp_path / f"{name}.onnx").unlink()
    with pytest.raises(UsageError, match="1 in common are needed: 0 % has 1 and 20 % has 2"):
        _check_seeds(_files(asked.path))


def test_training_noise_needs_masks(case, photo, model: Path, tmp_path: Path) -> None:
    for noise in (0, 10):
        shutil.copy(model, tmp_path / f"n{noise}.onnx")
    with pytest.raises(UsageError, match="name a folder of scenes"):
        get("training-noise").run(case(photo("p", RED), path=tmp_path / "n{noise}.onnx"))


def test_feature_maps_are_the_strongest_first(case, photo) -> None:
    """The maps 0, 1 and 2 of the last layer follow red, green and blue, and so do the classes."""
    outcome = get("feature-maps").run(case(photo("p", RED), target="red"), count=2, samples=2)
    assert column(outcome, "map")[0] == 0
    row, col = map(int, column(outcome, "strongest neuron")[0].split(","))
    assert (row, col) in {(y, x) for y in range(8) for x in range(8) if 1 <= y <= 3 and 1 <= x <= 3}
    given = get("feature-maps").run(case(photo("p", RED)), maps=(5, 3, 5), samples=2, neurons="0:2,0:2")
    assert column(given, "map") == [5, 3]
    with pytest.raises(UsageError, match=r"option maps=\(6,\): .* has the feature maps 0 to 5"):
        get("feature-maps").run(case(photo("p", RED)), maps=(6,))
