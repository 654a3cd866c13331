"""The normal form: same numbers, fewer nodes, every shape known, the user's model untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxsal.errors import UnsupportedError
from onnxsal.graph import dims, infer_shapes, load_ir, normalise, to_proto
from onnxsal.graph.batch import fixed_batch
from onnxsal.graph.limits import check_limits, value_bytes
from onnxsal.graph.shapes import per_image

ZOO = sorted((Path(__file__).parent.parent / "data" / "zoo").glob("*.onnx"))
IDS = [path.stem for path in ZOO]


def parse(body, inputs="float[n,4,6,6] x", outputs="float y", opset=21, rest=""):
    head = f'<ir_version: 10, opset_import: ["" : {opset}, "local" : 1]> g ({inputs}) => ({outputs}) '
    return onnx.parser.parse_model(head + body.replace("'", '"') + rest)


def run(model, **inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, inputs)


@pytest.mark.parametrize("path", ZOO, ids=IDS)
def test_same_numbers_and_every_shape(path):
    original = onnx.load(path)
    normal = normalise(load_ir(path))
    (source,) = normal.graph.inputs
    kind = np.float16 if original.graph.input[0].type.tensor_type.elem_type == 10 else np.float32
    x = np.random.default_rng(0).standard_normal((3, *dims(source)[1:])).astype(kind)
    before, after = run(original, **{source.name: x})[0], run(to_proto(normal), **{source.name: x})[0]
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    unknown = [v.name for n in normal.graph for v in n.outputs if v.shape is None or None in dims(v)]
    assert not unknown


@pytest.mark.parametrize("path", ZOO, ids=IDS)
def test_reshapes_do_not_read_the_picture(path):
    normal = normalise(load_ir(path))
    targets = [node.inputs[1].const_value for node in normal.graph if node.op_type == "Reshape"]
    assert all(target is not None for target in targets)


@pytest.mark.parametrize("path", ZOO[::5], ids=IDS[::5])
def test_the_model_given_stays_as_it_was(path):
    model = load_ir(path)
    before = to_proto(model).SerializeToString(deterministic=True)
    normalise(model)
    assert to_proto(model).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("path", ZOO[::5], ids=IDS[::5])
def test_it_is_its_own_normal_form(path):
    once = normalise(load_ir(path))
    twice = normalise(once)
    assert [n.op_type for n in once.graph] == [n.op_type for n in twice.graph]
    assert [dims(v) for n in once.graph for v in n.outputs] == [dims(v) for n in twice.graph for v in n.outputs]


def shapes(model):
    return {v.name: dims(v) for node in normalise(load_ir(model)).graph for v in node.outputs}


def test_the_batch_is_followed_through_arithmetic():
    body = """{
        s = Shape(x) zero = Constant<value=int64 {0}>() n = Gather(s, zero) nine = Constant<value=int64 {9}>()
        m = Mul(n, nine) axes = Constant<value=int64[1] {0}>() mm = Unsqueeze(m, axes)
        rest = Constant<value=int64[2] {-1,4}>() t = Concat<axis=0>(mm, rest)
        h = Reshape(x, t) two = Constant<value=int64[1] {2}>() y = ReduceSum<keepdims=0>(h, two)
    }"""
    found = shapes(parse(body))
    assert found == {"h": ("9*n", 4, 4), "y": ("9*n", 4)}


def test_dimensions_that_change_with_the_batch_otherwise_are_unknown():
    body = """{
        s = Shape(x) zero = Constant<value=int64[1] {0}>() n = Gather(s, zero) one = Constant<value=int64[1] {1}>()
        m = Add(n, one) y = ConstantOfShape(m)
    }"""
    assert shapes(parse(body))["y"] == (None,)


def test_a_batch_that_only_one_image_fits_is_fixed():
    """Exports declare a free batch and spell a 1 out all the same."""
    body = """{ t = Constant<value=int64[2] {1,144}>() h = Reshape(x, t) w = Constant<value=float[1] {2.0}>()
                y = Mul(h, w) }"""
    normal = normalise(load_ir(parse(body)))
    assert fixed_batch(normal, "x") == 1


@pytest.mark.parametrize("leading", ["", "-1", "0"], ids=["unnamed", "-1", "0"])
def test_a_batch_without_a_name_gets_one(leading):
    model = parse("{ y = Relu(x) }")
    dim = model.graph.input[0].type.tensor_type.shape.dim[0]
    dim.Clear()
    if leading:
        dim.dim_value = int(leading)
    normal = normalise(load_ir(model))
    assert dims(normal.graph.inputs[0]) == ("batch", 4, 6, 6) == dims(normal.graph.outputs[0])


def test_two_free_batches_stay_apart():
    body = "{ a = Concat<axis=0>(x, x) b = Concat<axis=0>(z, z) y = Relu(a) w = Relu(b) }"
    found = shapes(parse(body, "float[n,3] x, float[m,3] z", "float y, float w"))
    assert found["y"] == ("2*n", 3) and found["w"] == ("2*m", 3)


def test_constants_are_folded_but_what_is_kept():
    body = "<float[2,3] w = {1,2,3,4,5,6}> { t = Transpose(w) h = Mul(t, t) y = MatMul(x, h) }"
    model = parse(body, "float[n,3] x")
    assert [n.op_type for n in normalise(load_ir(model)).graph] == ["MatMul"]
    kept = normalise(load_ir(model), keep=frozenset({"w"})).graph
    assert [n.op_type for n in kept] == ["Transpose", "Mul", "MatMul"]


def test_nested_functions_are_inlined():
    """The names of a callee's dimensions are its own: its ``n`` is not the caller's batch."""
    rest = """
    <domain: "local", opset_import: ["" : 21, "local" : 1]>
    inner (a) => (b) { c = Transpose<perm=[1,0]>(a) b = Relu(c) }
    <domain: "local", opset_import: ["" : 21, "local" : 1]>
    outer (a) => (b) { c = local.inner(a) b = local.inner(c) }"""
    model = parse("{ y = local.outer(x) }", "float[n,3] x", rest=rest)
    shape = onnx.helper.make_tensor_value_info("c", 1, [3, "m"])
    model.functions[0].value_info.append(shape)
    normal = normalise(load_ir(model))
    assert [n.op_type for n in normal.graph] == ["Transpose", "Relu"] * 2
    assert [dims(n.outputs[0]) for n in normal.graph] == [(3, "n"), (3, "n"), ("n", 3), ("n", 3)]
    x = np.array([[1, -2, 3]], np.float32)
    np.testing.assert_array_equal(run(to_proto(normal), x=x)[0], np.maximum(x, 0))


def test_initializers_that_are_inputs_too_are_no_inputs():
    model = parse("<float[1] w = {2.0}> { y = Mul(x, w) }", "float[n] x")
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [1]))
    assert [v.name for v in normalise(load_ir(model)).graph.inputs] == ["x"]


def test_subgraphs_run_as_before():
    body = """{ s = ReduceSum<keepdims=0>(x) zero = Constant<value=float {0.0}>() c = Greater(s, zero)
                y = If(c) <then_branch = a () => (float p) { p = Relu(x) },
                           else_branch = b () => (float q) { k = Constant<value=float {2.0}>() q = Mul(x, k) }> }"""
    model = parse(body.replace("float p", "float[n,3] p").replace("float q", "float[n,3] q"), "float[n,3] x")
    normal = to_proto(normalise(load_ir(model)))
    for x in (np.array([[1, 2, -1]], np.float32), np.array([[-1, 1, -2]], np.float32)):
        np.testing.assert_array_equal(run(normal, x=x)[0], run(model, x=x)[0])


@pytest.mark.parametrize("taken", [0, 1])
def test_a_decided_branch_takes_the_place_of_its_if(taken):
    branch = "{ k = Constant<value=float {%s}>() t = Mul(x, k) p = Add(t, t) q = Identity(x) }"
    body = f"""{{ two = Constant<value=int64 {{{2 + taken}}}>() n = Size(x) c = Equal(n, two)
                 a, b = If(c) <then_branch = t () => (float[3] p, float[3] q) {branch % "2.0"},
                              else_branch = e () => (float[3] p, float[3] q) {branch % "3.0"}>
                 d, y = If(c) <then_branch = t () => (float[3] p, float[3] q) {branch % "5.0"},
                               else_branch = e () => (float[3] q, float[3] p) {branch % "7.0"}>
                 z = Concat<axis=0>(a, b, d) }}"""
    model = parse(body, "float[3] x", "float[3] y, float[9] z")
    normal = to_proto(normalise(load_ir(model)))
    assert "If" not in [n.op_type for n in normal.graph.node]
    x = np.array([1, -2, 4], np.float32)
    for got, wanted in zip(run(normal, x=x), run(model, x=x), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("batch", [1, 2, 11])
@pytest.mark.parametrize(
    "body",
    [
        """{ c = Equal(n, one) s = Squeeze(c) y = If(s)<then_branch = t () => (float[b,4,6,6] p) { p = Neg(x) },
             else_branch = e () => (float[b,4,6,6] q) { q = Identity(x) }> }""",
        "{ ten = Constant<value=int64[1] {10}>() k = Min(n, ten) y = Cast<to=1>(k) }",
        "{ ten = Constant<value=int64[1] {10}>() k = Slice(x, zero, ten, zero) s = Shape(k) y = Cast<to=1>(s) }",
    ],
)
def test_what_a_batch_of_one_turns_is_not_constant(body, batch):
    """Eleven and thirteen images agree on these, fewer do not."""
    head = "{ n = Shape<start=0, end=1>(x) one = Constant<value=int64[1] {1}>() zero = Constant<value=int64[1] {0}>()"
    model = parse(head + body.replace("{", "", 1))
    x = np.random.default_rng(0).standard_normal((batch, 4, 6, 6)).astype(np.float32)
    (wanted,), (got,) = run(model, x=x), run(to_proto(normalise(load_ir(model))), x=x)
    np.testing.assert_array_equal(got, wanted)


def test_a_number_in_a_vector_is_a_number_where_range_wants_one():
    """Inside an If the runtime does not see the shape, and runs it."""
    body = """{ one = Constant<value=int64[1] {1}>() n = Size(x) three = Constant<value=int64 {3}>() c = Equal(n, three)
                zero = Constant<value=int64 {0}>() step = Constant<value=int64 {1}>()
                l = If(c) <then_branch = t () => (int64[1] p) { p = Add(m, one) },
                           else_branch = e () => (int64[1] q) { q = Identity(m) }>
                y = Range(zero, l, step) }"""
    normal = to_proto(normalise(load_ir(parse(body, "float[3] x, int64[1] m", "int64[k] y"))))
    found = run(normal, m=np.array([2]), **({"x": np.zeros(3, np.float32)} if len(normal.graph.input) > 1 else {}))
    np.testing.assert_array_equal(found[0], [0, 1, 2])


def test_a_shape_of_known_length_is_a_known_number_of_dimensions():
    body = """{ s = Constant<value=int64[2] {2,3}>() t = Concat<axis=0>(m, s) a = Expand(x, t) b = Reshape(x, t)
                c = ConstantOfShape(t) y = Sum(a, b, c) }"""
    normal = normalise(load_ir(parse(body, "float[k] x, int64[2] m")))
    ranks = {n.op_type: len(dims(n.outputs[0])) for n in normal.graph if n.op_type != "Concat"}
    assert ranks == {"Expand": 4, "Reshape": 4, "ConstantOfShape": 4, "Sum": 4}


def test_inference_again_finds_the_same():
    normal = normalise(load_ir(ZOO[0]))
    before = [dims(v) for n in normal.graph for v in n.outputs]
    for node in normal.graph:
        for value in node.outputs:
            value.shape = None
    infer_shapes(normal)
    assert [dims(v) for n in normal.graph for v in n.outputs] == before


def test_a_graph_that_wants_terabytes_is_refused():
    body = "{ t = Constant<value=int64[3] {1000000,1000000,2}>() big = Expand(x, t) y = ReduceSum<keepdims=0>(big) }"
    with pytest.raises(UnsupportedError, match=r"Expand 'big' makes a value of shape \[1000000, 1000000, 2\], 7 TiB"):
        normalise(load_ir(parse(body, "float[2] x")))


def test_the_limit_counts_one_image():
    normal = normalise(load_ir(parse("{ y = Relu(x) }")))
    (node,) = normal.graph
    assert value_bytes(node.outputs[0]) == 4 * 6 * 6 * 4
    check_limits(normal.graph, available=576)
    with pytest.raises(UnsupportedError, match="Relu 'y'"):
        check_limits(normal.graph, available=575)


def test_what_a_dimension_counts():
    assert [per_image(d) for d in (7, "n", "64*n", None, "height")] == [7, 1, 64, 1, 1]
