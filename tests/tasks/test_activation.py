"""What outputs hold: each end of a file against the file itself in ONNX Runtime, its gradient against differences."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import ModelError, UsageError
from onnxsal.tasks import Wanted, dissect

SIDE, K = 5, 4
RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (1, 1, SIDE, SIDE)).astype(np.float32)
WEIGHTS = {
    "w": RNG.normal(0, 0.3, (SIDE * SIDE, 6)), "v": RNG.normal(0, 1, (6, K)), "u": RNG.normal(0, 1, (6, K)),
    "s": RNG.normal(0, 1, (6, 1)), "k4": RNG.normal(0, 1, (4, 1, 3, 3)), "rows4": RNG.normal(0, 1, (1, 4, 4)),
    "kinds": np.array([[1, 0], [1, 0], [0, 1], [0, 1]]),
}  # fmt: skip
HELD = """int64[3] spread = {-1,1,4}, int64[3] two4 = {-1,2,4},
    float half = {0.5}, float one = {1}, float two = {2}, float minus = {-1}, float hundred = {100},
    float third = {0.33333334}, float low = {1e-7}, float high = {0.9999999}, float zero = {0}, float tiny = {1e-9},
    int64[1] last = {1}, int64[1] front = {0}, int64[4] order = {2,0,3,1}, int64[2] some = {1,3}, int64 first = {1},
    int64[3] views = {-1,2,2}, int64[4] maps = {-1,4,1,1}, float[1,4] off = {0,-inf,0,0}, bool[1,4] on = {1,0,1,1},
    float step = {0.0000152590218966}, uint16 start = {0}, float[4] wall = {1,0,1,1}"""


def model(end: str, outputs: str = "float[n, 4] y", **metadata: str) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[n, 1, {SIDE}, {SIDE}] x) => ({outputs})
        <{HELD}> {{ x1 = Tanh(x) x2 = Flatten(x1) x3 = MatMul(x2, w) f = Tanh(x3) z = MatMul(f, v) {end} }}"""
    )
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in WEIGHTS.items()
    )
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    return proto


def run(proto: onnx.ModelProto, x: np.ndarray = X) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["y"], {"x": x})[0]
    return found.reshape(len(x), -1)


def slope(proto: onnx.ModelProto, direction: np.ndarray, column: int, eps: float = 1e-2) -> float:
    up, down = (run(proto, X + sign * eps * direction)[0, column] for sign in (1, -1))
    return (float(up) - float(down)) / (2 * eps)


def gradient(opened: onnxsal.Model, target: int) -> np.ndarray:
    return onnxsal.explain(opened, X, method="gradient", target=target).raw


OF_SOFTMAX = {
    "bare": "y = Softmax(z)",
    "clip": "p = Softmax(z) y = Clip(p, low, high)",
    "relu": "p = Softmax(z) y = Relu(p)",
    "exp of log": "p = LogSoftmax(z) y = Exp(p)",
    "log of it, exp": "p = Softmax(z) q = Log(p) y = Exp(q)",
    "times one": "p = Softmax(z) y = Mul(p, one)",
    "plus epsilon": "p = Softmax(z) y = Add(p, tiny)",
    "written out": "e = Exp(z) t = ReduceSum<keepdims=1>(e, last) y = Div(e, t)",
    "written out, less the maximum": "m = ReduceMax<keepdims=1>(z, last) q = Sub(z, m) e = Exp(q) "
                                     "t = ReduceSum<keepdims=1>(e, last) y = Div(e, t)",
    "written out, guarded": "e = Exp(z) t = ReduceSum<keepdims=1>(e, last) g = Add(t, tiny) y = Div(e, g)",
    "written out twice": "e = Exp(z) o = Exp(z) t = ReduceSum<keepdims=1>(o, last) y = Div(e, t)",
    "by a reciprocal": "e = Exp(z) t = ReduceSum<keepdims=1>(e, last) r = Reciprocal(t) y = Mul(e, r)",
    "by an L1 norm": "e = Exp(z) t = ReduceL1<keepdims=1>(e, last) y = Div(e, t)",
    "sum without its axis": "e = Exp(z) t = ReduceSum<keepdims=0>(e, last) q = Unsqueeze(t, last) y = Div(e, q)",
    "less the log of a sum": "l = ReduceLogSumExp<keepdims=1>(z, last) q = Sub(z, l) y = Exp(q)",
    "less a log written out": "e = Exp(z) t = ReduceSum<keepdims=1>(e, last) l = Log(t) q = Sub(z, l) y = Exp(q)",
    "as maps of one": "m = Reshape(z, maps) p = Softmax<axis=1>(m) q = Clip(p, low, high) y = Flatten(q)",
    "quantised and back": "p = Softmax(z) q = QuantizeLinear(p, step, start) r = DequantizeLinear(q, step, start) "
                          "y = Mul(r, one)",
    "half of it, doubled": "p = Softmax(z) q = Div(p, two) y = Mul(q, two)",
}  # fmt: skip
"""Ends whose numbers are those of a bare Softmax, and so are the maps."""

OF_SIGMOID = {
    "bare": "y = Sigmoid(z)",
    "clip": "p = Sigmoid(z) y = Clip(p, low, high)",
    "1 / (1 + exp(-z))": "m = Neg(z) e = Exp(m) d = Add(one, e) y = Div(one, d)",
    "reciprocal": "m = Neg(z) e = Exp(m) d = Add(e, one) y = Reciprocal(d)",
    "exp(z) / (1 + exp(z))": "e = Exp(z) d = Add(e, one) y = Div(e, d)",
    "(1 + tanh(z / 2)) / 2": "h = Mul(z, half) t = Tanh(h) d = Add(t, one) y = Mul(d, half)",
    "(1 + tanh(z / 2)) / two": "h = Mul(z, half) t = Tanh(h) d = Add(t, one) y = Div(d, two)",
    "1/2 + tanh(z / 2) / 2": "h = Mul(z, half) t = Tanh(h) d = Mul(t, half) y = Add(d, half)",
    "exp of -softplus(-z)": "m = Neg(z) s0 = Softplus(m) l = Neg(s0) y = Exp(l)",
    "greatest of one": "q = Sigmoid(z) y = Max(q, low)",
    "less what is not": "m = Neg(z) p = Sigmoid(m) y = Sub(one, p)",
}

READ = {
    "per cent": ("p = Softmax(z) y = Mul(p, hundred)", lambda y: y / 100),
    "log": ("y = LogSoftmax(z)", np.exp),
    "log of softmax": ("p = Softmax(z) y = Log(p)", np.exp),
    "negative log likelihood": ("p = LogSoftmax(z) y = Neg(p)", lambda y: np.exp(-y)),
    "log, scaled": ("p = LogSoftmax(z) y = Mul(p, two)", lambda y: np.exp(y / 2)),
    "sigmoids in per cent": ("p = Sigmoid(z) y = Mul(p, hundred)", lambda y: y / 100),
}
"""Numbers that stand for probabilities, and how."""

REORDERED = {
    "gather": ("p = Softmax(z) y = Gather<axis=1>(p, order)", [2, 0, 3, 1]),
    "some": ("p = Softmax(z) y = Gather<axis=1>(p, some)", [1, 3]),
    "flipped": ("p = Softmax(z) s0 = Neg(last) e = Constant<value=int64[1] {-9}>() "
                "y = Slice(p, s0, e, last, s0)", [3, 2, 1, 0]),
    "parts of two": ("p = Softmax(z) l, r = Split<axis=1, num_outputs=2>(p) y = Concat<axis=1>(r, l)", [2, 3, 0, 1]),
}  # fmt: skip

OWN = {
    "ensemble": "p = Softmax(z) g = MatMul(f, u) q = Softmax(g) t = Add(p, q) y = Mul(t, half)",
    "ensemble, Mean": "p = Softmax(z) g = MatMul(f, u) q = Softmax(g) y = Mean(p, q)",
    "ensemble, Sum": "p = Softmax(z) g = MatMul(f, u) q = Sigmoid(g) r = Softmax(g) t = Sum(p, r, r) y = Mul(t, third)",
    "ensemble, weighed": "p = Softmax(z) g = MatMul(f, u) q = Softmax(g) a0 = Mul(p, third) b0 = Sub(one, third) "
                         "b1 = Mul(q, b0) y = Add(a0, b1)",
    "stacked": "p = Softmax(z) g = MatMul(f, u) q = Softmax(g) a0 = Unsqueeze(p, front) b0 = Unsqueeze(q, front) "
               "t = Concat<axis=0>(a0, b0) y = ReduceMean<keepdims=0>(t, front)",
    "normalised sigmoids": "e = Sigmoid(z) t = ReduceSum<keepdims=1>(e, last) y = Div(e, t)",
    "evidence": "e = Softplus(z) a0 = Add(e, one) t = ReduceSum<keepdims=1>(a0, last) y = Div(a0, t)",
    "sharpened": "p = Softmax(z) e = Pow(p, two) t = ReduceSum<keepdims=1>(e, last) y = Div(e, t)",
    "squares": "e = Mul(z, z) t = ReduceSum<keepdims=1>(e, last) y = Div(e, t)",
    "not softmax": "p = Softmax(z) y = Sub(one, p)",
    "gated": "p = Softmax(z) g = MatMul(f, s) q = Sigmoid(g) r = Mul(p, one) y = Mul(r, q)",
    "experts": "g0 = MatMul(f, u) g1 = Softmax(g0) g = Unsqueeze(g1, last) e = Reshape(z, spread) h = Mul(e, rows4) "
               "p = Softmax(h) m = MatMul(g, p) y = Squeeze(m, last)",
    "maps, averaged": "c1 = Conv(x, k4) p = Softmax<axis=1>(c1) q = GlobalAveragePool(p) y = Flatten(q)",
    "views, averaged": "g = MatMul(f, u) t = Concat<axis=1>(z, g) v0 = Reshape(t, two4) p = Softmax(v0) "
                       "y = ReduceMean<keepdims=0>(p, last)",
    "greatest of views": "g = MatMul(f, u) p = Softmax(z) q = Softmax(g) y = Max(p, q)",
    "small ones left out": "p = Softmax(z) c0 = Greater(p, tiny) y = Where(c0, p, zero)",
    "masked": "p = Softmax(z) y = Mul(p, wall)",
    "a branch": "i0 = ReduceMax<keepdims=0>(x) yes = Less(i0, hundred) y = If(yes) <then_branch = g1 () => "
                "(float[n, 4] q) { q = Softmax(z) }, else_branch = g2 () => (float[n, 4] r) { e = Neg(z) "
                "r = Softmax(e) }>",
}  # fmt: skip
"""Probabilities as the graph proves, without a logit: they are explained themselves."""


SPARSE = """k = Constant<value=int64[1] {4}>() t, i = TopK<axis=1>(z, k) j = Constant<value=int64 {1}>()
    c = CumSum(t, j) m = Constant<value=float[1,4] {1,2,3,4}>() a = Mul(t, m) b = Add(a, one) d = Greater(b, c)
    e = Cast<to=1>(d) g = ReduceSum<keepdims=1>(e, last) h = Mul(t, e) o = ReduceSum<keepdims=1>(h, last)
    q = Sub(o, one) r = Div(q, g) u1 = Sub(z, r) y = Relu(u1)"""
"""Sparsemax (Martins & Astudillo 2016, arXiv:1602.02068, algorithm 1): exact zeros, and a sum of 1."""


def probability(opened: onnxsal.Model) -> np.ndarray:
    return opened.outputs(opened.prepare(X).x)["probability"]


@pytest.mark.parametrize("end", OF_SOFTMAX.values(), ids=OF_SOFTMAX)
def test_softmax_however_it_is_written(end: str) -> None:
    proto, bare = model(end), onnxsal.load(model("y = Softmax(z)"))
    opened = onnxsal.load(proto)
    np.testing.assert_allclose(probability(opened), run(proto)[0], atol=2e-5)
    np.testing.assert_allclose(gradient(opened, 2), gradient(bare, 2), rtol=1e-4, atol=1e-6)
    assert (opened.decided[0].value, opened.notes) == ("softmax", ())


@pytest.mark.parametrize("end", OF_SIGMOID.values(), ids=OF_SIGMOID)
def test_sigmoid_however_it_is_written(end: str) -> None:
    proto, bare = model(end), onnxsal.load(model("y = Sigmoid(z)"))
    opened = onnxsal.load(proto)
    np.testing.assert_allclose(probability(opened), run(proto)[0], atol=1e-6)
    np.testing.assert_allclose(gradient(opened, 2), gradient(bare, 2), rtol=1e-4, atol=1e-6)
    assert (opened.decided[0].value, opened.notes) == ("sigmoid", ())


@pytest.mark.parametrize(("end", "read"), READ.values(), ids=READ)
def test_numbers_that_stand_for_probabilities(end: str, read: object) -> None:
    proto = model(end)
    opened = onnxsal.load(proto)
    np.testing.assert_allclose(probability(opened), read(run(proto)[0]), atol=1e-6)  # type: ignore[operator]
    np.testing.assert_allclose(
        gradient(opened, 1), gradient(onnxsal.load(model("y = Softmax(z)")), 1), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(("end", "order"), REORDERED.values(), ids=REORDERED)
def test_classes_in_another_order(end: str, order: list[int]) -> None:
    proto, bare = model(end, f"float[n, {len(order)}] y"), onnxsal.load(model("y = Softmax(z)"))
    opened = onnxsal.load(proto)
    np.testing.assert_allclose(probability(opened), run(proto)[0], atol=1e-6)
    for at, column in enumerate(order):
        np.testing.assert_allclose(gradient(opened, at), gradient(bare, column), rtol=1e-4, atol=1e-6)
    compiled = onnxsal.compile(opened, method="gradient", target=0, give="raw")
    session = onnxruntime.InferenceSession(compiled.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["raw"], {"x": X})[0][0], gradient(opened, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("end", OWN.values(), ids=OWN)
def test_probabilities_without_a_logit_are_explained_themselves(end: str) -> None:
    proto = model(end)
    opened = onnxsal.load(proto)
    np.testing.assert_allclose(probability(opened), run(proto)[0], atol=1e-6)
    found = onnxsal.explain(opened, X, method="gradient", target=2)
    direction = RNG.normal(0, 1, X.shape).astype(np.float32)
    assert (found.raw * direction[0]).sum() == pytest.approx(slope(proto, direction, 2), rel=2e-2, abs=1e-4)
    assert found.manifest["score"] == "probability"
    assert np.isnan(found.logit)
    assert "no logit is proven" in opened.notes[0]
    with pytest.raises(UsageError, match="score='logit': expected probability"):
        onnxsal.explain(opened, X, method="gradient", score="logit")


def test_a_sum_over_classes_of_a_kind() -> None:
    proto = model("p = Softmax(z) y = MatMul(p, kinds)", "float[n, 2] y")
    np.testing.assert_allclose(probability(onnxsal.load(proto)), run(proto)[0], atol=1e-6)


def test_the_two_of_one_sigmoid() -> None:
    """[1 - p, p]: the logits are those of each, and so the gradients are opposite."""
    proto = model("o = MatMul(f, s) p = Sigmoid(o) q = Sub(one, p) y = Concat<axis=1>(q, p)", "float[n, 2] y")
    opened, one = onnxsal.load(proto), onnxsal.load(model("o = MatMul(f, s) y = Sigmoid(o)", "float[n, 1] y"))
    np.testing.assert_allclose(probability(opened), run(proto)[0], atol=1e-6)
    for column in (0, 1):
        np.testing.assert_allclose(gradient(opened, column), gradient(one, column), rtol=1e-5)


@pytest.mark.parametrize("shape", ["float[n, 1] y", "float[n] y"])
def test_one_logit_is_two_classes(shape: str) -> None:
    end = "o = MatMul(f, s) " + ("y = Sigmoid(o)" if "1" in shape else "q = Squeeze(o, last) y = Sigmoid(q)")
    proto = model(end, shape)
    p, opened = float(run(proto)[0, 0]), onnxsal.load(proto, labels=["good", "defect"])
    np.testing.assert_allclose(probability(opened), [1 - p, p], atol=1e-6)
    assert opened.predict(X)[0].label == ("defect" if p > 0.5 else "good")
    direction = RNG.normal(0, 1, X.shape).astype(np.float32)
    for target, sign in (("defect", 1), ("good", -1), ("not defect", -1), ("not good", 1)):
        found = onnxsal.explain(opened, X, method="gradient", target=target, score="probability")
        assert (found.raw * direction[0]).sum() == pytest.approx(sign * slope(proto, direction, 0), rel=2e-2, abs=1e-4)
    one = onnxsal.load(proto, labels=["defect"])
    assert [one.label(0), one.label(1)] == ["not defect", "defect"]
    again = onnxsal.load(onnxsal.compile(one, method="gradient", target="defect"))
    assert [again.label(0), again.label(1)] == ["not defect", "defect"]
    with pytest.raises(UsageError, match="3 labels, but the model has 2 classes"):
        onnxsal.load(proto, labels=["a", "b", "c"])


@pytest.mark.parametrize("made", ["Softmax", "LogSoftmax"])
def test_a_softmax_over_one_number_proves_no_classes(made: str) -> None:
    proto = model(f"o = MatMul(f, s) y = {made}<axis = 1>(o)", "float[n, 1] y")
    opened, value = onnxsal.load(proto), float(run(proto)[0, 0])
    (shown,) = opened.predict(X)
    assert (np.isnan(shown.probability), shown.logit) == (True, value)
    assert f"'y' is {made} over one number, which is the same whatever goes in: --activation sigmoid" in opened.notes[0]
    assert not gradient(opened, 0).any()
    logit = float(run(model("y = MatMul(f, s)", "float[n, 1] y"))[0, 0])
    said = onnxsal.load(proto, activation="sigmoid")
    np.testing.assert_allclose(probability(said)[1], 1 / (1 + np.exp(-logit)), rtol=1e-5)
    assert gradient(said, 1).any()


def test_one_number_is_shown_as_it_is_until_somebody_says_what_it_is() -> None:
    proto = model("y = MatMul(f, s)", "float[n, 1] y")
    opened, value = onnxsal.load(proto), float(run(proto)[0, 0])
    (shown,) = opened.predict(X)
    assert (np.isnan(shown.probability), shown.logit) == (True, pytest.approx(value, rel=1e-5))
    assert "'y' is one number, and nothing says what" in opened.notes[0]
    assert onnxsal.load(proto, task="regression").notes == ()
    said = onnxsal.load(proto, activation="sigmoid")
    np.testing.assert_allclose(probability(said)[1], 1 / (1 + np.exp(-value)), rtol=1e-5)
    np.testing.assert_array_equal(gradient(said, 1), gradient(opened, 0))
    named = onnxsal.load(proto, labels=["good", "defect"])
    np.testing.assert_array_equal(probability(named), probability(said))
    with pytest.raises(UsageError, match="of one number it is always 1"):
        onnxsal.load(proto, activation="softmax")
    with pytest.raises(UsageError, match=r"'y' holds no probabilities.*numbers from"):
        onnxsal.load(model("q = MatMul(f, s) y = Add(q, hundred)", "float[n, 1] y"), activation="none").predict(X)
    maps = onnxsal.explain(opened, X, method="occlusion", patch=1, stride=1)
    assert np.ptp(maps.raw) > 0


def test_the_files_own_words() -> None:
    free = "y = Mul(z, two)"
    tagged = onnxsal.load(model(free, problem_type="multi_label_classification"))
    np.testing.assert_allclose(probability(tagged), 1 / (1 + np.exp(-run(model(free))[0])), rtol=1e-5)
    assert (str(tagged.decided[0]), tagged.assumed) == ("activation: sigmoid (the file's metadata)", ())
    assert onnxsal.load(model(free, problem_type="single_label_classification")).assumed == ()
    assert onnxsal.load(model(free, problem_type="regression")).task.name == "regression"
    assert onnxsal.load(model("y = Softmax(z)", problem_type="regression")).task.probabilities_by == "softmax"
    unsaid = onnxsal.load(model(free))
    assert (unsaid.notes, "softmax is taken" in unsaid.assumed[0]) == ((), True)


def test_what_a_run_tells() -> None:
    entmax = model(SPARSE)
    opened = onnxsal.load(entmax)
    np.testing.assert_allclose(probability(opened), run(entmax)[0], atol=1e-6)
    assert str(opened.decided[0]).startswith("activation: none (4 made-up inputs (seed 0) gave rows in [0, 1] that sum")
    assert "no graph proves it" in opened.notes[0]
    capsule = model("q = Mul(z, z) d = Add(q, one) y = Div(q, d)")
    opened = onnxsal.load(capsule)
    assert opened.decided[0].value == "value"
    shown = opened.predict(X)
    assert [np.isnan(each.probability) for each in shown] == [True] * K
    np.testing.assert_allclose([each.logit for each in shown], np.sort(run(capsule)[0])[::-1], rtol=1e-5)
    np.testing.assert_allclose(probability(onnxsal.load(capsule, activation="none")), run(capsule)[0], rtol=1e-5)
    far = model("q = Mul(z, z) r = ReduceL2<keepdims=1>(q, last) d = Add(r, tiny) e = Div(q, d) y = Sub(e, one)")
    assert onnxsal.load(far).decided[0].why.startswith("a run on made-up inputs (seed 0) gave numbers outside")


def test_a_proof_is_not_overruled() -> None:
    for activation in ("none", "sigmoid"):
        with pytest.raises(UsageError, match=f"activation='{activation}': the graph proves 'softmax' .*Softmax"):
            onnxsal.load(model("p = Softmax(z) y = Clip(p, low, high)"), activation=activation)
    assert onnxsal.load(model("y = Softmax(z)"), activation="softmax").task.probabilities_by == "softmax"
    with pytest.raises(UsageError, match="did you mean 'softmax'"):
        onnxsal.load(model("y = Identity(z)"), activation="sofmax")


@pytest.mark.parametrize("end", ["y = Add(z, off)", "y = Where(on, z, m)", "q = Add(z, off) y = Softmax(q)"])
def test_classes_that_are_switched_off(end: str) -> None:
    proto = model("m = Constant<value=float {-inf}>() " + end)
    opened, given = onnxsal.load(proto), run(proto)[0]
    expected = given if "Softmax" in end else np.exp(given) / np.exp(given).sum()
    shown = opened.predict(X)
    assert 1 not in [each.index for each in shown]
    np.testing.assert_allclose([each.probability for each in shown], np.sort(expected)[::-1][:3], rtol=1e-5)
    np.testing.assert_allclose(
        gradient(opened, 2), gradient(onnxsal.load(model("y = Identity(z)")), 2), rtol=1e-5, atol=1e-7
    )
    with pytest.raises(UsageError, match="switches 'class 1' off"):
        onnxsal.explain(opened, X, method="gradient", target=1)
    with pytest.raises(ModelError, match="not finite"):
        onnxsal.load(model("i = Div(one, zero) y = Mul(z, i)")).predict(X)


def test_a_head_is_found_again_in_a_graph_of_the_same_model() -> None:
    """Compiled files and randomised models recognise it anew, without the file's words or a run."""
    capsule = onnxsal.load(model("q = Mul(z, z) d = Add(q, one) y = Div(q, d)"))
    said = onnxsal.load(model("y = Identity(z)"), activation="sigmoid")
    number = onnxsal.load(model("o = MatMul(f, s) y = Squeeze(o)", "float y"))
    held = onnxsal.load(model("e = Softplus(z) t = ReduceSum<keepdims=1>(e, last) y = Div(e, t)"))
    for opened in (capsule, said, number, held, onnxsal.load(model(SPARSE))):
        graph = opened.anatomy.model
        entry = opened.modality.find_entry(graph.graph)
        assert dissect(graph, entry, Wanted.same(opened.task)).head == opened.task
