"""Types and shapes of what ONNX Runtime's optimisers write, against what ONNX Runtime gives."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.graph import dims, normalise
from onnxsal.graph.files import load_ir
from onnxsal.graph.fused import _RULES, MICROSOFT

R = np.random.default_rng(4)
B, S, D, HEADS = 2, 5, 12, 3


def floats(*shape: int) -> np.ndarray:
    return R.normal(0, 0.5, shape).astype(np.float32)


FREE = {"x": (None, S, D)}
X = [("x", floats(B, S, D))]
Q = [*X, ("k", floats(B, 7, D)), ("v", floats(B, 7, 15))]
HEADED = [*X, ("k", floats(B, HEADS, 7, 4)), ("v", floats(B, HEADS, 7, 4))]
IDS = R.integers(0, 9, (B, S)).astype(np.int32)
NIBBLES = R.integers(-8, 8, (32, 6, 3)).astype(ml_dtypes.int4)
BYTES = R.integers(0, 256, (7, 32)).astype(np.uint8)
NODES: dict[str, tuple[list[tuple[str, np.ndarray]], dict[str, Any], int]] = {
    "Gelu": (X, {}, 1), "FastGelu": ([*X, ("b", floats(D))], {}, 1), "BiasGelu": ([*X, ("b", floats(D))], {}, 1),
    "QuickGelu": (X, {}, 1),
    "SkipLayerNormalization": ([*X, ("k", floats(B, S, D)), ("g", floats(D)), ("b", floats(D))], {}, 4),
    "SkipSimplifiedLayerNormalization": ([*X, ("k", floats(B, S, D)), ("g", floats(D))], {}, 4),
    "Attention": ([*X, ("w", floats(D, 30)), ("b", floats(30))], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 14]}, 1),
    "Attention, equal": ([*X, ("w", floats(D, 3 * D)), ("b", floats(3 * D))], {"num_heads": HEADS}, 1),
    "MultiHeadAttention": (Q, {"num_heads": HEADS}, 1),
    "MultiHeadAttention, headed": (HEADED, {"num_heads": HEADS}, 1),
    "FusedMatMul": ([*X, ("w", floats(7, D))], {"transB": 1, "alpha": 0.5}, 1),
    "FusedMatMul, transA": ([*X, ("w", floats(B, S, 4))], {"transA": 1}, 1),
    "TransposeMatMul": ([*X, ("w", floats(7, D))], {"transB": 1}, 1),
    "EmbedLayerNormalization": (
        [("i", IDS), ("", IDS), ("w", floats(9, D)), ("p", floats(S, D)), ("", IDS), ("g", floats(D)),
         ("b", floats(D))], {}, 2),
    "Inverse": ([("m", floats(B, 4, 4))], {}, 1), "Trilu": ([*X], {}, 1),
    "GroupQueryAttention": (
        [("q", floats(1, S, 32)), ("k", floats(1, S, 16)), ("v", floats(1, S, 16)), ("", IDS), ("", IDS),
         ("n", np.array([S - 1], np.int32)), ("t", np.array(S, np.int32))], {"num_heads": 4, "kv_num_heads": 2}, 1),
    "GroupQueryAttention, packed": (
        [("q", floats(1, S, 64)), ("", IDS), ("", IDS), ("", IDS), ("", IDS),
         ("n", np.array([S - 1], np.int32)), ("t", np.array(S, np.int32))], {"num_heads": 4, "kv_num_heads": 2}, 1),
    "RotaryEmbedding": (
        [("x", floats(B, S, 8)), ("i", np.zeros(1, np.int64)), ("c", floats(9, 2)), ("s", floats(9, 2))],
        {"num_heads": 2, "rotary_embedding_dim": 4}, 1),
    "FusedConv": ([("x", floats(B, 4, 7, 8)), ("w", floats(6, 2, 3, 3))],
                  {"group": 2, "strides": [2, 1], "activation": "Relu"}, 1),
    "FusedGemm": ([("x", floats(B, D)), ("w", floats(5, D)), ("b", floats(5))], {"transB": 1, "activation": "Relu"}, 1),
    "SimplifiedLayerNormalization": ([*X, ("g", floats(D))], {}, 1),
    "GatherBlockQuantized": (
        [("t", BYTES), ("i", IDS % 7), ("s", floats(7, 4))], {"block_size": 16, "quantize_axis": 1}, 1),
    "GatherBlockQuantized, 2 bits": (
        [("t", BYTES), ("i", IDS % 7), ("s", floats(7, 8).astype(np.float16))],
        {"block_size": 16, "quantize_axis": 1, "bits": 2}, 1),
    "GatherBlockQuantized, 8 bits": (
        [("t", BYTES), ("i", IDS % 7), ("s", floats(7, 2)), ("z", BYTES[:, :2])],
        {"block_size": 16, "quantize_axis": -1, "bits": 8}, 1),
    "GatherBlockQuantized, columns": (
        [("t", NIBBLES), ("i", IDS % 6), ("s", floats(2, 6, 3))],
        {"block_size": 16, "quantize_axis": 0, "gather_axis": 1}, 1),
}  # fmt: skip
NO_KERNEL = {"BiasAdd", "BiasDropout", "BiasSoftmax", "BitmaskDropout", "GroupNorm", "SkipGroupNorm", "BiasSplitGelu",
             "FusedMatMulActivation"}  # fmt: skip
"""The CPU provider has none; what they give follows from their pages."""

NEWER = {"GroupQueryAttention", "GroupQueryAttention, packed", "GatherBlockQuantized, 2 bits",
         "GatherBlockQuantized, 8 bits"}  # fmt: skip
"""In a form that ONNX Runtime 1.23 does not load and 1.32 does."""


def model_of(name: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    given, attributes, outputs = NODES[name]
    op = name.split(",")[0]
    domain = "" if op == "SimplifiedLayerNormalization" else MICROSOFT
    feeds = {f"{key}{i}": array for i, (key, array) in enumerate(given) if key}
    names = [f"{key}{i}" if key else "" for i, (key, _) in enumerate(given)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], domain=domain, **attributes)
    inputs = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items()
    ]
    out = [helper.make_empty_tensor_value_info(v) for v in node.output]
    used = [out[0], *([out[-1]] if outputs == 4 else [])]
    if outputs == 4:
        node.output[1] = node.output[2] = ""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    halves = [numpy_helper.from_array(feeds.pop(k), k) for k in [*feeds] if feeds[k].dtype == NIBBLES.dtype]
    graph = helper.make_graph([node], "g", [i for i in inputs if i.name in feeds], used, halves)  # none can be fed
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds


@pytest.mark.parametrize("name", NODES)
def test_it_is_what_the_runtime_gives(name: str) -> None:
    if name in NEWER and tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 32):
        pytest.skip(f"ONNX Runtime {onnxruntime.__version__} may not load it")
    model, feeds = model_of(name)
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    normal = normalise(load_ir(model))
    for value, array in zip(normal.graph.outputs, found, strict=True):
        assert dims(value) == array.shape
        assert value.dtype is not None and value.dtype.numpy() == array.dtype


def test_every_operator_is_tried() -> None:
    assert {op for _, op in _RULES} == {name.split(",")[0] for name in NODES} - {"FusedConv", "FusedGemm"} | NO_KERNEL


def optimised(dtype: type) -> onnx.ModelProto:
    """A transformer on patches with a class token, as ONNX Runtime's optimiser leaves one: no value is described."""
    held: dict[str, np.ndarray] = {}

    def weight(name: str, *shape: int) -> str:
        held[name] = R.normal(0, 0.3, shape).astype(dtype)
        return name

    def node(op: str, inputs: list[str], outputs: str | list[str], **attributes: Any) -> onnx.NodeProto:
        own = MICROSOFT if op in {k for d, k in _RULES if d} else ""
        return helper.make_node(
            op, inputs, [outputs] if isinstance(outputs, str) else outputs, domain=own, **attributes
        )

    held |= {"flat": np.array([0, 8, -1]), "first": np.array(0)}
    held["eights"] = np.zeros((1, 1, 8), dtype)
    nodes = [
        node("Conv", ["x", weight("patch", 8, 3, 4, 4)], "p", strides=[4, 4]), node("Reshape", ["p", "flat"], "r"),
        node("Transpose", ["r"], "t", perm=[0, 2, 1]), node("ReduceMean", ["t"], "m", axes=[1], keepdims=1),
        node("Mul", ["m", "eights"], "z"), node("Add", ["z", weight("class", 1, 1, 8)], "c"),
        node("Concat", ["c", "t"], "h", axis=1), node("LayerNormalization", ["h", weight("g", 8), weight("b", 8)], "n"),
        node("Attention", ["n", weight("qkv", 8, 24), weight("qkv_b", 24)], "a", num_heads=2),
        node("SkipLayerNormalization", ["a", "h", weight("sg", 8), weight("sb", 8)], ["s", "", "", "sum"]),
        node("MatMul", ["s", weight("f1", 8, 12)], "f"), node("BiasGelu", ["f", weight("fb", 12)], "u"),
        node("MatMul", ["u", weight("f2", 12, 8)], "d"),
        node("SkipLayerNormalization", ["d", "sum", weight("tg", 8), weight("tb", 8)], "o"),
        node("Gather", ["o", "first"], "k", axis=1), node("FusedMatMul", ["k", weight("head", 3, 8)], "y", transB=1),
    ]  # fmt: skip
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [[helper.make_tensor_value_info(n, kind, s)] for n, s in (("x", ["b", 3, 16, 16]), ("y", ["b", 3]))]
    graph = helper.make_graph(nodes, "g", *ends, [numpy_helper.from_array(v, k) for k, v in held.items()])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_optimised_transformer_is_explained_and_compiled(dtype: type) -> None:
    model = optimised(dtype)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x, direction = (R.normal(size=(1, 3, 16, 16)).astype(np.float32) for _ in range(2))
    run = lambda image: session.run(["y"], {"x": image.astype(dtype)})[0][0].astype(np.float64)
    loaded = onnxsal.load(model)
    found = onnxsal.explain(loaded, x[0].astype(dtype), method="gradient", target=1)
    if dtype is np.float32:  # in float16 a difference is mostly rounding
        slope = (run(x + 1e-2 * direction)[1] - run(x - 1e-2 * direction)[1]) / 2e-2
        assert float((found.raw * direction[0]).sum()) == pytest.approx(slope, rel=2e-3)
    assert found.logit == pytest.approx(run(x)[1], rel=1e-2 if dtype is np.float16 else 1e-5)
    for method in ("grad-cam", "score-cam", "occlusion"):
        own = onnxsal.explain(loaded, x[0].astype(dtype), method=method, target=1)
        assert own.saliency.max() == 1
        compiled = onnxruntime.InferenceSession(onnxsal.compile(loaded, method=method, target=1).SerializeToString())
        (map_,) = compiled.run(["saliency"], {"x": x.astype(dtype)})
        np.testing.assert_allclose(map_[0], own.saliency, atol=0.05 if dtype is np.float16 else 1e-4)
