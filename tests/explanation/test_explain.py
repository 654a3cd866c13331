"""The short way: what goes in, what comes out, what is refused; methods have tests of their own."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from tinynet import TinyNet, image, linear, linear_weights

import onnxsal
from onnxsal.anatomy import body
from onnxsal.errors import ImageError, OutputError, UnsupportedError, UsageError
from onnxsal.explanation.figure import Kind, caption_of, compare, draw
from onnxsal.graph import Program
from onnxsal.kernels.resize import bilinear
from onnxsal.methods import Method, get
from onnxsal.modalities.image import as_preprocess

X = image()
PHOTO = np.random.default_rng(0).integers(0, 256, (20, 26, 3), np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(TinyNet().model(), path)
    return path


@pytest.fixture(scope="module")
def model(file: Path) -> onnxsal.Model:
    return onnxsal.load(file, preprocess="imagenet")


def test_a_float_array_is_taken_as_it_is(model: onnxsal.Model) -> None:
    batched, plain = (onnxsal.explain(model, x, method="gradient", target=0) for x in (X[None], X))
    assert_array_equal(batched.raw, plain.raw)
    assert plain.image.shape == (12, 12, 3)
    assert plain.image.dtype == np.uint8
    assert plain.box == (0, 0, 12, 12)


def test_files_of_a_list_are_read_ahead_and_one_that_is_broken_is_told_in_its_turn(
    model: onnxsal.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for seed, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 26, 3), np.uint8)).save(path)
    module, readers = sys.modules["onnxsal.explanation.explain"], set[str]()
    read, run, explained = module.read_fitted, module.explain_read, list[str]()

    def reading(request: Any, path: Path) -> Any:
        readers.add(threading.current_thread().name)
        return read(request, path)

    def explaining(reads: Any, targets: Any) -> Any:
        explained.extend(sample.name for _, sample in reads)
        return run(reads, targets)

    monkeypatch.setattr(module, "read_fitted", reading)
    monkeypatch.setattr(module, "explain_read", explaining)
    found = onnxsal.explain(model, paths, method="grad-cam", target=0)
    for path, each in zip(paths, found, strict=True):
        assert_array_equal(each.raw, onnxsal.explain(model, path, method="grad-cam", target=0).raw)
    assert len(readers - {"MainThread"}) == 1 and explained[:3] == ["a.png", "b.png", "c.png"]
    paths[1].write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"b\.png"):
        onnxsal.explain(model, paths, method="grad-cam", target=0)
    assert explained[-1] == "a.png" and not [t for t in threading.enumerate() if t.name.startswith("onnxsal-ahead")]


def test_path_picture_and_bytes_are_one(model: onnxsal.Model, tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    images = [tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(PHOTO), PHOTO]
    found = onnxsal.explain(model, images, method="grad-cam", target=0)
    for each in found[1:]:
        assert_array_equal(each.raw, found[0].raw)
    left, top, width, height = found[0].box
    assert (width, height) == pytest.approx((12 * 20 / 14, 12 * 20 / 14), rel=0.03)
    assert left + width / 2 == pytest.approx(13, abs=1)
    assert top + height / 2 == pytest.approx(10, abs=1)


def test_a_picture_files_content_is_explained_as_the_file(model: onnxsal.Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    wanted = onnxsal.explain(model, path)
    with open(path, "rb") as file:
        found = onnxsal.explain(model, [path.read_bytes(), file])
    assert [each.name for each in found] == ["bytes", "a.png"]
    assert all(np.array_equal(each.raw, wanted.raw) for each in found)
    assert model.predict(path.read_bytes()) == model.predict(path)


@pytest.mark.parametrize("shape", [(3, 5, 5), (2, 3, 12, 12), (12, 12), (12, 12, 4), (1, 1, 3, 12, 12)])
def test_a_float_array_of_another_shape_is_refused(model: onnxsal.Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="shaped like the model's input"):
        onnxsal.explain(model, np.zeros(shape, np.float32), method="gradient")


def test_layers_are_fused_by_mean_or_max(model: onnxsal.Model) -> None:
    alone = [onnxsal.explain(model, X, method="layercam", layer=name, target=1).saliency for name in ("a1", "a2")]
    for how, wanted in (("mean", (alone[0] + alone[1]) / 2), ("max", np.maximum(*alone))):
        fused = onnxsal.explain(model, X, method="layercam", layer=["a1", "a2"], target=1, fuse=how)
        assert_allclose(fused.raw, wanted, atol=1e-6)
        assert_allclose(fused.saliency, (wanted - wanted.min()) / np.ptp(wanted), atol=1e-6)
        assert fused.manifest["layer"] == ["a1", "a2"]
        assert fused.manifest["forwards"] == 1


def test_a_layer_may_be_called_score(model: onnxsal.Model, file: Path) -> None:
    """Programs put out a value of that name."""
    proto = onnx.load(file)
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = ["score" if name == "a2" else name for name in names]
    other = onnxsal.load(proto)
    for method in ("grad-cam", "score-cam", "ablation-cam", "smooth-grad-cam++"):
        found = onnxsal.explain(other, X, method=method, target=1, layer="score")
        assert_allclose(found.raw, onnxsal.explain(model, X, method=method, target=1, layer="a2").raw, atol=1e-6)
        assert found.manifest["layer"] == "own/score"
        onnxsal.compile(other, method=method, layer="own/score")
    assert "score" in {name for node in proto.graph.node for name in node.output}


def _renamed(proto: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    lists = [field for node in proto.graph.node for field in (node.input, node.output)]
    for field in lists:
        field[:] = [names.get(name, name) for name in field]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.name = names.get(value.name, value.name)
    return proto


def test_values_may_have_the_names_that_programs_use(model: onnxsal.Model, file: Path) -> None:
    """A file that onnxsal wrote has some of them; a program feeds and finds values by these."""
    names = {"a1": "sal/x", "a2": "sal/logits", "a3": "sal/target", "v": "sal/probabilities", "z1": "sal/in_0"}
    other = onnxsal.load(_renamed(onnx.load(file), names))
    for method in ("gradient", "grad-cam++", "score-cam", "recipro-cam"):
        wanted = onnxsal.explain(model, X, method=method, target=1)
        assert_allclose(onnxsal.explain(other, X, method=method, target=1).raw, wanted.raw, atol=1e-6)
        proto = onnxsal.compile(other, method=method, target=1, give="raw")
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        assert_allclose(session.run(["raw"], {"x": X[None]})[0][0], wanted.raw, atol=1e-5)
    mixed = onnxsal.load(_renamed(onnx.load(file), {"x": "sal/x", "logits": "sal/logits"}))
    wanted = onnxsal.explain(model, X, method="grad-cam++", target=1)
    assert_allclose(onnxsal.explain(mixed, X, target=1).raw, wanted.raw, atol=1e-6)


def test_an_output_called_as_what_is_fed_is_refused(file: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"output of the model is called 'sal/x'.*rename it"):
        onnxsal.load(_renamed(onnx.load(file), {"logits": "sal/x"}))


def test_a_program_as_target_has_its_score_and_its_json_no_nan(model: onnxsal.Model, tmp_path: Path) -> None:
    found = onnxsal.explain(model, X, method="grad-cam", target=select_one(model))
    assert found.target is None
    assert found.score == found.logit and np.isfinite(found.logit)
    manifest = {**found.manifest, "relative_error": float("nan"), "variant": {"share": np.float32("inf"), "of": [1.5]}}
    replace(found, manifest=manifest).to_npz(tmp_path / "map.npz")
    text = str(np.load(tmp_path / "map.npz")["manifest"])
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (read["relative_error"], read["variant"]) == (None, {"share": None, "of": [1.5]})


def select_one(model: onnxsal.Model) -> Program:
    """The logit of class 1 as a program of its own."""
    op = body(model.anatomy).extend()
    return op.finish(score=op.Squeeze(op.Slice(op["sal/logits"], [1], [2], [1]), [1]))


def test_a_cam_becomes_saliency_by_stretching(model: onnxsal.Model) -> None:
    found = onnxsal.explain(model, X, method="grad-cam++", layer="a2", target=1)
    assert found.raw.shape == (6, 6)
    large = bilinear(found.raw, (12, 12))
    assert_allclose(found.saliency, (large - large.min()) / np.ptp(large), atol=1e-6)
    assert found.manifest["sign"] is None


@pytest.mark.parametrize("sign", ["absolute", "signed", "positive", "negative"])
def test_pixels_become_saliency_by_sign_and_cap(sign: str) -> None:
    found = onnxsal.explain(onnxsal.load(linear()), X, method="gradient", target=4, sign=sign, percentile=90)
    w = linear_weights()[4].astype(float)
    flat = {
        "absolute": np.abs(w).max(0), "signed": w.sum(0), "positive": np.maximum(w.sum(0), 0),
        "negative": np.maximum(-w.sum(0), 0),
    }[sign]  # fmt: skip
    cap = np.percentile(np.abs(flat), 90)
    assert_allclose(found.saliency, np.clip(flat, -cap, cap) / cap, rtol=1e-5, atol=1e-6)
    assert found.signed == (sign == "signed")


@pytest.mark.parametrize("kind", ["overlay", "heat"])
def test_the_sign_of_a_map_decides_its_colours_whatever_its_values(model: onnxsal.Model, kind: Kind) -> None:
    """A signed map where nothing speaks against the class is drawn as the one beside it, where something does."""
    found = onnxsal.explain(model, X, method="gradient", sign="signed")
    above = replace(found, saliency=np.abs(found.saliency))
    least = replace(found, saliency=np.where(np.arange(12) == 0, np.float32(-1e-6), above.saliency))
    assert_allclose(drawn(above, kind)[:, 60:], drawn(least, kind)[:, 60:], atol=1)
    unsigned = replace(above, manifest={**above.manifest, "sign": "absolute"})
    assert np.abs(drawn(above, kind) - drawn(unsigned, kind)).max() > 50


def drawn(explanation: onnxsal.Explanation, kind: Kind) -> np.ndarray:
    return np.asarray(draw(explanation, kind=kind, caption=False)).astype(int)


def test_options_come_from_text_as_from_python(model: onnxsal.Model) -> None:
    text = onnxsal.explain(model, X, method="smoothgrad", samples="4", noise="0.1", batch_size="2", percentile="95")
    plain = onnxsal.explain(model, X, method="smoothgrad", samples=4, noise=0.1, batch_size=2, percentile=95.0)
    assert_array_equal(text.raw, plain.raw)
    assert text.manifest["options"] == plain.manifest["options"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "grad-camm"}, "grad-cam"),
        ({"method": "smoothgrad", "sample": 3}, "samples"),
        ({"method": ["grad-cam", "gradient"]}, "expected the name of one method"),
        ({"method": None}, "method=None: expected the name"),
        ({"method": "smoothgrad", "samples": 0}, "out of range"),
        ({"method": "smoothgrad", "samples": "many"}, "whole number"),
        ({"method": "smoothgrad", "inner": "gradeint"}, "gradient"),
        ({"method": "gradient", "inner": "gradient"}, "wraps no other"),
        ({"method": "gradient", "layer": "a2"}, "takes no layer"),
        ({"method": "gradient", "sign": "absolut"}, "absolute"),
        ({"method": "grad-cam", "sign": "absolute"}, "maps of pixels"),
        ({"method": "grad-cam", "layer": "a9"}, "a"),
        ({"method": "grad-cam", "layer": 1}, r"layer=1: expected a name, for its number '#1'"),
        ({"method": "grad-cam", "layer": []}, r"layer=\[\]: expected"),
        ({"method": "grad-cam", "batchsize": 3}, "did you mean 'batch_size'"),
        ({"method": "smoothgrad", "iner": "layercam"}, "did you mean 'inner'"),
        ({"method": "gradient", "score": "logits"}, "logit"),
        ({"method": "gradient", "seed": -1}, "seed"),
        ({"method": "gradient", "batch_size": 0}, "batch_size"),
        ({"method": "gradient", "percentile": 0}, "percentile"),
        ({"method": "gradient", "fuse": "median"}, "mean"),
        ({"method": "score-cam", "preset": "offical"}, "official"),
        ({"method": "score-cam", "seconds": -1}, "seconds"),
        ({"method": "ss-cam", "variant": 3}, "variant"),
        ({"method": "ss-cam", "tolerance": float("nan")}, "expected a number or none, and finite"),
        ({"method": "ss-cam", "samples": "inf"}, "expected a whole number, and finite"),
        ({"method": "smoothgrad", "noise": 10**400}, "option noise=10+: expected a number"),
        ({"method": "smoothgrad", "samples": -(10**400)}, "expected a whole number"),
        ({"method": "occlusion", "baseline": 10**400}, "option baseline=10+: expected zero, black"),
        ({"method": "ss-cam", "target": []}, r"target=\[\]: expected at least one"),
    ],
)
def test_misuse_is_named(model: onnxsal.Model, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.explain(model, X, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", [None, 3, b"model.onnx", []])
def test_what_is_no_model_is_named(source: object) -> None:
    for call in (lambda: onnxsal.load(source), lambda: onnxsal.explain(source, X)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"a model is the path.*; got {type(source).__name__}"):
            call()


def test_the_manifest_lets_the_map_be_made_again(model: onnxsal.Model, file: Path) -> None:
    how = {"method": "ss-cam", "layer": "a2", "target": 1, "samples": 3, "top_k": 4, "seed": 5, "variant": 1}
    found = onnxsal.explain(model, PHOTO, **how)
    kept = json.loads(json.dumps(found.manifest))
    assert kept["model_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert kept["versions"]["onnxruntime"] == onnxruntime.__version__
    assert kept["versions"]["onnxsal"] == onnxsal.__version__
    assert {k: kept[k] for k in ("method", "layer", "target", "seed", "score", "preprocess", "provider")} == {
        "method": "ss-cam", "layer": "a2", "target": 1, "seed": 5, "score": "probability", "preprocess": "imagenet",
        "provider": "cpu",
    }  # fmt: skip
    assert (kept["samples"], kept["forwards"], kept["backwards"]) == (3, 13, 0)
    assert kept["variant"] == {
        "preset": "onnxsal", "variant": 1, "sigma": 0.5, "sigma_unit": "range of masks", "estimator": "plain",
        "top_k": 4,
    }  # fmt: skip
    assert 0 < kept["seconds"] < 60
    again = onnxsal.explain(
        file, PHOTO, method=kept["method"], target=kept["target"], layer=kept["layer"], seed=kept["seed"],
        preprocess=kept["preprocess"], **kept["options"],
    )  # fmt: skip
    assert_allclose(again.raw, found.raw, rtol=1e-6)


@pytest.mark.parametrize("own", ["unit", {"preset": "imagenet", "mean": [0.5], "fit": "pad", "pad_colour": [9, 9, 9]}])
def test_preprocessing_of_ones_own_is_in_the_manifest(file: Path, own: Any) -> None:
    """A preset by its name, also where it has become grey; what is like none, whole."""
    found = onnxsal.explain(file, PHOTO, method="gradient", preprocess=own, target=1)
    kept = json.loads(json.dumps(found.manifest))["preprocess"]
    assert isinstance(kept, str) == isinstance(own, str)
    assert_array_equal(onnxsal.explain(file, PHOTO, method="gradient", preprocess=kept, target=1).raw, found.raw)
    grey = as_preprocess("imagenet").for_channels(1)
    assert (grey.described(), replace(grey, scale=2.0).described()["scale"]) == ("imagenet", 2.0)  # type: ignore[index]
    assert replace(grey, name="a file").described()["colour"] == "grey"  # type: ignore[index]


def test_npz_holds_the_arrays_and_the_manifest(model: onnxsal.Model, tmp_path: Path) -> None:
    sampled = onnxsal.explain(model, PHOTO, method="smoothgrad", samples=3)
    plain = onnxsal.explain(model, PHOTO, method="gradient")
    for found, keys in ((sampled, {"saliency", "raw", "stderr", "manifest"}), (plain, {"saliency", "raw", "manifest"})):
        found.to_npz(tmp_path / "map.npz")
        with np.load(tmp_path / "map.npz") as stored:
            assert set(stored) == keys
            assert_array_equal(stored["raw"], found.raw)
            assert_array_equal(stored["saliency"], found.saliency)
            assert json.loads(str(stored["manifest"]))["method"] == found.method


def test_a_dict_of_it_goes_through_json_whole(model: onnxsal.Model) -> None:
    sampled = onnxsal.explain(model, PHOTO, method="smoothgrad", samples=3, target=(1, 0))
    found = sampled.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for name in ("saliency", "raw", "stderr"):
        assert_array_equal(np.array(found[name], np.float32), getattr(sampled, name))
    assert found["image"] == "array" and found["target"] == [1, 0] and found["logit"] == sampled.logit
    assert found["manifest"]["samples"] == 3 and found["box"] == list(sampled.box)
    assert found.keys() - sampled.to_dict(maps=False).keys() == {"saliency", "raw", "stderr"}


def test_a_dict_has_none_where_a_number_is_none(model: onnxsal.Model) -> None:
    found = onnxsal.explain(model, X, method="grad-cam", target=select_one(model))
    of_arrays = {"share": np.float32("inf"), "kept": np.arange(2), "part": np.float32(0.5), "path": Path("a")}
    odd = replace(found, stderr=np.array([[np.inf, 1.0]], np.float32), manifest={**found.manifest, **of_arrays})
    read = json.loads(json.dumps(odd.to_dict(), allow_nan=False))
    assert (read["score"], read["target"], read["stderr"]) == (found.score, None, [[None, 1.0]])
    assert [read["manifest"][name] for name in of_arrays] == [None, [0, 1], 0.5, "a"]


def test_the_content_of_a_png_is_what_save_writes(model: onnxsal.Model, tmp_path: Path) -> None:
    found = onnxsal.explain(model, PHOTO, method="gradient")
    for style in ({}, {"kind": "heat", "caption": False}):
        found.save(tmp_path / "map.png", **style)
        with Image.open(io.BytesIO(found.png(**style))) as ours, Image.open(tmp_path / "map.png") as theirs:
            assert ours.format == "PNG" and ours.mode == theirs.mode and ours.tobytes() == theirs.tobytes()


def test_an_explanation_is_itself_alone_and_stands_in_sets(model: onnxsal.Model) -> None:
    first, second = (onnxsal.explain(model, PHOTO, method="gradient", target=1) for _ in range(2))
    assert first == first and first != second and len({first, second, first}) == 2
    assert second in [first, second] and {first: "a"}[first] == "a"
    back = pickle.loads(pickle.dumps(first))
    assert_array_equal(back.raw, first.raw)
    assert (back.manifest, back.target, back.score) == (first.manifest, first.target, first.score)


def test_the_picture_is_the_photograph_with_a_caption(model: onnxsal.Model, tmp_path: Path) -> None:
    found = onnxsal.explain(model, PHOTO, method="grad-cam++")
    found.save(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as image:
        width, height = image.size
    assert width >= 26
    assert height > width * 20 / 26
    assert found._repr_png_().startswith(b"\x89PNG")


def test_nothing_is_left_where_nothing_can_be_written(model: onnxsal.Model, tmp_path: Path) -> None:
    found = onnxsal.explain(model, PHOTO, method="grad-cam++")
    for write in (found.save, found.to_npz):
        with pytest.raises(OutputError):
            write(tmp_path / "nowhere" / "map.png")
    with pytest.raises(UsageError, match="pictures are written as"):
        found.save(tmp_path / "map.xyz")
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_and_ends_at_the_total(model: onnxsal.Model) -> None:
    seen: list[tuple[int, int]] = []
    onnxsal.explain(
        model, X, method="smoothgrad", samples=7, batch_size=3, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(3, 7), (6, 7), (7, 7)]


def middle(value: float) -> np.ndarray:
    """A baseline that differs in its middle, which NumPy leaves out where it prints few numbers."""
    array = np.zeros(X.shape, np.float32)
    assert array.size > 10
    array[:, 4:8, 4:8] = value
    return array


@pytest.mark.parametrize(
    "method", [{"method": "occlusion", "patch": 4, "stride": 4}, {"method": "integrated-gradients"}]
)
def test_arrays_that_differ_are_different_options(model: onnxsal.Model, method: dict[str, object]) -> None:
    with np.printoptions(threshold=10):
        first, other = (onnxsal.explain(model, X, **method, target=1, baseline=middle(v)) for v in (0.0, 3.0))
        again = onnxsal.explain(model, X, **method, target=1, baseline=middle(0.0))
    fresh = onnxsal.explain(onnxsal.load(TinyNet().model()), X, **method, target=1, baseline=middle(3.0))
    assert_allclose(other.raw, fresh.raw, atol=1e-6)
    assert_array_equal(again.raw, first.raw)
    assert np.abs(other.raw - first.raw).max() > 1e-3
    assert first.manifest["options"]["baseline"] != other.manifest["options"]["baseline"]
    assert first.manifest["options"]["baseline"].startswith("array [3, 12, 12] of float32, SHA-256 ")


@pytest.mark.parametrize("method", ["occlusion", "integrated-gradients"])
def test_lists_of_arrays_that_differ_are_different_options(model: onnxsal.Model, method: str) -> None:
    with np.printoptions(threshold=10):
        found = [onnxsal.explain(model, X, method=method, target=1, baseline=list(middle(v))) for v in (0.0, 3.0)]
    assert np.abs(found[0].raw - found[1].raw).max() > 1e-3
    assert found[0].manifest["options"]["baseline"] != found[1].manifest["options"]["baseline"]


def test_a_method_that_is_made_anew_is_run_anew(model: onnxsal.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, on one model; inside a wrapper too."""
    from onnxsal.methods.registry import MADE

    monkeypatch.setitem(MADE, "made-anew", None)
    found = []
    for name in ("gradient", "input-x-gradient"):
        onnxsal.method("made-anew", paper="none")(_same_as(get(name)))
        for how in ({"method": "made-anew"}, {"method": "smoothgrad", "inner": "made-anew", "samples": 2, "noise": 0}):
            found.append(onnxsal.explain(model, X, target=1, **how).raw)
            inside = {k: v.replace("made-anew", name) if isinstance(v, str) else v for k, v in how.items()}
            assert_allclose(found[-1], onnxsal.explain(model, X, target=1, **inside).raw, atol=1e-6)
    assert np.abs(found[0] - found[2]).max() > 1e-3


def _same_as(other: Method) -> Callable[..., Any]:
    def build(score: Program) -> Any:
        return other(score)

    return build


def test_a_short_array_is_listed_among_the_options(model: onnxsal.Model) -> None:
    found = onnxsal.explain(model, X, method="occlusion", target=1, baseline=np.array([1.0, 2.0, 3.0]))
    assert found.manifest["options"]["baseline"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("baseline", [None, np.nan, object(), [1.0, np.inf, 0.0], [[1.0], [2.0, 3.0]]])
def test_a_baseline_is_of_finite_numbers(model: onnxsal.Model, baseline: object) -> None:
    with pytest.raises(UsageError, match=r"option baseline=.* an array of finite numbers"):
        onnxsal.explain(model, X, method="occlusion", target=1, baseline=baseline)


def test_options_of_one_name_are_told_apart(model: onnxsal.Model) -> None:
    found = onnxsal.explain(model, X, method="smoothgrad", inner="smoothgrad", samples=2, noise=0.3, target=1)
    options = found.manifest["options"]
    assert (options["samples"], options["inner.samples"], found.manifest["samples"]) == (2, 50, 2)
    assert (options["noise"], options["inner.noise"], options["inner.inner"]) == (0.3, 0.15, "gradient")


def test_a_partial_map_says_so_in_its_picture(model: onnxsal.Model) -> None:
    how = {"method": "ss-cam", "target": 1, "samples": 9}
    part, whole = onnxsal.explain(model, X, **how, forwards=30), onnxsal.explain(model, X, **how)
    assert [caption_of(each).detail.endswith(" · part of the draws") for each in (part, whole)] == [True, False]
    shown = [
        np.asarray(compare([each, each])) for each in (part, replace(part, manifest=part.manifest | {"partial": 0}))
    ]
    assert (shown[0] != shown[1]).any()


def test_no_percentage_is_drawn_of_what_is_no_class(model: onnxsal.Model) -> None:
    output = model.task.output
    of = [f"{output}[0, 1]", f"{output}[0, :]", onnxsal.Element(output, 0, 2), select_one(model)]
    for found in [onnxsal.explain(model, X, method="gradient", target=target) for target in of]:
        assert caption_of(found).value == f"{found.logit:.4g}", found.label
    assert caption_of(onnxsal.explain(model, X, method="gradient", target=1)).value.endswith(" %")


def test_a_sign_for_a_layers_map_is_refused_before_it_is_made(model: onnxsal.Model) -> None:
    with pytest.raises(UsageError, match="option sign is for maps of pixels; 'ss-cam' gives one of a layer"):
        onnxsal.explain(model, X, method="ss-cam", sign="signed", progress=lambda *_: pytest.fail("it has begun"))


def test_a_seed_may_be_a_number_of_numpy(model: onnxsal.Model) -> None:
    found, same = (onnxsal.explain(model, X, method="smoothgrad", samples=2, seed=s) for s in (np.int64(3), 3))
    assert_array_equal(found.raw, same.raw)
    assert json.dumps(found.manifest["seed"]) == "3"


def test_positions_that_were_not_drawn_are_not_the_hottest(model: onnxsal.Model) -> None:
    how = {"method": "recipro-cam", "layer": "a2", "score": "logit"}
    whole = [onnxsal.explain(model, X, **how, target=t) for t in range(3)]
    low = min(whole, key=lambda each: each.raw.max())
    assert low.raw.max() < 0  # else 0, which an undrawn position had, would not be above it
    part = onnxsal.explain(model, X, **how, target=low.target, forwards=8)
    drawn = 8 - 1
    assert_allclose(part.raw.reshape(-1)[:drawn], low.raw.reshape(-1)[:drawn], rtol=1e-5)
    assert_array_equal(part.raw.reshape(-1)[drawn:], part.raw.reshape(-1)[:drawn].min())


def test_a_wrapper_says_what_variant_is_inside(model: onnxsal.Model) -> None:
    inner = onnxsal.explain(model, X, method="score-cam", target=1, top_k=3).manifest["variant"]
    found = onnxsal.explain(model, X, method="smoothgrad", inner="score-cam", target=1, top_k=3, samples=2)
    assert inner["top_k"] == 3
    assert found.manifest["variant"] == {**inner, **found.manifest["variant"]} != {}
