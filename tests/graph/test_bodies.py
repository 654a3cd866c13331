"""Bodies that state no shapes: what comes out of If, Loop and Scan is known all the same, and what it is is so."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal
from onnxsal.graph import dims, normalise
from onnxsal.graph.files import load_ir

R = np.random.default_rng(0)
WEIGHTS = {
    "n": np.array(3), "yes": np.array(True), "half": np.array([0.5], np.float32), "zero": np.array([0]),
    "w": R.normal(0, 0.4, (4, 4, 3, 3)).astype(np.float32), "tall": np.array([0, -1, 0, 0]),
    "head": R.normal(size=(4, 2)).astype(np.float32), "axes": np.array([2, 3]),
}  # fmt: skip


def bare(name: str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_value_info(name, helper.make_tensor_type_proto(kind, None))


def node(op: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def body(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], outputs: list[str]) -> onnx.GraphProto:
    kinds = {"g2": TensorProto.BOOL}
    return helper.make_graph(nodes, "body", inputs, [bare(v, kinds.get(v, TensorProto.FLOAT)) for v in outputs])


LEAD = [
    helper.make_tensor_value_info("i", TensorProto.INT64, []),
    helper.make_tensor_value_info("g", TensorProto.BOOL, []),
]
GOES = node("Identity", "g", "g2")
KEEPS = body(
    [node("Mul", "s half", "t"), node("Conv", "t w", "c", pads=[1] * 4), node("Tanh", "c", "s2"), GOES],
    [*LEAD, bare("s")], ["g2", "s2"],
)  # fmt: skip
WRITES = body(
    [node("Tanh", "s", "s2"), node("Add", "s2 x", "o"), GOES], [*LEAD, bare("s")], ["g2", "s2", "o"]
)  # x is outside
GROWS = body([node("Concat", "s x", "s2", axis=2), GOES], [*LEAD, bare("s")], ["g2", "s2"])
DEEP = helper.make_graph(
    [node("Tanh", "r", "r2"), node("Identity", "h", "h2")],
    "deep",
    [
        helper.make_tensor_value_info("j", TensorProto.INT64, []),
        helper.make_tensor_value_info("h", TensorProto.BOOL, []),
        bare("r"),
    ],
    [bare("h2", TensorProto.BOOL), bare("r2")],
)
NESTED = body(
    [node("Loop", "n yes s", "inner", body=DEEP), node("Add", "inner x", "s2"), GOES],
    [*LEAD, bare("s")],
    ["g2", "s2"],
)
TURN = body(
    [node("Mul", "s half", "t"), node("Add", "t e", "s2"), node("Tanh", "s2", "o")], [bare("s"), bare("e")], ["s2", "o"]
)
BRANCH = [body([node(op, "x", f"{op}_out")], [], [f"{op}_out"]) for op in ("Tanh", "Sigmoid")]

MODELS: dict[str, list[onnx.NodeProto]] = {
    "a state that stays": [node("Loop", "n yes x", "y", body=KEEPS)],
    "what is written": [
        node("Loop", "n yes x", "fin all", body=WRITES),
        node("Split", "all", "first second third", axis=0),
        node("Squeeze", "first zero", "y"),
    ],
    "a state that grows": [node("Loop", "n yes x", "y", body=GROWS)],
    "a loop in a loop": [node("Loop", "n yes x", "y", body=NESTED)],
    "a scan": [
        node("Unsqueeze", "x zero", "u"),
        node("Concat", "u u", "xs", axis=0),
        node("Scan", "x xs", "y all", num_scan_inputs=1, body=TURN),
    ],
    "branches": [
        node("ReduceMax", "x", "edge", keepdims=0),
        node("Greater", "edge half", "said"),
        node("Squeeze", "said", "sure"),  # decided when it runs
        node("If", "sure", "y", then_branch=BRANCH[0], else_branch=BRANCH[1]),
    ],
}


def model_of(name: str) -> onnx.ModelProto:
    nodes = [*MODELS[name], node("ReduceMean", "y axes", "m", keepdims=0), node("MatMul", "m head", "out")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 4, 5, 6])
    held = [numpy_helper.from_array(v, k) for k, v in WEIGHTS.items()]
    graph = helper.make_graph(
        nodes, "g", [x], [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["b", 2])], held
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: onnx.ModelProto, x: np.ndarray, name: str = "out") -> np.ndarray:
    wanted = onnx.ModelProto.FromString(model.SerializeToString())
    if name != "out":
        wanted.graph.output.append(bare(name))
    return onnxruntime.InferenceSession(wanted.SerializeToString()).run([name], {"x": x})[0]


@pytest.mark.parametrize("name", MODELS)
def test_the_shapes_are_those_that_run(name: str) -> None:
    model = model_of(name)
    normal = normalise(load_ir(model))
    known = {v.name: dims(v) for n in normal.graph for v in n.outputs}["y"]
    assert known is not None
    x = R.normal(size=(2, 4, 5, 6)).astype(np.float32)
    found = run(model, x, "y").shape
    assert len(known) == len(found)
    sizes = {d: 2 for d in known if isinstance(d, str)}
    assert all(d is None or sizes.get(d, d) == n for d, n in zip(known, found, strict=True))
    open_axes = [i for i, d in enumerate(known) if d is None]
    assert open_axes == ([2] if name == "a state that grows" else [])


@pytest.mark.parametrize("name", [name for name in MODELS if name != "a state that grows"])
def test_the_gradient_is_that_of_what_runs(name: str) -> None:
    model = model_of(name)
    x, direction = (R.normal(size=(2, 4, 5, 6)).astype(np.float32) for _ in range(2))
    seed, h = R.normal(size=(2, 2)).astype(np.float32), 1e-2
    session = onnxruntime.InferenceSession(onnxsal.gradient(model, of=["out"], wrt=["x"]).SerializeToString())
    (g,) = session.run(["grad/x"], {"x": x, "seed/out": seed})
    slope = float((seed * (run(model, x + h * direction) - run(model, x - h * direction))).sum()) / (2 * h)
    assert float((g * direction).sum()) == pytest.approx(slope, rel=5e-3, abs=1e-4)
