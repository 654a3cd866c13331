"""The size that a model is opened for: who says it, what is said of it, and what runs, against the file itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

import onnxsal
from onnxsal.errors import ModelError, UsageError

RNG = np.random.default_rng(0)
WEIGHTS = {"k": RNG.normal(0, 0.4, (4, 3, 3, 3)), "v": RNG.normal(0, 1, (3, 4)), "wp": RNG.normal(0, 0.3, (4, 3, 8, 8))}
CONV = "a = Conv <pads = [1, 1, 1, 1]> (x, k) m = Relu (a) g = GlobalAveragePool (m) f = Flatten (g)"


def net(
    shape: str, body: str = CONV, tail: str = "y = Gemm <transB = 1> (f, v)", **more: np.ndarray
) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> g (float[{shape}] x) => (float[N, 3] y) {{ {body} {tail} }}'
    )
    weights = {name: array.astype(np.float32) for name, array in WEIGHTS.items()} | more
    for name, array in weights.items():
        if f"{name})" in body + tail or f"{name}," in body + tail:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def patches(side: int) -> onnx.ModelProto:
    """Patches of 8 x 8 with an embedding of their places, so that one size alone runs."""
    body = "t = Conv <strides = [8, 8]> (x, wp) r = Add (t, pos) g = GlobalAveragePool (r) f = Flatten (g)"
    return net("N, 3, H, W", body, pos=RNG.normal(0, 1, (1, 4, side // 8, side // 8)).astype(np.float32))


def truth(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(proto.SerializeToString()).run(["y"], {"x": x[None]})[0][0]


def decided(model: onnxsal.Model) -> tuple[str, str]:
    (found,) = (each for each in model.decided if each.what == "size")
    return found.value, found.why


def of_size(model: onnxsal.Model) -> list[str]:
    return [note for note in model.notes if "opened for" in note]


def saved(folder: Path, proto: onnx.ModelProto, **metadata: str) -> Path:
    onnx.helper.set_model_props(proto, metadata)
    onnx.save(proto, folder / "m.onnx")
    return folder / "m.onnx"


OPEN = "N, 3, H, W"


def test_the_usual_size_is_said_and_a_fixed_one_is_not() -> None:
    opened = onnxsal.load(net(OPEN))
    assert opened.size == (224, 224)
    assert of_size(opened) == [
        "the file leaves the size of 'x' open and nothing says it: it was opened for H 224, W 224; "
        "--size H W (size=) opens it for another"
    ]
    assert decided(opened) == ("H 224, W 224", "nothing says it, this is the usual one")
    fixed = onnxsal.load(net("N, 3, 16, 24"))
    assert (fixed.size, of_size(fixed)) == ((16, 24), [])
    assert not [each for each in fixed.decided if each.what == "size"]


def test_one_side_that_is_fixed_is_taken() -> None:
    opened = onnxsal.load(net("N, 3, 48, W"))
    assert opened.size == (48, 224)
    assert "it was opened for H 48, W 224;" in opened.notes[0]


def test_what_the_file_says_is_taken_without_a_note(tmp_path: Path) -> None:
    opened = onnxsal.load(saved(tmp_path, net(OPEN), imgsz="[32, 40]"))
    assert (opened.size, of_size(opened)) == ((32, 40), [])
    assert decided(opened) == ("H 32, W 40", "the file's metadata 'imgsz' says so")


def test_an_asked_size_goes_before_all_others(tmp_path: Path) -> None:
    opened = onnxsal.load(saved(tmp_path, net(OPEN), imgsz="[32, 40]"), size=(24, 16))
    assert (opened.size, decided(opened)) == ((24, 16), ("H 24, W 16", "asked for"))


def test_sources_that_disagree_are_both_named(tmp_path: Path) -> None:
    path = saved(tmp_path, net(OPEN), imgsz="32")
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": {"input_size": [3, 64, 64]}}))
    with pytest.raises(
        UsageError, match=r"metadata 'imgsz' says the size H 32, W 32, and .*config.json says H 64, W 64: --size"
    ):
        onnxsal.load(path)
    assert onnxsal.load(path, size=(32, 32)).size == (32, 32)


def test_the_shape_and_a_word_that_disagree_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'imgsz' says the size H 32, W 32, and the shape of 'x' says H 48: --size"):
        onnxsal.load(saved(tmp_path, net("N, 3, 48, W"), imgsz="32"))


def test_where_one_size_alone_runs_it_is_found_and_said() -> None:
    proto = patches(64)
    opened = onnxsal.load(proto)
    assert opened.size == (64, 64)
    assert "it was opened for H 64, W 64, since it does not run at H 224, W 224 (" in opened.notes[0]
    x = RNG.uniform(0, 1, (3, 64, 64)).astype(np.float32)
    np.testing.assert_allclose(opened.scores(x)[0], truth(proto, x), rtol=1e-4, atol=1e-5)


def test_what_runs_at_none_of_those_tried_says_which_and_why(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"runs at none that was tried \(H 224, W 224; H 256, W 256; .*at H 224, W 224: .*Add 'r'.*--size",
    ):
        onnxsal.load(patches(72))
    assert onnxsal.load(patches(72), size=(72, 72)).size == (72, 72)
    with pytest.raises(ModelError, match=r"^size=\(64, 72\): the model does not run at H 64, W 72: .*Add 'r'.*--size"):
        onnxsal.load(patches(72), size=(64, 72))
    with pytest.raises(
        ModelError, match=r"does not run at H 64, W 64, which the file's metadata 'imgsz' says: .*--size"
    ):
        onnxsal.load(saved(tmp_path, patches(72), imgsz="64"))


def test_sides_are_multiples_of_the_stride_that_the_file_says(tmp_path: Path) -> None:
    assert onnxsal.load(saved(tmp_path, net(OPEN), stride="64")).size == (256, 256)


def test_a_size_that_only_running_tells() -> None:
    """A Reshape by what the picture holds: no shape says what it gives, and ONNX Runtime refuses the wrong one."""
    body = (
        "q = Conv <strides = [8, 8]> (x, wp) n = NonZero (q) s = Shape <start = 1> (n) a = Mul (s, none) "
        "b = Add (a, want) c = Add (a, maps) e = Concat <axis = 0> (b, c, rest) t = Reshape (q, e) "
        "g = GlobalAveragePool (t) f = Flatten (g)"
    )
    held = {
        "none": np.zeros(1, np.int64),
        "want": np.ones(1, np.int64),
        "maps": np.full(1, 4),
        "rest": np.array([12, 12]),
    }
    proto = net("1, 3, H, W", body, **held)
    opened = onnxsal.load(proto)
    assert opened.size == (96, 96)
    x = RNG.uniform(0, 1, (3, 96, 96)).astype(np.float32)
    np.testing.assert_allclose(opened.scores(x)[0], truth(proto, x), rtol=1e-4, atol=1e-5)


def test_a_declared_size_that_is_wrong_is_overruled_where_it_runs() -> None:
    declared, right = net("10, 3, 32, 32"), net(OPEN)
    opened = onnxsal.load(declared, size=(48, 64))
    assert opened.size == (48, 64)
    assert opened.notes[:2] == (
        "the file declares H 32, W 32 of 'x': it was opened for H 48, W 64 as asked (verified by running)",
        "the batch, fixed to 10 in the file, was made free (verified by running)",
    )
    x = RNG.uniform(0, 1, (3, 48, 64)).astype(np.float32)
    np.testing.assert_allclose(opened.scores(x)[0], truth(right, x), rtol=1e-4, atol=1e-5)
    found = onnxsal.explain(opened, x, method="gradient", target=1)
    way = np.sign(found.raw)
    slope = (truth(right, x + 1e-2 * way)[1] - truth(right, x - 1e-2 * way)[1]) / 2e-2
    np.testing.assert_allclose((found.raw * way).sum(), slope, rtol=1e-2)
    fixed = net("1, 3, 32, 32", "f = Flatten (x)", "y = MatMul (f, u)", u=np.ones((3072, 3), np.float32))
    with pytest.raises(UsageError, match=r"the file fixes H 32, W 32 of 'x', and it does not run at H 48, W 48: "):
        onnxsal.load(fixed, size=(48, 48))


def test_an_array_brings_its_own_size_once_for_each() -> None:
    proto = net(OPEN)
    model = onnxsal.load(proto)
    x = RNG.uniform(0, 1, (3, 20, 36)).astype(np.float32)
    assert model.fitting(x) is model.fitting(x[None])
    assert decided(model.fitting(x)) == ("H 20, W 36", "what is explained has it")
    found = onnxsal.explain(model, x, method="grad-cam", target=2)
    assert found.saliency.shape == (20, 36)
    np.testing.assert_allclose(found.logit, truth(proto, x)[2], rtol=1e-4, atol=1e-5)
    assert model.predict(x)[0].logit == pytest.approx(truth(proto, x).max(), rel=1e-4)
    with pytest.raises(UsageError, match="must be shaped like the model's input"):
        onnxsal.explain(onnxsal.load(proto, size=(16, 16)), x)  # who asks for a size means it
    with pytest.raises(UsageError, match="must be shaped like the model's input"):
        onnxsal.explain(onnxsal.load(net("N, 3, 48, W")), x)


def test_a_model_reopened_for_a_size_keeps_its_preprocessing() -> None:
    model = onnxsal.load(net(OPEN)).preprocessed("imagenet")
    assert model.fitting(np.zeros((3, 16, 16), np.float32)).preprocess == model.preprocess


def test_channels_that_are_left_open_are_those_that_are_read() -> None:
    """Exporters name every axis; rows and columns are followed all the same, and a map is that of the closed file."""
    x = RNG.normal(0, 1, (3, 16, 16)).astype(np.float32)
    maps = []
    for shape in ("N, 3, 16, 16", "batch_size, num_channels, height, width"):
        model = onnxsal.load(net(shape), size=(16, 16))
        assert [layer.name for layer in model.layers] == ["a", "m"]
        maps.append(onnxsal.explain(model, x, method="grad-cam", target=1))
        assert maps[-1].logit == pytest.approx(truth(net(shape), x)[1], rel=1e-5)
    np.testing.assert_array_equal(maps[0].raw, maps[1].raw)
