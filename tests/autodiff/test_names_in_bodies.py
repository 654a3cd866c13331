"""Names inside bodies: whatever a model and its gradient call their values, the file is valid and its numbers right."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from able import need
from checker import Problem, close, quotient, run_ort
from onnx import TensorProto, helper, numpy_helper

import onnxsal

R = np.random.default_rng(3)
HEAD = '<ir_version: 10, opset_import: ["": 21, "local": 1]>'


def recurrent(op_type: str, chain: list[str]) -> onnx.ModelProto:
    """Return two bidirectional layers behind each other, and a chain behind them that shifts what is numbered."""
    gates, size = {"LSTM": 4, "GRU": 3, "RNN": 1}[op_type], 2
    shapes = {"W": (2, gates * size, 3), "R": (2, gates * size, size), "W2": (2, gates * size, 2 * size)}
    weights = [numpy_helper.from_array(R.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    weights.append(numpy_helper.from_array(np.array([0, 0, -1]), "flat"))
    nodes, x = [], "x"
    for layer, weight in enumerate(("W", "W2")):
        way = {"direction": "bidirectional", "hidden_size": size}
        nodes += [helper.make_node(op_type, [x, weight, "R"], [f"y{layer}"], **way),
                  helper.make_node("Transpose", [f"y{layer}"], [f"t{layer}"], perm=[0, 2, 1, 3]),
                  helper.make_node("Reshape", [f"t{layer}", "flat"], [f"r{layer}"])]  # fmt: skip
        x = f"r{layer}"
    for i, each in enumerate(chain):
        nodes.append(helper.make_node(each, [x], [f"o{i}"]))
        x = f"o{i}"
    nodes.append(helper.make_node("Identity", [x], ["y"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["t", "b", k]) for n, k in (("x", 3), ("y", 2 * size))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def loads(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxruntime

    onnx.checker.check_model(model, full_check=True)
    need(model)
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return model


@pytest.mark.parametrize("op_type", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(("name", "count"), [(n, k) for n in ("Relu", "Softplus", "Erf") for k in (0, 1, 2, 3, 5)])
def test_recurrent_layers_however_things_are_numbered(op_type: str, name: str, count: int) -> None:
    loads(onnxsal.gradient(recurrent(op_type, [name] * count), of=["y"], wrt=["x", "W"]))


BODIES = {
    "nested": """f (double[3] x, double[2, 3] w, bool c) => (double[3] y) <int64 n = {2}, bool yes = {1}> {
      y, all = Scan <num_scan_inputs = 1, body = b (double[3] s, double[3] t) => (double[3] s2, double[3] o) {
        s3 = Loop (n, yes, s) <body = l (int64 i, bool d, double[3] u) => (bool d2, double[3] u2) {
          d2 = Identity (d)
          u1 = If (c) <then_branch = p () => (double[3] v) { v1 = Mul (u, t) v = Tanh (v1) },
                       else_branch = q () => (double[3] v) { v1 = Sin (u) v = Mul (v1, x) }>
          u2 = Add (u1, t)
        }>
        s2 = Mul (s3, x)
        o = Identity (s2)
      }> (x, w)
    }""",
    "siblings": """f (double[3] x, double[2, 3] w, bool c) => (double[3] y) {
      a = If (c) <then_branch = p () => (double[3] v) { u = Tanh (x) v = Mul (u, x) },
                  else_branch = q () => (double[3] v) { u = Sin (x) v = Mul (u, u) }>
      y = If (c) <then_branch = p () => (double[3] v) { u = Tanh (a) v = Mul (u, a) },
                  else_branch = q () => (double[3] v) { u = Cos (a) v = Mul (u, x) }>
    }""",
    "shadowed": """f (double[3] x, double[2, 3] w, bool c) => (double[3] y) {
      y, o = Scan <num_scan_inputs = 1, body = b (double[3] x, double[3] w) => (double[3] z, double[3] k) {
        z0 = Mul (x, w) z = Sin (z0) k = Identity (z) }> (x, w)
    }""",
    "ours": """f (double[3] x, double[2, 3] w, bool c) => (double[3] y) <double[1] "sal/const_4" = {0.5}> {
      "sal/Tanh_1" = Tanh (x)
      "sal/Mul_2" = Mul ("sal/Tanh_1", "sal/const_4")
      y = If (c) <then_branch = p () => (double[3] "sal/Mul_7") <double[1] "sal/const_9" = {1.5}> {
                    "sal/Sin_5" = Sin ("sal/Mul_2") "sal/Mul_7" = Mul ("sal/Sin_5", "sal/const_9") },
                  else_branch = q () => (double[3] "sal/Mul_7") { "sal/Mul_7" = Mul (x, "sal/Mul_2") }>
    }""",
    "functions": """f (double[3] x, double[2, 3] w, bool c) => (double[3] y) <double[3] a, double[3] b> {
      a = local.choice (x, c)
      b = local.choice (a, c)
      y = Mul (a, b)
    }
    <domain: "local", opset_import: ["": 21]>
    choice (v, c) => (z) {
      u = Sin (v)
      z = If (c) <then_branch = p () => (k) { j = Tanh (u) k = Mul (j, v) }, else_branch = q () => (k) { k = Exp (u) }>
    }""",
}


@pytest.mark.parametrize("c", [True, False])
@pytest.mark.parametrize("name", BODIES)
def test_bodies_whatever_their_values_are_called(name: str, c: bool) -> None:
    model = onnx.parser.parse_model(f"{HEAD} {BODIES[name]}")
    feeds = {"x": R.normal(size=3), "w": R.normal(size=(2, 3)), "c": np.array(c)}
    seeds = {"y": R.normal(size=3)}
    wrt = ["x", "w"] if name in ("nested", "shadowed") else ["x"]
    p = Problem(model, feeds, seeds, {k: R.normal(size=feeds[k].shape) for k in wrt})
    loads(p.gradient())
    close(p.product(run_ort(p.gradient(), p.all_feeds())), quotient(model, feeds, seeds, p.directions, 1e-5, run_ort),
          1e-6, 0.1)  # fmt: skip


@pytest.mark.parametrize("name", ["siblings", "shadowed", "ours", "functions", "LSTM", "GRU"])
def test_a_gradient_file_is_differentiated_again(name: str) -> None:
    """What onnxsal wrote holds names of its own, in its bodies too."""
    recur = name in ("LSTM", "GRU")
    model = recurrent(name, []) if recur else onnx.parser.parse_model(f"{HEAD} {BODIES[name]}")
    first = loads(onnxsal.gradient(model, of=["y"], wrt=["x"]))
    first = onnx.ModelProto.FromString(first.SerializeToString())
    second = loads(onnxsal.gradient(first, of=["grad/x"], wrt=["seed/y", "x"]))
    shapes = {"x": (3, 2, 3) if recur else (3,), "seed/y": (3, 2, 4) if recur else (3,)}
    dtype = np.float32 if recur else np.float64
    feeds = {k: R.normal(size=s).astype(dtype) for k, s in shapes.items()}
    if not recur:
        feeds.update(w=R.normal(size=(2, 3)), c=np.array(True))
    u = {"seed/grad/x": R.normal(size=shapes["x"]).astype(dtype)}
    got = run_ort(second, {**feeds, **u})["grad/seed/y"]
    # grad/x is linear in its seed: <u, J^T s> = <J u, s>
    wanted = float((u["seed/grad/x"] * run_ort(first, feeds)["grad/x"]).sum())
    close(float((got * feeds["seed/y"]).sum()), wanted, 1e-4, 0.1)


INSIDE = {
    "branch": """y = If (c) <then_branch = p () => (float[4, 1, 2, 3] v) { v = GRU <hidden_size = 3> (x, w, r) },
                          else_branch = q () => (float[4, 1, 2, 3] v) { u = GRU <hidden_size = 3> (x, w, r)
 v = Sin (u) }>""",
    "loop": """s, y = Loop (n, c, x) <body = b (int64 i, bool d, float[4, 2, 3] s) =>
      (bool d2, float[4, 2, 3] s2, float[4, 1, 2, 3] v) { d2 = Identity (d) v = GRU <hidden_size = 3> (s, w, r)
 s2 = Squeeze (v, one) }>""",
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_recurrent_layer_inside_a_body(name: str) -> None:
    out = "float[4, 1, 2, 3] y" if name == "branch" else "float[k, 4, 1, 2, 3] y"
    head = f'<ir_version: 10, opset_import: ["": 21]> f (float[4, 2, 3] x, float[1, 9, 3] w, bool c) => ({out})'
    model = onnx.parser.parse_model(
        f"{head} <float[1, 9, 3] r, int64 n = {{2}}, int64[1] one = {{1}}> {{ {INSIDE[name]} }}"
    )
    del model.graph.value_info[:]
    model.graph.initializer.append(numpy_helper.from_array(R.normal(size=(1, 9, 3)).astype(np.float32), "r"))
    feeds = {"x": R.normal(size=(4, 2, 3)), "w": R.normal(size=(1, 9, 3))}
    feeds = {**{k: v.astype(np.float32) for k, v in feeds.items()}, "c": np.array(True)}
    u = {k: R.normal(size=v.shape).astype(np.float32) for k, v in run_ort(model, feeds).items()}
    v = {k: R.normal(size=feeds[k].shape).astype(np.float32) for k in ("x", "w")}
    p = Problem(model, feeds, u, v)
    slope = quotient(model, feeds, u, {k: d.astype(np.float32) for k, d in v.items()}, np.float32(1e-2), run_ort)
    close(p.product(run_ort(loads(p.gradient()), p.all_feeds())), slope, 5e-3, 1.0)
