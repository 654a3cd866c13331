"""Gates between convolutions: exactly the derivative, whichever form is written, and twice differentiable."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from checker import run_ort, run_reference
from onnx import helper, numpy_helper

import onnxsal.autodiff as autodiff

R = np.random.default_rng(8)
W = (R.normal(size=(16, 3, 3, 3)) / 3).astype(np.float32)
V = (R.normal(size=(16, 16, 1, 1)) / 4).astype(np.float32)
ACTIVATIONS = {
    "Relu": [helper.make_node("Relu", ["c"], ["r"])],
    "Clip": [helper.make_node("Clip", ["c", "lo", "hi"], ["r"])],
    "Silu": [helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Mul", ["c", "s"], ["r"])],
}
GELU = {
    "divided": [helper.make_node("Div", ["c", "root"], ["u"]), ("Add", ["e", "one"]), ("Mul", ["c", "a"])],
    "multiplied": [helper.make_node("Mul", ["unroot", "c"], ["u"]), ("Add", ["one", "e"]), ("Mul", ["a", "c"])],
}


def net(name: str, dtype: type = np.float32) -> onnx.ModelProto:
    """Conv, activation, Conv, both wide enough to be blocked; the batch is symbolic."""
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        *ACTIVATIONS[name],
        helper.make_node("Conv", ["r", "v"], ["y"]),
    ]
    constants = {"w": W, "v": V, "lo": np.array(-0.25), "hi": np.array(0.5)}
    x = helper.make_tensor_value_info("x", elem, ["batch", 3, 6, 6])
    y = helper.make_tensor_value_info("y", elem, ["batch", 16, 6, 6])
    weights = [numpy_helper.from_array(v.astype(dtype), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def slope(name: str, c: np.ndarray) -> np.ndarray:
    s = 1 / (1 + np.exp(-c))
    return {"Relu": c > 0, "Clip": (c > -0.25) & (c < 0.5), "Silu": s * (1 + c * (1 - s))}[name].astype(float)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_gate_between_convolutions(name: str) -> None:
    """The gradient at the first convolution's output is the one behind the activation times its slope."""
    graph = autodiff.gradient(ir.from_proto(net(name)), of=["y"], wrt=["c", "r"])
    x, seed = (R.normal(size=s).astype(np.float32) for s in ((2, 3, 6, 6), (2, 16, 6, 6)))
    got = run_ort(graph, {"x": x, "seed/y": seed})
    c = autodiff_free(net(name), x)
    np.testing.assert_allclose(got["grad/c"], got["grad/r"] * slope(name, c), rtol=1e-5, atol=1e-6)
    assert sum(n.op_type in ("Greater", "Less", "Where") for n in graph.graph.node) == 0


def autodiff_free(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Return the first convolution's output."""
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name="c"))
    return run_reference(model, {"x": x})["c"]


@pytest.mark.parametrize("value", [0.0, 1e-38, 1e-30, -1e-38, 3e38, np.nextafter(np.float32(0.5), 0), 0.5, -0.25])
def test_masks_are_exact(value: float) -> None:
    """Values next to a bound, at it and at both ends of the type: the mask is exactly 0 or 1."""
    for name, wanted in (("Relu", value > 0), ("Clip", -0.25 < value < 0.5)):
        model = net(name)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(unit_weight(), "w"))
        graph = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["c", "r"])
        x = np.full((1, 3, 6, 6), value, np.float32)
        got = run_ort(graph, {"x": x, "seed/y": np.ones((1, 16, 6, 6), np.float32)})
        np.testing.assert_array_equal(got["grad/c"], got["grad/r"] * float(wanted))


def unit_weight() -> np.ndarray:
    """A kernel that copies the first channel."""
    w = np.zeros_like(W)
    w[:, 0, 1, 1] = 1
    return w


def test_sigmoid_of_a_silu_may_be_asked_for() -> None:
    """The step over both nodes is not taken where the value between them is wanted."""
    graph = autodiff.gradient(ir.from_proto(net("Silu")), of=["y"], wrt=["s", "r", "c"])
    x, seed = (R.normal(size=s).astype(np.float32) for s in ((1, 3, 6, 6), (1, 16, 6, 6)))
    got = run_ort(graph, {"x": x, "seed/y": seed})
    c = autodiff_free(net("Silu"), x)
    np.testing.assert_allclose(got["grad/s"], got["grad/r"] * c, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got["grad/c"], got["grad/r"] * slope("Silu", c), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_second_derivative(name: str) -> None:
    """<v, H u> of <seed, y> by a gradient of the gradient equals a difference of gradients, in float32."""
    first = autodiff.gradient(ir.from_proto(net(name)), of=["y"], wrt=["x"])
    second = autodiff.gradient(ir.from_proto(first), of=["grad/x"], wrt=["x"])
    x, v = (R.normal(size=(1, 3, 6, 6)).astype(np.float32) for _ in range(2))
    feeds = {"x": x, "seed/y": R.normal(size=(1, 16, 6, 6)).astype(np.float32)}
    product = run_ort(second, {**feeds, "seed/grad/x": v})["grad/x"]
    ends = [run_ort(first, {**feeds, "x": x + s * np.float32(1e-2) * v})["grad/x"] for s in (1, -1)]
    if name != "Silu":
        assert not product.any()
    else:
        np.testing.assert_allclose(product, (ends[0] - ends[1]) / 2e-2, rtol=2e-2, atol=5e-3)


def gelu_net(form: str) -> onnx.ModelProto:
    """The exact Gelu as exporters write it out, 0.5 c (1 + erf(c / sqrt 2)), in float64."""
    scaled, (_, added), (_, gated) = GELU[form]
    nodes = [
        scaled,
        helper.make_node("Erf", ["u"], ["e"]),
        helper.make_node("Add", added, ["a"]),
        helper.make_node("Mul", gated, ["p"]),
        helper.make_node("Mul", ["p", "half"], ["y"]),
    ]
    constants = {"root": np.sqrt(2.0), "unroot": np.sqrt(0.5), "one": np.array(1.0), "half": np.array(0.5)}
    c, y = (helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, ["n", 5]) for name in ("c", "y"))
    weights = [numpy_helper.from_array(np.asarray(v, np.float64), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "gelu", [c], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("form", list(GELU))
def test_gelu_written_out_is_one_step(form: str) -> None:
    """Phi(c) + c phi(c); nothing between c and the product is read, unless it is asked for."""
    c = R.normal(size=(3, 5)) * 2
    phi = np.exp(-(c**2) / 2) / np.sqrt(2 * np.pi)
    cdf = np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(c)
    graph = autodiff.gradient(ir.from_proto(gelu_net(form)), of=["y"], wrt=["c"])
    feeds = {"c": c, "seed/y": np.ones_like(c)}
    np.testing.assert_allclose(run_reference(graph, feeds)["grad/c"], cdf + c * phi, rtol=1e-12, atol=1e-14)
    own = {"u", "e", "a", "p"}
    assert not any(own & set(n.input) for n in graph.graph.node if not own & set(n.output) and "y" not in n.output)
    asked = autodiff.gradient(ir.from_proto(gelu_net(form)), of=["y"], wrt=["c", "e"])
    got = run_reference(asked, feeds)
    np.testing.assert_allclose(got["grad/c"], cdf + c * phi, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(got["grad/e"], c / 2, rtol=1e-12)


def branch_weight(number: int, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.random.default_rng(number).normal(size=W.shape).astype(np.float32), name)


def branches(kinds: tuple[str, ...]) -> onnx.ModelProto:
    """The sum of branches Conv, maybe Relu, MaxPool of one picture, each with weights of its own."""
    nodes, weights, ends = [], [], []
    for i, kind in enumerate(kinds):
        nodes.append(helper.make_node("Conv", ["x", f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        if kind == "relu":
            nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        source = f"r{i}" if kind == "relu" else f"c{i}"
        nodes.append(helper.make_node("MaxPool", [source], [f"p{i}"], kernel_shape=[3, 3], strides=[2, 2]))
        weights.append(branch_weight(i, f"w{i}"))
        ends.append(f"p{i}")
    nodes.append(helper.make_node("Sum", ends, ["y"]))
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3, 7, 7])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 16, 3, 3])
    graph = helper.make_graph(nodes, "branches", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("kinds", [("relu", "relu"), ("", "relu"), ("relu", ""), ("relu", "relu", "relu")])
def test_pooled_branches_that_are_added(kinds: tuple[str, ...]) -> None:
    """What one branch takes out of the graph another one may have shared; a sum's gradient is the branches' own."""
    x, seed = (R.normal(size=s).astype(np.float32) for s in ((2, 3, 7, 7), (2, 16, 3, 3)))
    feeds = {"x": x, "seed/y": seed}
    together = run_ort(autodiff.gradient(ir.from_proto(branches(kinds)), of=["y"], wrt=["x"]), feeds)["grad/x"]
    alone = []
    for i, kind in enumerate(kinds):
        model = branches((kind,))
        model.graph.initializer[0].CopyFrom(branch_weight(i, "w0"))
        alone.append(run_ort(autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"]), feeds)["grad/x"])
    np.testing.assert_allclose(together, np.sum(alone, axis=0), rtol=1e-4, atol=1e-5)
