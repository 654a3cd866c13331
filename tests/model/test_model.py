"""A Model against its own file in ONNX Runtime: what it predicts, and what it makes of pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import ModelError, UsageError

SIDE = 12
SCALE, MEAN, STD = 1 / 255, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
OURS = {"colour": "BGR", "scale": SCALE, "mean": list(MEAN), "std": list(STD), "fit": "squash"}
PIXELS = np.random.default_rng(4).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def logits_of(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    return np.asarray(found)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(float) - logits.max())
    return np.asarray(powers / powers.sum())


def bytes_in(layout: str) -> onnx.ModelProto:
    """A classifier that takes bytes, channels first or last."""
    shape = "N, 3, 4, 4" if layout == "NCHW" else "N, 4, 4, 3"
    turn = "turned = Identity (f)" if layout == "NCHW" else "turned = Transpose <perm = [0, 3, 1, 2]> (f)"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (uint8[{shape}] x) => (float[N, 3] y) '
        f"{{ f = Cast <to = 1> (x) {turn} c = Conv (turned, w) r = Relu (c) p = GlobalAveragePool (r) "
        "y = Flatten (p) }"
    )
    weight = np.random.default_rng(1).normal(0, 0.1, (3, 3, 2, 2)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return model


@pytest.fixture
def net() -> TinyNet:
    return TinyNet()


@pytest.mark.parametrize("seed", range(3))
def test_it_predicts_what_the_file_says(net: TinyNet, seed: int) -> None:
    x = image(seed)
    model = onnxsal.load(net.model(), labels=[*"abcde"])
    wanted = logits_of(net.model(), x[None])[0]
    found = model.predict(x, top=5)
    assert [each.index for each in found] == sorted(range(5), key=lambda i: -wanted[i])
    assert_allclose([each.logit for each in found], np.sort(wanted)[::-1], rtol=1e-5)
    assert_allclose([each.probability for each in found], np.sort(softmax(wanted))[::-1], rtol=1e-5)
    assert [each.label for each in found] == ["abcde"[each.index] for each in found]


def test_the_first_classes_alone_and_without_labels(net: TinyNet) -> None:
    model = onnxsal.load(net.model())
    first, second = model.predict(image(), top=2)
    assert first.probability > second.probability
    assert first.label == f"class {first.index}"
    assert len(model.predict(image(), top=50)) == 5


def test_classes_that_are_equally_probable_stay_in_order(net: TinyNet) -> None:
    net.v[:], net.c[:] = 0, 0
    assert [each.index for each in onnxsal.load(net.model()).predict(image())] == [0, 1, 2, 3, 4]


def test_pixels_become_numbers_as_the_preprocessing_says(net: TinyNet, tmp_path: Path) -> None:
    """A picture of the model's own size is not resized: (pixel x scale - mean) / std, channels turned round."""
    model = onnxsal.load(net.model(), preprocess=OURS)
    wanted = ((PIXELS[..., ::-1] * SCALE - MEAN) / STD).transpose(2, 0, 1)
    Image.fromarray(PIXELS).save(tmp_path / "p.png")
    for given in (PIXELS, Image.fromarray(PIXELS), tmp_path / "p.png", str(tmp_path / "p.png")):
        prepared = model.prepare(given)
        assert_allclose(prepared.x, wanted, rtol=1e-5, atol=1e-6)
        assert_array_equal(prepared.image().image, PIXELS)
        assert prepared.image().box == (0, 0, SIDE, SIDE)
    assert_allclose(model.scores(prepared.x)[0], logits_of(net.model(), wanted[None].astype(np.float32))[0], rtol=1e-4)


def test_black_is_what_a_black_picture_becomes(net: TinyNet) -> None:
    model = onnxsal.load(net.model(), preprocess=OURS)
    assert_allclose(model.black(), model.prepare(np.zeros_like(PIXELS)).x[:, 3, 5], rtol=1e-6)
    assert_allclose(model.black(), -np.array(MEAN) / STD, rtol=1e-5)
    assert_array_equal(onnxsal.load(net.model()).black(), np.zeros(3))


def test_a_float_array_is_taken_as_it_is(net: TinyNet) -> None:
    model, x = onnxsal.load(net.model(), preprocess=OURS), image()
    for given in (x, x[None]):
        prepared = model.prepare(given)
        assert_array_equal(prepared.x, x)
        assert prepared.image().image.shape == (SIDE, SIDE, 3)
        assert (prepared.image().image.min(), prepared.image().image.max()) == (0, 255)


@pytest.mark.parametrize("shape", [(3, 12, 13), (1, 12, 12), (2, 3, 12, 12), (12, 12, 4), (12, 12)])
def test_an_array_of_another_shape_is_named_with_what_was_expected(net: TinyNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=rf"3, 12, 12.*got \[{', '.join(map(str, shape))}\]"):
        onnxsal.load(net.model()).prepare(np.zeros(shape, np.float32))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_model_of_bytes_takes_bytes(layout: str) -> None:
    pixels = PIXELS[:4, :4]
    model = onnxsal.load(bytes_in(layout))
    fed = pixels[None] if layout == "NHWC" else pixels.transpose(2, 0, 1)[None]
    x = model.prepare(pixels).x
    assert_array_equal(x, pixels.transpose(2, 0, 1).astype(np.float32))
    assert_allclose(model.scores(x)[0], logits_of(bytes_in(layout), np.ascontiguousarray(fed))[0], rtol=1e-5)


def test_numbers_that_are_no_bytes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"takes UINT8 bytes, and preprocessing .*use raw"):
        onnxsal.load(bytes_in("NCHW"), preprocess="imagenet").prepare(PIXELS[:4, :4])


def test_without_preprocessing_a_picture_is_refused_and_an_array_is_not(net: TinyNet) -> None:
    model = onnxsal.load(net.model())
    with pytest.raises(UsageError, match="does not say how it wants its pictures"):
        model.predict(PIXELS)
    assert model.predict(image())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_told_of_the_picture_or_of_the_model(net: TinyNet, bad: float) -> None:
    x = image()
    x[0, 0, 0] = bad
    with pytest.raises(
        UsageError, match=r"holds numbers that are not finite: 1 of 432 are NaN or infinite, the first at \[0, 0, 0\]"
    ):
        onnxsal.load(net.model()).predict(x)
    net.c[2] = bad
    with pytest.raises(ModelError, match="the model's output is not finite"):
        onnxsal.load(net.model()).predict(image())


def test_its_digest_is_that_of_the_file(net: TinyNet, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(net.model(), path)
    assert onnxsal.load(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_its_digest_depends_on_weights_beside_the_file(net: TinyNet, tmp_path: Path) -> None:
    digests = []
    for name, shift in (("a", 0.0), ("b", 0.0), ("c", 1e-3)):
        net.v += np.float32(shift)
        (tmp_path / name).mkdir()
        path = tmp_path / name / "net.onnx"
        onnx.save(net.model(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
        digests.append(onnxsal.load(path).digest)
    assert digests[0] == digests[1] != digests[2]


def test_layers_and_size_are_those_of_the_graph(net: TinyNet) -> None:
    model = onnxsal.load(net.model())
    values = {layer.name: layer for layer in model.layers}
    assert {"a1", "a2", "a3"} <= set(values)
    assert (values["a1"].channels, values["a3"].channels) == (6, 8)
    assert model.size == (SIDE, SIDE)
