"""Grad-CAM++ and Smooth Grad-CAM++ on maps with a sign: by halves, against the paper's formula on both halves."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import ModelProto, TensorProto, helper, numpy_helper

import onnxsal

Array = np.ndarray
RNG = np.random.default_rng(3)
K, SIDE, TARGET = 5, 6, 1
X = RNG.uniform(0.1, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
KERNEL = RNG.normal(0, 1, (K, 3, 1, 1)).astype(np.float32)
HEAD = (4 * RNG.normal(0, 1, (3, K))).astype(np.float32)
METHODS = ["grad-cam++", "smooth-grad-cam++"]
ONCE: dict[str, dict[str, Any]] = {"grad-cam++": {}, "smooth-grad-cam++": {"samples": 1, "noise": 0.0}}


def model(kernel: Array = KERNEL, head: Array = HEAD, dtype: int = TensorProto.FLOAT) -> ModelProto:
    """Maps of a convolution without activation; tanh, mean over places, linear layer."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["maps"]),
        helper.make_node("Tanh", ["maps"], ["t"]),
        helper.make_node("GlobalAveragePool", ["t"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["z"], transB=1),
    ]
    weights = [numpy_helper.from_array(a.astype(helper.tensor_dtype_to_np_dtype(dtype)), n)
               for n, a in (("w", kernel), ("v", head))]  # fmt: skip
    ends = [helper.make_tensor_value_info(n, dtype, shape) for n, shape in (("x", [1, 3, SIDE, SIDE]), ("z", [1, 3]))]
    graph = helper.make_graph(nodes, "signed", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def raw(file: ModelProto, method: str, **options: Any) -> Array:
    found = onnxsal.explain(onnxsal.load(file), X[0], method=method, layer="maps", target=TARGET, **options)
    return np.asarray(found.raw)


def inside(kernel: Array = KERNEL, head: Array = HEAD) -> tuple[Array, Array]:
    """Maps and the logit's gradient at them, [K, h, w], in float64."""
    a = np.einsum("kc,chw->khw", kernel[:, :, 0, 0].astype(float), X[0].astype(float))
    return a, head[TARGET].astype(float)[:, None, None] * (1 - np.tanh(a) ** 2) / SIDE**2


def printed(a: Array, g: Array) -> Array:
    """The paper's formula: ReLU(sum_k w_k A_k), alpha = g^2 / (2 g^2 + sum(A) g^3)."""
    below = 2 * g**2 + a.sum((1, 2), keepdims=True) * g**3
    alpha = np.divide(g**2, below, out=np.zeros_like(g), where=below != 0)
    return np.maximum(((alpha * np.maximum(g, 0)).sum((1, 2), keepdims=True) * a).sum(0), 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_signed_map_counts_as_its_two_halves(method: str) -> None:
    a, g = inside()
    assert (a < 0).any() and (a > 0).any()
    wanted = printed(np.concatenate([np.maximum(a, 0), np.maximum(-a, 0)]), np.concatenate([g, -g]))
    assert_allclose(raw(model(), method, **ONCE[method]), wanted, rtol=1e-4, atol=1e-5 * wanted.max())


@pytest.mark.parametrize("method", METHODS)
def test_the_papers_own_formula_is_a_preset(method: str) -> None:
    wanted = printed(*inside())
    assert not np.allclose(wanted, raw(model(), method, **ONCE[method]), rtol=1e-2)
    assert_allclose(raw(model(), method, preset="paper", **ONCE[method]), wanted, rtol=1e-4, atol=1e-5 * wanted.max())


@pytest.mark.parametrize("method", METHODS)
def test_which_sign_a_channel_has_inside_the_model_changes_nothing(method: str) -> None:
    """tanh is odd, so a channel turned round before it and in the head is the same function of the picture."""
    turned = np.array([1, -1, -1, 1, -1], np.float32)
    other = model(KERNEL * turned[:, None, None, None], HEAD * turned)
    options = {"samples": 3} if method != "grad-cam++" else {}
    assert_allclose(raw(model(), method, **options), raw(other, method, **options), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gain", [1, 8, 64])
@pytest.mark.parametrize("method", METHODS)
def test_no_negative_of_a_photograph(method: str, gain: float) -> None:
    """Nearly linear: what a place adds to the logit is sum_k w_k A_k / n, however large the head."""
    kernel, head = KERNEL * 1e-2, np.abs(HEAD) * gain * 100
    kernel -= kernel.sum(1, keepdims=True) / 3 + 0.004  # below 0 on the whole
    a, g = inside(kernel, head)
    worth = (a * g).sum(0)
    found = raw(model(kernel, head), method, **ONCE[method])
    assert np.corrcoef(found.ravel(), np.maximum(worth, 0).ravel())[0, 1] > 0.3 or not found.any()


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize("method", METHODS)
def test_maps_that_happen_not_to_be_negative_are_what_they_were_bit_for_bit(method: str, dtype: int) -> None:
    """Nothing in the graph proves it, so both halves are in the program; one of them is 0."""
    file = model(np.abs(KERNEL), HEAD, dtype)
    options = {"samples": 3} if method != "grad-cam++" else {}
    assert_array_equal(raw(file, method, **options), raw(file, method, preset="paper", **options))
    if method == "grad-cam++":
        feeds = {"x": X.astype(helper.tensor_dtype_to_np_dtype(dtype))}
        maps = [compiled(file, method, preset, feeds) for preset in ({}, {"preset": "paper"})]
        assert maps[0].any()
        assert_array_equal(*maps)


def compiled(file: ModelProto, method: str, options: dict[str, str], feeds: dict[str, Array]) -> Array:
    made = onnxsal.compile(file, method=method, layer="maps", target=TARGET, **options)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["saliency"], feeds)[0])


@pytest.mark.parametrize("method", METHODS)
def test_of_a_layer_that_cannot_be_negative_both_presets_make_one_graph(method: str) -> None:
    file = model()
    file.graph.node[1].op_type = "Relu"
    default = {"grad-cam++": "onnxsal", "smooth-grad-cam++": "derived"}[method]
    made = [onnxsal.compile(file, method=method, layer="t", target=TARGET, preset=preset, **ONCE[method])
            for preset in (default, "paper")]  # fmt: skip
    assert [n.op_type for n in made[0].graph.node] == [n.op_type for n in made[1].graph.node]


def test_the_manifest_names_the_variant() -> None:
    found = onnxsal.explain(onnxsal.load(model()), X[0], layer="maps")
    assert found.manifest["options"]["preset"] == "onnxsal"
