"""A gradient in the graph changes no score of a quantised transformer: what the runtime fuses, it still fuses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper
from onnxruntime import quantization

import onnxsal
import onnxsal.autodiff as autodiff
from onnxsal.graph.unsigned import write_unsigned

ZOO = Path(__file__).resolve().parent.parent / "data" / "zoo"
R = np.random.default_rng(17)
KINDS = {"bytes": np.uint8(120), "signed": np.int8(-8)}


class Images(quantization.CalibrationDataReader):
    """Random pictures, one a batch."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(3)
        self._batches = iter([{"x": rng.normal(size=(1, *shape)).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def session(proto: onnx.ModelProto, optimised: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(optimised)
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def integer_nodes(optimised: Path) -> Counter[str]:
    """How many integer kernels of each kind the runtime has made of a graph."""
    return Counter(n.op_type for n in onnx.load(optimised).graph.node if n.op_type.startswith(("QLinear", "QGemm")))


def unchanged(model: onnx.ModelProto, x: np.ndarray, folder: Path) -> np.ndarray:
    """Check scores and kernels of a model with its gradient against those of the file; return the gradient."""
    out = model.graph.output[0].name
    graph = autodiff.gradient(ir.from_proto(model), of=[out], wrt=["x"])
    deployed = session(model, folder / "deployed.onnx").run([out], {"x": x})[0]
    ones = np.ones_like(deployed)
    found, g = session(graph, folder / "gradient.onnx").run([out, "grad/x"], {"x": x, f"seed/{out}": ones})
    np.testing.assert_array_equal(found, deployed)
    assert integer_nodes(folder / "gradient.onnx") == integer_nodes(folder / "deployed.onnx")
    return g


@pytest.mark.slow("quantises a network, then looks at what ONNX Runtime makes of it and of its gradient")
@pytest.mark.parametrize("name", ["vit_timm_dynamo", "vit_dynamo", "efficientnet", "resnet_basic"])
@pytest.mark.parametrize("kind", ["QUInt8", "QInt8"])
def test_scores_are_those_of_the_file(name: str, kind: str, tmp_path: Path) -> None:
    example = np.load(ZOO / f"{name}.npz")
    x = example["x"].astype(np.float32)
    quantization.quantize_static(
        str(ZOO / f"{name}.onnx"), str(tmp_path / "q.onnx"), Images(x.shape[1:]),
        activation_type=getattr(quantization.QuantType, kind), weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    model = onnx.load(tmp_path / "q.onnx")
    g = unchanged(model, x, tmp_path)
    assert np.abs(g).max() > 0
    loaded = onnxsal.load(tmp_path / "q.onnx")
    deployed = session(model, tmp_path / "o.onnx").run(None, {"x": x})[0]
    found = onnxsal.explain(loaded, x[:1], method="grad-cam++", target=2)
    assert found.logit == deployed[0, 2]


def quantised(zero: np.generic, value: str, to: str, scale: str = "s") -> list[onnx.NodeProto]:
    z = "p" if scale == "u" else "z"
    return [
        helper.make_node("QuantizeLinear", [value, scale, z], [f"{to}_q"]),
        helper.make_node("DequantizeLinear", [f"{to}_q", scale, z], [to]),
    ]


def model_of(nodes: list[onnx.NodeProto], shape: tuple[int, ...], **constants: np.ndarray) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info("x", 1, shape), helper.make_tensor_value_info("y", 1, None)]
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def constants(zero: np.generic) -> dict[str, np.ndarray]:
    """Steps of 1/32 for values, of 1/256 from 0 for probabilities."""
    lowest = np.iinfo(zero.dtype).min
    return {"s": np.float32(1 / 32), "z": zero, "u": np.float32(1 / 256), "p": zero.dtype.type(lowest)}  # type: ignore[dict-item]


@pytest.mark.parametrize("kind", KINDS)
def test_attention_in_miniature(kind: str, tmp_path: Path) -> None:
    """softmax(x x') x with everything quantised: products and Softmax are integer kernels, with a gradient too.

    The three equal quantisers of x are one to the runtime, which leaves int8 with three readers as it is.
    """
    zero = KINDS[kind]
    nodes = [
        *quantised(zero, "x", "a"), *quantised(zero, "x", "b"), *quantised(zero, "x", "c"),
        helper.make_node("Transpose", ["b"], ["t"], perm=[0, 2, 1]), *quantised(zero, "t", "k"),
        helper.make_node("MatMul", ["a", "k"], ["m"]), *quantised(zero, "m", "l"),
        helper.make_node("Softmax", ["l"], ["w"], axis=-1), *quantised(zero, "w", "p2", "u"),
        helper.make_node("MatMul", ["p2", "c"], ["o"]), *quantised(zero, "o", "y"),
    ]  # fmt: skip
    x = R.normal(scale=0.6, size=(2, 5, 4)).astype(np.float32)
    g = unchanged(model_of(nodes, x.shape, **constants(zero)), x, tmp_path)
    kinds = integer_nodes(tmp_path / "gradient.onnx")
    assert kinds["QLinearMatMul"] == (2 if kind == "bytes" else 1)
    assert kinds["QLinearSoftmax"] == 1
    wanted = float_slope(x.astype(np.float64))
    assert (g * wanted).sum() / np.linalg.norm(g) / np.linalg.norm(wanted) > 0.99


def float_slope(x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of sum(softmax(x x') x) without any rounding, by differences."""

    def total(v: np.ndarray) -> float:
        scores = np.exp(v @ v.swapaxes(1, 2))
        return float((scores / scores.sum(-1, keepdims=True) @ v).sum())

    found = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        moved = np.zeros_like(x)
        moved[i] = step
        found[i] = (total(x + moved) - total(x - moved)) / 2 / step
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["Softmax", "Sigmoid"])
def test_slope_is_of_the_function_not_of_its_rounded_output(name: str, kind: str, tmp_path: Path) -> None:
    """Straight through: the slope at the dequantised input, in full precision, where neither end is clipped."""
    zero, x = KINDS[kind], R.normal(size=(3, 6)).astype(np.float32)
    nodes = [
        *quantised(zero, "x", "a"),
        helper.make_node(name, ["a"], ["f"]),
        *quantised(zero, "f", "p2", "u"),
        helper.make_node("Mul", ["p2", "v"], ["y"]),
    ]
    v = R.normal(size=(3, 6)).astype(np.float32)
    g = unchanged(model_of(nodes, x.shape, v=v, **constants(zero)), x, tmp_path)
    a = np.rint(x.astype(np.float64) * 32) / 32
    if name == "Sigmoid":
        p = 1 / (1 + np.exp(-a))
        wanted = v * p * (1 - p)
    else:
        p = np.exp(a) / np.exp(a).sum(-1, keepdims=True)
        wanted = p * (v - (p * v).sum(-1, keepdims=True))
    assert integer_nodes(tmp_path / "gradient.onnx")[f"QLinear{name}"] == 1
    np.testing.assert_allclose(g, wanted, rtol=1e-5, atol=1e-6)


def test_moved_numbers_are_gated_once(tmp_path: Path) -> None:
    """The second quantiser of a Transpose clips what the first has clipped: its gate is not written."""
    zero = KINDS["bytes"]
    nodes = [
        *quantised(zero, "x", "a"),
        helper.make_node("Transpose", ["a"], ["t"], perm=[1, 0]),
        *quantised(zero, "t", "y"),
    ]
    model = model_of(nodes, (1, 4), **constants(zero))
    g = unchanged(model, np.array([[-9, 0.5, 1, 9]], np.float32), tmp_path)
    np.testing.assert_array_equal(g, [[0, 1, 1, 0]])
    graph = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"])
    assert Counter(n.op_type for n in graph.graph.node)["GreaterOrEqual"] == 1


def test_moved_numbers_on_another_grid_are_gated_by_it(tmp_path: Path) -> None:
    zero = KINDS["bytes"]
    nodes = [
        *quantised(zero, "x", "a"),
        helper.make_node("Transpose", ["a"], ["t"], perm=[1, 0]),
        helper.make_node("QuantizeLinear", ["t", "u", "z"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "u", "z"], ["y"]),
    ]
    x = np.array([[-9, 0.25, 1, 9]], np.float32)
    g = unchanged(model_of(nodes, x.shape, **constants(zero)), x, tmp_path)
    np.testing.assert_array_equal(g, [[0, 1, 0, 0]])


def test_between_two_equal_grids_nothing_is_clipped(tmp_path: Path) -> None:
    """What lies on the first grid reaches the ends of the second and does not pass them."""
    zero = KINDS["bytes"]
    nodes = [
        *quantised(zero, "x", "a"),
        helper.make_node("Transpose", ["a"], ["t"], perm=[1, 0]),
        *quantised(zero, "t", "y"),
    ]
    graph = autodiff.gradient(ir.from_proto(model_of(nodes, (1, 4), **constants(zero))), of=["y"], wrt=["a"])
    feeds = {"x": np.array([[-9, 0.5, 1, 9]], np.float32), "seed/y": np.ones((4, 1), np.float32)}
    np.testing.assert_array_equal(session(graph, tmp_path / "o").run(["grad/a"], feeds)[0], [[1, 1, 1, 1]])


def signed_pairs(readers: int) -> ir.Model:
    nodes = [*quantised(np.int8(0), "x", "a"), *(helper.make_node("Neg", ["a"], [f"n{i}"]) for i in range(readers))]
    nodes.append(helper.make_node("Sum", [f"n{i}" for i in range(readers)], ["y"]))
    return ir.from_proto(model_of(nodes, (2, 3), **constants(np.int8(-8))))


def zero_points(model: ir.Model) -> list[int]:
    return [int(n.inputs[2].const_value.numpy()) for n in model.graph if "izeLinear" in n.op_type]  # type: ignore[union-attr]


def test_int8_becomes_bytes_without_a_change_of_value(tmp_path: Path) -> None:
    model = signed_pairs(readers=1)
    x = np.array([[-99, -1, -0.3], [0, 0.3, 99]], np.float32)
    before = session(ir.to_proto(model), tmp_path / "o").run(None, {"x": x})[0]
    write_unsigned(model.graph, "x86_64")
    assert zero_points(model) == [120, 120]
    np.testing.assert_array_equal(session(ir.to_proto(model), tmp_path / "o").run(None, {"x": x})[0], before)


@pytest.mark.parametrize(("readers", "machine"), [(2, "AMD64"), (1, "arm64"), (1, "aarch64")])
def test_int8_stays_where_the_runtime_leaves_it(readers: int, machine: str) -> None:
    """With two readers it computes in floats; on Arm it has kernels for int8."""
    model = signed_pairs(readers)
    write_unsigned(model.graph, machine)
    assert zero_points(model) == [-8, -8]
