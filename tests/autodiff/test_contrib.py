"""ONNX Runtime's own operators: taken apart they compute the same, and their gradients are the slopes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from checker import Case, Problem, close, feeds_of, gradient_model, model_of, run_ort

import onnxsal.autodiff as autodiff
from onnxsal.autodiff.contrib import MICROSOFT, PARTS, lower_contrib
from onnxsal.errors import UnsupportedError
from onnxsal.graph import to_proto

R = np.random.default_rng(8)


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def ms(name: str, inputs: list[np.ndarray | None], **attributes: object) -> Case:
    return Case(name, inputs, attributes, domain=MICROSOFT)


TOKENS = [normal(2, 5, 8), normal(8, 24), normal(24)]
ROWS = [normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8)]
KEPT = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
TABLES, WIDE = [normal(6, 4), normal(6, 4)], [normal(6, 8), normal(6, 8)]
PROMPT = [normal(2, 3, 64), normal(2, 3, 32), normal(2, 3, 32)]
CASES = [
    ms("FusedConv", [normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(3)], activation="Relu", pads=[1, 1, 1, 1]),
    ms("FusedConv", [normal(1, 2, 5, 5), normal(3, 2, 3, 3)], activation="LeakyRelu", activation_params=[0.2]),
    ms("FusedConv", [normal(1, 2, 5, 5), normal(3, 2, 3, 3)], activation="Clip", activation_params=[-1.0, 2.0]),
    ms("FusedGemm", [normal(3, 4), normal(2, 4), normal(2)], activation="Tanh", transB=1),
    ms("FusedMatMul", [normal(2, 4, 3), normal(2, 4, 5)], alpha=0.3, transA=1),
    ms("FusedMatMul", [normal(2, 3, 4), normal(5, 4)], transB=1),
    ms("Gelu", [normal(3, 4)]),
    ms("BiasGelu", [normal(3, 4), normal(4)]),
    ms("FastGelu", [normal(3, 4), normal(4)]),
    ms("QuickGelu", [normal(3, 4)], alpha=1.5),
    ms("SkipLayerNormalization", [normal(2, 3, 4), normal(2, 3, 4), normal(4), normal(4), normal(4)], epsilon=1e-5),
    ms("SkipSimplifiedLayerNormalization", [normal(2, 3, 4), normal(2, 3, 4), normal(4)], epsilon=1e-5),
    Case("SimplifiedLayerNormalization", [normal(2, 3, 4), normal(4)], {"epsilon": 1e-5, "axis": -1}),
    Case("SimplifiedLayerNormalization", [normal(2, 3, 4), normal(3, 4)], {"epsilon": 1e-5, "axis": 1}),
    Case("EmbedLayerNormalization", [np.array([[1, 2, 0]], np.int32), np.array([[0, 1, 1]], np.int32), normal(4, 6),
                                     normal(5, 6), normal(2, 6), normal(6), normal(6)], {"epsilon": 1e-5}, outputs=2,
         domain=MICROSOFT),
    ms("Attention", TOKENS, num_heads=2),
    ms("Attention", TOKENS, num_heads=2, unidirectional=1),
    ms("Attention", [*TOKENS, KEPT], num_heads=4, scale=0.3),
    ms("Attention", [*TOKENS, np.array([5, 3], np.int32)], num_heads=2),
    ms("Attention", [*TOKENS, np.array([5, 3, 1, 0], np.int32)], num_heads=2),
    ms("Attention", [*TOKENS, np.array([4, 5, 2, 1], np.int32)], num_heads=2, unidirectional=1),
    ms("Attention", [TOKENS[0][:1], *TOKENS[1:], np.array([4, 2], np.int32)], num_heads=4, mask_filter_value=-50.0),
    ms("MultiHeadAttention", [normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8)], num_heads=2),
    ms("MultiHeadAttention", [*ROWS, normal(24), np.array([5, 3], np.int32)], num_heads=2),
    ms("MultiHeadAttention", [normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8), normal(24)], num_heads=2),
    ms("RotaryEmbedding", [normal(2, 3, 16), np.array([[0, 1, 2], [3, 1, 4]]), *TABLES]),
    ms("RotaryEmbedding", [normal(2, 2, 3, 8), np.array([2]), *TABLES], interleaved=1),
    ms("RotaryEmbedding", [normal(2, 3, 24), np.array([1]), *TABLES], num_heads=2, rotary_embedding_dim=8),
    *(ms("GroupQueryAttention", [*PROMPT, None, None, np.array([2, 2], np.int32), np.array(3, np.int32), *extra],
         num_heads=4, kv_num_heads=2, **more) for extra, more in (
             ([], {}), (WIDE, {"do_rotary": 1}), (WIDE, {"do_rotary": 1, "rotary_interleaved": 1, "scale": 0.2}))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_parts_compute_the_same_and_their_gradient_is_the_slope(case: Case) -> None:
    model, feeds = model_of(case, np.dtype(np.float32)), feeds_of(case, np.dtype(np.float32))
    del model.graph.output[1:]  # the second output of an embedding is of integers
    plain = to_proto(lower_contrib(ir.from_proto(model)))
    assert {n.domain for n in plain.graph.node} == {""}
    out = run_ort(model, feeds)
    np.testing.assert_allclose(run_ort(plain, feeds)["y0"], out["y0"], rtol=1e-4, atol=1e-4)
    seeds = {"y0": R.normal(size=out["y0"].shape).astype(np.float32)}
    directions = {k: R.normal(size=v.shape).astype(np.float32) for k, v in feeds.items()}
    p = Problem(model, feeds, seeds, directions)
    results = run_ort(p.gradient(), p.all_feeds())
    scale = float(np.sqrt(sum(((v * results[f"grad/{k}"]).astype(float) ** 2).sum() for k, v in directions.items())))
    close(p.product(results), _slope(p), 1e-2, scale)


def _slope(p: Problem, h: float = 2e-3) -> float:
    ends = []
    for sign in (1, -1):
        moved = {k: (v + sign * h * p.directions[k]).astype(np.float32) for k, v in p.feeds.items()}
        ends.append(float((run_ort(p.model, moved)["y0"].astype(float) * p.seeds["y0"]).sum()))
    return (ends[0] - ends[1]) / (2 * h)


def test_every_operator_taken_apart_is_held_here() -> None:
    held = {(c.domain, c.op_type) for c in CASES}
    assert {k for k in PARTS if k not in held} <= {
        (MICROSOFT, n) for n in ("BiasSoftmax", "TransposeMatMul", "FusedMatMulActivation")
    }


ZOO = Path(__file__).resolve().parent.parent / "data" / "zoo"
OPTIMISED = {  # and one operator that each has in place of others
    "convnext_old": "BiasGelu", "efficientnet": "QuickGelu", "mobilenet_v2_int8": "QLinearAdd",
    "resnet_basic": "FusedConv",
    "swin_dynamo": "FusedMatMul", "vgg": "FusedGemm", "vit_timm_dynamo": "SkipLayerNormalization",
}  # fmt: skip


def optimised(name: str, level: str, folder: Path) -> onnx.ModelProto:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath, options.log_severity_level = str(folder / "o.onnx"), 4
    ort.InferenceSession(str(ZOO / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "o.onnx")


@pytest.mark.parametrize("name", OPTIMISED)
def test_what_the_optimiser_writes_has_the_gradient_of_the_model(name: str, tmp_path: Path) -> None:
    example = np.load(ZOO / f"{name}.npz")
    x, plain = example["x"].astype(np.float32), onnx.load(ZOO / f"{name}.onnx")
    u = R.normal(size=example["logits"].shape).astype(np.float32)
    model = optimised(name, "ORT_ENABLE_EXTENDED", tmp_path)
    assert OPTIMISED[name] in {n.op_type for n in model.graph.node}
    found, wanted = (
        run_ort(gradient_model(m, ["logits"], ["x"]), {"x": x, "seed/logits": u})["grad/x"] for m in (model, plain)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("name", ["vgg", "resnet_basic_int8"])
def test_a_model_laid_out_for_one_machine_is_refused_with_advice(name: str, tmp_path: Path) -> None:
    model = optimised(name, "ORT_ENABLE_ALL", tmp_path)
    domains = {(n.domain, n.op_type) for n in model.graph.node}
    if not any("nchwc" in domain or "Nhwc" in op_type for domain, op_type in domains):
        pytest.skip("on this machine the runtime keeps the standard's layout")
    with pytest.raises(
        UnsupportedError, match=r"of one machine.*ORT_ENABLE_EXTENDED|as it runs on one processor.*ORT_ENABLE_EXTENDED"
    ):
        autodiff.gradient(ir.from_proto(model), of=["logits"], wrt=["x"])


def test_what_has_no_standard_form_is_named() -> None:
    model = model_of(ms("MultiHeadAttention", [normal(1, 2, 2, 3, 4)], num_heads=2), np.dtype(np.float32))
    with pytest.raises(UnsupportedError, match="packed inputs"):
        lower_contrib(ir.from_proto(model))


def attention(mask: int | str | None, batch: int | str) -> onnx.ModelProto:
    """Attention of two heads with a mask that is fed, so that its length shows when it runs."""
    make, weights = onnx.helper.make_tensor_value_info, dict(zip("wb", TOKENS[1:], strict=True))
    node = onnx.helper.make_node("Attention", ["x", "w", "b", "mask"], ["y"], domain=MICROSOFT, num_heads=2)
    graph = onnx.helper.make_graph(
        [node], "g", [make("x", 1, [batch, 5, 8]), make("mask", 6, [mask])], [make("y", 1, [batch, 5, 8])],
        [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )  # fmt: skip
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(MICROSOFT, 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("length", [2, 4])
@pytest.mark.parametrize("named", ["keys", None])
def test_a_mask_of_ends_or_of_ends_and_starts_is_told_when_it_runs(length: int, named: str | None) -> None:
    model, u = attention(named, "batch"), R.normal(size=(2, 5, 8)).astype(np.float32)
    feeds = {"x": TOKENS[0].astype(np.float32), "mask": np.array([5, 3, 1, 2], np.int32)[:length]}
    found = run_ort(gradient_model(model, ["y"], ["x"]), {**feeds, "seed/y": u})
    np.testing.assert_allclose(found["y"], run_ort(model, feeds)["y"], rtol=1e-4, atol=1e-5)
    step = R.normal(size=(2, 5, 8)).astype(np.float32)
    up, down = (run_ort(model, {**feeds, "x": feeds["x"] + sign * 2e-3 * step})["y"].astype(float) for sign in (1, -1))
    slope = float(((up - down) * u).sum()) / 4e-3
    close(float((found["grad/x"] * step).sum()), slope, 1e-2, float(np.linalg.norm(found["grad/x"] * step)))


def test_a_mask_of_packed_rows_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"mask of 8 numbers for a batch of 2 .* expected 2 .* or 4"):
        lower_contrib(ir.from_proto(attention(8, 2)))
