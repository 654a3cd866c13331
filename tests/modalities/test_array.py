"""Arrays of any number of axes: how they are read, and maps of them against differences of the file in ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.cli.run import main
from onnxsal.errors import ImageError, UnsupportedError, UsageError

RNG = np.random.default_rng(0)

NET = """<ir_version: 10, opset_import: ["" : 21]> g (float%s x) => (float[B, 3] y)
    <int64[2] flat = {%s}>
    { a = Mul (x, x) t = Tanh (a) s = Sin (x) z = Add (t, s) f = Reshape (z, flat) y = MatMul (f, v) }"""

SHAPES = {
    "[B, 4]": (4,), "[1, 6]": (6,), "[B, 3, 5]": (3, 5), "[B, 2, 7, 9]": (2, 7, 9), "[B, 2, 2, 3, 4]": (2, 2, 3, 4),
    "[B, 2, 1, 2, 3, 2]": (2, 1, 2, 3, 2), "[5]": (5,), "[4, 5]": (4, 5), "": (), "[1]": (1,),
}  # fmt: skip
"""Shapes of an input, and of one thing of it."""


def model(shape: str, own: tuple[int, ...], dtype: type = np.float32) -> onnx.ModelProto:
    count = int(np.prod(own))
    batched = shape.startswith(("[B,", "[1,"))
    text = NET % (shape, f"-1, {count}" if batched else f"1, {count}")
    proto = onnx.parser.parse_model(text.replace("float", "double") if dtype is np.float64 else text)
    v = np.random.default_rng(3).normal(0, 1, (count, 3)).astype(dtype)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(v, "v"))
    return proto


def central(proto: onnx.ModelProto, x: np.ndarray, target: int, step: float = 1e-2) -> np.ndarray:
    """Return the slopes of one output along every number of an input, by the file itself."""
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    found = np.zeros(x.size)
    for i in range(x.size):
        ends = []
        for side in (step, -step):
            moved = x.astype(np.float64).reshape(-1).copy()
            moved[i] += side
            ends.append(session.run(["y"], {"x": moved.reshape(x.shape).astype(x.dtype)})[0].reshape(-1)[target])
        found[i] = (float(ends[0]) - float(ends[1])) / (2 * step)
    return found.reshape(x.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_map_has_the_shape_of_the_input_and_the_slopes_of_the_file(shape: str) -> None:
    own = SHAPES[shape]
    proto, x = model(shape, own), RNG.normal(0, 0.5, own).astype(np.float32)
    opened = onnxsal.load(proto, task="regression")
    assert (opened.modality.name, opened.size) == ("array", own or (1,))
    batched = shape.startswith(("[B,", "[1,"))
    expected = central(proto, x[None] if batched else x, 1).reshape(own or (1,))
    for thing in (x, x[None]) if batched else (x,):
        found = onnxsal.explain(opened, thing, method="gradient", target=1)
        assert found.saliency.shape == (own or (1,))
        np.testing.assert_allclose(found.raw[0], expected, rtol=2e-3, atol=2e-3)


def test_doubles_are_taken() -> None:
    proto, x = model("[B, 4]", (4,), np.float64), RNG.normal(0, 0.5, 4)
    found = onnxsal.explain(onnxsal.load(proto), x, method="gradient", target=2)
    np.testing.assert_allclose(found.raw[0], central(proto, x[None], 2, 1e-5)[0], rtol=1e-5)


@pytest.mark.parametrize("shape", ["[B, 6]", "[B, 3, 5]", "[B, 2, 3, 5]", "[B, 2, 2, 3, 2]", "[5]"])
def test_occlusion_covers_one_number_at_a_time(shape: str) -> None:
    """With a patch of one the map is what setting each number to 0 takes from the score."""
    own = tuple(int(n) for n in shape.strip("[B, ]").split(", "))
    proto, x = model(shape, own), RNG.normal(0, 0.5, own).astype(np.float32)
    opened = onnxsal.load(proto, task="regression")
    found = onnxsal.explain(opened, x, method="occlusion", target=0, patch=1, stride=1)
    session = onnxruntime.InferenceSession(proto.SerializeToString())

    def score(values: np.ndarray) -> float:
        return float(session.run(["y"], {"x": values[None] if "B" in shape else values})[0][0, 0])

    expected = np.zeros(x.size)
    for i in range(x.size):
        covered = x.reshape(-1).copy()
        covered[i] = 0
        expected[i] = score(x) - score(covered.reshape(own))
    np.testing.assert_allclose(found.raw, expected.reshape(own), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", ["[B, 4]", "[B, 3, 5]", "[B, 2, 3, 5]", "[B, 2, 2, 3, 2]", "[5]", ""])
def test_paths_noise_and_masks_work_on_any_number_of_axes(shape: str) -> None:
    own = SHAPES.get(shape) or tuple(int(n) for n in shape.strip("[B, ]").split(", ") if n)
    opened, x = onnxsal.load(model(shape, own), task="regression"), RNG.normal(0, 0.5, own).astype(np.float32)
    path = onnxsal.explain(opened, x, method="integrated-gradients", target=0, steps=200)
    zero = onnxsal.explain(opened, 0 * x, method="gradient", target=0).logit
    assert path.raw.sum() == pytest.approx(path.logit - zero, abs=2e-2)  # completeness, eq. 2 of the paper
    plain = onnxsal.explain(opened, x, method="gradient", target=0).raw
    still = onnxsal.explain(opened, x, method="smoothgrad", target=0, samples=3, noise=0.0).raw
    np.testing.assert_allclose(still, plain, rtol=1e-4, atol=1e-6)
    times = onnxsal.explain(opened, x, method="input-x-gradient", target=0).raw
    np.testing.assert_allclose(times, plain * x.reshape(plain.shape), rtol=1e-4, atol=1e-6)
    rise = onnxsal.explain(opened, x, method="rise", target=0, samples=8, grid=2)
    assert rise.raw.shape == (own or (1,)) and np.isfinite(rise.raw).all()


def test_maps_of_layers_say_that_there_are_none() -> None:
    opened = onnxsal.load(model("[B, 2, 3, 5]", (2, 3, 5)))
    with pytest.raises(UnsupportedError, match="no value with rows and columns"):
        onnxsal.explain(opened, np.zeros((2, 3, 5), np.float32), method="grad-cam")


def test_a_spectrogram_without_channels_has_layers() -> None:
    """[B, F, T] that gets its channel inside: Grad-CAM weighs the maps by the class over their mean."""
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 6, 8] x) => (float[B, 2] y)
        <int64[1] one = {1}, int64[2] over = {2, 3}>
        { u = Unsqueeze (x, one) a = Conv <pads = [1, 1, 1, 1]> (u, w) r = Relu (a)
          m = ReduceMean <keepdims = 0> (r, over) y = MatMul (m, v) }"""
    proto = onnx.parser.parse_model(text)
    w, v = RNG.normal(0, 1, (3, 1, 3, 3)), RNG.normal(0, 1, (3, 2))
    for name, array in (("w", w), ("v", v)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    opened, x = onnxsal.load(proto), RNG.normal(0, 1, (6, 8)).astype(np.float32)
    probe = onnx.ModelProto()
    probe.CopyFrom(proto)
    probe.graph.output.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, None))
    r = onnxruntime.InferenceSession(probe.SerializeToString()).run(["r"], {"x": x[None]})[0][0]
    found = onnxsal.explain(opened, x, method="grad-cam", target=1, layer="r")
    np.testing.assert_allclose(found.raw, np.maximum(np.tensordot(v[:, 1] / 48, r, 1), 0), rtol=1e-4, atol=1e-6)


def test_an_array_s_own_size_opens_the_model_for_it() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, T] x) => (float[B, 2] y)
        <int64[1] last = {1}, float[1, 2] v = {1, -2}>
        { s = Sin (x) m = ReduceMean <keepdims = 1> (s, last) y = MatMul (m, v) }"""
    opened = onnxsal.load(onnx.parser.parse_model(text))
    assert opened.size == (256,) and any("leaves the size of 'x' open" in note for note in opened.notes)
    x = RNG.normal(0, 1, 12).astype(np.float32)
    found = onnxsal.explain(opened, x, method="gradient", target=1)
    np.testing.assert_allclose(found.raw[0], -2 * np.cos(x) / 12, rtol=1e-5)
    assert opened.predict(x)[0].logit == pytest.approx(max(np.sin(x).mean(), -2 * np.sin(x).mean()), rel=1e-5)
    with pytest.raises(
        UsageError, match=r"float32 \[12\], and 'x' takes floats \[20\]: the file leaves that open.*size="
    ):
        onnxsal.explain(onnxsal.load(onnx.parser.parse_model(text), size=20), x, method="gradient")


def test_files_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    opened, x = onnxsal.load(model("[B, 4]", (4,))), RNG.normal(0, 1, 4)
    np.save(tmp_path / "row.npy", x)
    assert opened.prepare(tmp_path / "row.npy").name == "row.npy"
    for thing, error, message in (
        (tmp_path / "raw.npy", ImageError, "no such file.*did you mean 'row.npy'"),
        (x[:3], UsageError, r"float64 \[3\], and 'x' takes floats \[4\]: the file fixes axis 0 to 4$"),
        (np.stack([x, x]), UsageError, r"float64 \[2, 4\], and 'x' takes floats \[4\]"),
        (x * np.nan, UsageError, r"not finite: .* are NaN or infinite, the first at \[0\]"),
        (x.astype(complex), UsageError, r"complex128 \[4\], and"),
        ({1, 2}, UsageError, "an array of floats or an .npy file; got set"),
    ):
        with pytest.raises(error, match=message):
            opened.prepare(thing)
    with pytest.raises(UsageError, match="preprocessing is for images"):
        onnxsal.load(model("[B, 4]", (4,)), preprocess="unit")


def test_curves_and_shades_are_drawn_and_more_axes_are_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for shape, drawn in (("[B, 6]", True), ("[B, 3, 5]", True), ("[B, 2, 3, 5]", False)):
        own = tuple(int(n) for n in shape.strip("[B, ]").split(", "))
        onnx.save(model(shape, own), "net.onnx")
        np.save("x.npy", RNG.normal(0, 1, own))
        assert main(["explain", "net.onnx", "x.npy", "-m", "gradient,input-x-gradient", "--json"]) == 0
        out, err = capsys.readouterr()
        written = json.loads(out)["explanations"][0]["picture"]
        assert (Path(written).suffix == ".png") == drawn and Path(written).stat().st_size > 500
        assert ("a map of 3 axes is no picture: it is written as numbers" in err) != drawn
        assert main(["explain", "net.onnx", "x.npy", "-m", "gradient", "--json"]) == 0
        capsys.readouterr()
    np.testing.assert_array_equal(np.load("x.gradient.npz")["saliency"].shape, (2, 3, 5))
    found = onnxsal.explain("net.onnx", "x.npy", method="gradient")
    with pytest.raises(UnsupportedError, match=r"2 x 3 x 5, is no picture: take its numbers"):
        found.save(tmp_path / "map.png")
    assert found._repr_png_() is None


def test_what_is_for_images_alone_says_so() -> None:
    with pytest.raises(UnsupportedError, match=r"this is for models of images; this model takes array \(3, 5\)"):
        _ = onnxsal.load(model("[B, 3, 5]", (3, 5))).image_size


@pytest.mark.parametrize("shape", ["[5]", "", "[4, 5]", "[B, 2, 7, 9]"])
def test_any_element_of_it_is_explained_and_the_report_is_made(shape: str) -> None:
    own = SHAPES[shape]
    proto, x = model(shape, own), RNG.normal(0, 0.5, own).astype(np.float32)
    opened = onnxsal.load(proto)
    batched = shape.startswith("[B,")
    found = onnxsal.explain(opened, x, method="gradient", target="y[0, 2]")
    np.testing.assert_allclose(
        found.raw[0], central(proto, x[None] if batched else x, 2).reshape(own or (1,)), atol=3e-3
    )
    assert opened.inspect()["input"]["size"] == list(own or (1,))
    assert [each.method for each in opened.warm(["gradient", "occlusion"], target="y[0, 2]")] == [
        "gradient",
        "occlusion",
    ]
