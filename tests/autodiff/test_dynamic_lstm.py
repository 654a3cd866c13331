"""DynamicQuantizeLSTM: the file's numbers stay, and the gradient is the slope of the LSTM with dequantised weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from checker import run_ort
from onnx import helper, numpy_helper

from onnxsal.autodiff import gradient
from onnxsal.graph import dims, normalise

R = np.random.default_rng(23)
T, B, N, H = 5, 3, 4, 6
"""Turns, batch, inputs, hidden units."""


def quantised(directions: int, rows: int, kind: type, per_unit: bool) -> list[np.ndarray]:
    """Numbers, steps and zero points of a weight [directions, rows, 4 hidden]."""
    shape = (directions, 4 * H) if per_unit else (directions,)
    zero = R.integers(118, 138, shape) if kind is np.uint8 else np.zeros(shape)
    low = np.iinfo(kind).min // 2 + (64 if kind is np.uint8 else 0)
    numbers = R.integers(low, low + 128, (directions, rows, 4 * H))  # no sum of two products leaves 16 bits
    return [numbers.astype(kind), R.uniform(0.003, 0.006, shape).astype(np.float32), zero.astype(kind)]


def floats(w: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    wide = [v.astype(np.float32).reshape(len(w), 1, -1) for v in (zero, scale)]
    return ((w.astype(np.float32) - wide[0]) * wide[1]).transpose(0, 2, 1).copy()


def given(directions: int, optional: bool) -> dict[str, np.ndarray]:
    feeds = {"x": R.normal(size=(T, B, N))}
    if optional:
        feeds |= {"b": 0.3 * R.normal(size=(directions, 8 * H)), "h": R.uniform(-1, 1, (directions, B, H)),
                  "c": R.normal(size=(directions, B, H))}  # fmt: skip
    return {name: value.astype(np.float32) for name, value in feeds.items()}


def model(op_type: str, feeds: dict[str, np.ndarray], constants: dict[str, np.ndarray], **a: Any) -> onnx.ModelProto:
    full = [n if n in feeds or n in constants else "" for n in ("x", "w", "r", "b", "l", "h", "c", "p")]
    steps = ["ws", "wz", "rs", "rz"] if op_type != "LSTM" else []
    domain = "" if op_type == "LSTM" else "com.microsoft"
    node = helper.make_node(op_type, [*full, *steps], ["y", "yh", "yc"], domain=domain, hidden_size=H, **a)
    inputs = [helper.make_tensor_value_info(k, 1, v.shape) for k, v in feeds.items()]
    outputs = [helper.make_tensor_value_info(k, 1, None) for k in ("y", "yh", "yc")]
    tensors = [numpy_helper.from_array(v, k) for k, v in constants.items() if k in [*full, *steps]]
    graph = helper.make_graph([node], "g", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


CASES = {
    "plain": {"optional": False},
    "states": {},
    "both ways": {"direction": "bidirectional"},
    "backwards": {"direction": "reverse", "lengths": True},
    "a step a unit": {"per_unit": True, "kind": np.int8},
    "bytes": {"kind": np.uint8, "direction": "bidirectional"},
    "other gates": {"activations": ["HardSigmoid", "Softsign", "Tanh"], "activation_alpha": [0.3], "activation_beta":
                    [0.4]},
    "clipped": {"clip": 0.4},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_slope_of_the_float_lstm(name: str) -> None:
    how = dict(CASES[name])
    optional, lengths = how.pop("optional", True), how.pop("lengths", False)
    kind, per_unit = how.pop("kind", np.int8), how.pop("per_unit", False)
    d = 2 if how.get("direction") == "bidirectional" else 1
    feeds, w, r = given(d, optional), quantised(d, N, kind, per_unit), quantised(d, H, kind, per_unit)
    extra = {"l": np.array([5, 2, 4], np.int32)} if lengths else {}
    ours = model(
        "DynamicQuantizeLSTM",
        feeds,
        dict(zip(["w", "ws", "wz", "r", "rs", "rz"], [*w, *r], strict=True)) | extra,
        **how,
    )
    twin = model("LSTM", feeds, {"w": floats(*w), "r": floats(*r)} | extra, **how)
    deployed = run_ort(ours, feeds)
    for key, value in run_ort(twin, feeds).items():
        assert np.abs(deployed[key] - value).max() < 0.05
    seeds = {f"seed/{k}": R.normal(size=v.shape).astype(np.float32) for k, v in deployed.items()}
    found = run_ort(gradient(ir.from_proto(ours), of=["y", "yh", "yc"], wrt=list(feeds)), {**feeds, **seeds})
    for key, value in deployed.items():
        np.testing.assert_array_equal(found[key], value)
    for key in feeds:
        along = R.normal(size=feeds[key].shape).astype(np.float32)
        wanted = slope(twin, feeds, seeds, {key: along})
        assert (found[f"grad/{key}"] * along).sum() == pytest.approx(wanted, rel=5e-3, abs=5e-3)


def slope(twin: onnx.ModelProto, feeds: dict[str, np.ndarray], seeds: dict[str, np.ndarray], along: dict) -> float:
    def value(h: float) -> float:
        out = run_ort(twin, {k: v + np.float32(h) * along[k] if k in along else v for k, v in feeds.items()})
        return sum(float((seeds[f"seed/{k}"].astype(float) * v).sum()) for k, v in out.items())

    h = 1e-2
    return (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)


def test_shapes_are_known() -> None:
    w, r = quantised(2, N, np.int8, False), quantised(2, H, np.int8, False)
    constants = dict(zip(["w", "ws", "wz", "r", "rs", "rz"], [*w, *r], strict=True))
    normal = normalise(
        ir.from_proto(model("DynamicQuantizeLSTM", given(2, True), constants, direction="bidirectional"))
    )
    assert [dims(v) for v in normal.graph.outputs] == [(T, 2, B, H), (2, B, H), (2, B, H)]


def test_a_real_file_keeps_its_numbers(shared: Path) -> None:
    file = onnx.load(shared / "reach" / "tashkeel_rawi.onnx")
    feeds = {"input": np.random.default_rng(0).integers(1, 40, (1, 24))}
    deployed = run_ort(file, feeds)
    graph = gradient(ir.from_proto(file), of=["value"], wrt=["/lstm/Transpose_output_0"])
    found = run_ort(graph, {**feeds, "seed/value": np.ones((1, 24, 75), np.float32)})
    for name, value in deployed.items():
        np.testing.assert_array_equal(found[name], value)
    assert np.abs(found["grad//lstm/Transpose_output_0"]).max() > 1
