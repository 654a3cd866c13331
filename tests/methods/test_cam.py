"""Class activation maps against the formulas in NumPy, from activations and gradients of the float64 twin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from detectors import BUNDLED
from numpy.testing import assert_allclose
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import UnsupportedError

X = image()
TARGET = 2
Array = np.ndarray


def total(weights: Array, a: Array) -> Array:
    return np.maximum((weights * a).sum(0), 0)


def grad_cam(a: Array, g: Array) -> Array:
    return total(g.mean((1, 2), keepdims=True), a)


def grad_cam_pp(a: Array, g: Array) -> Array:
    """With alpha as the paper prints it: g^2 / (2 g^2 + sum(A) g^3)."""
    below = 2 * g**2 + a.sum((1, 2), keepdims=True) * g**3
    alpha = np.divide(g**2, below, out=np.zeros_like(g), where=g != 0)
    return total((alpha * np.maximum(g, 0)).sum((1, 2), keepdims=True), a)


def grad_cam_pp_one_division(a: Array, g: Array) -> Array:
    """With alpha = 1 / (2 + sum(A) g)."""
    alpha = np.where(g != 0, 1 / (2 + a.sum((1, 2), keepdims=True) * g), 0)
    return total((alpha * np.maximum(g, 0)).sum((1, 2), keepdims=True), a)


def xgrad_cam(a: Array, g: Array) -> Array:
    sums = a.sum((1, 2), keepdims=True)
    return total(np.divide((g * a).sum((1, 2), keepdims=True), sums, out=np.zeros_like(sums), where=sums != 0), a)


FORMULAS = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_pp,
    "hirescam": lambda a, g: total(g, a),
    "layercam": lambda a, g: total(np.maximum(g, 0), a),
    "xgrad-cam": xgrad_cam,
}


def inside(net: TinyNet, layer: str) -> tuple[Array, Array]:
    return net.forward(X)[layer], net.gradients(X, TARGET)[layer]


@pytest.mark.parametrize("layer", ["a1", "a2", "a3"])
@pytest.mark.parametrize("method", FORMULAS)
def test_map_follows_its_formula(tiny: onnxsal.Model, net: TinyNet, method: str, layer: str) -> None:
    formula: Callable[[Array, Array], Array] = FORMULAS[method]
    wanted = formula(*inside(net, layer))
    found = onnxsal.explain(tiny, X, method=method, layer=layer, target=TARGET)
    assert wanted.max() > 0
    assert_allclose(found.raw, wanted, rtol=1e-4, atol=1e-5 * wanted.max())


def test_both_written_forms_of_alpha_are_one(net: TinyNet) -> None:
    a, g = inside(net, "a2")
    assert_allclose(grad_cam_pp(a, g), grad_cam_pp_one_division(a, g), rtol=1e-10)


def test_the_formulas_differ_where_the_head_is_not_linear(net: TinyNet) -> None:
    maps = [formula(*inside(net, "a2")).ravel() for formula in FORMULAS.values()]
    units = np.stack([m / np.linalg.norm(m) for m in maps])
    assert (np.triu(units @ units.T, 1) < 0.9999).all()


def test_cam_is_the_class_weights_on_the_last_maps(tiny: onnxsal.Model, net: TinyNet) -> None:
    wanted = np.tensordot(net.v[TARGET].astype(float), net.forward(X)["a3"], 1)
    found = onnxsal.explain(tiny, X, method="cam", target=TARGET)
    assert found.manifest["layer"] == "a3"
    assert_allclose(found.raw, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_cam_refuses_a_layer_with_more_than_a_linear_head(tiny: onnxsal.Model) -> None:
    with pytest.raises(UnsupportedError, match=r"Relu .* between layer 'a2' and the score"):
        onnxsal.explain(tiny, X, method="cam", layer="a2")


@pytest.mark.parametrize("layer", ["a1", "a2", "a3"])
def test_eigencam_is_the_first_singular_direction(tiny: onnxsal.Model, net: TinyNet, layer: str) -> None:
    maps = net.forward(X)[layer]
    u, s, _ = np.linalg.svd(maps.reshape(len(maps), -1).T, full_matrices=False)
    first = s[0] * u[:, 0]
    wanted = (first * np.sign(first.sum())).reshape(maps.shape[1:])
    found = onnxsal.explain(tiny, X, method="eigencam", layer=layer)
    assert_allclose(found.raw, wanted, atol=1e-4 * np.abs(wanted).max())
    assert found.manifest["backwards"] == 0


@pytest.mark.parametrize("method", [*FORMULAS, "eigencam"])
def test_a_dead_layer_gives_an_empty_map(method: str) -> None:
    dead = TinyNet()
    dead.b[0] = np.full_like(dead.b[0], -1000.0)
    found = onnxsal.explain(onnxsal.load(dead.model()), X, method=method, layer="a1")
    assert (found.raw == 0).all()
    assert (found.saliency == 0).all()


HEADS = {
    "Einsum": "m = ReduceMean<keepdims=0>(r, places) y = Einsum<equation='bc,kc->bk'>(m, v)",
    "Mul and ReduceSum": "m = ReduceMean<keepdims=0>(r, places) u = Unsqueeze(m, one) t = Mul(u, v)"
                         " y = ReduceSum<keepdims=0>(t, two)",
    "normalised weights": "m = ReduceMean<keepdims=0>(r, places) l = ReduceL2(v, one) n = Div(v, l) w = Transpose(n)"
                          " y = MatMul(m, w)",
}  # fmt: skip


def headed(head: str) -> tuple[onnx.ModelProto, Array, Array]:
    rng = np.random.default_rng(2)
    kernel, v = rng.normal(size=(4, 3, 3, 3)).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)
    text = f"""<ir_version: 9, opset_import: ["" : 18]> g (float[n,3,8,8] x) => (float[n,5] y)
        <int64[2] places = {{2, 3}}, int64[1] one = {{1}}, int64[1] two = {{2}}>
        {{ c = Conv(x, k) r = Relu(c) {head} }}"""
    model = onnx.parser.parse_model(text.replace("'", '"'))
    model.graph.initializer.extend([onnx.numpy_helper.from_array(kernel, "k"), onnx.numpy_helper.from_array(v, "v")])
    return model, kernel, v


@pytest.mark.parametrize("name", HEADS)
def test_cam_is_exact_for_a_linear_head_however_it_is_written(name: str) -> None:
    model, kernel, v = headed(HEADS[name])
    x = np.random.default_rng(4).normal(size=(3, 8, 8)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    maps = np.maximum(np.einsum("chwij,kcij->khw", windows, kernel), 0)
    weights = v / np.linalg.norm(v, axis=1, keepdims=True) if name.startswith("normalised") else v
    found = onnxsal.explain(onnxsal.load(model), x, method="cam", target=TARGET)
    assert found.manifest["layer"] == "r"
    assert_allclose(found.raw, np.einsum("c,chw->hw", weights[TARGET], maps), rtol=1e-4, atol=1e-4)


def test_a_score_over_what_the_maps_give_is_not_linear() -> None:
    model, _, _ = headed("m = ReduceMean<keepdims=0>(r, places) a = Add(m, two_) e = Div(two_, a) y = MatMul(e, w)")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 5), np.float32), "w"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(2), "two_"))
    with pytest.raises(UnsupportedError, match="linear"):
        onnxsal.explain(onnxsal.load(model), np.ones((3, 8, 8), np.float32), method="cam", layer="r", target=TARGET)


@pytest.mark.parametrize("layer", [None, "r"])
def test_cam_refuses_what_is_not_pooled(layer: str | None) -> None:
    """Flatten in front of a linear layer gives every position weights of its own."""
    model, _, _ = headed("f = Flatten(r) y = MatMul(f, w)")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((144, 5), np.float32), "w"))
    with pytest.raises(UnsupportedError, match="global average pooling"):
        onnxsal.explain(onnxsal.load(model), np.ones((3, 8, 8), np.float32), method="cam", layer=layer, target=TARGET)


@pytest.mark.parametrize("layer", [None, "head8/relu"])
def test_cam_refuses_a_detector(layer: str | None) -> None:
    found = onnxsal.load(BUNDLED)
    with pytest.raises(UnsupportedError, match="one position" if layer is None else "global average pooling|linear"):
        onnxsal.explain(found, np.zeros((96, 96, 3), np.uint8), method="cam", layer=layer, target="disc@9,36,36,67")
