"""Sequence plumbing of exporters: what is read from a sequence has the gradient of its tensors."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest
from checker import Problem, close, quotient, run_ort, run_reference

import onnxsal.autodiff as autodiff
from onnxsal.errors import UsageError

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
    head = '<ir_version: 11, opset_import: ["" : 21]> g (optional(float[4]) x, float[4] w) => (float[4] y) '
    model = onnx.parser.parse_model(head + "{ t = OptionalGetElement (x) y = Mul (t, w) }")
    x, w, u = R.normal(size=(3, 4)).astype(np.float32)
    graph = autodiff.gradient(ir.from_proto(model), of=["y"], wrt=["x"])
    found = run_ort(graph, {"x": x, "w": w, "seed/y": u})["grad/x"]
    np.testing.assert_allclose(found, u * w, rtol=1e-6)
    unread = autodiff.gradient(ir.from_proto(onnx.parser.parse_model(head + "{ y = Exp (w) }")), of=["y"], wrt=["x"])
    assert not run_ort(unread, {"x": x, "w": w, "seed/y": u})["grad/x"].any()


def test_a_sequence_has_no_gradient_of_its_own() -> None:
    head = '<ir_version: 11, opset_import: ["" : 21]> g (float[4] x) => (float[4] y) '
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
