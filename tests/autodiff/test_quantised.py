"""Rules of quantisation: hand-made slopes, and the deployed int8 models, whose forward must stay as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

import onnxsal.autodiff as autodiff

F32, U8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
X = np.array([[-9.0, -1.0, -0.04, 0.0, 0.3, 2.0, 5.0, 6.0, 7.5, 40.0]], np.float32)


def arrays(**values: np.ndarray) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(v, k) for k, v in values.items()]


def model(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], shape: list[int]) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", F32, shape)
    y = helper.make_tensor_value_info("y", F32, None)
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    )


def session(proto: onnx.ModelProto, optimised: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def slope(proto: onnx.ModelProto, x: np.ndarray = X) -> np.ndarray:
    """Return the gradient of sum(y), seeded with ones."""
    graph = autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"])
    run = session(graph)
    seed = next(i for i in run.get_inputs() if i.name == "seed/y")
    ones = np.ones([d if isinstance(d, int) else 1 for d in seed.shape], np.float32)
    return run.run(["grad/x"], {"x": x, "seed/y": ones})[0]


def pair(middle: list[onnx.NodeProto] | None = None, before: str | None = None, **constants: np.ndarray):
    first = [helper.make_node(before, ["x", *(k for k in ("lo", "hi") if k in constants)], ["c"])] if before else []
    q = helper.make_node("QuantizeLinear", ["c" if before else "x", "s", "z"], ["q"])
    last = "m" if middle else "q"
    names = ["s2", "z"] if "s2" in constants else ["s", "z"]
    nodes = [*first, q, *(middle or []), helper.make_node("DequantizeLinear", [last, *names], ["y"])]
    return model(nodes, arrays(**constants), list(X.shape))


def test_clips_outside_the_range() -> None:
    """Scale 0.1, zero point 10: -9 and 40 are outside, -1 is the first step itself, as black is that of a picture."""
    got = slope(pair(s=np.float32(0.1), z=np.uint8(10)))
    np.testing.assert_array_equal(got, [[0, 1, 1, 1, 1, 1, 1, 1, 1, 0]])


def test_relu_in_front_is_read_behind_quantisation() -> None:
    """What rounds to the zero point is gated, as a Relu's zero is."""
    got = slope(pair(before="Relu", s=np.float32(0.1), z=np.uint8(10)))
    np.testing.assert_array_equal(got, [[0, 0, 0, 0, 1, 1, 1, 1, 1, 0]])


def test_clip_tighter_than_the_range_sets_the_thresholds() -> None:
    got = slope(pair(before="Clip", s=np.float32(0.1), z=np.uint8(0), lo=np.float32(0), hi=np.float32(6)))
    np.testing.assert_array_equal(got, [[0, 0, 0, 0, 1, 1, 1, 0, 0, 0]])


def test_different_scales_multiply_the_slope() -> None:
    """The same steps read with twice the scale are twice the value, also behind an operator on integers."""
    middle = [helper.make_node("Reshape", ["q", "shape"], ["m"])]
    got = slope(pair(middle, s=np.float32(0.1), s2=np.float32(0.2), z=np.uint8(10), shape=np.array([2, 5])))
    np.testing.assert_allclose(got, [[0, 2, 2, 2, 2, 2, 2, 2, 2, 0]])


def test_equal_scales_behind_an_operator_on_integers() -> None:
    middle = [helper.make_node("Reshape", ["q", "shape"], ["m"])]
    got = slope(pair(middle, s=np.float32(0.1), z=np.uint8(10), shape=np.array([5, 2])))
    np.testing.assert_allclose(got, [[0, 1, 1, 1, 1, 1, 1, 1, 1, 0]])


def test_re_entry_passes_everything() -> None:
    proto = pair(s=np.float32(0.1), z=np.uint8(10))
    node = next(n for n in proto.graph.node if n.op_type == "QuantizeLinear")
    node.metadata_props.add(key="sal.straight_through", value="1")
    np.testing.assert_array_equal(slope(proto), np.ones_like(X))


def test_scale_of_one_entry_per_channel() -> None:
    """Each channel clips where its own scale puts the end of the range."""
    x = np.array([[[5.0], [5.0]]], np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=1),
    ]
    constants = arrays(s=np.array([0.01, 1], np.float32), z=np.array([0, 0], np.uint8))
    np.testing.assert_array_equal(slope(model(nodes, constants, [1, 2, 1]), x), [[[0], [1]]])


@pytest.mark.parametrize("axis", [None, 0])
def test_backward_weight_of_int8_convolution_is_folded(axis: int | None, tmp_path: Path) -> None:
    """The gradient equals that of the float convolution, and no Cast or Mul of weights is left when it runs."""
    rng = np.random.default_rng(5)
    w = rng.integers(-127, 127, size=(4, 3, 3, 3)).astype(np.int8)
    scale = np.float32(0.02) if axis is None else np.array([0.01, 0.02, 0.03, 0.04], np.float32)
    zero = np.int8(3) if axis is None else np.array([0, 1, 2, 3], np.int8)
    extra = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"], **extra),
        helper.make_node("Conv", ["x", "f"], ["y"], pads=[1, 1, 1, 1]),
    ]
    x = rng.normal(size=(1, 3, 6, 6)).astype(np.float32)
    got = slope_of_ones(model(nodes, arrays(w=w, s=scale, z=zero), list(x.shape)), x, tmp_path)
    shaped = (np.reshape(v, (-1, 1, 1, 1)) for v in (zero, scale))
    offset, step = shaped
    floats = ((w.astype(np.float32) - offset) * step).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "f"], ["y"], pads=[1, 1, 1, 1])]
    wanted = slope_of_ones(model(nodes, arrays(f=floats), list(x.shape)), x, tmp_path)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    kinds = {n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert not kinds & {"Cast", "Mul", "Sub", "Slice", "Transpose"}


def slope_of_ones(proto: onnx.ModelProto, x: np.ndarray, folder: Path) -> np.ndarray:
    graph = autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"])
    run = session(graph, folder / "optimised.onnx")
    return run.run(["grad/x"], {"x": x, "seed/y": np.ones((1, 4, 6, 6), np.float32)})[0]


DEPLOYED = [
    ("mobilenet_v1_025_int8", "MobilenetV1/Logits/SpatialSqueeze1_dequant", 28),
    ("mobilenet_v2_int8", "MobilenetV2/Logits/Squeeze1_dequant", 53),
]


@pytest.mark.parametrize(("name", "logits", "convolutions"), DEPLOYED)
def test_deployed_forward_stays(name: str, logits: str, convolutions: int, shared: Path, tmp_path: Path) -> None:
    """Scores equal the deployed file's bit for bit, and every convolution stays an integer one."""
    deployed = onnx.load(shared / "models" / f"{name}.onnx")
    image, out = deployed.graph.input[0], deployed.graph.output[0].name
    transpose = next(n for n in deployed.graph.node if n.op_type == "Transpose")
    wrt = next(n.output[0] for n in deployed.graph.node if transpose.output[0] in n.input)
    graph = autodiff.gradient(ir.from_proto(deployed), of=[logits], wrt=[wrt])
    run = session(graph, tmp_path / "optimised.onnx")
    shape = [d.dim_value for d in image.type.tensor_type.shape.dim]
    x = np.random.default_rng(6).integers(0, 256, size=shape).astype(np.uint8)
    seed = np.random.default_rng(7).normal(size=(1, 1001)).astype(np.float32)
    scores, gradient = run.run([out, f"grad/{wrt}"], {image.name: x, f"seed/{logits}": seed})
    np.testing.assert_array_equal(scores, session(deployed).run([out], {image.name: x})[0])
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    kinds = [n.op_type for n in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == convolutions
    assert "DequantizeLinear" not in kinds


@pytest.mark.parametrize(
    ("shape", "scale", "extra"),
    [
        ((2, 3), (), {}),
        ((2, 3), (1,), {}),
        ((2, 3, 4), (3,), {"axis": 1}),
        ((2, 3, 4), (4,), {"axis": -1}),
        ((5, 3), (3, 3), {"axis": 0, "block_size": 2}),
        ((2, 3, 4), (2, 3, 2), {"axis": 2, "block_size": 2}),
    ],
)
@pytest.mark.parametrize("zero", [False, True])
def test_the_scale_is_a_factor(shape: tuple[int, ...], scale: tuple[int, ...], extra: dict, zero: bool) -> None:
    rng = np.random.default_rng(0)
    numbers = {"q": rng.integers(-128, 127, shape).astype(np.int8)}
    numbers |= {"z": rng.integers(-9, 9, scale).astype(np.int8)} if zero else {}
    s = helper.make_tensor_value_info("s", F32, list(scale))
    y = helper.make_tensor_value_info("y", F32, list(shape))
    node = helper.make_node("DequantizeLinear", ["q", "s", *(["z"] if zero else [])], ["y"], **extra)
    graph = helper.make_graph([node], "g", [s], [y], arrays(**numbers))
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    u, v = rng.normal(size=shape).astype(np.float32), rng.normal(size=scale).astype(np.float32)
    found = session(autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["s"])).run(
        ["grad/s"], {"s": np.ones(scale, np.float32), "seed/y": u}
    )[0]
    moved = session(proto).run(None, {"s": v})[0]  # linear in the scale: y of a direction is the slope along it
    np.testing.assert_allclose((found * v).sum(), (u * moved).sum(), rtol=1e-4)
    assert found.shape == scale


ACTIVATIONS = {
    "gelu": "t = Mul(c, r) e = Erf(t) p = Add(e, one) m = Mul(c, p) a = Mul(m, half)", "one gelu": "a = Gelu(c)",
    "silu": "g = Sigmoid(c) a = Mul(g, c)", "softmax": "a = Softmax(c)", "hard swish": "a = HardSwish(c)",
}  # fmt: skip


@pytest.mark.parametrize(("name", "scale", "zero", "clips"), [
    ("gelu", 0.0441, 4, False), ("gelu", 0.0441, 2, True), ("one gelu", 0.17 / 0.6, 1, False), ("silu", 0.05, 6, False),
    ("softmax", 1 / 255, 0, False), ("hard swish", 0.375 / 9, 9, False), ("hard swish", 0.375 / 9, 7, True),
])  # fmt: skip
def test_an_activation_that_ends_in_the_first_step_is_not_clipped_there(
    name: str, scale: float, zero: int, clips: bool
) -> None:
    """Most probabilities of an attention and most of Gelu's left side round to the first step, and none below it."""
    text = f"""<ir_version: 10, opset_import: ["" : 21]> g (float[1, 12] x) => (float[1, 12] y, float[1, 12] a)
        <float r = {{0.70710678}}, float one = {{1}}, float half = {{0.5}}, float s = {{{scale}}}, uint8 z = {{{zero}}}>
        {{ c = LeakyRelu<alpha=1.0>(x) {ACTIVATIONS[name]}
        q = QuantizeLinear(a, s, z) y = DequantizeLinear(q, s, z) }}"""
    proto = onnx.parser.parse_model(text)
    x, u = np.linspace(-6, 4, 12, dtype=np.float32)[None], np.random.default_rng(3).normal(size=(1, 12)).astype("f")
    run = session(autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"]))
    got = run.run(["grad/x"], {"x": x, "seed/y": u})[0][0]
    judge, step = session(proto), np.float32(2**-6)
    first = np.rint(judge.run(["a"], {"x": x})[0] / np.float32(scale)) + zero <= 0
    ends = [[judge.run(["a"], {"x": x + sign * step * e})[0].astype(float) for sign in (1, -1)]
            for e in np.eye(12, dtype=np.float32)]  # fmt: skip
    wanted = [(u * ~(first & clips) * (up - down)).sum() / (2 * step) for up, down in ends]
    np.testing.assert_allclose(got, wanted, atol=2e-3)
    assert first.any()


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16])
def test_gates_compare_floats(kind: type[np.integer]) -> None:
    """ONNX Runtime 1.20 has no kernel that compares bytes; a float holds every such integer."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    steps, eye = np.float32(2 / np.iinfo(kind).max), np.eye(5, dtype=np.float32)
    proto = model(nodes, arrays(s=steps, z=kind(np.iinfo(kind).max // 2), w=eye), [1, 5])
    graph = ir.from_proto(autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"]))
    compared = [v.dtype for n in graph.graph if n.op_type in ("Greater", "Less") for v in n.inputs if v is not None]
    assert compared == [ir.DataType.FLOAT] * 4


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_bytes_of_a_weight_are_cast_by_way_of_int32(kind: type[np.integer]) -> None:
    """OpenVINO takes bytes that are cast to float for a compressed weight, and then for signed ones."""
    w = np.arange(96, 132, dtype=kind).reshape(4, 1, 3, 3)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"]),
        helper.make_node("Conv", ["x", "f"], ["y"], strides=[2, 2]),
    ]
    proto = model(nodes, arrays(w=w, s=np.float32(0.02), z=kind(3)), [1, 1, 7, 7])
    graph = ir.from_proto(autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["x"]))
    (transposed,) = (n for n in graph.graph if n.op_type == "ConvTranspose")
    path, value = [], transposed.inputs[1]
    while value is not None and value.producer() is not None:
        path.append(value.producer().op_type)
        value = value.producer().inputs[0]
    assert path == ["Mul", "Sub", "Cast", "Cast"][: 4 if kind is np.uint8 else 3]


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_a_rectifier_in_front_of_channels_of_their_own(kind: type, tmp_path: Path) -> None:
    """Relu and Clip are read behind a quantiser of one scale per channel: the runtime's fusions stay, and the scores.

    The bias in front is quantised by the runtime itself only where nothing else reads the rectifier.
    """
    rng = np.random.default_rng(8)
    zero = (np.array([0, 5, 9, 0]) + (0 if kind is np.uint8 else -20)).astype(kind)
    held = arrays(
        s=np.float32(0.03), z=np.uint8(128), t=np.array([0.01, 0.02, 0.03, 0.05], np.float32), v=zero,
        w=rng.integers(-60, 60, (4, 3, 3, 3)).astype(np.int8), u=np.full(4, 0.01, np.float32), n=np.zeros(4, np.int8),
        b=rng.normal(size=4).astype(np.float32), lo=np.float32(0.1), hi=np.float32(2),
    )  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "u", "n"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "b"], ["c"], pads=[1] * 4),
        helper.make_node("Clip", ["c", "lo", "hi"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "t", "v"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "t", "v"], ["y"], axis=1),
    ]
    x = rng.normal(size=(1, 3, 6, 6)).astype(np.float32)
    proto = model(nodes, held, list(x.shape))
    graph = autodiff.gradient(ir.from_proto(proto), of=["y"], wrt=["c"])
    seed = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    y, slope = session(graph).run(["y", "grad/c"], {"x": x, "seed/y": seed})
    np.testing.assert_array_equal(y, session(proto).run(None, {"x": x})[0])
    steps = np.array([0.01, 0.02, 0.03, 0.05])[:, None, None]
    q, offset = np.rint(y / steps), zero[:, None, None].astype(int)
    ends = np.iinfo(kind)
    low, high = (np.clip(np.rint(v / steps), ends.min - offset, ends.max - offset) for v in (0.1, 2.0))
    np.testing.assert_array_equal(slope, seed * ((q > low) & (q < high)))
