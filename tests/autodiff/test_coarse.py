"""Quantisers of few levels pass all that they did not clip; at 8 bits the end bins are left out, as integers tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from onnxsal.autodiff import gradient

X = np.array(
    [[-9.0, -2.3, -2.1, -0.6, -0.1, 0.0, 0.1, 0.3, 0.9, 1.5, 1.7, 2.9, 3.3, 3.6, 3.8, 7.4, 7.9, 63.6, 64.1]], "f"
)
WIDTHS = {  # the type, zero point, and where a Clip ends it
    "int4": ("INT4", 0, None), "uint4": ("UINT4", 6, None), "2 bits": ("UINT8", 0, (0, 3)),
    "3 bits": ("INT8", 0, (-4, 3)), "4 bits": ("UINT8", 5, (0, 15)), "4 bits, narrow": ("INT8", 0, (-7, 7)),
    "8 bits, narrow": ("INT8", 0, (-127, 127)), "one end": ("INT8", 0, (-128, 7)),
}  # fmt: skip


def tensor(name: str, kind: str, value: int | tuple[int, ...]) -> onnx.TensorProto:
    array = np.asarray(value)
    return helper.make_tensor(name, getattr(onnx.TensorProto, kind), array.shape, array.ravel().tolist())


def narrow(kind: str, zero: int, ends: tuple[int, int] | None, x: str, to: str) -> tuple[list, list]:
    """Nodes and constants of a quantiser of some width, from ``x`` to ``to``."""
    nodes = [helper.make_node("QuantizeLinear", [x, "s", "z"], [f"{to}_q"])]
    tensors = [tensor("z", kind, zero)]
    if ends is not None:
        nodes.append(helper.make_node("Clip", [f"{to}_q", "a", "b"], [f"{to}_c"]))
        tensors += [tensor("a", kind, ends[0]), tensor("b", kind, ends[1])]
    nodes.append(helper.make_node("DequantizeLinear", [f"{to}_{'q' if ends is None else 'c'}", "s", "z"], [to]))
    return nodes, tensors


def model(nodes: list, tensors: list, shape: tuple[int, ...]) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info("x", 1, shape), helper.make_tensor_value_info("y", 1, None)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def session(proto: onnx.ModelProto, optimised: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def slope(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    run = session(gradient(ir.from_proto(proto), of=["y"], wrt=["x"]))
    return run.run(["grad/x"], {"x": x, "seed/y": np.ones_like(x)})[0]


def kept(x: np.ndarray, kind: str, zero: int, ends: tuple[int, int] | None, scale: float = 0.5) -> np.ndarray:
    """Where the rounded number is one of those left: what PyTorch's and Brevitas' fake quantisers pass."""
    dtype = getattr(ir.DataType, kind)
    low, high = (dtype.min, dtype.max) if ends is None else ends
    rounded = np.rint(x / np.float32(scale)) + zero
    return (max(low, dtype.min) <= rounded) & (rounded <= min(high, dtype.max))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("before", ["", "Relu", "Clip"])
def test_all_passes_that_was_not_clipped(width: str, before: str) -> None:
    nodes, tensors = narrow(*WIDTHS[width], "c" if before else "x", "y")
    bounds = {"Relu": (0.0, np.inf), "Clip": (-1.0, 3.0), "": (-np.inf, np.inf)}[before]
    if before:
        held = [numpy_helper.from_array(np.float32(b), f"e{i}") for i, b in enumerate(bounds)]
        tensors += held if before == "Clip" else []
        nodes = [helper.make_node(before, ["x", *(t.name for t in held if before == "Clip")], ["c"]), *nodes]
    tensors.append(numpy_helper.from_array(np.float32(0.5), "s"))
    wanted = kept(X, *WIDTHS[width]) & np.greater(X, bounds[0]) & np.less(X, bounds[1])
    np.testing.assert_array_equal(slope(model(nodes, tensors, X.shape), X), wanted)
    assert 0 < wanted.sum() < wanted.size


@pytest.mark.parametrize("width", ["int4", "2 bits"])
def test_a_step_a_channel(width: str) -> None:
    kind, _, ends = WIDTHS[width]
    nodes, tensors = narrow(kind, 0, ends, "x", "y")
    steps = np.array([0.5, 2.0, 8.0], np.float32)
    tensors = [t for t in tensors if t.name != "z"] + [
        tensor("z", kind, (0, 0, 0)),
        numpy_helper.from_array(steps, "s"),
    ]
    x = np.repeat(X[:, None], 3, axis=1)
    wanted = np.stack([kept(X, kind, 0, ends, s) for s in steps], axis=1)
    np.testing.assert_array_equal(slope(model(nodes, tensors, x.shape), x), wanted)


@pytest.mark.parametrize("rectified", [True, False])
def test_an_integer_convolution_stays_one(rectified: bool, tmp_path: Path) -> None:
    """4 bits in bytes: the runtime computes Conv, Relu and QuantizeLinear in one kernel, whose scores stay."""
    rng = np.random.default_rng(8)
    w, first = rng.integers(-7, 8, (5, 4, 1, 1)).astype(np.int8), [np.float32(0.05), np.uint8(120)]
    middle, tensors = narrow("UINT8", 0 if rectified else 6, (0, 15), "r" if rectified else "c", "y")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s0", "z0"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "s0", "z0"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
        *([helper.make_node("Relu", ["c"], ["r"])] if rectified else []),
        *middle,
    ]
    named = {"s0": first[0], "z0": first[1], "w": w, "ws": np.float32(0.1), "s": np.float32(0.1)}
    file = model(nodes, tensors + [numpy_helper.from_array(np.asarray(v), k) for k, v in named.items()], (2, 4, 6, 5))
    x = rng.normal(size=(2, 4, 6, 5)).astype(np.float32)
    deployed = session(file, tmp_path / "o.onnx").run(None, {"x": x})[0]
    assert "QLinearConv" in {n.op_type for n in onnx.load(tmp_path / "o.onnx").graph.node}
    u = rng.normal(size=deployed.shape).astype(np.float32)
    found, g = session(gradient(ir.from_proto(file), of=["y"], wrt=["x"])).run(["y", "grad/x"], {"x": x, "seed/y": u})
    np.testing.assert_array_equal(found, deployed)
    floats = w[:, :, 0, 0] * 0.1
    seen = (np.clip(np.rint(x / first[0]) + 120, 0, 255) - 120) * first[0]
    c = np.einsum("oi,bihw->bohw", floats, seen)
    open_ = kept(c, "UINT8", 0 if rectified else 6, (0, 15), 0.1) & ((c > 0) | (not rectified))
    np.testing.assert_allclose(g, np.einsum("oi,bohw->bihw", floats, u * open_), rtol=1e-4, atol=1e-5)
