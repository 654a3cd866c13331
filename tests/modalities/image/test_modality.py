"""Images on their way into a model: black that is a picture, bands, sixteen bits, sizes of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from PIL import Image

import onnxsal

RNG = np.random.default_rng(0)
S = 16
NET = """<ir_version: 10, opset_import: ["" : 18]> g (%s[%s] x) => (float[N, 3] y) {
    %s a = Conv <pads = [1, 1, 1, 1]> (i, k) m = Relu (a) p = GlobalAveragePool (m) f = Flatten (p)
    y = Gemm <transB = 1> (f, v) }"""


def net(front: str, shape: str = f"N, 3, {S}, {S}", kind: str = "float", bands: int = 3, **held: np.ndarray):
    proto = onnx.parser.parse_model(NET % (kind, shape, front))
    weights = {"k": RNG.normal(0, 0.4, (4, bands, 3, 3)), "v": RNG.normal(0, 1, (3, 4))}
    for name, array in ({n: w.astype(np.float32) for n, w in weights.items()} | held).items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def truth(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(proto.SerializeToString()).run(["y"], {"x": x[None]})[0][0]


MEAN = RNG.uniform(100, 150, (1, 3, S, S)).astype(np.float32)


@pytest.fixture(scope="module")
def centred() -> onnxsal.Model:
    """A model that takes a mean picture off its own, as CaffeNet's do."""
    return onnxsal.load(net("i = Sub (x, mean)", mean=MEAN), preprocess="raw")


def test_black_is_a_picture_where_a_mean_picture_is_taken_off(centred: onnxsal.Model) -> None:
    np.testing.assert_array_equal(centred.black(), -MEAN[0])
    assert onnxsal.load(net("i = Identity (x)"), preprocess="raw").black().shape == (3,)


def test_occlusion_covers_with_black_at_each_place(centred: onnxsal.Model) -> None:
    """Against the file itself, of a picture whose patch is black."""
    photo = RNG.integers(0, 256, (S, S, 3), dtype=np.uint8)
    proto = net("i = Sub (x, mean)", mean=MEAN)
    model = onnxsal.load(proto, preprocess="raw")
    options = {"baseline": "black", "patch": S, "stride": S, "score": "logit"}
    found = onnxsal.explain(model, photo, method="occlusion", target=1, **options)
    x = photo.transpose(2, 0, 1).astype(np.float32)
    drop = truth(proto, x)[1] - truth(proto, np.zeros_like(x))[1]
    np.testing.assert_allclose(found.raw, np.full_like(found.raw, drop), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_methods_that_go_to_black_and_files_of_them_agree(method: str) -> None:
    proto = net("i = Sub (x, mean)", mean=MEAN)
    model = onnxsal.load(proto, preprocess="raw")
    photo = RNG.integers(0, 256, (S, S, 3), dtype=np.uint8)
    options = {"baseline": "black", **({"steps": 4} if method == "integrated-gradients" else {"patch": 6})}
    found = onnxsal.explain(model, photo, method=method, target=1, **options)
    compiled = onnxsal.compile(model, method=method, target=1, give="raw", **options)
    session = ort.InferenceSession(compiled.SerializeToString())
    raw = session.run(["raw"], {"x": photo.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
    np.testing.assert_allclose(raw, found.raw, rtol=1e-3, atol=1e-3 * np.abs(found.raw).max())


def test_metrics_are_given_the_black_picture(centred: onnxsal.Model) -> None:
    photo = RNG.integers(0, 256, (S, S, 3), dtype=np.uint8)
    found = onnxsal.evaluate(centred, [photo], methods=["gradient"], metrics=["deletion"])
    (row,) = found.rows
    assert np.isfinite(row.value)


FRONTS = {
    "an index of two bands": (
        "r = Gather <axis = 1> (x, red) n = Gather <axis = 1> (x, near) d = Sub (n, r) s = Add (n, r) t = Add (s, one)"
        " u = Div (d, t) i = Concat <axis = 1> (x, u)", 7,
    ),
    "a mean": ("q = ReduceMean (x, plane) i = Sub (x, q)", 6),
    "a resize": ('i = Resize <mode = "linear"> (x, , , size)', 6),
    "a pad": ("i = Pad (x, around)", 6),
    "a softmax over bands": ("i = Softmax <axis = 1> (x)", 6),
    "two ways": ("e = Exp (x) h = Sigmoid (x) i = Mul (e, h)", 6),
    "channels last": ("t = Transpose <perm = [0, 3, 1, 2]> (e) e = Exp (x) i = Sigmoid (t)", 6),
}  # fmt: skip
HELD = {
    "red": np.array([2]), "near": np.array([3]), "one": np.ones((), np.float32), "size": np.array([1, 6, 24, 24]),
    "plane": np.array([2, 3]), "around": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
}  # fmt: skip


def spectral(name: str, shape: str | None = None) -> onnx.ModelProto:
    front, bands = FRONTS[name]
    if name == "channels last":
        front = "e = Exp (x) t = Transpose <perm = [0, 3, 1, 2]> (e) i = Sigmoid (t)"
    shape = shape or (f"N, {S}, {S}, 6" if name == "channels last" else f"N, 6, {S}, {S}")
    held = {key: array for key, array in HELD.items() if key in front}
    return net(front, shape, bands=bands, **held)


@pytest.mark.parametrize("name", FRONTS)
def test_six_bands_behind_any_first_operator(name: str) -> None:
    """The gradient against differences of the file's own scores."""
    proto = spectral(name)
    model = onnxsal.load(proto)
    assert model.anatomy.entry.channels == 6
    shape = (S, S, 6) if name == "channels last" else (6, S, S)
    x = RNG.uniform(0.3, 1, shape).astype(np.float32)
    found = onnxsal.explain(model, x, method="gradient", target=1)
    way = np.sign(found.raw if name != "channels last" else found.raw.transpose(1, 2, 0))
    eps = 2e-3
    slope = (truth(proto, x + eps * way)[1] - truth(proto, x - eps * way)[1]) / (2 * eps)
    np.testing.assert_allclose(np.abs(found.raw).sum(), slope, rtol=2e-2)


def test_axes_that_nothing_proves_are_no_picture() -> None:
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 18]> g (float[N, 6, 8, 8] x) => (float[N, 3] y) '
        "<float[384, 3] w> { f = Flatten (x) y = MatMul (f, w) }"
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((384, 3), np.float32), "w"))
    assert onnxsal.load(proto).modality.name == "array"


def test_bands_come_from_files_and_arrays_in_either_order(tmp_path: Path) -> None:
    proto = spectral("a pad", "N, 6, H, W")
    model, x = onnxsal.load(proto), RNG.uniform(0, 1, (6, S, S + 4)).astype(np.float32)
    np.save(tmp_path / "first.npy", x)
    np.save(tmp_path / "last.npy", x.transpose(1, 2, 0))
    pages = [Image.fromarray(band) for band in x]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    for thing in (x, tmp_path / "first.npy", tmp_path / "last.npy", tmp_path / "pages.tif"):
        found = onnxsal.explain(model, thing, method="gradient", target=0)
        np.testing.assert_allclose(found.logit, truth(proto, x)[0], rtol=1e-5)
        assert found.saliency.shape == (S, S + 4)
    assert (
        "channels are its last axis, and were put first for the model"
        in (onnxsal.explain(model, tmp_path / "last.npy", method="gradient").manifest["notes"])
    )


def test_integers_of_bands_are_said_or_prepared() -> None:
    proto = spectral("a pad")
    levels = RNG.integers(0, 2**16, (S, S, 6), dtype=np.uint16)
    plain = onnxsal.load(proto).prepare(levels)
    np.testing.assert_array_equal(plain.x, levels.transpose(2, 0, 1).astype(np.float32))
    assert "its integers are taken as they are: no preprocessing is known" in plain.notes
    mean = tuple(np.linspace(0.1, 0.6, 6))
    said = onnxsal.load(proto, preprocess={"scale": 1 / 255, "mean": mean, "colour": "bands"}).prepare(levels)
    expected = levels.transpose(2, 0, 1) / 65535 - np.reshape(mean, (6, 1, 1))
    np.testing.assert_allclose(said.x, expected, atol=1e-6)
    np.testing.assert_allclose(
        onnxsal.load(proto, preprocess="unit").prepare(levels).x[0].max(), levels[..., 0].max() / 65535
    )


WORDS = RNG.integers(0, 2**16, (S, S), dtype=np.uint16)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_not_cut_to_eight(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(WORDS).save(tmp_path / f"deep.{suffix}")
    proto = net("i = Identity (x)")
    sample = onnxsal.load(proto, preprocess="unit").prepare(tmp_path / f"deep.{suffix}")
    np.testing.assert_allclose(sample.x, np.repeat(WORDS[None] / 65535, 3, axis=0), rtol=1e-6)
    assert len(np.unique(sample.x)) > 220  # of 256 pixels: bytes would be alike far more often
    assert "16-bit grey: 65535 is taken as white" in sample.notes


def test_sixteen_bit_colours_are_those_of_an_array() -> None:
    colours = RNG.integers(0, 2**16, (S, S, 3), dtype=np.uint16)
    proto = net("i = Identity (x)")
    found = onnxsal.load(proto, preprocess="caffe").prepare(colours)
    expected = (colours[..., ::-1] * (255 / 65535) - [103.94, 116.78, 123.68]).transpose(2, 0, 1)
    np.testing.assert_allclose(found.x, expected, atol=1e-4)
    grey = onnxsal.load(net("i = Concat <axis = 1> (x, x, x)", f"N, 1, {S}, {S}"), preprocess="unit").prepare(colours)
    np.testing.assert_allclose(grey.x[0], colours @ np.array([0.299, 0.587, 0.114]) / 65535, rtol=1e-5)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_fine_levels_lie_where_bytes_do(fit: str) -> None:
    wide = RNG.integers(0, 256, (30, 44)).astype(np.uint8)
    model = onnxsal.load(net("i = Identity (x)"), preprocess={"fit": fit, "pad_colour": [9, 9, 9]})
    fine, coarse = model.prepare(wide.astype(np.uint16) * 257), model.prepare(wide)
    np.testing.assert_allclose(fine.x, coarse.x, atol=1.01)  # Pillow rounds bytes after each of its two passes
    assert fine.image().box == coarse.image().box


def test_a_model_of_sixteen_bits_takes_them_as_they_are(tmp_path: Path) -> None:
    Image.fromarray(WORDS).save(tmp_path / "deep.png")
    proto = net("e = Cast <to = 1> (x) i = Concat <axis = 1> (e, e, e)", f"N, 1, {S}, {S}", "uint16")
    model = onnxsal.load(proto)
    sample = model.prepare(tmp_path / "deep.png")
    np.testing.assert_array_equal(sample.x[0], WORDS)
    np.testing.assert_allclose(model.scores(sample.x)[0], truth(proto, WORDS[None]), rtol=1e-4)
    small = model.prepare((WORDS >> 8).astype(np.uint8))
    np.testing.assert_array_equal(small.x[0], (WORDS >> 8).astype(np.float32) * 257)
    assert "8 bits are scaled to the model's 16 (0-255 to 0-65535)" in small.notes


def test_a_model_of_bytes_is_given_rounded_ones() -> None:
    sample = onnxsal.load(net("i = Cast <to = 1> (x)", kind="uint8")).prepare(WORDS)
    np.testing.assert_array_equal(sample.x[0], np.rint(WORDS / 257))
    assert "rounded to 8 bits: the model takes bytes" in sample.notes


FRAMES = {
    "channels, then one frame": (f"N, 3, 1, {S}, {S}", "i = Squeeze (x, two)", (3, 1, S, S)),
    "one frame, then channels": (f"N, 1, 3, {S}, {S}", "i = Squeeze (x, one)", (1, 3, S, S)),
    "one frame, channels last": (
        f"N, 1, {S}, {S}, 3", "q = Squeeze (x, one) i = Transpose <perm = [0, 3, 1, 2]> (q)", (1, S, S, 3),
    ),
    "a convolution of films": (f"N, 3, 1, {S}, {S}", "q = Conv (x, film) i = Squeeze (q, two)", (3, 1, S, S)),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_films_of_one_frame_are_pictures(name: str) -> None:
    shape, front, own = FRAMES[name]
    held = {"one": np.array([1]), "two": np.array([2]), "film": RNG.normal(0, 1, (3, 3, 1, 1, 1)).astype(np.float32)}
    proto = net(front, shape, **{key: array for key, array in held.items() if f"{key})" in front})
    model = onnxsal.load(proto, preprocess="unit")
    photo = RNG.integers(0, 256, (S, S, 3), dtype=np.uint8)
    x = (photo if own[-1] == 3 else photo.transpose(2, 0, 1)).reshape(own).astype(np.float32) / 255
    np.testing.assert_allclose(model.scores(model.prepare(photo).x)[0], truth(proto, x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.prepare(x).x, model.prepare(photo).x, atol=1e-6)
    found = onnxsal.explain(model, photo, method="gradient", target=1)
    assert found.raw.shape == (3, S, S)
    sign = np.sign(found.raw)
    way = (sign.transpose(1, 2, 0) if own[-1] == 3 else sign).reshape(own)
    slope = (truth(proto, x + 2e-3 * way)[1] - truth(proto, x - 2e-3 * way)[1]) / 4e-3
    np.testing.assert_allclose(np.abs(found.raw).sum(), slope, rtol=2e-2)


def test_a_volume_is_no_film_of_one_frame() -> None:
    proto = net("q = Conv (x, film) i = Squeeze (q, two)", f"N, 1, 3, {S}, {S}",
                film=np.ones((3, 1, 3, 1, 1), np.float32), two=np.array([2]))  # fmt: skip
    assert onnxsal.load(proto).modality.name == "volume"
