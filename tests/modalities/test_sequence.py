"""Sequences [B, C, T]: which input is one, how it is read, and maps of it against closed forms and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import ImageError, UnsupportedError, UsageError
from onnxsal.experiments.base import Case
from onnxsal.experiments.diff import How, compare
from onnxsal.explanation.figure import draw
from onnxsal.methods.rise import _masks, coarse_masks
from onnxsal.modalities.sequence import SequenceModality
from onnxsal.records import Draws
from onnxsal.streaming.plan import baseline_of
from onnxsal.viz.colour import colourise

CHANNELS, STEPS, KEPT = 2, 24, 3
RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (CHANNELS, STEPS)).astype(np.float32)

NET = """<ir_version: 10, opset_import: ["" : 21]> g (float[%s] x) => (float[B, 2] y)
    <int64[1] last = {2}>
    { %s a = Conv <pads = [2, 2]> (t, w) r = Relu (a) m = ReduceMean <keepdims = 0> (r, last) y = MatMul (m, v) }"""


WEIGHTS = {"w": RNG.normal(0, 1, (3, 2, 5)), "v": np.array([[1, -1], [2, 0.5], [0.5, 1]])}


def model(shape: str = f"B, {CHANNELS}, {STEPS}", front: str = "t = Identity (x)") -> onnx.ModelProto:
    proto = onnx.parser.parse_model(NET % (shape, front))
    for name, array in WEIGHTS.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return proto


@pytest.fixture(scope="module")
def net() -> onnx.ModelProto:
    return model()


@pytest.fixture(scope="module")
def loaded(net: onnx.ModelProto) -> onnxsal.Model:
    return onnxsal.load(net)


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(["y"], {"x": x[None]})[0][0]


def test_a_sequence_is_proven_by_the_operator_that_it_goes_into(loaded: onnxsal.Model) -> None:
    assert (loaded.modality.name, loaded.size, loaded.anatomy.entry.input_axes) == ("sequence", (STEPS,), "NCT")
    assert [layer.grid for layer in loaded.layers] == [(STEPS,), (STEPS,)]
    turned = onnxsal.load(model(f"B, {STEPS}, {CHANNELS}", "t = Transpose <perm = [0, 2, 1]> (x)"))
    assert turned.anatomy.entry.input_axes == "NTC"
    np.testing.assert_array_equal(turned.prepare(np.ascontiguousarray(X.T)).x, X)


def test_scores_are_those_of_the_file(loaded: onnxsal.Model, net: onnx.ModelProto) -> None:
    np.testing.assert_allclose(loaded.scores(loaded.prepare(X).x)[0], run(net, X), rtol=1e-6)


def test_the_gradient_is_the_closed_form(loaded: onnxsal.Model) -> None:
    """y = v relu(w * x) / T: the gradient of the mean, gated, and carried back by the taps of the convolution."""
    found = onnxsal.explain(loaded, X, method="gradient", target=1)
    assert (found.raw.shape, found.saliency.shape, found.modality) == ((CHANNELS, STEPS), (STEPS,), "sequence")
    wide, taps = np.pad(X.astype(np.float64), ((0, 0), (2, 2))), WEIGHTS["w"]
    a = sum(np.einsum("kc,ct->kt", taps[:, :, i], wide[:, i : i + STEPS]) for i in range(5))
    g = WEIGHTS["v"][:, 1:] / STEPS * (a > 0)
    expected = np.zeros_like(wide)
    for i in range(5):
        expected[:, i : i + STEPS] += np.einsum("kc,kt->ct", taps[:, :, i], g)
    np.testing.assert_allclose(found.raw, expected[:, 2:-2], rtol=1e-4, atol=1e-6)


def test_grad_cam_is_the_closed_form(loaded: onnxsal.Model, net: onnx.ModelProto) -> None:
    """Behind the layer there is a mean and a product: the weights are those of the class over T."""
    maps = loaded.layers[-1].name
    probe = onnx.ModelProto()
    probe.CopyFrom(net)
    probe.graph.output.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, None))
    r = onnxruntime.InferenceSession(probe.SerializeToString()).run(["r"], {"x": X[None]})[0][0]
    found = onnxsal.explain(loaded, X, method="grad-cam", target=0, layer=maps)
    np.testing.assert_allclose(found.raw, np.maximum((WEIGHTS["v"][:, 0] / STEPS) @ r, 0), rtol=1e-5, atol=1e-7)
    stretched = (found.raw - found.raw.min()) / np.ptp(found.raw)
    np.testing.assert_allclose(found.saliency, stretched, atol=1e-6)


def test_score_cam_is_the_slow_twin(loaded: onnxsal.Model, net: onnx.ModelProto) -> None:
    found = onnxsal.explain(loaded, X, method="score-cam", target=1, layer=loaded.layers[-1].name)
    probe = onnx.ModelProto()
    probe.CopyFrom(net)
    probe.graph.output.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, None))
    r = onnxruntime.InferenceSession(probe.SerializeToString()).run(["r"], {"x": X[None]})[0][0]

    def probability(x: np.ndarray) -> float:
        exact = np.exp(run(net, x).astype(np.float64))
        return float((exact / exact.sum())[1])

    masks = [(each - each.min()) / np.ptp(each) for each in r]
    options = found.manifest["options"]
    assert options["preset"] == "official"
    weights = [probability(X * mask) for mask in masks]
    np.testing.assert_allclose(found.raw, np.maximum(np.tensordot(weights, r, 1), 0), rtol=1e-4)


def test_occlusion_is_what_covering_does(loaded: onnxsal.Model, net: onnx.ModelProto) -> None:
    found = onnxsal.explain(loaded, X, method="occlusion", target=0, score="logit", patch=KEPT, stride=KEPT)
    covered = np.repeat(X[None], STEPS // KEPT, axis=0).copy()
    for number, each in enumerate(covered):
        each[:, number * KEPT : (number + 1) * KEPT] = 0
    expected = [run(net, X)[0] - run(net, each)[0] for each in covered]
    np.testing.assert_allclose(found.raw, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def rows(net: onnx.ModelProto) -> onnxsal.Model:
    """The same network on images of two rows, with T as their width: of twice the same row it has the same scores."""
    wide = onnx.ModelProto()
    wide.CopyFrom(net)
    wide.graph.input[0].type.tensor_type.shape.dim.insert(2, onnx.TensorShapeProto.Dimension(dim_value=2))
    for tensor in wide.graph.initializer:
        held = onnx.numpy_helper.to_array(tensor)
        changed = {"w": held[:, :, None] if tensor.name == "w" else held, "last": np.array([2, 3])}
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed.get(tensor.name, held), tensor.name))
    (conv,) = [node for node in wide.graph.node if node.op_type == "Conv"]
    conv.attribute[0].CopyFrom(onnx.helper.make_attribute("pads", [0, 2, 0, 2]))
    return onnxsal.load(wide)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("integrated-gradients", {"steps": 8, "percentile": 100.0}),
        ("smooth-grad-cam++", {"samples": 2, "noise": 0.0}), ("ss-cam", {"samples": 1, "noise": 0.0}),
        ("is-cam", {"samples": 3}), ("ablation-cam", {}), ("eigencam", {}),
        ("layercam", {}), ("xgrad-cam", {}), ("hirescam", {}), ("grad-cam++", {}),
    ],
)  # fmt: skip
def test_other_methods_give_the_map_of_an_image_of_equal_rows(
    loaded: onnxsal.Model, rows: onnxsal.Model, method: str, options: dict
) -> None:
    if "layer" in onnxsal.methods()[method].needs:
        options = options | {"layer": "r"}
    found = onnxsal.explain(loaded, X, method=method, target=0, **options)
    assert found.saliency.max() > 0
    same = onnxsal.explain(rows, np.stack([X, X], axis=1)[None], method=method, target=0, **options)
    np.testing.assert_allclose(same.saliency[0], same.saliency[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.saliency, same.saliency[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["smoothgrad", "smoothgrad-squared", "vargrad"])
def test_noise_is_drawn_for_every_step(loaded: onnxsal.Model, method: str) -> None:
    """Without noise smoothing is the gradient, its square, and nothing; with noise the seed decides."""
    plain = onnxsal.explain(loaded, X, method="gradient", target=0).raw
    still = onnxsal.explain(loaded, X, method=method, target=0, samples=3, noise=0.0).raw
    expected = {"smoothgrad": plain, "smoothgrad-squared": plain**2, "vargrad": 0 * plain}[method]
    np.testing.assert_allclose(still, expected, rtol=1e-4, atol=1e-7)
    first, again, other = (
        onnxsal.explain(loaded, X, method=method, target=0, samples=3, noise=0.5, seed=seed).raw for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_recipro_cam_keeps_one_step_at_a_time(loaded: onnxsal.Model, net: onnx.ModelProto) -> None:
    found = onnxsal.explain(loaded, X, method="recipro-cam", target=0, layer="r", score="logit")
    probe = onnx.ModelProto()
    probe.CopyFrom(net)
    probe.graph.output.append(onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, None))
    r = onnxruntime.InferenceSession(probe.SerializeToString()).run(["r"], {"x": X[None]})[0][0]
    np.testing.assert_allclose(found.raw, WEIGHTS["v"][:, 0] @ r / STEPS, rtol=1e-5, atol=1e-7)


def test_rise_weighs_masks_over_the_steps(loaded: onnxsal.Model, net: onnx.ModelProto) -> None:
    found = onnxsal.explain(loaded, X, method="rise", target=0, score="logit", samples=30, grid=4, seed=7)
    masks = coarse_masks(30, 4, 0.5).make(7, 0, 30, (STEPS,))
    scores = np.array([run(net, X * mask)[0] for mask in masks])
    assert masks.shape == (30, STEPS)
    np.testing.assert_allclose(found.raw, (scores[:, None] * masks).sum(axis=0) / masks.sum(axis=0), rtol=1e-4)


def test_files_arrays_and_what_is_wrong_with_them(loaded: onnxsal.Model, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X[None])
    sample = loaded.prepare(tmp_path / "x.npy")
    np.testing.assert_array_equal(sample.x, X)
    assert sample.name == "x.npy"
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "several.npz", a=X, b=X)
    for thing, error, message in (
        (tmp_path / "y.npy", ImageError, "no such file: .*did you mean 'x.npy'"),
        (tmp_path / "text.npy", ImageError, "no array that NumPy can read"),
        (tmp_path / "several.npz", ImageError, "holds several arrays"),
        (X.astype(np.int64), UsageError, r"array of floats \[C, T\]; 'array' is int64 \[2, 24\]"),
        (X[:, :20], UsageError, r"has the shape \[2, 20\], and the model takes \[2, 24\]"),
        (X.T, UsageError, "its axes are the other way round, so hand over its transpose"),
        (X * np.inf, UsageError, r"not finite: .* are NaN or infinite, the first at \[0, 0\]"),
        (3, UsageError, "an array of floats .* or an .npy file; got int"),
    ):
        with pytest.raises(error, match=message):
            loaded.prepare(thing)
    with pytest.raises(UsageError, match="preprocessing is for images"):
        onnxsal.load(model(), preprocess="unit")


def test_an_open_length_is_said_and_can_be_chosen() -> None:
    opened = onnxsal.load(model(f"B, {CHANNELS}, T"))
    assert opened.size == (256,)
    assert any(
        "leaves the size of 'x' open and nothing says it: it was opened for T 256" in note for note in opened.notes
    )
    chosen = onnxsal.load(model(f"B, {CHANNELS}, T"), size=STEPS)
    assert chosen.size == (STEPS,)
    assert not any("leaves the size" in note for note in chosen.notes)
    assert onnxsal.explain(chosen, X, method="gradient").saliency.shape == (STEPS,)
    assert "it was opened for T 8 as asked (verified by running)" in onnxsal.load(model(), size=8).notes[0]
    with pytest.raises(UsageError, match="whole numbers from 1 on for T"):
        onnxsal.load(model(f"B, {CHANNELS}, T"), size=(8, 8))


def test_an_unproven_axis_is_refused() -> None:
    text = '<ir_version: 10, opset_import: ["" : 21]> g (float[B, 4, 6] x) => (float[B, 4, 6] y) { y = Relu (x) }'
    graph = ir.from_proto(onnx.parser.parse_model(text)).graph
    with pytest.raises(UnsupportedError, match="onnxsal explains models of one sequence"):
        SequenceModality().find_entry(graph)


def test_the_map_is_drawn_over_the_channels(loaded: onnxsal.Model, tmp_path: Path) -> None:
    found = onnxsal.explain(loaded, X, method="gradient", target=0)
    assert (found.image, found.box, found.photo) == (None, None, None)
    found.save(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 1000
    heat = np.asarray(draw(found, kind="heat", caption=False))
    columns = heat[0, (np.arange(STEPS) * 2 + 1) * heat.shape[1] // (2 * STEPS)]
    np.testing.assert_allclose(columns.astype(int), colourise(found.saliency[None])[0].astype(int), atol=2)
    assert found.canvas().photo.shape[2] == 3


def test_what_is_for_images_alone_says_so(loaded: onnxsal.Model, net: onnx.ModelProto, tmp_path: Path) -> None:
    for what in ("an experiment", "diff", "a study"):
        with pytest.raises(UnsupportedError, match=f"{what} is for models of images; this model takes sequence"):
            loaded.for_images(what)
    onnx.save(net, tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", X)
    case = Case(str(tmp_path / "net.onnx"), (str(tmp_path / "x.npy"),), onnxsal.load)
    with pytest.raises(UnsupportedError, match="an experiment is for models of images"):
        case.explainer("gradient")
    with pytest.raises(UnsupportedError, match="diff is for models of images"):
        compare((loaded, loaded), [str(tmp_path / "x.npy")], How("gradient"))


def test_fifteen_series_and_their_score(shared: Path) -> None:
    """A trained file of detectors at crossings: [N, 15, T] to a score [N], beside an embedding."""
    path = shared / "reach" / "atspm_pair.onnx"
    loaded = onnxsal.load(path, task="regression", size=96)
    x = np.random.default_rng(1).normal(0, 1, (15, 96)).astype(np.float32)
    session = onnxruntime.InferenceSession(path)

    def score(values: np.ndarray) -> float:
        return float(session.run(["s"], {"x": values[None].astype(np.float32)})[0][0])

    found = onnxsal.explain(loaded, x, method="gradient")
    np.testing.assert_allclose(found.logit, score(x), rtol=1e-5)
    way = np.random.default_rng(2).normal(0, 1, x.shape)
    slope = (score(x + 1e-3 * way) - score(x - 1e-3 * way)) / 2e-3
    np.testing.assert_allclose((found.raw * way).sum(), slope, rtol=5e-3)
    assert onnxsal.explain(loaded, x, method="grad-cam++").saliency.shape == (96,)


@pytest.mark.parametrize("by", ["channel", "cell"])
def test_masks_by_channel_and_by_cell_are_what_covering_does(
    loaded: onnxsal.Model, net: onnx.ModelProto, by: str
) -> None:
    """Occlusion against the file itself; RISE against its masks, of which each hides channels by themselves."""
    found = onnxsal.explain(
        loaded, X, method="occlusion", target=0, score="logit", patch=KEPT, stride=KEPT, by=by, baseline="uniform"
    )
    expected, fill = np.zeros_like(X), baseline_of(X, Draws(baseline="uniform"), np.zeros(2, np.float32), (0, 0))
    for channel in range(CHANNELS):
        for part in [slice(None)] if by == "channel" else [slice(at, at + KEPT) for at in range(0, STEPS, KEPT)]:
            covered = X.copy()
            covered[channel, part] = fill[channel, part]
            expected[channel, part] = run(net, X)[0] - run(net, covered)[0]
    np.testing.assert_allclose(found.raw, expected, rtol=1e-3, atol=1e-5)
    assert found.manifest["options"]["by"] == by
    rows = found.drawn()[1].reshape(CHANNELS, -1, STEPS)  # each channel's curve has its own map
    np.testing.assert_allclose(
        rows[:, 5], np.clip(np.abs(found.raw) / np.percentile(np.abs(found.raw), 99), 0, 1), 1e-4
    )
    rise = onnxsal.explain(loaded, X, method="rise", target=0, score="logit", samples=40, grid=4, seed=7, by=by)
    masks = _masks(40, 4, 0.5, by).make(7, 0, 40, X.shape)
    scores = np.array([run(net, X * mask)[0] for mask in masks])
    assert masks.shape == (40, *X.shape) and (masks[:, 0] != masks[:, 1]).any()
    assert by == "cell" or set(np.unique(masks)) == {0, 1}
    np.testing.assert_allclose(rise.raw, (scores[:, None, None] * masks).sum(axis=0) / masks.sum(axis=0), rtol=1e-4)


def test_one_channel_has_bands_or_nothing_to_tell_apart() -> None:
    """A spectrogram, one channel of bins by frames: by=channel covers bands, each throughout."""
    w, x = np.random.default_rng(3).normal(0, 1, (2, 1, 6, 5)).astype(np.float32)
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 1, 6, 5] x) => (float[B, 1] y)
        { f = Flatten (x) y = MatMul (f, w) }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w.reshape(30, 1), "w"))
    bands = onnxsal.load(proto, task="regression")
    found = onnxsal.explain(bands, x, method="occlusion", score="value", patch=2, stride=2, by="channel")
    np.testing.assert_allclose(found.raw, (w * x).reshape(3, 2 * 5).sum(1)[:, None], rtol=1e-4)
    given = {"method": "rise", "score": "value", "samples": 9, "grid": 3}
    one, other = (onnxsal.explain(bands, x, **given, **how).raw for how in ({"by": "channel"}, {"along": "first"}))
    assert (one == other).all() and np.ptp(one, axis=1).max() == 0 < np.ptp(one)
    proto.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 30
    del proto.graph.input[0].type.tensor_type.shape.dim[1:3]
    with pytest.raises(UsageError, match="there is one channel"):
        onnxsal.explain(onnxsal.load(proto, task="regression"), x.reshape(30), method="occlusion", by="channel")
