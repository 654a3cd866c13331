"""AttnLRP against its rules written out by hand in numpy, against closed forms, and where it adds up to the logit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from checker import run_reference

import onnxsal.autodiff as autodiff
from onnxsal.errors import UnsupportedError

R = np.random.default_rng(5)
TOKENS, WIDTH, HEADS, HIDDEN = 4, 6, 2, 5
EPS = 1e-3
SIZES = {"g1": (WIDTH,), "b1": (WIDTH,), "bq": (WIDTH,), "g2": (WIDTH,), "g3": (WIDTH,), "b3": (WIDTH,),
         **dict.fromkeys(("wq", "wk", "wv", "wo", "wp"), (WIDTH, WIDTH)), "bp": (WIDTH,), "c1": (HIDDEN,),
         **dict.fromkeys(("wg", "wu", "w1"), (WIDTH, HIDDEN)), **dict.fromkeys(("wd", "w2"), (HIDDEN, WIDTH)),
         "wc": (WIDTH, 3)}  # fmt: skip
W = {name: R.normal(size=shape) for name, shape in SIZES.items()}
X = R.normal(size=(1, TOKENS, WIDTH))


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def heads(x: np.ndarray) -> np.ndarray:
    return x.reshape(TOKENS, HEADS, -1).transpose(1, 0, 2)


def twin(x: np.ndarray, column: int) -> tuple[float, np.ndarray]:
    """A transformer of one block and a half, and the relevance of its input, rule by rule from the logit down."""

    def deviation(v: np.ndarray) -> np.ndarray:
        return np.sqrt(v.var(-1, keepdims=True) + EPS)

    def centred(v: np.ndarray) -> np.ndarray:
        return v - v.mean(-1, keepdims=True)

    n1 = centred(x) / deviation(x) * W["g1"] + W["b1"]
    q, k, v = heads(n1 @ W["wq"] + W["bq"]), heads(n1 @ W["wk"]), heads(n1 @ W["wv"])
    scale = 1 / math.sqrt(WIDTH // HEADS)
    p = np.exp(np.where(np.tri(TOKENS) > 0, q @ k.transpose(0, 2, 1) * scale, -np.inf))
    p /= p.sum(-1, keepdims=True)
    x1 = x + (p @ v).transpose(1, 0, 2).reshape(TOKENS, WIDTH) @ W["wo"]
    root = np.sqrt((x1**2).mean(-1, keepdims=True) + EPS)
    n2 = x1 / root * W["g2"]
    gate, up = n2 @ W["wg"], n2 @ W["wu"]
    x2 = x1 + (silu(gate) * up) @ W["wd"]
    n3 = centred(x2) / deviation(x2) * W["g3"] + W["b3"]
    a = n3 @ W["w1"] + W["c1"]
    x3 = x2 + gelu(a) @ W["w2"]
    u = x3[-1] @ W["wp"] + W["bp"]
    logit = float(np.tanh(u) @ W["wc"][:, column])

    d3 = np.zeros_like(x)
    d3[-1] = (W["wc"][:, column] * np.tanh(u) / u) @ W["wp"].T
    dn3 = ((d3 @ W["w2"].T) * gelu(a) / a) @ W["w1"].T * W["g3"] / deviation(x2)
    d2 = d3 + centred(dn3)
    dm = d2 @ W["wd"].T
    dn2 = (dm * up / 2 * silu(gate) / gate) @ W["wg"].T + (dm * silu(gate) / 2) @ W["wu"].T
    d1 = d2 + dn2 * W["g2"] / root
    do = heads(d1 @ W["wo"].T)
    dp = do @ v.transpose(0, 2, 1) / 2
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale
    parts = (ds @ k / 2, "wq"), (ds.transpose(0, 2, 1) @ q / 2, "wk"), (p.transpose(0, 2, 1) @ do / 2, "wv")
    dn1 = sum(g.transpose(1, 0, 2).reshape(TOKENS, WIDTH) @ W[name].T for g, name in parts)
    return logit, x * (d1 + centred(dn1 * W["g1"] / deviation(x)))


def layer_norm(x: str, y: str, scale: str, bias: str) -> str:
    return f"""{y}m = ReduceMean <axes = [-1]> ({x}) {y}c = Sub ({x}, {y}m) {y}s = Pow ({y}c, two)
        {y}v = ReduceMean <axes = [-1]> ({y}s) {y}e = Add ({y}v, eps) {y}d = Sqrt ({y}e) {y}n = Div ({y}c, {y}d)
        {y}g = Mul ({y}n, {scale}) {y} = Add ({y}g, {bias})"""


def split(x: str, y: str) -> str:
    return f"{y}r = Reshape ({x}, split) {y} = Transpose <perm = [0, 2, 1, 3]> ({y}r)"


PROJECTED = "q0 = MatMul (n1, wq) q1 = Add (q0, bq) k1 = MatMul (n1, wk) v1 = MatMul (n1, wv)"
HEAD = """x3 = Add (x2, f2) last = Gather <axis = 1> (x3, minus) u0 = MatMul (last, wp) u = Add (u0, bp) t = Tanh (u)
    y = MatMul (t, wc)"""
WRITTEN = f"""{layer_norm("x", "n1", "g1", "b1")} {PROJECTED} {split("q1", "q")} {split("k1", "k")} {split("v1", "v")}
    kt = Transpose <perm = [0, 1, 3, 2]> (k) s0 = MatMul (q, kt) s1 = Div (s0, root) s2 = Add (s1, mask)
    p = Softmax <axis = -1> (s2) o0 = MatMul (p, v) o1 = Transpose <perm = [0, 2, 1, 3]> (o0) o2 = Reshape (o1, join)
    o = MatMul (o2, wo) x1 = Add (x, o)
    r0 = Mul (x1, x1) r1 = ReduceMean <axes = [-1]> (r0) r2 = Add (r1, eps) r3 = Sqrt (r2) r4 = Reciprocal (r3)
    r5 = Mul (x1, r4) n2 = Mul (g2, r5)
    a0 = MatMul (n2, wg) a1 = Sigmoid (a0) a = Mul (a0, a1) up = MatMul (n2, wu) m = Mul (a, up) d = MatMul (m, wd)
    x2 = Add (x1, d) {layer_norm("x2", "n3", "g3", "b3")} h0 = MatMul (n3, w1) h = Add (h0, c1)
    f0 = Pow (h, three) f1 = Mul (f0, cubic) f3 = Add (h, f1) f4 = Mul (f3, flat) f5 = Tanh (f4) f6 = Add (f5, one)
    f7 = Mul (half, h) f = Mul (f7, f6) f2 = MatMul (f, w2) {HEAD}"""
STANDARD = f"""n1 = LayerNormalization <axis = -1, epsilon = 0.001> (x, g1, b1) {PROJECTED}
    o2 = Attention <is_causal = 1, q_num_heads = 2, kv_num_heads = 2> (q1, k1, v1) o = MatMul (o2, wo) x1 = Add (x, o)
    n2 = RMSNormalization <axis = -1, epsilon = 0.001> (x1, g2)
    a0 = MatMul (n2, wg) a = Swish (a0) up = MatMul (n2, wu) m = Mul (up, a) d = MatMul (m, wd)
    x2 = Add (x1, d) n3 = LayerNormalization <axis = -1, epsilon = 0.001> (x2, g3, b3) h0 = MatMul (n3, w1)
    h = Add (h0, c1) f = Gelu <approximate = "tanh"> (h) f2 = MatMul (f, w2) {HEAD}"""
RUNTIMES = f"""n1 = LayerNormalization <axis = -1, epsilon = 0.001> (x, g1, b1) {PROJECTED}
    o2 = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 2> (q1, k1, v1, , , ends, length)
    o = MatMul (o2, wo)
    n2, , , x1 = com.microsoft.SkipSimplifiedLayerNormalization <epsilon = 0.001> (x, o, g2)
    a0 = MatMul (n2, wg) a = com.microsoft.QuickGelu <alpha = 1.0> (a0) up = MatMul (n2, wu) m = Mul (a, up)
    d = MatMul (m, wd) n3, , , x2 = com.microsoft.SkipLayerNormalization <epsilon = 0.001> (x1, d, g3, b3)
    h0 = MatMul (n3, w1) f = com.microsoft.FastGelu (h0, c1) f2 = MatMul (f, w2) {HEAD}"""
SPELLINGS = {"written out": (WRITTEN, 17), "standard": (STANDARD, 24), "the runtime's": (RUNTIMES, 21)}
NUMBERS = {"eps": EPS, "two": 2.0, "three": 3.0, "one": 1.0, "half": 0.5, "cubic": 0.044715,
           "flat": math.sqrt(2 / math.pi), "root": math.sqrt(WIDTH // HEADS), "quick": 1.702, "six": 6.0, "nought": 0.0,
           "unroot": math.sqrt(0.5), "small": 1e-9}  # fmt: skip
CONSTANTS = {**{k: np.array(v) for k, v in NUMBERS.items()}, **W,
             "mask": np.where(np.tri(TOKENS) > 0, 0.0, -np.inf), "split": np.array([0, 0, HEADS, WIDTH // HEADS]),
             "join": np.array([0, 0, WIDTH]), "minus": np.array(-1), "ends": np.array([TOKENS - 1], np.int32),
             "length": np.array(TOKENS, np.int32), "axis": np.array([-1]), "ones": np.ones(WIDTH),
             "zeros": np.zeros(WIDTH), "four": np.array([1.0, 2.0, 0.5, 3.0]), "none": np.zeros(4)}  # fmt: skip


def model(body: str, opset: int = 17, shape: tuple[int, ...] = X.shape) -> onnx.ModelProto:
    """Return a graph from x to y that holds those of the constants that it names."""
    head = (
        f'<ir_version: 10, opset_import: ["": {opset}, "com.microsoft": 1]> g (double{list(shape)} x) => (double[] y)'
    )
    made = onnx.parser.parse_model(f"{head} {{ {body} }}")
    read = {name for node in made.graph.node for name in node.input}
    made.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in CONSTANTS.items() if k in read)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


def passed(made: onnx.ModelProto, x: np.ndarray, seed: Callable[[np.ndarray], np.ndarray] = np.ones_like) -> np.ndarray:
    """Return what AttnLRP passes to x of a seed at y."""
    y = run_reference(made, {"x": x})["y"] if "com.microsoft" not in str(made.graph.node) else None
    graph = autodiff.gradient(ir.from_proto(made), of=["y"], wrt=["x"], rules="attnlrp")
    return run_reference(graph, {"x": x, "seed/y": seed(y if y is not None else np.zeros((1, 3)))})["grad/x"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_transformer_has_the_relevance_of_the_rules_by_hand(spelling: str) -> None:
    body, opset = SPELLINGS[spelling]
    _, wanted = twin(X[0], 1)
    found = X * passed(model(body, opset), X, lambda y: np.eye(3)[None, 1])
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


ERF = np.vectorize(math.erf)
ACTIVATIONS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "silu": ("s = Sigmoid (x) y = Mul (s, x)", silu),
    "silu as a quotient": ("n = Neg (x) e = Exp (n) d = Add (e, one) y = Div (x, d)", silu),
    "quick gelu": ("a = Mul (x, quick) s = Sigmoid (a) y = Mul (x, s)", lambda x: x * logistic(1.702 * x)),
    "gelu": ("a = Mul (x, unroot) e = Erf (a) u = Add (one, e) h = Mul (x, half) y = Mul (u, h)",
             lambda x: 0.5 * x * (1 + ERF(x / math.sqrt(2)))),
    "gelu, halved last": ("a = Mul (x, unroot) e = Erf (a) u = Add (e, one) h = Mul (x, u) y = Mul (h, half)",
                          lambda x: 0.5 * x * (1 + ERF(x / math.sqrt(2)))),
    "hard swish": ("a = Add (x, three) b = Clip (a, nought, six) m = Mul (x, b) y = Div (m, six)",
                   lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "mish": ("s = Softplus (x) t = Tanh (s) y = Mul (x, t)", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "squared relu": ("r = Relu (x) y = Mul (r, r)", lambda x: np.maximum(x, 0) ** 2),
    "sigmoid": ("y = Sigmoid (x)", logistic), "cube": ("y = Pow (x, three)", lambda x: x**3),
    "elu": ("y = Elu (x)", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    "leaky": ("y = LeakyRelu <alpha = 0.1> (x)", lambda x: np.where(x > 0, x, 0.1 * x)),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_function_of_one_value_passes_its_quotient(name: str) -> None:
    body, function = ACTIVATIONS[name]
    np.testing.assert_allclose(passed(model(body), X), function(X) / X, rtol=1e-6, atol=1e-12)


MEAN = "m = ReduceMean <axes = [-1]> (x) c = Sub (x, m)"
NORMS = {  # and whether the mean is taken away; y is x so, in units of what it is divided by
    "in one": ("y = LayerNormalization <axis = -1, epsilon = 0.001> (x, ones)", True, "deviation"),
    "by the mean of squares less that squared": (
        f"{MEAN} s = Mul (x, x) q = ReduceMean <axes = [-1]> (s) p = Mul (m, m) v = Sub (q, p) n = Max (v, nought)"
        " e = Add (n, eps) d = Sqrt (e) i = Reciprocal (d) y = Mul (i, c)", True, "deviation"),
    "as TensorFlow has it": (
        f"{MEAN} s = Mul (c, c) v = ReduceMean <axes = [-1]> (s) e = Add (v, eps) d = Sqrt (e) i = Reciprocal (d)"
        " a = Mul (x, i) b = Mul (m, i) y = Sub (a, b)", True, "deviation"),
    "of a centred copy": (
        f"{MEAN} k = ReduceMean <axes = [-1]> (x) z = Sub (x, k) s = Pow (z, two) v = ReduceMean <axes = [-1]> (s)"
        " e = Add (v, eps) d = Pow (e, half) y = Div (c, d)", True, "deviation"),
    "root mean square": ("s = Pow (x, two) v = ReduceMean <axes = [-1]> (s) e = Add (v, eps) d = Sqrt (e)"
                         " i = Div (one, d) y = Mul (x, i)", False, "root"),
    "unit length": ("n = ReduceL2 <axes = [-1]> (x) k = Clip (n, small) y = Div (x, k)", False, "length"),
    "unit length in one": ("y = LpNormalization <axis = -1, p = 2> (x)", False, "length"),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_what_a_normalisation_divides_by_is_held(name: str) -> None:
    body, centred, unit = NORMS[name]
    by = {"deviation": np.sqrt(X.var(-1, keepdims=True) + EPS), "length": np.linalg.norm(X, axis=-1, keepdims=True),
          "root": np.sqrt((X**2).mean(-1, keepdims=True) + EPS)}[unit]  # fmt: skip
    seed = R.normal(size=X.shape)
    g = seed / by
    wanted = g - g.mean(-1, keepdims=True) if centred else g
    np.testing.assert_allclose(passed(model(body), X, lambda y: seed), wanted, rtol=1e-6, atol=1e-9)


def test_channels_in_groups_are_normalised_so_too() -> None:
    """Two groups of two channels, each scaled by its own factor, as opset 21 has it."""
    x = R.normal(size=(1, 4, 3))
    body = "y = GroupNormalization <num_groups = 2, epsilon = 0.001> (x, four, none)"
    grouped = x.reshape(1, 2, 6)
    g = np.repeat(CONSTANTS["four"], 3).reshape(1, 2, 6) / np.sqrt(grouped.var(-1, keepdims=True) + EPS)
    wanted = (g - g.mean(-1, keepdims=True)).reshape(x.shape)
    np.testing.assert_allclose(passed(model(body, 21, x.shape), x), wanted, rtol=1e-6, atol=1e-9)


def test_a_softmax_that_is_written_out_is_one() -> None:
    seed = R.normal(size=X.shape)
    written = "t = ReduceMax <axes = [-1]> (x) c = Sub (x, t) e = Exp (c) n = ReduceSum (e, axis) y = Div (e, n)"
    found, wanted = (passed(model(body), X, lambda y: seed) for body in (written, "y = Softmax <axis = -1> (x)"))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)


def test_a_gate_with_a_mean_or_weights_in_it_is_a_product_of_two() -> None:
    """Squeeze and excitation: half of what the product gets goes to x, half to the gate and by it to the mean."""
    body = "m = ReduceMean <axes = [-1]> (x) s = Sigmoid (m) y = Mul (x, s)"
    mean = X.mean(-1, keepdims=True)
    gate = logistic(mean)
    wanted = gate / 2 + (X / 2).sum(-1, keepdims=True) * gate / mean / WIDTH
    np.testing.assert_allclose(passed(model(body), X), np.broadcast_to(wanted, X.shape), rtol=1e-6)


def test_the_step_of_a_quantiser_is_no_factor() -> None:
    """A product in dynamic int8 passes what the product itself does, by the weights that its bytes stand for."""
    weights, x = R.integers(-99, 99, (WIDTH, 3)).astype(np.int8), X.astype(np.float32)
    body = """q, s, z = DynamicQuantizeLinear (x) i = MatMulInteger (q, w, z) f = Cast <to = 1> (i) k = Mul (s, step)
        y = Mul (f, k)"""
    made = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 17]> g (float[1, 4, 6] x) => (float[1, 4, 3] y) {{ {body} }}'
    )
    held = {"w": weights, "step": np.array(0.02, np.float32)}
    made.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in held.items())
    seed = R.normal(size=(1, TOKENS, 3)).astype(np.float32)
    np.testing.assert_allclose(passed(made, x, lambda y: seed), seed @ weights.T * 0.02, rtol=1e-4, atol=1e-5)


def test_without_biases_and_softmax_relevance_adds_up_to_the_logit() -> None:
    body = f"""{layer_norm("x", "n", "g1", "zeros")} a0 = MatMul (n, wg) a1 = Sigmoid (a0) a = Mul (a0, a1)
        up = MatMul (n, wu) m = Mul (a, up) d = MatMul (m, wd) x1 = Add (x, d) n2 = LpNormalization <axis = -1> (x1)
        h = MatMul (n2, w1) f = Tanh (h) f2 = MatMul (f, w2) x2 = Add (x1, f2) y = MatMul (x2, wc)"""
    made = model(body)
    seed = np.zeros((1, TOKENS, 3))
    seed[0, 2, 1] = 1
    logit = run_reference(made, {"x": X})["y"][0, 2, 1]
    assert (X * passed(made, X, lambda y: seed)).sum() == pytest.approx(logit, rel=1e-9)


def test_silence_passes_nothing_and_no_infinity() -> None:
    assert (passed(model("s = Sigmoid (x) y = Log (s)"), np.zeros_like(X)) == 0).all()


@pytest.mark.parametrize(("body", "said"), [
    ("y = ReduceProd <axes = [-1]> (x)", "ReduceProd.*no rule.*input-x-gradient"),
    ("a = Abs (x) y = Pow (a, x)", "Pow.*an exponent that depends"),
    ("m = ReduceMax <keepdims = 0> (x) y = Clip (x, nought, m)", "Clip.*bounds"),
])  # fmt: skip
def test_what_it_has_no_rule_for_is_refused_by_name(body: str, said: str) -> None:
    with pytest.raises(UnsupportedError, match=said):
        passed(model(body), X)
