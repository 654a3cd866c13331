"""Sequence plumbing of exporters: what is read from a sequence has the gradient of its tensors."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest
from checker import Problem, close, quotient, run_ort, run_reference

import onnxsal.autodiff as autodiff
from onnxsal.errors import UnsupportedError, UsageError

R = np.random.default_rng(9)
HEAD = '<ir_version: 10, opset_import: ["": 21]> f (double[4, 3] x, double[4, 3] w) => (double[n, m] y) '
MODELS = {
    "construct": "{ s = SequenceConstruct (x, w, x) y = ConcatFromSequence <axis = 1> (s) }",
    "stack": """<int64 two = {2}, int64[1] one = {0}> { s = SplitToSequence <axis = 0, keepdims = 0> (x)
        t = SequenceAt (s, two) u = ConcatFromSequence <axis = 1, new_axis = 1> (s) v = Mul (t, t)
        v2 = Unsqueeze (v, one) y = MatMul (v2, u) }""",
    "split": """<int64 three = {3}, int64 last = {-1}> { s = SplitToSequence <axis = 0> (x, three)
        t = SequenceAt (s, last) q = Exp (w) y = Mul (t, q) }""",
    "insert": """<int64 first = {0}, int64 zero = {0}> { e = SequenceEmpty <dtype = 11> () a = SequenceInsert (e, x)
        b = SequenceInsert (a, w, zero) c = SequenceInsert (b, x) d = SequenceErase (c, first)
        k = Identity (d) y = ConcatFromSequence <axis = 0> (k) }""",
}


@pytest.mark.parametrize("name", MODELS)
def test_slope(name: str) -> None:
    model = onnx.parser.parse_model(HEAD + MODELS[name])
    feeds = {"x": R.normal(size=(4, 3)), "w": R.normal(size=(4, 3))}
    seeds = {"y": R.normal(size=run_reference(model, feeds)["y"].shape)}
    p = Problem(model, feeds, seeds, {k: R.normal(size=(4, 3)) for k in feeds})
    slope = quotient(model, feeds, seeds, p.directions, 1e-5)
    close(p.product(run_reference(p.gradient(), p.all_feeds())), slope, 1e-6, 0.1)


def test_an_optional_input_has_the_gradient_of_what_it_holds() -> None:
    head = '<ir_version: 10, opset_import: ["" : 21]> g (optional(float[4]) x, float[4] w) => (float[4] y) '
    model = onnx.parser.parse_model(head + "{ t = OptionalGetElement (x) y = Mul (t, w) }")
    x, w, u = R.normal(size=(3, 4)).astype(np.float32)
    graph = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"])
    found = run_ort(graph, {"x": x, "w": w, "seed/y": u})["grad/x"]
    np.testing.assert_allclose(found, u * w, rtol=1e-6)
    unread = autodiff.gradient(ir.from_proto(onnx.parser.parse_model(head + "{ y = Exp (w) }")), of=["y"], wrt=["x"])
    assert not run_ort(unread, {"x": x, "w": w, "seed/y": u})["grad/x"].any()


def test_a_sequence_has_no_gradient_of_its_own() -> None:
    head = '<ir_version: 10, opset_import: ["" : 21]> g (float[4] x) => (float[4] y) '
    model = onnx.parser.parse_model(head + "{ s = SequenceConstruct (x, x) y = ConcatFromSequence <axis = 0> (s) }")
    with pytest.raises(UsageError, match="'s'"):
        autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["s"])


MAPPED = """{ s = SequenceConstruct (x, w, x) t = SequenceConstruct (w, w, x)
    u, v = SequenceMap <body = b (float[4, 3] p, float[4, 3] q, float[4, 3] r) => (float[4, 3] h, float[4, 3] k)
        { h0 = Mul (p, q) h1 = Mul (r, x) h = Add (h0, h1) k = Sin (p) }> (s, t, w)
    a = ConcatFromSequence <axis = 0> (u) c = ConcatFromSequence <axis = 0> (v) y = Mul (a, c) }"""
UNROLLED = """{ h1 = Mul (w, x) a0 = Mul (x, w) a1 = Mul (w, w) a2 = Mul (x, x)
    b0 = Add (a0, h1) b1 = Add (a1, h1) b2 = Add (a2, h1) a = Concat <axis = 0> (b0, b1, b2)
    c0 = Sin (x) c1 = Sin (w) c = Concat <axis = 0> (c0, c1, c0) y = Mul (a, c) }"""


def test_a_mapped_body_is_laid_out_for_every_tensor() -> None:
    head = '<ir_version: 10, opset_import: ["": 21]> f (float[4, 3] x, float[4, 3] w) => (float[12, 3] y) '
    x, w = R.normal(size=(2, 4, 3)).astype(np.float32)
    feeds = {"x": x, "w": w, "seed/y": R.normal(size=(12, 3)).astype(np.float32)}
    models = [ir.from_proto(onnx.parser.parse_model(head + body)) for body in (MAPPED, UNROLLED)]
    found, wanted = (run_ort(autodiff.gradient(m, of=["y"], wrt=["x", "w"]), feeds) for m in models)
    for name in ("y", "grad/x", "grad/w"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-5)


BODY = '<ir_version: 10, opset_import: ["" : 21]> g (float[b, 4] x, bool c) => (float[b, 4] y) '
HELD = "<float s = {0.02}, int8 z = {0}, int64 one = {1}, int64 n = {3}> "
MADE = {
    "optional": ("o = Optional (x)", "OptionalGetElement (o)"),
    "optional sequence": ("m = Neg (x) q = SequenceConstruct (m, x) o = Optional (q)", "SequenceAt (r, one)"),
    "sequence": ("m = Neg (x) q = SequenceConstruct (m, x)", "SequenceAt (q, one)"),
    "quantised": ("q = QuantizeLinear (x, s, z)", "DequantizeLinear (q, s, z)"),
}


def branched(name: str) -> onnx.ModelProto:
    """A branch for each function of what was made outside of it."""
    made, read = MADE[name]
    unpack = ["", ""] if name != "optional sequence" else ["r = OptionalGetElement (o) ", "r = OptionalGetElement (o) "]
    first = f"{unpack[0]}t = {read} u = Mul (t, t)"
    second = f"{unpack[1]}t = {read} v = Sin (t)".replace(" t ", " t2 ").replace("(t)", "(t2)").replace("t =", "t2 =")
    second = second.replace("r =", "r2 =").replace("(r,", "(r2,")
    return onnx.parser.parse_model(
        f"{BODY}{HELD}{{ {made} y = If (c) <then_branch: graph = a () => (float[] u) {{ {first} }}, "
        f"else_branch: graph = b2 () => (float[] v) {{ {second} }}> }}"
    )


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("taken", [True, False])
def test_a_branch_reads_what_was_made_outside_of_it(name: str, taken: bool) -> None:
    x, u = R.uniform(-2, 2, size=(2, 2, 4)).astype(np.float32)
    graph = autodiff.gradient(ir.from_proto(branched(name)), of=["y"], wrt=["x"])
    found = run_ort(graph, {"x": x, "c": np.array(taken), "seed/y": u})["grad/x"]
    seen = np.round(x / np.float32(0.02)) * np.float32(0.02) if name == "quantised" else x
    np.testing.assert_allclose(found, u * (2 * seen if taken else np.cos(seen)), rtol=1e-5)


def test_a_loop_reads_quantised_numbers_from_outside() -> None:
    loop = """{ q = QuantizeLinear (x, s, z) y = Loop (n, c, x) <body = g2 (int64 i, bool k, float[] a) =>
        (bool k2, float[] a2) { t = DequantizeLinear (q, s, z) a2 = Mul (a, t) k2 = Identity (k) }> }"""
    model = onnx.parser.parse_model(BODY + HELD + loop)
    x, u = R.uniform(0.5, 1.5, size=(2, 2, 4)).astype(np.float32)
    graph = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"])
    found = run_ort(graph, {"x": x, "c": np.array(True), "seed/y": u})["grad/x"]
    t = np.round(x / np.float32(0.02)) * np.float32(0.02)  # y = x t^3, t straight through
    np.testing.assert_allclose(found, u * (t**3 + 3 * x * t**2), rtol=1e-5)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("y = If (c) <then_branch: graph = a () => (float[] u) { t = OptionalGetElement (o) u = Exp (t) }, "
         "else_branch: graph = b2 () => (float[] v) { v = Exp (x) }>", "If 'y' reads 'o', an optional value"),
        ("q = QuantizeLinear (x, s, z) f = Loop (n, c, q) <body = g2 (int64 i, bool k, int8[] a) => "
         "(bool k2, int8[] a2) { a2 = Identity (a) k2 = Identity (k) }> y = DequantizeLinear (f, s, z)",
         "Loop 'f' takes 'q' from turn to turn"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_into_a_body_is_no_silent_zero(body: str, match: str) -> None:
    head = BODY.replace("bool c", "bool c, optional(float[b, 4]) o")
    model = onnx.parser.parse_model(f"{head}{HELD}{{ {body} }}")
    with pytest.raises(UnsupportedError, match=match):
        autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x", "o"])


def test_an_optional_value_that_is_known_to_be_there_decides_its_branch() -> None:
    body = """{ o = Optional (x) h = OptionalHasElement (o) y = If (h)
        <then_branch: graph = a () => (float[] u) { t = OptionalGetElement (o) u = Mul (t, t) },
         else_branch: graph = b2 () => (float[] v) { v = Sin (x) }> }"""
    graph = autodiff.gradient(ir.from_proto(onnx.parser.parse_model(BODY + body)), of=["y"], wrt=["x"])
    assert "If" not in {node.op_type for node in graph.graph.node}
    x, u = R.normal(size=(2, 2, 4)).astype(np.float32)
    np.testing.assert_allclose(
        run_ort(graph, {"x": x, "c": np.array(True), "seed/y": u})["grad/x"], 2 * u * x, rtol=1e-5
    )
