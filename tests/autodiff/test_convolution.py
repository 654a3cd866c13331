"""Rules of convolutions against difference quotients."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from checker import Case, check, feeds_of, gradient_model, model_of, quotient, run_ort, run_reference
from onnx import helper

import onnxsal.autodiff as autodiff
from onnxsal.autodiff.rules.correlation import by_convolution, by_products
from onnxsal.autodiff.rules.windows import Window
from onnxsal.errors import UnsupportedError
from onnxsal.graph.program import empty

R = np.random.default_rng(2)


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def conv(x: tuple[int, ...], w: tuple[int, ...], symbolic: bool = False, **attributes: object) -> Case:
    """A convolution with a bias; group 3 has no room for a bias of one channel, so it follows from w."""
    return Case("Conv", [normal(*x), normal(*w), normal(w[0])], attributes, symbolic=symbolic)


def back(x: tuple[int, ...], w: tuple[int, ...], symbolic: bool = False, **attributes: object) -> Case:
    channels = w[1] * int(attributes.get("group", 1))  # type: ignore[call-overload]
    return Case("ConvTranspose", [normal(*x), normal(*w), normal(channels)], attributes, symbolic=symbolic)


CONV = [
    conv((2, 3, 7), (4, 3, 3)),
    conv((2, 3, 8), (4, 3, 3), strides=[3], pads=[2, 0]),
    conv((2, 3, 5, 6), (4, 3, 3, 3), pads=[1, 1, 1, 1]),
    conv((2, 3, 5, 6), (4, 3, 1, 1)),
    conv((2, 3, 5, 7), (4, 3, 1, 1), strides=[2, 2]),
    conv((2, 3, 6, 8), (4, 3, 1, 1), strides=[2, 2]),
    conv((2, 3, 8, 8), (4, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    conv((2, 3, 7, 9), (4, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    conv((2, 3, 8, 9), (4, 3, 3, 3), strides=[2, 2], pads=[0, 0, 1, 1]),
    conv((2, 3, 8, 8), (4, 3, 4, 4), strides=[4, 4]),
    conv((2, 3, 9, 10), (4, 3, 4, 4), strides=[4, 4]),
    conv((1, 3, 12, 13), (4, 3, 7, 7), strides=[2, 2], pads=[3, 3, 3, 3]),
    conv((2, 3, 9, 10), (4, 3, 3, 2), strides=[2, 3], dilations=[2, 1], pads=[1, 0, 2, 1]),
    conv((2, 3, 6, 6), (4, 3, 2, 2), pads=[2, 2, 2, 2]),
    conv((2, 3, 6, 6), (4, 3, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2]),
    conv((2, 4, 5, 5), (6, 2, 3, 3), group=2, pads=[1, 1, 1, 1]),
    conv((2, 4, 6, 5), (6, 2, 3, 3), group=2, pads=[1, 0, 1, 1], strides=[2, 1]),
    conv((2, 4, 6, 5), (6, 2, 1, 1), group=2),
    conv((2, 3, 6, 5), (3, 1, 3, 3), group=3, pads=[1, 1, 1, 1]),
    conv((2, 3, 6, 7), (3, 1, 3, 3), group=3, pads=[1, 1, 1, 1], strides=[2, 2]),
    conv((2, 3, 6, 7), (6, 1, 3, 3), group=3, pads=[1, 1, 1, 1]),
    conv((2, 3, 6, 7), (6, 1, 5, 5), group=3, pads=[2, 2, 2, 2], strides=[2, 2]),
    conv((2, 2, 4, 5, 4), (3, 2, 3, 2, 3), strides=[1, 2, 2], pads=[1, 0, 1, 0, 1, 1]),
    conv((2, 2, 4, 5, 4), (3, 2, 3, 3, 3), pads=[1, 1, 1, 1, 1, 1]),
    conv((2, 3, 7, 8), (4, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    conv((2, 3, 7, 8), (4, 3, 2, 2), auto_pad="SAME_LOWER"),
    conv((2, 3, 7, 8), (4, 3, 3, 3), auto_pad="VALID", strides=[2, 2]),
    conv((2, 3, 5, 6), (4, 3, 3, 3), symbolic=True, pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    conv((2, 3, 8, 9), (4, 3, 3, 3), symbolic=True, pads=[1, 1, 1, 1], kernel_shape=[3, 3], strides=[2, 2]),
    conv((2, 4, 8, 9), (4, 2, 3, 3), symbolic=True, group=2, kernel_shape=[3, 3], strides=[2, 3]),
    conv((2, 3, 8, 9), (4, 3, 3, 3), symbolic=True, auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[2, 2]),
    conv((2, 3, 7, 5), (4, 3, 2, 2), symbolic=True, auto_pad="SAME_LOWER", kernel_shape=[2, 2], strides=[3, 4]),
]

BACK = [
    back((2, 3, 5), (3, 4, 3)),
    back((2, 3, 5), (3, 4, 3), strides=[2], pads=[1, 0], output_padding=[1]),
    back((2, 3, 4, 5), (3, 4, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    back((2, 3, 4, 5), (3, 4, 2, 2), strides=[2, 2]),
    back((2, 4, 4, 5), (4, 3, 3, 3), group=2, strides=[1, 2], dilations=[2, 1], pads=[0, 1, 2, 0]),
    back((2, 3, 4, 5), (3, 1, 3, 3), group=3),
    back((1, 2, 3, 3, 4), (2, 3, 2, 3, 2), strides=[2, 1, 2]),
    back((2, 3, 4, 5), (3, 4, 3, 3), strides=[3, 2], output_shape=[10, 9]),
    back((2, 3, 4, 5), (3, 4, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    back((2, 3, 4, 5), (3, 4, 3, 3), symbolic=True, kernel_shape=[3, 3], strides=[2, 2], output_padding=[1, 1]),
]


@pytest.mark.parametrize("case", CONV, ids=str)
def test_conv(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", BACK, ids=str)
def test_conv_transpose(case: Case) -> None:
    check(case)


def test_conv_without_bias() -> None:
    check(Case("Conv", [normal(1, 2, 5, 5), normal(3, 2, 3, 3)]))


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("sizes", [(10, 8), (11, 8), (8, 6)], ids=str)
def test_an_output_of_given_sizes(auto_pad: str, sizes: tuple[int, int]) -> None:
    """Linear in x and in w; onnx's evaluator gives such an output too few rows."""
    case = back((2, 2, 3, 3), (2, 3, 3, 3), strides=[3, 2], output_shape=list(sizes), auto_pad=auto_pad)
    rng = np.random.default_rng(0)
    model, feeds = model_of(case, np.dtype(np.float32)), feeds_of(case, np.dtype(np.float32))
    feeds["x2"] = np.zeros_like(feeds["x2"])
    u = rng.normal(size=(2, 3, *sizes)).astype(np.float32)
    found = run_ort(gradient_model(model, ["y0"], ["x0", "x1"]), {**feeds, "seed/y0": u})
    for name in ("x0", "x1"):
        v = rng.normal(size=feeds[name].shape).astype(np.float32)
        slope = (u * run_ort(model, {**feeds, name: v})["y0"]).sum()
        assert (found[f"grad/{name}"] * v).sum() == pytest.approx(slope, rel=1e-4, abs=1e-3)


WINDOWS = [
    Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1)),
    Window((3, 2), (2, 3), (2, 1), (1, 0), (2, 1)),
    Window((1, 1), (1, 1), (1, 1), (1, 0), (0, 2)),
    Window((1, 1), (2, 3), (1, 1), (0, 0), (0, 0)),
    Window((3, 1), (1, 1), (3, 1), (-1, 2), (2, 0)),
]


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: f"{w.kernel} {w.strides} {w.dilations} {w.pads}")
@pytest.mark.parametrize("known", [True, False], ids=["known", "measured at run time"])
def test_both_ways_to_a_weights_gradient_agree(window: Window, known: bool) -> None:
    x, op = normal(2, 3, 9, 11).astype(np.float32), empty(21)
    padded = [n + sum(p) for n, *p in zip(x.shape[2:], window.begin, window.end, strict=True)]
    out = [(n - e) // s + 1 for n, e, s in zip(padded, window.extents, window.strides, strict=True)]
    feeds = {"x": x, "g": normal(2, 4, *out).astype(np.float32)}
    sizes = {name: value.shape if known else [*value.shape[:2], None, None] for name, value in feeds.items()}
    images, kernels = (op.input(name, ir.DataType.FLOAT, shape) for name, shape in sizes.items())
    found = run_ort(
        op.finish(
            products=by_products(op, images, kernels, window),
            convolution=by_convolution(op, images, kernels, window, 1),
        ).to_proto(),
        feeds,
    )
    assert found["products"].shape == (4, 3, *window.kernel)
    np.testing.assert_allclose(found["products"], found["convolution"], atol=2e-5)


@pytest.mark.parametrize(
    ("w", "attributes", "products"),
    [
        ((4, 4, 1, 1), {}, 1),
        ((4, 4, 1, 1), {"strides": [2, 2]}, 1),
        ((4, 4, 3, 3), {"pads": [1, 1, 1, 1]}, 9),
        ((4, 4, 3, 3), {"strides": [2, 2]}, 0),
        ((4, 4, 7, 7), {"pads": [3, 3, 3, 3]}, 0),
        ((4, 1, 3, 3), {"group": 4}, 0),
    ],
    ids=str,
)
def test_a_weights_gradient_is_written_as_what_runs_fastest(w: tuple, attributes: dict, products: int) -> None:
    graph = gradient_model(model_of(conv((2, 4, 8, 8), w, **attributes), np.dtype(np.float32)), ["y0"], ["x1"])
    operators = [node.op_type for node in graph.graph.node]
    assert operators.count("MatMul") == products
    assert operators.count("Conv") == (1 if products else 2)


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("gate", ["HardSigmoid", "Relu"])
def test_weights_of_a_convolution_that_two_read(op_type: str, gate: str) -> None:
    """What two consumers say is added up, and the sum is of a shape that the rule of the weights has to know."""
    rng = np.random.default_rng(5)
    nodes = [
        helper.make_node(op_type, ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node(gate, ["c"], ["k"]),
        helper.make_node("Mul", ["c", "k"], ["y"]),
    ]
    shapes = {"x": ["batch", 2, 5, 4], "w": [2, 2, 3, 3], "b": [2]}
    inputs = [helper.make_tensor_value_info(n, onnx.TensorProto.DOUBLE, s) for n, s in shapes.items()]
    y = helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)
    graph = helper.make_graph(nodes, "shared", inputs, [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    feeds = {n: rng.normal(size=[2 if d == "batch" else d for d in s]) for n, s in shapes.items()}
    seeds = {"y": rng.normal(size=run_reference(model, feeds)["y"].shape)}
    got = run_reference(
        autodiff.gradient(ir.from_proto(model), of=["y"], wrt=list(shapes)), feeds | {"seed/y": seeds["y"]}
    )
    for name, value in feeds.items():
        direction = {name: rng.normal(size=value.shape)}
        slope = quotient(model, feeds, seeds, direction, 1e-6)
        assert float((got[f"grad/{name}"] * direction[name]).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_an_output_shape_of_an_unknown_picture_is_refused_by_name() -> None:
    """The pads follow from sizes that are not known; none are wrong ones."""
    attributes = {"strides": [2, 3], "output_shape": [8, 7], "kernel_shape": [3, 2]}
    case = Case("ConvTranspose", [normal(1, 2, 4, 3), normal(2, 2, 3, 2)], attributes, symbolic=True, note="named")
    with pytest.raises(
        UnsupportedError, match=r"ConvTranspose .* has an output_shape and a picture whose size is known"
    ):
        autodiff.gradient(ir.from_proto(model_of(case, np.dtype(np.float32))), of=["y0"], wrt=["x0"])
