"""What a runtime's name chooses, notes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.compiler.metadata import METADATA
from onnxsal.compiler.runtimes import RUNTIMES, TRITON
from onnxsal.errors import UnsupportedError, UsageError

BUNDLED = Path(__file__).resolve().parents[2] / "models" / "shapes.onnx"
ODD = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 9, 9] x) => (float[B, 3] y)
    <int64[2] axes = {2, 3}, float scale = {0.1}, int8 zero = {3}> {
    a = Conv (x, w) r = PRelu (a, slope) q = QuantizeLinear (r, scale, zero) d = DequantizeLinear (q, scale, zero)
    n = LRN <size = 3, bias = 0.5> (d)
    p = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1, count_include_pad = 1, pads = [1, 1, 1, 1]> (n)
    m = ReduceMean <keepdims = 0> (p, axes) y = Softmax (m) }"""  # noqa: E501


def odd() -> onnx.ModelProto:
    proto, rng = onnx.parser.parse_model(ODD), np.random.default_rng(0)
    for name, shape in {"w": (3, 2, 3, 3), "slope": (7,)}.items():
        held = rng.normal(0, 1, shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(held, name))
    return proto


def said(proto: onnx.ModelProto) -> dict[str, Any]:
    found: dict[str, Any] = json.loads({each.key: each.value for each in proto.metadata_props}[METADATA])
    return found


@pytest.mark.parametrize("name", ["node", "openvino"])
def test_explain_is_fed_always(name: str) -> None:
    """An input with a default is none in OpenVINO, and JavaScript feeds none that has one."""
    made = onnxsal.compile(BUNDLED, method="grad-cam", runtime=name)
    assert [each.name for each in made.graph.input] == ["picture", "explain"]
    assert "explain" not in {each.name for each in made.graph.initializer}
    assert said(made)["runtime"] == name
    assert {each for each, runtime in RUNTIMES.items() if runtime.explain_required} == {*RUNTIMES} - {TRITON}


def test_no_weight_is_transposed_in_openvino() -> None:
    """It multiplies by a square weight where another product has its transpose: both lie in the file."""
    made = onnxsal.compile(odd(), method="gradient", runtime="openvino")
    held, bodies = {each.name for each in made.graph.initializer}, [made.graph]
    bodies += [a.g for node in made.graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    turned = [node for body in bodies for node in body.node if node.op_type == "Transpose" and node.input[0] in held]
    assert said(made)["switches"] == {"fold_weights": True} and not turned


def test_what_openvino_computes_otherwise_is_noted() -> None:
    notes = said(onnxsal.compile(odd(), method="gradient", runtime="openvino"))["notes"]
    for name in ("AveragePool: ", "PRelu: ", "QuantizeLinear: ", "LRN: ", "gradients of pixels of int8 models"):
        assert sum(note.startswith(name) for note in notes) == 1
    assert not any("TopK" in note for note in notes)  # a percentile reads no order
    assert not any(
        "OpenVINO" in note for note in said(onnxsal.compile(odd(), method="gradient", runtime="web"))["notes"]
    )


SAMPLING: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": 2}, "integrated-gradients": {"baseline": "uniform", "steps": 2},
    "rise": {"samples": 16}, "occlusion": {"patch": 48, "stride": 48},
}  # fmt: skip


@pytest.mark.parametrize("method", SAMPLING)
def test_sampling_methods_are_written_for_tensorrt(method: str) -> None:
    """What is drawn lies in the file without being asked for, and only there; the map is that of ``explain``."""
    model, given = onnxsal.load(BUNDLED), {"method": method, **SAMPLING[method]}
    made = onnxsal.compile(model, **given, runtime="tensorrt")
    noisy = method not in ("rise", "occlusion")
    assert said(made).get("switches") == ({"noise_as": "constants"} if noisy else None)
    assert any(note.startswith("noise lies in the file") for note in said(made)["notes"]) == noisy
    assert sum("float32 in TensorRT" in note for note in said(made)["notes"]) == 1
    photo = np.random.default_rng(0).normal(size=(1, 3, 96, 96)).astype(np.float32)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    (ours,) = session.run(["saliency"], {"picture": photo, "explain": np.array(True)})
    np.testing.assert_allclose(ours[0], onnxsal.explain(model, photo, **given).saliency, rtol=0, atol=5e-6)


def test_what_tensorrt_does_not_have_is_refused_by_name() -> None:
    """Of what a seed that is fed draws, the only way out is said; of a model's own operators none is."""
    with pytest.raises(UnsupportedError, match=r"BitShift \(\d+\), BitwiseAnd.*UINT32; without seed=input"):
        onnxsal.compile(BUNDLED, method="smoothgrad", runtime="tensorrt", seed="input")
    with pytest.raises(
        UnsupportedError,
        match=r"DequantizeLinear.*, QuantizeLinear \(a zero point has to be 0\); numbers of type UINT8$",
    ):
        onnxsal.compile(odd(), method="gradient", runtime="tensorrt")
    with pytest.raises(UsageError, match="did you mean 'openvino'"):
        onnxsal.compile(BUNDLED, runtime="openvin")
