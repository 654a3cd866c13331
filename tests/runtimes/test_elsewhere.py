"""What other runtimes compute otherwise, and the forms that are written so that they do not."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from compiled_runtimes import RUNNERS, Absent, place
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxsal

R = np.random.default_rng(11)
Feeds = Mapping[str, np.ndarray]


def in_openvino(folder: Path, model: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    """Return what OpenVINO makes of a model; skips without it."""
    try:
        python = str(place("openvino", "bin", "python"))
    except Absent as reason:
        pytest.skip(str(reason))
    onnx.save(model, folder / "job.onnx")
    np.savez(folder / "job.npz", **feeds)
    command = [python, "-P", str(RUNNERS / "openvino_outputs.py"), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = np.load(folder / "job.out.npz")
    return [found[name] for name in found.files]


def in_ort(model: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, dict(feeds))


def in_reference(model: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    return ReferenceEvaluator(model).run(None, dict(feeds))


def model_of(nodes: list[onnx.NodeProto], shape: list[int | str], opset: int, **constants: np.ndarray):
    held = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("x", shape), ("y", None))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 21 else 10)


def agree(found: list[np.ndarray], wanted: list[np.ndarray], share: float = 1e-4) -> None:
    assert len(found) == len(wanted)
    for each, right in zip(found, wanted, strict=True):
        assert float(np.abs(each - right).max()) <= share * float(np.abs(right).max())


QUANTISED = {
    "w": np.random.default_rng(3).integers(0, 256, (8, 3, 3, 3)).astype(np.uint8), "z": np.uint8(122),
    "s": np.float32(0.01), "t": np.float32(0.05), "n": np.uint8(0),
}  # fmt: skip


@pytest.mark.parametrize("strides", [1, 2])
def test_weights_of_bytes_in_a_gradient(strides: int, tmp_path: Path) -> None:
    """OpenVINO reads the bytes of a ConvTranspose's weight as signed ones behind a mask, if they are only scaled."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["v"]),
        helper.make_node("Conv", ["x", "v"], ["c"], strides=[strides] * 2),
        helper.make_node("QuantizeLinear", ["c", "t", "n"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "t", "n"], ["y"]),
    ]
    model = model_of(nodes, [1, 3, 9, 9], 21, **QUANTISED)
    made = onnxsal.gradient(model, of=["y"], wrt=["x"])
    x = R.normal(size=(1, 3, 9, 9)).astype(np.float32)
    side = (9 - 3) // strides + 1
    feeds = {"x": x, "seed/y": R.normal(size=(1, 8, side, side)).astype(np.float32)}
    (_, wanted), (_, found) = in_ort(made, feeds), in_openvino(tmp_path, made, feeds)
    agree([found], [wanted])


OLD = [(opset, axis) for opset in (7, 9, 11, 12) for axis in (1, 2)]


@pytest.mark.parametrize("where", ["reference evaluator", "OpenVINO"])
@pytest.mark.parametrize(("opset", "axis"), OLD)
def test_softmax_of_an_old_opset(where: str, opset: int, axis: int, tmp_path: Path) -> None:
    """Below opset 13 it goes over all axes from one on, which both take for one alone: it is written as it is meant."""
    model = model_of([helper.make_node("Softmax", ["x"], ["y"], axis=axis)], [2, 3, 4], opset)
    model.ir_version = 3 if opset < 9 else 6
    x = R.normal(size=(2, 3, 4)).astype(np.float32)
    flat = x.reshape(int(np.prod(x.shape[:axis])), -1)
    right = (np.exp(flat) / np.exp(flat).sum(1, keepdims=True)).reshape(x.shape)
    made = onnxsal.gradient(model, of=["y"], wrt=["x"])
    feeds = {"x": x, "seed/y": R.normal(size=x.shape).astype(np.float32)}
    found = in_reference(made, feeds) if where == "reference evaluator" else in_openvino(tmp_path, made, feeds)
    np.testing.assert_allclose(found[0], right, rtol=1e-5)
    agree(found, in_ort(made, feeds))


def test_grouped_and_strided_convolutions(tmp_path: Path) -> None:
    """Their gradient is a ConvTranspose of groups: onnx's evaluator has it for depthwise ones alone."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], group=2, pads=[1] * 4)
    model = model_of([node], [1, 4, 8, 8], 21, w=R.normal(size=(6, 2, 3, 3)).astype(np.float32))
    made = onnxsal.gradient(model, of=["y"], wrt=["x"])
    feeds = {
        name: R.normal(size=shape).astype(np.float32) for name, shape in (("x", (1, 4, 8, 8)), ("seed/y", (1, 6, 4, 4)))
    }
    agree(in_openvino(tmp_path, made, feeds), in_ort(made, feeds))


def one(op_type: str, *inputs: str, **attributes) -> onnx.NodeProto:
    return helper.make_node(op_type, ["x", *inputs], ["y"], **attributes)


OTHERWISE = {
    "reference evaluator": {
        "ConvTranspose": (one("ConvTranspose", "w", strides=[2, 2], group=2), (1, 4, 5, 5)),
        "Pad": (one("Pad", "cut"), (1, 1, 8, 8)),
        "LRN": (one("LRN", size=3, alpha=0.1), (2, 6, 4, 4)),
    },
    "OpenVINO": {
        "LRN": (one("LRN", size=3, alpha=0.1, bias=1.5), (1, 6, 4, 4)),
        "AveragePool": (
            one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1, pads=[1] * 4),
            (1, 2, 6, 6),
        ),
        "Resize": (one("Resize", "", "", "third", mode="linear", antialias=1), (1, 1, 8, 8)),
    },
}
"""What docs/compile.md says of them, at opset 21."""
CONSTANTS = {
    "w": np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32), "third": np.int64([1, 1, 3, 3]),
    "cut": np.int64([0, 0, -1, 0, 0, 0, 0, -2]),
}  # fmt: skip


@pytest.mark.parametrize(("where", "name"), [(where, name) for where in OTHERWISE for name in OTHERWISE[where]])
def test_what_is_said_of_them_still_holds(where: str, name: str, tmp_path: Path) -> None:
    """Where a newer version computes as ONNX Runtime does, its line in docs/compile.md goes."""
    try:
        place("openvino", "bin", "python")  # by hand only: what is installed elsewhere may be newer
    except Absent as reason:
        pytest.skip(str(reason))
    node, shape = OTHERWISE[where][name]
    held = {key: array for key, array in CONSTANTS.items() if key in node.input}
    model, feeds = model_of([node], list(shape), 21, **held), {"x": R.normal(size=shape).astype(np.float32)}
    (right,) = in_ort(model, feeds)
    try:
        (found,) = in_reference(model, feeds) if where == "reference evaluator" else in_openvino(tmp_path, model, feeds)
    except ValueError:
        return
    assert np.abs(found - right).max() > 0.05 * np.abs(right).max()
