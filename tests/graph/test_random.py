"""Which random numbers a value depends on: every operator that draws, against ONNX Runtime running it several times."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
from drawing_models import draws, parse, runs

from onnxsal.graph import load_ir, normalise
from onnxsal.graph.random import drawing_nodes

BODIES = {
    "RandomNormal": "r = RandomNormal<shape=[1,16]>() y = Add(x, r)",
    "RandomUniform": "r = RandomUniform<shape=[1,16]>() y = Add(x, r)",
    "RandomNormalLike": "r = RandomNormalLike(x) y = Add(x, r)",
    "RandomUniformLike": "r = RandomUniformLike(x) y = Add(x, r)",
    "Bernoulli": "h = Mul(x, half) h2 = Mul(h, half) y = Bernoulli(h2)",
    "Multinomial": "i = Multinomial<sample_size=16>(x) y = Cast<to=1>(i)",
    "RandomNormalLike in a branch": "s = ReduceSum<keepdims=0>(x) c = Greater(s, two) y = If(c) "
    "<then_branch = b() => (float[1,16] e) { r = RandomNormalLike(x) e = Add(r, x) }, "
    "else_branch = o() => (float[1,16] q) { q = Identity(x) }>",
    "RandomUniformLike in a loop": "y = Loop(once, train, x) <body = b(int64 i, bool c, float[1,16] s) => "
    "(bool k, float[1,16] r) { k = Identity(c) u = RandomUniformLike(s) r = Add(s, u) }>",
    "RandomNormalLike in a scan": "w = ReduceSum<keepdims=0>(x, zero) f, y = Scan<num_scan_inputs=1, "
    "body = b(float[16] s, float[16] v) => "
    "(float[16] t, float[16] o) { t = Identity(s) u = RandomNormalLike(v) o = Add(v, u) }>(w, x)",
}


SEEDED = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


def model(name, seed=False):
    proto = parse(BODIES[name])
    graphs = [proto.graph, *(a.g for node in proto.graph.node for a in node.attribute if a.HasField("g"))]
    for node in (node for graph in graphs for node in graph.node if seed and node.op_type in SEEDED):
        node.attribute.append(onnx.helper.make_attribute("seed", 1.0))
    return proto


@pytest.mark.parametrize("seed", [False, True])
@pytest.mark.parametrize("name", BODIES, ids=str)
def test_what_draws_is_found_whatever_its_seed(name, seed):
    proto = model(name, seed)
    assert draws(runs(proto))
    (node,) = drawing_nodes(normalise(load_ir(proto)).graph.outputs)
    assert node.op_type == name.split()[0]


def test_in_functions():
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17, "my": 1]> g (float[1,16] x) => (float y) { y = my.noisy(x) } '
        '<domain: "my", opset_import: ["": 17]> noisy (a) => (b) { r = RandomNormalLike(a) b = Add(a, r) }'
    )
    assert [n.op_type for n in drawing_nodes(normalise(load_ir(proto)).graph.outputs)] == ["RandomNormalLike"]


STILL = {
    "beside the score": "r = RandomNormalLike(x) z = Add(x, r) y = Mul(x, two)",
    "its shape alone": "r = RandomNormalLike(x) s = Shape(r) y = Reshape(x, s)",
    "the other branch result": "s = ReduceSum<keepdims=0>(x) c = Greater(s, two) y, z = If(c) "
    "<then_branch = b() => (float[1,16] e, float[1,16] f) { e = Identity(x) f = RandomNormalLike(x) }, "
    "else_branch = o() => (float[1,16] q, float[1,16] p) { q = Identity(x) p = Identity(x) }>",
    "a uniform of no width": "r = RandomUniformLike<low=1.0, high=1.0>(x) y = Add(x, r)",
}


@pytest.mark.parametrize("name", STILL, ids=str)
def test_what_the_score_does_not_depend_on_is_not_named(name):
    proto = parse(STILL[name], outputs="float y, float z" if "z =" in STILL[name] else "float y")
    assert not draws(runs(proto))
    outputs = normalise(load_ir(proto)).graph.outputs
    assert not drawing_nodes(outputs[:1])


def test_a_seed_is_of_a_session_and_not_of_a_run():
    """Two sessions draw the same sequence, and within one every run goes on in it."""
    first, second = (np.stack(runs(model("RandomNormalLike", True))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
