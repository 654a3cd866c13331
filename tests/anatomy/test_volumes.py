"""Layers of volumes and of arrays of any number of axes: which there are, and CAMs of them against closed forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.cli.run import main
from onnxsal.errors import UnsupportedError

RNG = np.random.default_rng(0)
HEAD = '<ir_version: 10, opset_import: ["" : 21]> g '

VOLUME = (
    HEAD
    + """(float[B, 2, 4, 6, 5] x) => (float[B, 3] y) { c = Conv <pads = [1, 1, 1, 1, 1, 1]> (x, w)
    r = Relu (c) %s g = GlobalAveragePool (m) f = Flatten (g) y = MatMul (f, v) }"""
)
WHOLE = "m = Identity (r)"
POOLED = "p = MaxPool <kernel_shape = [2, 2, 1], strides = [2, 2, 1]> (r) k = Conv (p, u) m = Relu (k)"
BEHIND = (
    HEAD
    + """(float[B, 4, 6, 5, 2] z) => (float[B, 3] y) { x = Transpose <perm = [0, 4, 1, 2, 3]> (z)
    c = Conv <pads = [1, 1, 1, 1, 1, 1]> (x, w) r = Relu (c) m = Identity (r) g = GlobalAveragePool (m) f = Flatten (g)
    y = MatMul (f, v) }"""
)

X = RNG.normal(0, 1, (2, 4, 6, 5)).astype(np.float32)
V = np.random.default_rng(3).normal(0, 1, (4, 3))


def made(text: str, **more: np.ndarray) -> onnx.ModelProto:
    proto, rng = onnx.parser.parse_model(text), np.random.default_rng(2)
    read = {name for node in proto.graph.node for name in node.input}
    arrays = {"w": rng.normal(0, 0.5, (4, 2, 3, 3, 3)), "u": rng.normal(0, 1, (4, 4, 1, 1, 1)), "v": V} | more
    for name in read & set(arrays):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(arrays[name].astype(np.float32), name))
    return proto


def value(proto: onnx.ModelProto, name: str, x: np.ndarray) -> np.ndarray:
    """Return a value of the file for one thing, without its batch axis."""
    probe = onnx.ModelProto()
    probe.CopyFrom(proto)
    probe.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(probe.SerializeToString())
    return session.run([name], {session.get_inputs()[0].name: x[None]})[0][0]


def stretched(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return a map at another size, from 0 to 1."""
    values = plain(values, size)
    return (values - values.min()) / np.ptp(values)


def plain(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return a map at another size, linear between the middles of positions along each axis."""
    for axis, n in enumerate(size):
        middles, wanted = ((np.arange(k) + 0.5) / k for k in (values.shape[axis], n))
        values = np.apply_along_axis(lambda line, a=wanted, b=middles: np.interp(a, b, line), axis, values)
    return values


@pytest.mark.parametrize(("text", "grid"), [(VOLUME % WHOLE, (4, 6, 5)), (VOLUME % POOLED, (2, 3, 5))])
def test_grad_cam_of_a_volume_is_the_closed_form(text: str, grid: tuple[int, ...]) -> None:
    """Behind the last layer there is a mean and a product: the weights are those of the class over the positions."""
    proto = made(text)
    model = onnxsal.load(proto)
    assert (model.modality.name, model.size) == ("volume", (4, 6, 5))
    found = onnxsal.explain(model, X, method="grad-cam", target=1, layer="m")
    maps = value(proto, "m", X)
    expected = np.maximum(np.tensordot(V[:, 1] / np.prod(grid), maps, 1), 0)
    assert found.raw.shape == grid
    np.testing.assert_allclose(found.raw, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.saliency, stretched(expected, model.size), atol=1e-5)
    hires = onnxsal.explain(model, X, method="hirescam", target=1, layer="m")
    np.testing.assert_allclose(hires.raw, expected, rtol=1e-4, atol=1e-6)  # exact there (arXiv:2011.08891)


def test_which_layers_a_volume_has_and_which_is_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnxsal.load(made(VOLUME % POOLED))
    small = ("p", "k", "m")
    assert {layer.name: layer.grid for layer in model.layers} == {
        "c": (4, 6, 5), "r": (4, 6, 5), **dict.fromkeys(small, (2, 3, 5)),
    }  # fmt: skip
    assert all(layer.channels == 4 for layer in model.layers) and model.anatomy.layers.find(None).name in ("k", "m")
    onnx.save(made(VOLUME % POOLED), tmp_path / "volume.onnx")
    np.save(tmp_path / "x.npy", X)
    assert main(["layers", str(tmp_path / "volume.onnx")]) == 0
    assert "4 x 2 x 3 x 5" in capsys.readouterr().out
    assert main(["explain", str(tmp_path / "volume.onnx"), str(tmp_path / "x.npy"), "-m", "layercam", "--npz",
                 str(tmp_path / "out.npz"), "-o", str(tmp_path / "out.png")]) == 0  # fmt: skip
    assert np.load(tmp_path / "out.npz")["saliency"].shape == (4, 6, 5)


def test_channels_behind_are_the_same_volume() -> None:
    first, last = onnxsal.load(made(VOLUME % WHOLE)), onnxsal.load(made(BEHIND))
    found = onnxsal.explain(last, X.transpose(1, 2, 3, 0), method="grad-cam++", target=2)
    wanted = onnxsal.explain(first, X, method="grad-cam++", target=2)
    assert last.anatomy.entry.input_axes == "NDHWC"
    np.testing.assert_allclose(found.saliency, wanted.saliency, atol=1e-5)


METHODS: dict[str, dict[str, Any]] = {
    "grad-cam": {}, "grad-cam++": {}, "layercam": {}, "xgrad-cam": {}, "eigencam": {}, "recipro-cam": {}, "cam": {},
    "ablation-cam": {}, "smooth-grad-cam++": {"samples": 2},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_layers_and_its_compiled_file(method: str) -> None:
    model, options = onnxsal.load(made(VOLUME % POOLED)), METHODS[method]
    layer = None if method == "cam" else "m"
    wanted = onnxsal.explain(model, X, method=method, target=0, layer=layer, **options)
    assert wanted.saliency.std() > 1e-3 and wanted.raw.shape == (2, 3, 5)
    explained = onnxsal.compile(model, method=method, target=0, layer=layer, give=["saliency", "raw"], **options)
    saliency, raw = onnxruntime.InferenceSession(explained.SerializeToString()).run(["saliency", "raw"], {"x": X[None]})
    np.testing.assert_allclose(saliency[0], wanted.saliency, atol=1e-5)
    np.testing.assert_allclose(raw[0], wanted.raw, rtol=1e-3, atol=1e-5)


def test_recipro_cam_is_the_score_of_each_position_alone() -> None:
    proto = made(VOLUME % POOLED)
    found = onnxsal.explain(onnxsal.load(proto), X, method="recipro-cam", target=0, layer="m", score="logit")
    maps = value(proto, "m", X)
    np.testing.assert_allclose(found.raw, np.tensordot(V[:, 0] / maps[0].size, maps, 1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("preset", ["official", "torchcam"])
def test_score_cam_weighs_maps_by_what_they_leave_of_the_volume(preset: str) -> None:
    """The slow twin: each map enlarged along three axes, masked, and run by the file itself."""
    proto = made(VOLUME % POOLED)
    model = onnxsal.load(proto)
    found = onnxsal.explain(model, X, method="score-cam", target=0, layer="m", score="logit", preset=preset)
    maps = value(proto, "m", X).astype(np.float64)
    low, span = maps.min(axis=(1, 2, 3)), np.ptp(maps, axis=(1, 2, 3))
    enlarged = [plain(each, model.size) for each in maps]
    if preset == "torchcam":
        masks = [(each - bottom) / across for each, bottom, across in zip(enlarged, low, span, strict=True)]
    else:
        masks = [(each - each.min()) / np.ptp(each) for each in enlarged]
    scores = np.array([value(proto, "y", (X * mask).astype(np.float32))[0] for mask in masks], np.float64)
    weights = np.exp(scores) / np.exp(scores).sum() if preset == "torchcam" else scores
    np.testing.assert_allclose(found.raw, np.maximum(np.tensordot(weights, maps, 1), 0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "options"),
    [("score-cam", {"preset": "torchcam", "top_k": 3}), ("score-cam", {}), ("ss-cam", {"samples": 2}),
     ("ss-cam", {"samples": 2, "variant": 2}), ("is-cam", {"samples": 2}),
     ("occlusion", {"by": "cell", "patch": 3, "stride": 2}), ("occlusion", {"by": "channel"}),
     ("rise", {"by": "cell", "samples": 9, "grid": 2}), ("rise", {"by": "channel", "samples": 9})],
)  # fmt: skip
def test_a_file_masks_volumes_as_explain_does(method: str, options: dict[str, Any]) -> None:
    model, both = onnxsal.load(made(VOLUME % POOLED)), np.stack([X, -X])
    asked = {"method": method, "target": 0, "layer": "m" if "cam" in method else None, "score": "logit", **options}
    session = onnxruntime.InferenceSession(onnxsal.compile(model, **asked, give="raw").SerializeToString())
    (found,) = session.run(["raw"], {"x": both})
    for each, own in zip(found, both, strict=True):
        wanted = onnxsal.explain(model, own, **asked).raw
        assert wanted.std() > 1e-4
        np.testing.assert_allclose(each, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("window", "pool", "same"), [(1, "max", "hirescam"), (6, "mean", "grad-cam")])
def test_seg_xres_cam_of_three_axes_lies_between_hirescam_and_grad_cam(window: int, pool: str, same: str) -> None:
    model = onnxsal.load(made(VOLUME % POOLED))
    found = onnxsal.explain(model, X, method="seg-xres-cam", target=1, layer="r", window=window, pool=pool)
    wanted = onnxsal.explain(model, X, method=same, target=1, layer="r")
    assert wanted.raw.std() > 0
    np.testing.assert_allclose(found.raw, wanted.raw, rtol=1e-4, atol=1e-6)


def test_tokens_keep_their_axis_where_their_width_is_mixed() -> None:
    """[B, T, D]: behind a product by a matrix there are maps over T, and a CAM of them is of tokens."""
    text = (
        HEAD
        + """(float[B, 7, 4] x) => (float[B, 3] y) <int64[1] time = {1}> { h = MatMul (x, a) r = Tanh (h)
        m = ReduceMean <keepdims = 0> (r, time) y = MatMul (m, v) }"""
    )
    proto, x = made(text, a=np.random.default_rng(5).normal(0, 1, (4, 4))), RNG.normal(0, 1, (7, 4)).astype(np.float32)
    model = onnxsal.load(proto)
    assert model.size == (7, 4) and [layer.grid for layer in model.layers] == [(7, 1), (7, 1)]
    found = onnxsal.explain(model, x, method="grad-cam", target=1, layer="r")
    expected = np.maximum(value(proto, "r", x) @ V[:, 1] / 7, 0)[:, None]
    np.testing.assert_allclose(found.raw, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.saliency, stretched(expected, (7, 4)), atol=1e-5)


def test_a_crop_along_the_third_axis_is_not_drawn_over_all_of_it() -> None:
    """Of more than two axes it is not followed where they lie: such maps are no layers, and that is said."""
    text = (
        HEAD
        + """(float[B, 2, 4, 6, 5] x) => (float[B, 3] y)
        <int64[1] from = {1}, int64[1] to = {3}, int64[1] axis = {4}> { s = Slice (x, from, to, axis)
        c = Conv <pads = [1, 1, 1, 1, 1, 1]> (s, w) r = Relu (c) g = GlobalAveragePool (r) f = Flatten (g)
        y = MatMul (f, v) }"""
    )
    with pytest.raises(UnsupportedError, match="no layer could be chosen"):
        onnxsal.explain(onnxsal.load(made(text)), X, method="grad-cam")
