"""Explanations of models that move the picture inside, whole: methods, several layers, compiled files."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.viz.maps import cam_saliency

S = 32
CONSTANTS = {
    "w": np.ones((2, 3, 3, 3), np.float32) / 9, "k": np.array([[1, 0], [0.5, 1]], np.float32).reshape(2, 2, 1, 1),
    "v": np.array([[1, 1], [-1, 0]], np.float32), "flip": np.arange(S)[::-1].copy(), "start": np.array([4, 2]),
    "end": np.array([30, 28]), "axes": np.array([2, 3]), "margin": np.array([0, 0, 9, 0, 0, 0, 3, 0]),
    "parts": np.array([12, 20]), "views": np.array([2, -1, 2]), "first": np.array([0]),
    "t": np.zeros((2, 6), np.float32), "bias": np.array([1, 0, 0, 0, 1, 0], np.float32), "affine": np.array([1, 2, 3]),
    "size": np.array([1, 3, S, S]), "k3": np.ones((3, 2, 1, 1), np.float32),
}  # fmt: skip


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs.split(), output.split(), name=output.split()[0], **attributes)


FRONTS = {
    "flip": [node("Gather", "x flip", "m", axis=3)],
    "crop and flip": [node("Gather", "x flip", "turned", axis=2), node("Slice", "turned start end axes", "m")],
    "letterbox": [node("Pad", "x margin", "m")],
    "roll": [node("Split", "x parts", "l r", axis=3), node("Concat", "r l", "m", axis=3)],
}


def tower(x, end):
    return [node("Conv", f"{x} w", f"a{end}", pads=[1] * 4, strides=[2, 2]), node("Relu", f"a{end}", f"early{end}"),
            node("Conv", f"early{end} k", f"b{end}"), node("Relu", f"b{end}", f"maps{end}"),
            node("GlobalAveragePool", f"maps{end}", f"g{end}"), node("Flatten", f"g{end}", f"f{end}"),
            node("Gemm", f"f{end} v", f"z{end}", transB=1)]  # fmt: skip


def proto(nodes, batch="n"):
    used = {name for each in nodes for name in each.input}
    weights = [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in used]
    x, z = (
        helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", [batch, 3, S, S]), ("z", [batch, 2]))
    )
    graph = helper.make_graph(nodes, "g", [x], [z], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture(scope="module", params=FRONTS)
def model(request):
    return onnxsal.load(proto([*FRONTS[request.param], *tower("m", "")]))


def patch(row, column):
    x = np.zeros((3, S, S), np.float32)
    x[:, row : row + 5, column : column + 5] = 1
    return x


def centre(values):
    return np.array([float((values * g).sum() / values.sum()) for g in np.mgrid[:S, :S]])


METHODS = {
    "grad-cam": {}, "grad-cam++": {}, "layercam": {}, "eigencam": {}, "smooth-grad-cam++": {"samples": 2},
    "ablation-cam": {}, "recipro-cam": {}, "score-cam": {}, "ss-cam": {"samples": 2}, "is-cam": {"samples": 2},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_a_layer_draws_the_patch_where_it_is(model, method):
    found = onnxsal.explain(model, patch(20, 8), method=method, target=0, **METHODS[method])
    assert found.saliency.shape == (S, S)
    assert np.abs(centre(found.saliency**3) - [22, 10]).max() < 1.6


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ss-cam", "is-cam", "recipro-cam"])
def test_a_compiled_file_draws_what_explain_draws(model, method):
    x = np.stack([patch(20, 8), patch(7, 17) + np.random.default_rng(0).random((3, S, S)).astype(np.float32)])
    file = onnxsal.compile(model, method=method, target=0, **METHODS[method])
    (got,) = ort.InferenceSession(file.SerializeToString()).run(["saliency"], {"x": x})
    for one, each in zip(x, got, strict=True):
        mine = onnxsal.explain(model, one, method=method, target=0, **METHODS[method]).saliency
        np.testing.assert_allclose(each, mine, atol=2e-5)


def test_several_layers_meet_in_the_picture(model):
    found = onnxsal.explain(model, patch(20, 8), method="layercam", target=0, layer=["early", "maps"])
    assert np.abs(centre(found.saliency**3) - [22, 10]).max() < 1.6
    sampled = onnxsal.explain(
        model, patch(20, 8), method="smoothgrad", inner="layercam", samples=3, target=0, layer=["early", "maps"]
    )
    assert np.abs(centre(sampled.saliency**3) - [22, 10]).max() < 1.6


def test_masks_lie_where_the_maps_are_and_nowhere_else():
    """The score through a mask, worked out apart: the mask drawn on the picture by cam_saliency's own rule."""
    model = onnxsal.load(proto([*FRONTS["crop and flip"], *tower("m", "")]))
    x = np.random.default_rng(1).random((3, S, S)).astype(np.float32)
    raw = onnxsal.explain(model, x, method="score-cam", target=0, score="logit").raw
    session = ort.InferenceSession(proto([*FRONTS["crop and flip"], *tower("m", "")]).SerializeToString())
    layer = model.anatomy.layers.find(None)
    maps = _maps(x)
    masks = [cam_saliency(each, (S, S), layer.placement) for each in maps]
    weights = [session.run(None, {"x": (x * mask)[None]})[0][0, 0] for mask in masks]
    np.testing.assert_allclose(raw, np.maximum(np.tensordot(weights, maps, 1), 0), rtol=1e-4)


def _maps(x):
    nodes = [*FRONTS["crop and flip"], *tower("m", "")]
    file = proto(nodes)
    file.graph.output.append(helper.make_tensor_value_info("maps", 1, None))
    return ort.InferenceSession(file.SerializeToString()).run(["maps"], {"x": x[None]})[0][0]


def test_two_views_are_explained_by_one_and_say_so_where_they_meet():
    both = [*FRONTS["flip"], *tower("x", "1"), *tower("m", "2"), node("Add", "z1 z2", "z")]
    for nodes in (both, [*FRONTS["flip"], *tower("m", "1"), *tower("x", "2"), node("Add", "z1 z2", "z")]):
        found = onnxsal.explain(onnxsal.load(proto(nodes)), patch(20, 8), method="grad-cam", target=0)
        assert np.abs(centre(found.saliency) - [22, 10]).max() < 1.6
    added = [*FRONTS["flip"], node("Add", "x m", "s"), *tower("s", "")]
    with pytest.raises(UnsupportedError, match=r"through Add 's' .it puts together views of the picture"):
        onnxsal.load(proto(added)).anatomy.layers.find(None)
    views = [node("Reshape", "zv views", "u"), node("ReduceMean", "u first", "z", keepdims=0)]
    batch = [*FRONTS["flip"], node("Concat", "x m", "s", axis=0), *tower("s", "v"), *views]
    with pytest.raises(UnsupportedError, match="through Concat 's'"):
        onnxsal.load(proto(batch)).anatomy.layers.find(None)


def test_what_tells_a_spatial_transformer_where_to_look_is_no_layer_of_what_it_sees():
    where = [node("Conv", "x w", "q", pads=[1] * 4), node("Relu", "q", "hint"), node("GlobalAveragePool", "hint", "p"),
             node("Flatten", "p", "r"), node("Gemm", "r t bias", "s"), node("Reshape", "s affine", "theta"),
             node("AffineGrid", "theta size", "grid")]  # fmt: skip
    model = onnxsal.load(proto([*where, node("GridSample", "x grid", "m"), *tower("m", "")], batch=1))
    assert "hint" in [layer.name for layer in model.layers]
    with pytest.raises(UnsupportedError, match=r"through GridSample 'm' .where it takes its values from depends"):
        onnxsal.explain(model, patch(20, 8), method="grad-cam", target=0)
    named = onnxsal.explain(model, patch(20, 8), method="grad-cam", target=0, layer="hint")
    assert named.saliency.shape == (S, S)
    behind = [node("Conv", "x w", "q", pads=[1] * 4), node("Conv", "q k", "stem"), *where[2:]]
    behind[2] = node("GlobalAveragePool", "stem", "p")
    both = [*behind, node("GridSample", "stem grid", "m0"), node("Conv", "m0 k3", "m"), *tower("m", "")]
    assert onnxsal.load(proto(both, batch=1)).anatomy.layers.find(None).name == "stem"
