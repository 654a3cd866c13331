"""ONNX Runtime's own operators: taken apart they compute the same, and their gradients are the slopes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from checker import (
    Case,
    Problem,
    close,
    feeds_of,
    gradient_model,
    model_of,
    quotient,
    run_ort,
    run_reference,
    scale_of,
)  # fmt: skip

import onnxsal.autodiff as autodiff
from onnxsal.autodiff.contrib import MICROSOFT, PARTS, lower_contrib
from onnxsal.errors import UnsupportedError
from onnxsal.graph import to_proto

R = np.random.default_rng(8)
RUN = tuple(map(int, ort.__version__.split(".")[:2]))


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def ms(name: str, inputs: list[np.ndarray | None], **attributes: object) -> Case:
    return Case(name, inputs, attributes, domain=MICROSOFT)


TOKENS = [normal(2, 5, 8), normal(8, 24), normal(24)]
ROWS = [normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8)]
KEPT = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32)
TABLES, WIDE = [normal(6, 4), normal(6, 4)], [normal(7, 8), normal(7, 8)]
THREE = [normal(2, 3, 8), normal(2, 3, 8), normal(2, 3, 8)]
PROMPT = [normal(2, 3, 64), normal(2, 3, 32), normal(2, 3, 32)]
NEXT = [x[:, :1] for x in PROMPT]
LONG = [normal(2, 6, 64), normal(2, 6, 32), normal(2, 6, 32)]
ENDS, SUM = np.array([2, 2], np.int32), np.array(3, np.int32)


def past(batch: int, length: int) -> list[np.ndarray]:
    return [normal(batch, 2, length, 16), normal(batch, 2, length, 16)]


def grouped(inputs: list[np.ndarray | None], outputs: int = 1, **attributes: object) -> Case:
    how = {"num_heads": 4, "kv_num_heads": 2, **attributes}
    return Case("GroupQueryAttention", inputs, how, outputs, of=range(outputs), domain=MICROSOFT)


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
    *(Case("EmbedLayerNormalization", [np.array([[1, 2, 0]], np.int32), np.array([[0, 1, 1]], np.int32), normal(4, 6),
                                       normal(5, 6), normal(2, 6), normal(6), normal(6), mask], {"epsilon": 1e-5},
           outputs=2, domain=MICROSOFT) for mask in (None, np.array([[1, 0, 2]], np.int32))),
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
    *(Case("MultiHeadAttention", [*THREE, None, mask, bias, normal(2, 2, 4, 4), normal(2, 2, 4, 4)],
           {"num_heads": 2, **more}, outputs=3, of=(0, 1, 2), domain=MICROSOFT) for mask, bias, more in (
               (None, None, {"unidirectional": 1}), (np.array([[1] * 7, [0, 0] + [1] * 5], np.int32), None, {}),
               (np.array([7, 5], np.int32), normal(2, 1, 3, 7), {"scale": 0.3}), (None, None, {}))),
    ms("MultiHeadAttention", [normal(2, 3, 8), normal(2, 2, 5, 4), normal(2, 2, 5, 4)], num_heads=2),
    *(Case("Attention", [*TOKENS, None, normal(2, 2, 2, past, 4)], {"num_heads": 2, "unidirectional": 1}, outputs=2,
           of=(0, 1), domain=MICROSOFT) for past in (3, 0)),
    *(grouped([*PROMPT, None, None, ENDS, SUM, *extra], **more) for extra, more in (
        ([], {}), (WIDE, {"do_rotary": 1}), (WIDE, {"do_rotary": 1, "rotary_interleaved": 1, "scale": 0.2}),
        ([], {"softcap": 0.7, "local_window_size": 2}), ([], {"smooth_softmax": 1}), ([], {"causal": 0}),
        ([None, None, None, normal(2, 1, 3, 3), normal(4)], {"softcap": 2.0}),
        ([*WIDE, np.array([[2, 4, 1], [2, 0, 1]])], {"do_rotary": 1}))),
    grouped([normal(2, 3, 128), None, None, None, None, ENDS, SUM, *WIDE], do_rotary=1),
    grouped([*PROMPT, *past(2, 0), ENDS, SUM, *WIDE], 3, do_rotary=1),
    grouped([*PROMPT, *past(2, 6), ENDS, SUM, *WIDE], 3, do_rotary=1),
    grouped([*NEXT, *past(2, 4), np.array([4, 2], np.int32), np.array(5, np.int32), *WIDE, np.array([[3], [1]])], 3,
            do_rotary=1, local_window_size=2),
    grouped([*NEXT, *past(2, 4), np.array([4, 2], np.int32), np.array(5, np.int32), None, None, None,
             normal(1, 4, 1, 5)], 3),
    *(grouped([*(x[:1, :length] for x in LONG), *past(1, size), np.array([end], np.int32),
               np.array(end + 1, np.int32), *WIDE], 3, do_rotary=1, local_window_size=2, sliding_window_cache=1)
      for length, size, end in ((3, 4, 2), (6, 3, 5), (1, 2, 3), (2, 3, 5), (1, 4, 6))),
    grouped([*(x[:1] for x in PROMPT), *past(1, 4), np.array([6], np.int32), np.array(7, np.int32), *WIDE], 3,
            do_rotary=1, softcap=1.0),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_parts_compute_the_same_and_their_gradient_is_the_slope(case: Case) -> None:
    """What they compute is held against the runtime's kernel, the gradient in float64 against the parts themselves."""
    if {"causal", "local_window_size"} & set(case.attributes) and RUN < (1, 32):
        pytest.skip(f"ONNX Runtime {ort.__version__} has no such attribute, or counts a window otherwise")
    model, feeds = typed(case, np.float32), feeds_of(case, np.dtype(np.float32))
    plain = to_proto(lower_contrib(ir.from_proto(model)))
    assert {n.domain for n in plain.graph.node} == {""}
    found, wanted = run_ort(plain, feeds), run_ort(model, feeds)
    for name, array in wanted.items():
        if "sliding_window_cache" in case.attributes:  # rows behind the last are unspecified, and 0 in the parts
            array = np.where(found[name] == 0, 0, array)
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)
    check_slope(case)


def typed(case: Case, dtype: type) -> onnx.ModelProto:
    model = model_of(case, np.dtype(dtype))
    if case.op_type == "EmbedLayerNormalization":  # its second output counts words
        model.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.INT32
    return model


def check_slope(case: Case) -> None:
    model, feeds = typed(case, np.float64), feeds_of(case, np.dtype(np.float64))
    plain = to_proto(lower_contrib(ir.from_proto(model)))
    out = run_reference(plain, feeds)
    seeds, directions = ({k: R.normal(size=v.shape) for k, v in each.items()} for each in (out, feeds))
    p = Problem(
        model, feeds, {f"y{i}": seeds[f"y{i}"] for i in case.of}, {k: v for k, v in directions.items() if v.size}
    )
    results = run_reference(p.gradient(), p.all_feeds())
    close(p.product(results), quotient(plain, feeds, p.seeds, p.directions, 1e-5), 1e-6, scale_of(p, results))


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


@pytest.mark.parametrize("packed", ["queries, keys and values", "keys and values"])
def test_what_comes_in_one_is_taken_apart(packed: str) -> None:
    """The processor's kernel takes neither: what it gives for the parts is what is right."""
    q, k, v = (normal(2, 3, 2, 4) for _ in range(3))
    flat = [x.reshape(2, 3, 8) for x in (q, k, v)]
    joined = [np.stack([q, k, v], 3)] if packed[0] == "q" else [flat[0], np.stack([k, v], 3)]
    (of_one, fed), (of_parts, parts) = (
        (model_of(case, np.dtype(np.float32)), feeds_of(case, np.dtype(np.float32)))
        for case in (ms("MultiHeadAttention", [*x, *[None] * (3 - len(x)), normal(24) * 0 + 0.5], num_heads=2)
                     for x in (joined, flat))
    )  # fmt: skip
    found = run_ort(to_proto(lower_contrib(ir.from_proto(of_one))), fed)["y0"]
    np.testing.assert_allclose(found, run_ort(of_parts, parts)["y0"], rtol=1e-4, atol=1e-5)


UNSERVED = {
    "q_norm.*for the CPU": grouped([*PROMPT, None, None, ENDS, SUM, *[None] * 7, normal(16), normal(16)]),
    "query_lengths.*for the CPU": grouped([*PROMPT, *past(2, 6), ENDS, SUM, *[None] * 9, np.array([2, 3], np.int32)]),
    "local_window_size=0": grouped([*PROMPT, None, None, ENDS, SUM], local_window_size=0),
    "k_quant_type": grouped([*PROMPT, *past(2, 6), ENDS, SUM], k_quant_type="PER_TENSOR"),
    "rotary embedding.*as it was": ms("Attention", TOKENS, num_heads=2, do_rotary=1),
    "in a buffer or beams.*as it was": ms(
        "MultiHeadAttention", [*THREE, *[None] * 3, normal(2, 2, 4, 4), normal(2, 2, 4, 4), SUM], num_heads=2
    ),
}


@pytest.mark.parametrize("said", UNSERVED)
def test_what_has_no_standard_form_is_named(said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        lower_contrib(ir.from_proto(model_of(UNSERVED[said], np.dtype(np.float32))))


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
