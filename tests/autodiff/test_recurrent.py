"""Recurrent operators and control flow against difference quotients."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import recurrent_oracle
from checker import Case, Problem, close, feeds_of, model_of, quotient, run_ort

import onnxsal
from onnxsal.errors import UnsupportedError

R = np.random.default_rng(5)
T, B, N, H = 4, 3, 2, 3
"""Turns, batch, inputs, hidden units."""


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def recurrent(
    name: str, gates: int, *, d: int = 1, states: int = 1, optional: bool = True, **attributes: object
) -> Case:
    """Return a case with all inputs, or only the first three."""
    layout = attributes.get("layout", 0)
    x = normal(B, T, N) if layout else normal(T, B, N)
    inputs: list[np.ndarray | None] = [x, normal(d, gates * H, N), normal(d, gates * H, H)]
    if optional:
        start = [normal(B, d, H) if layout else normal(d, B, H) for _ in range(states)]
        inputs += [normal(d, 2 * gates * H), np.array([4, 2, 3], np.int32), *start]
    return Case(name, inputs, {"hidden_size": H, **attributes}, outputs=1 + states, of=range(1 + states))


CASES = [
    recurrent("LSTM", 4, states=2, optional=False),
    recurrent("LSTM", 4, states=2),
    recurrent("LSTM", 4, states=2, d=2, direction="bidirectional"),
    recurrent("LSTM", 4, states=2, direction="reverse", input_forget=1),
    recurrent("LSTM", 4, states=2, activations=["HardSigmoid", "Softsign", "Affine"], activation_alpha=[0.3, 1.2],
              activation_beta=[0.4, 0.1]),
    recurrent("GRU", 3, optional=False, linear_before_reset=1),
    recurrent("GRU", 3),
    recurrent("GRU", 3, d=2, direction="bidirectional", linear_before_reset=1),
    recurrent("RNN", 1, optional=False),
    recurrent("RNN", 1, d=2, direction="bidirectional"),
    recurrent("RNN", 1, direction="reverse", activations=["Sigmoid"]),
]  # fmt: skip


def oracle(case: Case, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    inputs = [None if v is None else feeds.get(f"x{i}", v) for i, v in enumerate(case.inputs)]
    return {f"y{i}": v for i, v in enumerate(recurrent_oracle.run(case.op_type, inputs, **case.attributes))}


def exact_slope(case: Case, seeds: dict[str, np.ndarray], directions: dict[str, np.ndarray]) -> float:
    """Return the difference quotient of the equations, in float64."""
    feeds = feeds_of(case, np.dtype(np.float64))

    def value(h: float) -> float:
        moved = oracle(case, {k: v + h * directions[k] if k in directions else v for k, v in feeds.items()})
        return sum(float((u * moved[k]).sum()) for k, u in seeds.items())

    return (value(1e-5) - value(-1e-5)) / 2e-5


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slope_on_onnx_runtime(case: Case) -> None:
    model, feeds = model_of(case, np.dtype(np.float32)), feeds_of(case, np.dtype(np.float32))
    feeds = {**feeds, **{i.name: case.inputs[int(i.name[1:])] for i in model.graph.input if i.name not in feeds}}
    out = run_ort(model, feeds)
    seeds = {k: R.normal(size=v.shape).astype(np.float32) for k, v in out.items()}
    directions = {k: R.normal(size=v.shape).astype(np.float32) for k, v in feeds.items() if v.dtype == np.float32}
    p = Problem(model, feeds, seeds, directions)
    results = run_ort(p.gradient(), p.all_feeds())
    for k, v in out.items():
        np.testing.assert_array_equal(results[k], v)
    scale = float(np.sqrt(sum(((v * results[f"grad/{k}"]).astype(float) ** 2).sum() for k, v in directions.items())))
    close(p.product(results), exact_slope(case, seeds, directions), 1e-4, scale)


EXACT = [
    *(recurrent(name, gates, states=states, d=d, direction=way, optional=optional)
      for name, gates, states in (("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1))
      for d, way in ((1, "forward"), (1, "reverse"), (2, "bidirectional")) for optional in (True, False)),
    *(recurrent(name, gates, states=states, d=2, direction="bidirectional", layout=1)
      for name, gates, states in (("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1))),
    *(recurrent(name, gates, states=states, d=2, direction="bidirectional", clip=0.4)
      for name, gates, states in (("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1))),
    recurrent("GRU", 3, d=2, direction="bidirectional", linear_before_reset=1),
    recurrent("GRU", 3, direction="reverse", linear_before_reset=1, optional=False, clip=0.5),
    recurrent("GRU", 3, d=2, direction="bidirectional", activations=["Sigmoid", "Affine", "Tanh", "Relu"],
              activation_alpha=[0.7], activation_beta=[0.2]),
    recurrent("LSTM", 4, states=2, direction="reverse", input_forget=1),
    recurrent("LSTM", 4, states=2, d=2, direction="bidirectional", input_forget=1, clip=0.6),
    recurrent("LSTM", 4, states=2, activations=["Tanh", "Relu", "Affine"], activation_alpha=[1.2],
              activation_beta=[0.1]),
    recurrent("RNN", 1, activations=["LeakyRelu"], activation_alpha=[0.3]),
    recurrent("RNN", 1, activations=["ScaledTanh"], activation_alpha=[0.8], activation_beta=[0.6]),
]  # fmt: skip
EXACT += [
    Case(case.op_type, [*case.inputs, normal(d, 3 * H)], case.attributes, outputs=3, of=range(3), note="peepholes")
    for d, case in ((1, EXACT[0]), (1, EXACT[2]), (2, EXACT[4]), (1, EXACT[-5]), (2, EXACT[-4]))
]


def without_node(model: onnx.ModelProto, op_type: str) -> onnx.ModelProto:
    """Return the model with what the operator's nodes compute as inputs: ONNX Runtime has no float64 form of them."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    nodes = [n for n in bare.graph.node if n.op_type == op_type]
    for node in nodes:
        bare.graph.node.remove(node)
    made = [name for node in nodes for name in node.output if name]
    bare.graph.input.extend(onnx.helper.make_tensor_value_info(name, 11, None) for name in made)
    kept = [o for o in bare.graph.output if o.name.startswith("grad/")]
    del bare.graph.output[:]
    bare.graph.output.extend(kept)
    return bare


@pytest.mark.parametrize(
    ("case", "given_out"), [(c, "all") for c in EXACT] + [(c, "last") for c in EXACT[::4]], ids=str
)
def test_slope_in_float64(case: Case, given_out: str) -> None:
    """Against difference quotients of the equations; where only last states are read, Y is not put out."""
    model, feeds = model_of(case, np.dtype(np.float64)), feeds_of(case, np.dtype(np.float64))
    if given_out == "last":
        model.graph.node[0].output[0] = ""
        del model.graph.output[0]
    out = oracle(case, feeds)
    seeds = {o.name: R.normal(size=out[o.name].shape) for o in model.graph.output}
    directions = {k: R.normal(size=v.shape) for k, v in feeds.items() if v.dtype == np.float64}
    p = Problem(model, feeds, seeds, directions)
    bare = without_node(p.gradient(), case.op_type)
    names = [v.name for v in bare.graph.input]
    given = {name: out["y0"] if name not in out else out[name] for name in names if name not in p.all_feeds()}
    results = run_ort(bare, {**p.all_feeds(), **given})

    scale = float(np.sqrt(sum(((v * results[f"grad/{k}"]) ** 2).sum() for k, v in directions.items())))
    close(p.product(results), exact_slope(case, seeds, directions), 1e-6, scale)


@pytest.mark.parametrize("case", [c for c in EXACT if not c.attributes.get("layout")], ids=str)
def test_the_equations_are_what_onnx_runtime_computes(case: Case) -> None:
    feeds = feeds_of(case, np.dtype(np.float32))
    got = run_ort(model_of(case, np.dtype(np.float32)), feeds)
    for name, wanted in oracle(case, feeds).items():
        np.testing.assert_allclose(got[name], wanted, atol=2e-5)


MODELS = {
    "loop": """
    <ir_version: 10, opset_import: ["": 21]>
    f (double[3] x, double[3] w) => (double[3] y, double[n, 3] ys)
    <int64 count = {4}, bool yes = {1}> {
      y, ys = Loop (count, yes, x) <body = b (int64 i, bool c, double[3] s) => (bool c2, double[3] s2, double[3] o) {
        c2 = Identity (c)
        p = Mul (s, w)
        s2 = Tanh (p)
        o = Mul (s2, s)
      }>
    }""",
    "scan": """
    <ir_version: 10, opset_import: ["": 21]>
    f (double[2] x, double[5, 2] w, double[2] q) => (double[2] y, double[5, 2] ys) {
      y, ys = Scan <num_scan_inputs = 1, scan_input_directions = [1], scan_output_directions = [1],
        body = b (double[2] s, double[2] t) => (double[2] s2, double[2] o) {
        p = Mul (s, t)
        r = Add (p, q)
        s2 = Sin (r)
        o = Mul (s2, t)
      }> (x, w)
    }""",
    "if": """
    <ir_version: 10, opset_import: ["": 21]>
    f (double[2] x, double[2] w, double z) => (double[2] y) <double half = {0.5}> {
      c = Greater (z, half)
      u = Exp (x)
      y = If (c) <then_branch = a () => (double[2] p) { p = Mul (u, w) },
                  else_branch = b () => (double[2] r) { v = Sin (u)
 r = Mul (v, x) }>
    }""",
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("z", [0.0, 1.0])
def test_control_flow(name: str, z: float) -> None:
    model = onnx.parser.parse_model(MODELS[name])
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    feeds = {n: np.array(z) if n == "z" else R.normal(size=s) for n, s in sizes.items()}
    out = run_ort(model, feeds)  # the evaluator's own Scan knows no directions
    seeds = {k: R.normal(size=v.shape) for k, v in out.items()}
    p = Problem(model, feeds, seeds, {n: R.normal(size=s) for n, s in sizes.items() if n != "z"})
    slope = quotient(model, feeds, seeds, p.directions, 1e-5, run_ort)
    close(p.product(run_ort(p.gradient(), p.all_feeds())), slope, 1e-6, 0.1)


BODIES = {
    "if": "y = If (c) <then_branch = a () => (double[4] p) {{ p = {0} (x) }},"
    " else_branch = b () => (double[4] r) {{ r = Identity (x) }}>",
    "loop": "y = Loop (one, c, x) <body = b (int64 i, bool d, double[4] s) => (bool d2, double[4] s2)"
    " {{ d2 = Identity (d) s2 = {0} (s) }}>",
    "scan": "y, o = Scan <num_scan_inputs = 1, body = b (double[4] s, double t) => (double[4] s2, double o2)"
    " {{ s2 = {0} (s) o2 = Identity (t) }}> (x, turns)",
}


def in_body(name: str, op_type: str) -> onnx.ModelProto:
    head = '<ir_version: 10, opset_import: ["": 21]> f (double[4] x, bool c) => (double[4] y)'
    weights = "<int64 one = {1}, double[1] turns = {0.0}>"
    return onnx.parser.parse_model(f"{head} {weights} {{ {BODIES[name].format(op_type)} }}")


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("rules", "wanted"), [("guided", [1, 0, 0, 0]), ("deconv", [1, 1, 0, 0])])
def test_rule_sets_hold_in_bodies(name: str, rules: str, wanted: list[int]) -> None:
    """1[x > 0] 1[g > 0] g of guided, 1[g > 0] g of deconv: in a body as outside of one."""
    model = onnxsal.gradient(in_body(name, "Relu"), of=["y"], wrt=["x"], rules=rules)
    x, g = np.array([1.0, -1, 2, -2]), np.array([1.0, 1, -1, -1])
    np.testing.assert_array_equal(run_ort(model, {"x": x, "c": np.array(True), "seed/y": g})["grad/x"], wanted)


@pytest.mark.parametrize("name", BODIES)
def test_smooth_activations_are_refused_in_bodies(name: str) -> None:
    with pytest.raises(UnsupportedError, match="Softplus is not a rectifier"):
        onnxsal.gradient(in_body(name, "Softplus"), of=["y"], wrt=["x"], rules="guided")


LOOP = """
<ir_version: 10, opset_import: ["": 21]>
f (double[b, 3] x, double[3] w, int64 count, bool go) => (double[b, 3] y) {
  fin, each = Loop (count, go, x) <body = b (int64 i, bool c, double[b, 3] s)
    => (bool c2, double[b, 3] s2, double o) {
    c2 = Identity (c)
    p = Mul (s, w)
    s2 = Add (p, x)
    o = ReduceSum <keepdims = 0> (s2)
  }>
  total = ReduceSum <keepdims = 0> (each)
  y = Add (fin, total)
}"""


@pytest.mark.parametrize(("count", "go"), [(0, True), (3, False), (1, True), (3, True)])
def test_a_loop_may_have_no_turn(count: int, go: bool) -> None:
    model = onnx.parser.parse_model(LOOP)
    floats = {"x": R.normal(size=(2, 3)), "w": R.normal(size=3)}
    feeds = {**floats, "count": np.array(count), "go": np.array(go)}
    seeds = {"y": R.normal(size=(2, 3))}
    p = Problem(model, feeds, seeds, {k: R.normal(size=v.shape) for k, v in floats.items()})
    slope = quotient(model, feeds, seeds, p.directions, 1e-5, run_ort)
    close(p.product(run_ort(p.gradient(), p.all_feeds())), slope, 1e-6, 0.1)


@pytest.mark.parametrize("rows", [1, "n"])
def test_a_state_that_grows_is_refused_by_name(rows: int | str) -> None:
    model = onnx.parser.parse_model(f"""
    <ir_version: 10, opset_import: ["": 21]>
    f (double[{rows}, 3] x) => (double[m, 3] y) <int64 count = {{3}}> {{
      y = Loop (count, , x) <body = b (int64 i, bool c, double[k, 3] s) => (bool c2, double[k2, 3] s2) {{
        c2 = Identity (c)
        s2 = Concat <axis = 0> (s, x)
      }}>
    }}""")
    with pytest.raises(UnsupportedError, match="Loop 'y' has no gradient: its state number 0 changes its shape"):
        onnxsal.gradient(model, of=["y"], wrt=["x"])


@pytest.mark.parametrize(("name", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "in a branch"])
def test_last_state_alone(name: str, gates: int, inside: bool) -> None:
    """Classifiers read the last state; exporters leave the name of the others empty."""
    weights = {"w": normal(1, gates * H, N).astype(np.float32), "r": normal(1, gates * H, H).astype(np.float32)}
    value = onnx.helper.make_tensor_value_info
    states = ["", "h"] + [""] * (name == "LSTM")
    nodes = [
        onnx.helper.make_node(name, ["x", "w", "r"], states, hidden_size=H),
        onnx.helper.make_node("Sin", ["h"], ["s"]),
    ]
    if inside:
        nodes = [
            onnx.helper.make_node(
                "If", ["c"], ["y"],
                then_branch=onnx.helper.make_graph(nodes, "then", [], [value("s", 1, None)]),
                else_branch=onnx.helper.make_graph([onnx.helper.make_node("Identity", ["w"], ["e"])], "else", [],
                                                   [value("e", 1, None)]),
            )
        ]  # fmt: skip
    nodes += [] if inside else [onnx.helper.make_node("Identity", ["s"], ["y"])]
    inputs = [value("x", 1, [T, "b", N]), *([value("c", onnx.TensorProto.BOOL, [])] if inside else [])]
    given = [onnx.numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = onnx.helper.make_graph(nodes, "g", inputs, [value("y", 1, [None, None, None])], given)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    feeds = {"x": normal(T, B, N).astype(np.float32), **({"c": np.array(True)} if inside else {})}
    out = run_ort(model, feeds)["y"]
    seed, v = normal(*out.shape).astype(np.float32), normal(T, B, N).astype(np.float32)
    found = run_ort(onnxsal.gradient(model, of=["y"], wrt=["x"]), {**feeds, "seed/y": seed})
    np.testing.assert_array_equal(found["y"], out)
    high, low = (run_ort(model, {**feeds, "x": feeds["x"] + h * v})["y"] for h in (1e-2, -1e-2))
    slope = float((seed * (high - low)).sum()) / 2e-2
    assert float((found["grad/x"] * v).sum()) == pytest.approx(slope, rel=5e-3, abs=2e-3)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_score_behind_turns_of_any_number_is_explained(kind: str) -> None:
    """What an explanation runs had no shapes inferred: a Scan's body without ranks is one that is refused to run."""
    gates, rng = {"LSTM": 4, "GRU": 3}[kind], np.random.default_rng(0)
    proto = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g (float[b, t, 4] x) => (float[b, 3] y) <int64[1] zero = {{0}}>
        {{ s = Transpose <perm = [1, 0, 2]> (x) h, l = {kind} <hidden_size = 3> (s, w, r) y = Squeeze (l, zero) }}"""
    )
    for name, width in (("w", 4), ("r", 3)):
        array = rng.normal(size=(1, gates * 3, width)).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    x, way = rng.normal(size=(2, 1, 6, 4)).astype(np.float32)
    found = onnxsal.explain(onnxsal.load(proto), x, method="gradient", target="y[0, 1]")
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    ends = [float(session.run(None, {"x": x + step * way})[0][0, 1]) for step in (1e-2, -1e-2)]
    assert (found.raw.reshape(-1) * way.reshape(-1)).sum() == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)
