"""Comparing two models: equal ones agree, others by as much as their maps do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import tiny_models

from onnxsal.errors import ImageError, UsageError
from onnxsal.experiments.diff import Drift, How, compare, says, translated
from onnxsal.experiments.diff_pages import drawn, explained, report
from onnxsal.model.load import load

RED, BLUE = ("red", (6, 40, 6, 40)), ("blue", (20, 58, 20, 56))


def reordered(path: Path) -> Path:
    """Write the classifier with its classes in another order, one more of them, and labels to match."""
    arrays = tiny_models.weights()
    arrays["w3"] = np.concatenate([np.zeros((6, 1)), arrays["w3"][:, ::-1]], axis=1).astype(np.float32)
    arrays["b3"] = np.array([-9, 0, 0, 0, 0], np.float32)
    model = tiny_models.build(tiny_models.BODY.replace("N, 4", "N, 5"), arrays)
    properties = {p.key: p.value for p in model.metadata_props}
    properties["onnxsal.labels"] = "\n".join(["nothing", *reversed(tiny_models.LABELS)])
    onnx.helper.set_model_props(model, properties)
    return tiny_models.write(model, path)


def without_blue(path: Path) -> Path:
    """Write the classifier with its first two classes alone."""
    arrays = tiny_models.weights()
    arrays["w3"], arrays["b3"] = arrays["w3"][:, :2], arrays["b3"][:2]
    model = tiny_models.build(tiny_models.BODY.replace("N, 4", "N, 2"), arrays)
    properties = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(model, {**properties, "onnxsal.labels": "\n".join(tiny_models.LABELS[:2])})
    return tiny_models.write(model, path)


def test_a_model_agrees_with_itself(model: Path, photo) -> None:
    images = [str(photo("r", RED)), str(photo("b", BLUE))]
    drift = compare((load(model), load(model)), images, How())
    for name in ("cosine", "ssim", "rank"):
        assert [getattr(pair, name) for pair in drift.pairs] == pytest.approx([1.0, 1.0], abs=1e-6)
    assert drift.same_class.value == 1.0
    assert drift.change.value == 0.0
    assert all(not pair.difference.any() for pair in drift.pairs)
    assert says(drift)[0].startswith("2 of 2 pictures get the same class")


def test_classes_are_matched_by_name(model: Path, tmp_path: Path, photo) -> None:
    """The second model has the first one's weights, its classes turned round behind another: same maps, same names."""
    models = load(model), load(reordered(tmp_path / "b.onnx"))
    drift = compare(models, [str(photo("r", RED)), str(photo("b", BLUE))], How())
    assert [pair.cosine for pair in drift.pairs] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert drift.same_class.value == 1.0
    assert translated(models, "red") == 4
    assert translated(models, 2) == 2
    assert translated((models[1], models[0]), "nothing", strict=False) is None
    with pytest.raises(UsageError, match="has no class 'nothing'"):
        translated((models[1], models[0]), "nothing")


def test_models_that_see_other_classes_differ(model: Path, tmp_path: Path, photo) -> None:
    arrays = tiny_models.weights()
    arrays["w3"] = arrays["w3"][:, [2, 1, 0, 3]]  # the second calls red blue
    other = tiny_models.write(tiny_models.build(tiny_models.BODY, arrays), tmp_path / "swapped.onnx")
    both = str(photo("both", ("red", (4, 28, 4, 28)), ("blue", (36, 60, 36, 60))))
    red = str(photo("red", RED))
    drift = compare((load(model), load(other)), [red, both], How(method="grad-cam", target="red"))
    assert drift.same_class.value == 0.0
    pair = next(each for each in drift.pairs if each.image == both)
    assert pair.cosine < 0.5
    assert pair.difference.min() < -0.5 < 0.5 < pair.difference.max()
    assert drift.pairs[0].cosine <= drift.pairs[1].cosine or np.isnan(drift.pairs[0].cosine)


def test_no_cosine_reaches_beyond_1() -> None:
    pairs = [SimpleNamespace(same_class=k < 3, cosine=c, ssim=c, rank=c) for k, c in enumerate((0.2, 0.9, 1.0) * 2)]
    (line,) = (each for each in says(Drift(tuple(pairs), ())) if each.startswith("the maps' cosine"))
    assert line.count(" to 1.000)") == 2


def test_a_flat_map_is_told_apart(model: Path, tmp_path: Path, photo) -> None:
    """The second model's logits do not depend on the picture, so its gradients are 0."""
    arrays = tiny_models.weights()
    arrays["w3"] = 0 * arrays["w3"]
    arrays["b3"] = np.array([1, 0, 0, 0], np.float32)
    other = tiny_models.write(tiny_models.build(tiny_models.BODY, arrays), tmp_path / "constant.onnx")
    drift = compare((load(model), load(other)), [str(photo("r", RED))], How())
    assert np.isnan(drift.pairs[0].cosine)
    assert "in 1 of 1 pictures a map is flat; cosine and rank are means over the others" in says(drift)
    assert "one of the maps is flat" in report(drift, ("a", "b"))
    assert drawn(drift, ("a", "b")).shape[2] == 3


def test_a_broken_picture_is_left_out_by_name(model: Path, tmp_path: Path, photo) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    two = load(model), load(model)
    drift = compare(two, [str(broken), str(photo("r", RED))], How())
    assert len(drift.pairs) == 1
    assert drift.failures[0][0] == str(broken)
    with pytest.raises(ImageError, match=r"no picture can be compared: .*broken.png"):
        compare(two, [str(broken)], How())


def test_a_class_that_the_second_lacks_is_a_picture_left_out_by_name(model: Path, tmp_path: Path, photo) -> None:
    """The second model has no blue: of a red and a blue picture the red one is compared, and blue alone is an error."""
    two = load(model), load(without_blue(tmp_path / "b.onnx"))
    red, blue = str(photo("r", RED)), str(photo("b", BLUE))
    drift = compare(two, [blue, red], How())
    assert [pair.image for pair in drift.pairs] == [red]
    assert drift.pairs[0].same_class
    assert drift.failures == ((blue, f"{blue!r}: {two[1].name} has no class 'blue', which {two[0].name} explains"),)
    with pytest.raises(UsageError, match=r"no picture can be compared: .*b.png': .* has no class 'blue'"):
        compare(two, [blue], How())


def test_what_is_wrong_with_every_picture_is_said_before_the_first(model: Path, tmp_path: Path) -> None:
    """No picture is read: there is none of that name."""
    two = load(model), load(without_blue(tmp_path / "b.onnx"))
    with pytest.raises(UsageError, match=r"^\S+ has no class 'blue'"):
        compare(two, ["none.png"], How(target="blue"))
    bare = onnx.load(tmp_path / "b.onnx")
    onnx.helper.set_model_props(bare, {p.key: p.value for p in bare.metadata_props if p.key != "onnxsal.labels"})
    with pytest.raises(UsageError, match="both need labels"):
        compare((two[0], load(tiny_models.write(bare, tmp_path / "bare.onnx"))), ["none.png"], How())


def test_the_report_holds_every_picture_and_asks_nobody(model: Path, photo) -> None:
    drift = compare((load(model), load(model)), [str(photo("r", RED)), str(photo("b", BLUE))], How())
    page = report(drift, ("one", "two"))
    assert page.count("data:image/") >= 2
    assert "r.png" in page and "b.png" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/", "")
    assert drawn(drift, ("one", "two")).shape[2] == 3


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (None, "grad-cam++, for what the first predicts"),
        ("RED", "grad-cam++, for red"),
        (2, "grad-cam++, for blue"),
        (("red", "blue"), "grad-cam++, for red minus blue"),
    ],
)
def test_the_figure_and_the_report_say_what_is_explained(
    model: Path, photo, monkeypatch: pytest.MonkeyPatch, target, said: str
) -> None:
    captions: list[str] = []
    monkeypatch.setattr("onnxsal.experiments.diff_pages.figure", lambda parts, caption: captions.append(caption.detail))
    drift = compare((load(model), load(model)), [str(photo("r", RED))], How(target=target))
    drawn(drift, ("a", "b"))
    assert captions == [explained(drift)] == [said]
    assert f"a against b on 1 pictures, by {said}." in report(drift, ("a", "b"))


def test_float_and_int8_of_one_network_look_at_the_same_things(shared: Path) -> None:
    """The int8 file is the float one's, quantised after training."""
    labels = shared / "models" / "imagenet_labels_1001.txt"
    models = tuple(load(shared / "models" / f"mobilenet_v2_{kind}.onnx", labels=labels) for kind in ("fp32", "int8"))
    images = [str(path) for path in sorted((shared / "images" / "imagenet").glob("*.jpg"))[:3]]
    drift = compare((models[0], models[1]), images, How())
    assert drift.same_class.value == 1.0
    assert min(pair.cosine for pair in drift.pairs) > 0.99


def test_classes_without_probabilities_are_compared_by_their_numbers(tmp_path: Path, photo) -> None:
    """Squares of tanh are no shares of a whole: the class is that of the highest, and no argmax of NaN, which is 0."""
    end = "logits = Gemm (flat, w3, b3)"
    text = tiny_models.BODY.replace(end, f"{end.replace('logits', 'z')} t = Tanh (z) logits = Mul (t, t)")
    models = []
    for name, scale in (("a", 0.3), ("b", 0.6)):
        arrays = tiny_models.weights()
        arrays["w3"] = arrays["w3"] * np.float32(scale)
        models.append(load(tiny_models.write(tiny_models.build(text, arrays), tmp_path / f"{name}.onnx")))
    assert list(models[0].task.kinds) == ["value"]
    pair = compare((models[0], models[1]), [str(photo("b", BLUE))], How(method="gradient")).pairs[0]
    assert [label for label, _ in pair.predicted] == ["blue", "blue"] and pair.first.label == "blue"
    assert pair.told == (f"blue {pair.first.logit:.4g}", f"blue {pair.second.logit:.4g}")
    assert np.isnan(pair.probabilities).all()


@pytest.mark.parametrize("task", ["element", None])
@pytest.mark.parametrize(("target", "of"), [("logits[0, 2]", [2]), ("logits[0, 2] minus logits[0, 1]", [2, 1])])
def test_an_element_that_is_named_is_compared(
    tmp_path: Path, photo, task: str | None, target: str, of: list[int]
) -> None:
    """Whatever the task of the models: the files are opened for the output, as explain opens them."""
    file = str(tiny_models.write(tiny_models.classifier(), tmp_path / "a.onnx"))
    models, image = (load(file, task=task), load(file, task=task)), str(photo("b", BLUE))
    pair = compare(models, [image], How(method="gradient", target=target)).pairs[0]
    logits = load(file).outputs(load(file).prepare(image).x)["logit"].ravel()
    assert pair.first.label == target and pair.same_class
    assert pair.first.score == pytest.approx(logits[of[0]] - sum(logits[of[1:]]), rel=1e-5)
    assert pair.cosine == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(UsageError, match=r"no output 'logit'; did you mean 'logits'"):
        compare(models, [image], How(method="gradient", target="logit[0, 2]"))
