"""A fixed batch made free: what a batch gives is what its images give one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from onnxsal.graph import dims, load_ir, normalise, to_proto
from onnxsal.graph.batch import fixed_batch, free_batch, set_size
from onnxsal.graph.places import Place, follow_images

ZOO = sorted((Path(__file__).parent.parent / "data" / "zoo").glob("*.onnx"))
KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(to_proto(model).SerializeToString(), options)


def fixed(path_or_proto, count=1):
    """The model as if it had been exported for ``count`` images."""
    model = load_ir(path_or_proto)
    value = model.graph.inputs[0]
    value.shape = ir.Shape([count, *(dims(value) or ())[1:]])
    for each in (*model.graph.outputs, *(v for node in model.graph for v in node.outputs)):
        each.shape = None
    return normalise(model)


def images(model, count):
    (source,) = session(model).get_inputs()
    numbers = np.random.default_rng(1).uniform(-2, 2, (count, *source.shape[1:]))
    kind = KINDS[source.type]
    return (numbers * 60 + 125).astype(kind) if kind is np.uint8 else numbers.astype(kind)


def compare(single, free, count=3, *, exact=False):
    name, x = single.graph.inputs[0].name, images(single, count)
    alone, together = session(single), session(free)
    rows = np.concatenate([alone.run(None, {name: each[None]})[0] for each in x]).astype(np.float64)
    batch = together.run(None, {name: x})[0].astype(np.float64)
    if exact:
        np.testing.assert_array_equal(batch, rows)
    tolerance = 5e-3 if x.dtype == np.float16 else 1e-5
    np.testing.assert_allclose(batch, rows, rtol=tolerance, atol=tolerance * np.abs(rows).max())


@pytest.mark.parametrize("path", ZOO, ids=[path.stem for path in ZOO])
def test_the_zoo_exported_for_one(path):
    single = fixed(path)
    free = free_batch(single, "x")
    assert fixed_batch(single, "x") == 1 and fixed_batch(free, "x") is None
    compare(single, free)


@pytest.mark.parametrize("name", ["mobilenet_v2_int8", "mobilenet_v1_025_int8", "mnist_cntk"])
def test_deployed_models_bit_for_bit(shared, name):
    single = normalise(load_ir(shared / "models" / f"{name}.onnx"))
    (source,) = single.graph.inputs
    compare(single, free_batch(single, source.name), 8, exact=True)


def parse(body, inputs="float[1,4,6,6] x"):
    head = f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float y) '
    return onnx.parser.parse_model(head + body.replace("'", '"'))


def const(name, *values):
    return f"{name} = Constant<value=int64[{len(values)}] {{{','.join(map(str, values))}}}>() "


BODIES = {
    "heads in the middle": "{ " + const("s", 36, 1, 4) + "a = Transpose<perm=[2,3,0,1]>(x) h = Reshape(a, s) "
    + const("t", 36, 2, 2) + "i = Reshape(h, t) j = Transpose<perm=[1,0,2]>(i) k = Softmax(j)"
    " l = Transpose<perm=[1,0,2]>(k) " + const("u", 36, 4) + "m = Reshape(l, u) w = Constant<value=float[4,5] "
    "{1,2,3,4,5,6,7,8,9,8,7,6,5,4,3,2,1,2,3,4}>() n = Gemm(m, w) " + const("v", 36, 1, 5)
    + "o = Reshape(n, v) p = Transpose<perm=[1,0,2]>(o) y = Relu(p) }",
    "windows": "{ " + const("s", 1, 4, 2, 3, 2, 3) + "a = Reshape(x, s) b = Transpose<perm=[0,2,4,1,3,5]>(a) "
    + const("t", 4, 4, 9) + "c = Reshape(b, t) d = Softmax(c) " + const("u", 1, 2, 2, 4, 3, 3)
    + "e = Reshape(d, u) f = Transpose<perm=[0,3,1,4,2,5]>(e) " + const("v", 1, 4, 6, 6) + "y = Reshape(f, v) }",
    "squeezed away": "{ a = GlobalAveragePool(x) b = Squeeze(a) y = Relu(b) }",
    "resized": "{ " + const("s", 1, 4, 12, 9) + "y = Resize<mode='linear'>(x, , , s) }",
    "class token": "{ " + const("s", 1, 4, 36) + "a = Reshape(x, s) c = Constant<value=float[1,4,1] {1,2,3,4}>() "
    "b = Concat<axis=2>(c, a) " + const("t", 2) + "y = ReduceMean<keepdims=0>(b, t) }",
    "expanded": "{ a = GlobalMaxPool(x) " + const("s", 1, 4, 2, 2) + "b = Expand(a, s) y = Relu(b) }",
    "strided view": "{ a = GlobalMaxPool(x) " + const("s", -1) + "b = Reshape(a, s) "
    "i = Constant<value=int64[1,4] {0,1,2,3}>() c = Gather(b, i) y = Relu(c) }",
    "equation": "{ y = Einsum<equation='bchw,bdhw->cbd'>(x, x) }",
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_where_exporters_hide_the_batch(body):
    single = normalise(load_ir(parse(body)))
    free = free_batch(single, "x")
    if "Einsum" in body:
        assert free is single  # no output has the batch in front
        return
    assert free is not single
    name, x = "x", images(single, 3)
    rows = [session(single).run(None, {name: each[None]})[0].reshape(-1) for each in x]
    together = session(free).run(None, {name: x})[0].reshape(3, -1)
    np.testing.assert_allclose(together, np.stack(rows), rtol=1e-5, atol=1e-6)


def test_more_than_one_fixed_image():
    body = "{ " + const("s", 2, 4, 36) + "a = Reshape(x, s) y = Softmax(a) }"
    free = free_batch(normalise(load_ir(parse(body, "float[2,4,6,6] x"))), "x")
    assert dims(free.graph.outputs[0]) == ("batch", 4, 36)


@pytest.mark.parametrize(
    "body",
    [
        "{ a = Concat<axis=0>(x, x) " + const("i", 0) + "b = Gather(a, i) c = Concat<axis=0>(b, b) y = Relu(c) }",
        "{ " + const("s", 1, 144) + "a = Reshape(x, s) b = Transpose(a) y = MatMul(b, a) }",
        "{ s = Shape(x) y = Cast<to=1>(s) }",
        "{ " + const("a", 0) + "y = ReduceSum<keepdims=0>(x, a) }",
    ],
    ids=["rows of others", "summed over", "shape", "reduced"],
)
def test_what_cannot_be_freed_comes_back(body):
    single = normalise(load_ir(parse(body)))
    assert free_batch(single, "x") is single


def test_the_model_given_stays_as_it_was():
    single = fixed(ZOO[0])
    before = to_proto(single).SerializeToString(deterministic=True)
    free_batch(single, "x")
    assert to_proto(single).SerializeToString(deterministic=True) == before


def test_places():
    body = "{ " + const("s", 36, 1, 4) + "a = Transpose<perm=[2,3,0,1]>(x) h = Reshape(a, s) "
    body += const("t", 36, 2, 2) + "y = Reshape(h, t) }"
    graph = normalise(load_ir(parse(body))).graph
    places = {v.name: place for v, place in follow_images(graph, graph.inputs[0], 1).items()}
    assert places == {"x": Place(0), "a": Place(2), "h": Place(1), "y": Place(1, 2)}


def test_a_size_is_set_and_shapes_follow():
    body = """{ s = Shape<start=2>(x) two = Constant<value=int64[2] {2,2}>() h = Div(s, two) e = Constant<value=int64[2]
                {0,0}>() a = Constant<value=int64[2] {2,3}>() y = Slice(x, e, h, a) }"""
    free = normalise(load_ir(parse(body, "float[n,3,height,width] x")))
    assert len(free.graph) > 1
    sized = set_size(free, "x", {2: 8, 3: 6})
    assert dims(sized.graph.inputs[0]) == ("n", 3, 8, 6)
    assert dims(sized.graph.outputs[0]) == ("n", 3, 4, 3)
    assert [node.op_type for node in sized.graph] == ["Slice"]
