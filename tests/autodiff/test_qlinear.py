"""Integer operators: their gradients are those of the float operator between QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from checker import run_ort
from onnx import helper, numpy_helper
from onnxruntime import quantization

import onnxsal.autodiff as autodiff
from onnxsal.autodiff.contrib import MICROSOFT
from onnxsal.errors import UnsupportedError

ZOO = Path(__file__).resolve().parent.parent / "data" / "zoo"
R = np.random.default_rng(11)


def grid(zero: int, scale: float = 0.05) -> list[np.ndarray]:
    return [np.array(scale, np.float32), np.array(zero, np.uint8)]


def weight(*shape: int) -> np.ndarray:
    return R.integers(-90, 90, shape).astype(np.int8)


@dataclass(frozen=True)
class Pair:
    """An integer operator on quantised inputs and constants, and the float operator that it stands for."""

    name: str
    plain: str
    shapes: list[tuple[int, ...]]
    constants: list[list[np.ndarray]] = field(default_factory=list)
    """Quantised weights, each with scale and zero point."""
    attributes: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    """Attributes that only the integer operator has."""
    domain: str = MICROSOFT
    result: int = 120
    axis: int = 0
    scale: float = 0.02


S = np.float32
COLUMNS = np.array([0.01, 0.02, 0.015, 0.03], S)
PAIRS = [
    Pair("QLinearConv", "Conv", [(2, 3, 6, 5)], [[weight(4, 3, 3, 3), COLUMNS, np.zeros(4, np.int8)]],
         {"pads": [1, 0, 1, 2], "strides": [2, 1]}, domain="", scale=0.2),
    Pair("QLinearConv", "Conv", [(2, 4, 6, 5)], [[weight(4, 1, 3, 3), S(0.03), np.int8(3)]], {"group": 4}, domain="",
         result=0, scale=0.2),
    Pair("QLinearMatMul", "MatMul", [(2, 3, 4)], [[weight(4, 5), S(0.02), np.int8(-4)]], domain=""),
    Pair("QLinearMatMul", "MatMul", [(2, 3, 4), (2, 4, 5)], domain="", scale=0.1),
    Pair("QGemm", "Gemm", [(3, 4)], [[weight(5, 4), S(0.01), np.int8(0)]], {"transB": 1, "alpha": 0.5}),
    Pair("QLinearAdd", "Add", [(2, 3, 4), (3, 1)], scale=0.04),
    Pair("QLinearMul", "Mul", [(2, 3, 4), (3, 4)], scale=0.04),
    Pair("QLinearSigmoid", "Sigmoid", [(3, 40)], result=0, scale=1 / 255),
    Pair("QLinearLeakyRelu", "LeakyRelu", [(3, 40)], attributes={"alpha": 0.2}),
    Pair("QLinearSoftmax", "Softmax", [(3, 8)], own={"opset": 13}, attributes={"axis": -1}, result=0, scale=1 / 255),
    Pair("QLinearGlobalAveragePool", "GlobalAveragePool", [(2, 3, 4, 5)], own={"channels_last": 0}),
    Pair("QLinearAveragePool", "AveragePool", [(2, 3, 6, 5)], attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1],
         "strides": [2, 2], "count_include_pad": 1}),
    Pair("QLinearConcat", "Concat", [(2, 3), (2, 5)], attributes={"axis": 1}, scale=0.04),
]  # fmt: skip


def both(pair: Pair) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the integer model and the one of QuantizeLinear and DequantizeLinear, from float to float."""
    constants: dict[str, np.ndarray] = {"ys": S(pair.scale), "yz": np.uint8(pair.result)}
    before, operands, floats, weights = [], [], [], []
    for i in range(len(pair.shapes)):
        constants[f"s{i}"], constants[f"z{i}"] = grid(100 + 20 * i, 0.02 + 0.01 * i)
        before.append(helper.make_node("QuantizeLinear", [f"x{i}", f"s{i}", f"z{i}"], [f"q{i}"]))
        weights.append(helper.make_node("DequantizeLinear", [f"q{i}", f"s{i}", f"z{i}"], [f"f{i}"]))
        operands.append([f"q{i}", f"s{i}", f"z{i}"])
        floats.append(f"f{i}")
    for i, arrays in enumerate(pair.constants):
        names = [f"w{i}", f"ws{i}", f"wz{i}"]
        constants.update(zip(names, map(np.asarray, arrays), strict=True))
        weights.append(helper.make_node("DequantizeLinear", names, [f"v{i}"], axis=0))
        operands.append(names)
        floats.append(f"v{i}")
    flat = [name for names in operands for name in names]
    inputs = (
        ["ys", "yz", *flat]
        if pair.name == "QLinearConcat"
        else [*flat, *([""] if pair.name == "QGemm" else []), "ys", "yz"]
    )
    integer = helper.make_node(pair.name, inputs, ["q"], domain=pair.domain, **pair.attributes, **pair.own)
    plain = [
        helper.make_node(pair.plain, floats, ["y0"], **pair.attributes),
        helper.make_node("QuantizeLinear", ["y0", "ys", "yz"], ["q"]),
    ]
    last = helper.make_node("DequantizeLinear", ["q", "ys", "yz"], ["y"])
    return tuple(_model(pair, [*before, *nodes, last], constants) for nodes in ([integer], [*weights, *plain]))  # type: ignore[return-value]


def _model(pair: Pair, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    used = {name for node in nodes for name in node.input}
    inputs = [helper.make_tensor_value_info(f"x{i}", 1, shape) for i, shape in enumerate(pair.shapes)]
    arrays = [numpy_helper.from_array(np.asarray(a), k) for k, a in constants.items() if k in used]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", 1, None)], arrays)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p.name}-{p.shapes}".replace(" ", ""))
def test_as_between_quantise_and_dequantise(pair: Pair) -> None:
    integer, plain = both(pair)
    feeds = {f"x{i}": R.normal(size=shape).astype(np.float32) * 1.5 for i, shape in enumerate(pair.shapes)}
    y = run_ort(integer, feeds)["y"]
    seed = {"seed/y": R.normal(size=y.shape).astype(np.float32)}
    graphs = [autodiff.gradient(ir.from_proto(m), of=["y"], wrt=list(feeds)) for m in (integer, plain)]
    found, wanted = (run_ort(graph, {**feeds, **seed}) for graph in graphs)
    np.testing.assert_array_equal(found["y"], y)
    assert [n.op_type for n in graphs[0].graph.node].count(pair.name) == 1
    for name in feeds:
        g, h = found[f"grad/{name}"], wanted[f"grad/{name}"]
        assert g.shape == feeds[name].shape
        assert np.abs(h).max() > 0
        # one step of rounding may lie on the other side of a range's end
        np.testing.assert_allclose(g, h, rtol=2e-2, atol=2e-2 * float(np.abs(h).max()))


INTEGER = """<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]> g (float[1, 8] x) => (float[1, 8] y)
    <float s = {0.05}, uint8 z = {128}, float t = {0.00392156862745098}, float v = {0.1}, uint8 o = {0},
    uint8 a = {255}>
    { q = QuantizeLinear(x, s, z) p = com.microsoft.%s y = DequantizeLinear(p, %s) }"""


@pytest.mark.parametrize(("operator", "grid", "x", "slope"), [
    ("QLinearSigmoid(q, s, z, t, o)", "t, o", [-6.4, 6.35], lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    ("QLinearSigmoid(q, s, z, t, a)", "t, a", [-6.4, -6.0], np.zeros_like),
    ("QLinearLeakyRelu <alpha = 0.2> (q, s, z, s, z)", "s, z", [-6.4, 6.35], lambda x: np.where(x > 0, 1, 0.2)),
    ("QLinearLeakyRelu <alpha = 1.0> (q, s, z, v, o)", "v, o", [-6.4, 6.35], lambda x: x > 0.06),
    ("QLinearConcat <axis = 1> (s, z, q, s, z)", "s, z", [-6.4, 6.35], np.ones_like),
])  # fmt: skip
def test_an_end_that_the_operator_cannot_pass_clips_nothing(
    operator: str, grid: str, x: list[float], slope: Any
) -> None:
    """Both end bins of a result pass where the numbers of its operands cannot lie beyond; elsewhere neither does."""
    model = onnx.parser.parse_model(INTEGER % (operator, grid))
    given = np.linspace(*x, 8, dtype=np.float32)[None]
    rounded = np.rint(given / 0.05) * 0.05
    graph = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"])
    found = run_ort(graph, {"x": given, "seed/y": np.ones((1, 8), np.float32)})["grad/x"]
    np.testing.assert_allclose(found, slope(rounded), atol=1e-6)


def test_pads_that_follow_from_the_size_of_an_unknown_picture() -> None:
    """The standard has ``auto_pad`` or ``pads``; with both a file does not load."""
    pair = Pair("QLinearConv", "Conv", [(2, 3, 6, 5)], [[weight(4, 3, 3, 3), COLUMNS, np.zeros(4, np.int8)]],
                {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, domain="", scale=0.2)  # fmt: skip
    models = both(pair)
    for model in models:
        for axis, name in enumerate(("batch", None, "height", "width")):
            if name is not None:
                model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    feeds = {"x0": R.normal(size=(2, 3, 6, 5)).astype(np.float32)}
    seed = {"seed/y": R.normal(size=run_ort(models[0], feeds)["y"].shape).astype(np.float32)}
    graphs = [autodiff.gradient(ir.from_proto(m), of=["y"], wrt=["x0"]) for m in models]
    found, wanted = (run_ort(graph, {**feeds, **seed})["grad/x0"] for graph in graphs)
    np.testing.assert_allclose(found, wanted, rtol=2e-2, atol=2e-2 * float(np.abs(wanted).max()))


class Images(quantization.CalibrationDataReader):
    """Random pictures, one a batch."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(3)
        self._batches = iter([{"x": rng.normal(size=(1, *shape)).astype(np.float32)} for _ in range(8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def gradient_of(model: onnx.ModelProto, x: np.ndarray, u: np.ndarray, last_bits: float = 0.0) -> np.ndarray:
    graph = autodiff.gradient(ir.from_proto(model), of=["logits"], wrt=["x"])
    results = run_ort(graph, {"x": x, "seed/logits": u})
    np.testing.assert_allclose(results["logits"], run_ort(model, {"x": x})["logits"], rtol=0, atol=last_bits)
    return results["grad/x"]


@pytest.mark.parametrize("name", ["resnet_basic", "mobilenet_v2"])
def test_what_the_static_quantiser_writes(name: str, tmp_path: Path) -> None:
    """In both of its formats the same integers: the same gradient, and the forward bit for bit."""
    example = np.load(ZOO / f"{name}.npz")
    x, u = example["x"].astype(np.float32), R.normal(size=example["logits"].shape).astype(np.float32)
    found = {}
    for form in (quantization.QuantFormat.QDQ, quantization.QuantFormat.QOperator):
        quantization.quantize_static(
            str(ZOO / f"{name}.onnx"), str(tmp_path / "q.onnx"), Images(x.shape[1:]), quant_format=form,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
        model = onnx.load(tmp_path / "q.onnx")
        found[form.name] = gradient_of(model, x, u)
    assert Counter(n.op_type for n in model.graph.node)["QLinearConv"] > 10
    size = float(np.abs(found["QDQ"]).max())
    np.testing.assert_allclose(found["QOperator"], found["QDQ"], rtol=1e-3, atol=1e-4 * size)


@pytest.mark.parametrize("outputs", ["p", "p, places"])
def test_the_first_of_equal_bytes_is_the_largest(outputs: str) -> None:
    """Of a window of zeros too, as Relu leaves many: in whole numbers as in the numbers that they stand for."""
    head = '<ir_version: 8, opset_import: ["" : 17]> g (float[n, 1, h, w] x) => (float[n, 1, i, j] logits)'
    pool = "MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>"
    text = f"<float s = {{1}}, uint8 z = {{0}}> {{ q = QuantizeLinear (x, s, z) {outputs} = {pool} (q)"
    bytes_ = onnx.parser.parse_model(f"{head} {text} logits = DequantizeLinear (p, s, z) }}")
    x, u = np.zeros((1, 1, 4, 6), np.float32), np.arange(1, 7, dtype=np.float32).reshape(1, 1, 2, 3)
    x[..., 4:] = [[0, 2]]
    found, wanted = (
        gradient_of(m, x, u) for m in (bytes_, onnx.parser.parse_model(f"{head} {{ logits = {pool} (x) }}"))
    )
    np.testing.assert_array_equal(found, wanted)


def linear(node: str, w: np.ndarray, shape: tuple[int, ...], **attributes: Any) -> onnx.ModelProto:
    nodes = [helper.make_node(node, ["x", "w"], ["logits"], **attributes)]
    inputs = [helper.make_tensor_value_info("x", 1, shape)]
    outputs = [helper.make_tensor_value_info("logits", 1, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(w, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("optimised", [False, True], ids=["written", "optimised"])
@pytest.mark.parametrize(
    ("node", "shape", "kind"),  # ConvInteger of int8 weights the runtime's CPU provider has not
    [("MatMul", (2, 3, 8), "QInt8"), ("MatMul", (2, 3, 8), "QUInt8"), ("Conv", (2, 8, 5, 5), "QUInt8")],
)
def test_what_the_dynamic_quantiser_writes(
    node: str, shape: tuple[int, ...], kind: str, optimised: bool, tmp_path: Path
) -> None:
    """Of a linear operator the gradient is the weight's, as its integers have it, whatever the picture."""
    w = R.normal(size=(8, 4) if node == "MatMul" else (4, 8, 3, 3)).astype(np.float32)
    onnx.save(linear(node, w, shape), tmp_path / "f.onnx")
    chosen = getattr(quantization.QuantType, kind)
    quantization.quantize_dynamic(str(tmp_path / "f.onnx"), str(tmp_path / "q.onnx"), weight_type=chosen)
    model = onnx.load(tmp_path / "q.onnx")
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    exact = (arrays["w_quantized"].astype(np.float32) - arrays["w_zero_point"]) * arrays["w_scale"]
    if optimised:
        model = optimise(tmp_path / "q.onnx", tmp_path / "o.onnx")
    x = R.normal(size=shape).astype(np.float32)
    u = R.normal(size=run_ort(model, {"x": x})["logits"].shape).astype(np.float32)
    graph = autodiff.gradient(ir.from_proto(linear(node, exact, shape)), of=["logits"], wrt=["x"])
    wanted = run_ort(graph, {"x": x, "seed/logits": u})["grad/x"]
    np.testing.assert_allclose(gradient_of(model, x, u), wanted, rtol=1e-4, atol=1e-4)


def attending(weight: np.ndarray) -> onnx.ModelProto:
    arrays = {"w": weight, "b": np.linspace(-1, 1, 48, dtype=np.float32)}
    node = helper.make_node("Attention", ["x", *arrays], ["logits"], domain=MICROSOFT, num_heads=2)
    inputs, outputs = (helper.make_tensor_value_info(name, 1, (2, 5, 16)) for name in ("x", "logits"))
    constants = [numpy_helper.from_array(a, name) for name, a in arrays.items()]
    graph = helper.make_graph([node], "g", [inputs], [outputs], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_quantised_attention(tmp_path: Path) -> None:
    """Against the float operator with the weights that the integers stand for; the picture is rounded, to 1 in 255."""
    rng = np.random.default_rng(4)
    onnx.save(attending(rng.normal(size=(16, 48)).astype(np.float32) * 0.4), tmp_path / "f.onnx")
    quantization.quantize_dynamic(str(tmp_path / "f.onnx"), str(tmp_path / "q.onnx"))
    model = onnx.load(tmp_path / "q.onnx")
    assert "QAttention" in {n.op_type for n in model.graph.node}
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    exact = (arrays["w_quantized"].astype(np.float32) - arrays["w_zero_point"]) * arrays["w_scale"]
    x, u = rng.normal(size=(2, 2, 5, 16)).astype(np.float32)
    # The parts of attention are other kernels than its own, which add in another order in some versions of the runtime.
    found, wanted = (gradient_of(m, x, u, last_bits=2e-6) for m in (model, attending(exact)))
    np.testing.assert_allclose(found, wanted, atol=0.02 * float(np.abs(wanted).max()))


def optimise(source: Path, target: Path) -> onnx.ModelProto:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = str(target), 4
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return onnx.load(target)


def test_channels_last_is_refused_by_name() -> None:
    pair = next(p for p in PAIRS if p.name == "QLinearGlobalAveragePool")
    integer, _ = both(pair)
    next(n for n in integer.graph.node if n.op_type == pair.name).attribute[0].i = 1
    with pytest.raises(UnsupportedError, match="channels last"):
        autodiff.gradient(ir.from_proto(integer), of=["y"], wrt=["x0"])


def test_cutting_off_to_integers_is_a_step() -> None:
    head = '<ir_version: 10, opset_import: ["" : 21]> g (float[4] x) => (float[4] y) '
    model = onnx.parser.parse_model(head + "{ q = Cast <to = 2> (x) f = Cast <to = 1> (q) y = Mul (f, x) }")
    x, u = np.array([1.5, 2.2, 3.9, 0.1], np.float32), np.ones(4, np.float32)
    graph = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"])
    np.testing.assert_allclose(run_ort(graph, {"x": x, "seed/y": u})["grad/x"], [1, 2, 3, 0])
