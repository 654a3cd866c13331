"""Old opsets: the same numbers after the normal form, on ONNX Runtime; weights neither copied nor serialised."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.version_converter
import onnx_ir as ir
import onnxruntime
import pytest

from onnxsal.errors import UnsupportedError
from onnxsal.graph import load_ir, normalise, to_proto
from onnxsal.graph.lower import lower_opset
from onnxsal.graph.opset import _REDUCTIONS, _WIDENED, TARGET, raise_opset

HEAD = '<ir_version: {ir}, opset_import: ["" : {opset}]> g (float[n,4,6,6] x) => (float y) '

BODIES = {
    7: [
        "{ y = MaxPool<kernel_shape=[2,2], auto_pad='SAME_UPPER'>(x) }",
        "{ y = Softmax<axis=1>(x) }",
        "{ a, b = Split<axis=1>(x) y = Concat<axis=3>(b, a) }",
        "{ y = Pad<pads=[0,0,1,2,0,0,0,1], value=1.5>(x) }",
        "{ a = Upsample<scales=[1.0,1.0,2.0,3.0], mode='nearest'>(x) y = Clip<min=-0.5, max=0.7>(a) }",
        "{ a = Slice<axes=[2,3], starts=[1,0], ends=[4,-1]>(x) y = LeakyRelu<alpha=0.2>(a) }",
        "{ a = ReduceMean<axes=[2,3], keepdims=0>(x) b = Unsqueeze<axes=[2]>(a) y = Squeeze<axes=[2]>(b) }",
        "{ a, m = Dropout<ratio=0.3>(x) y = ReduceSum<axes=[1], keepdims=1>(a) }",
        "{ s = Constant<value=int64[2] {0, -1}>() a = Reshape(x, s) y = ReduceMax<axes=[1]>(a) }",
        "{ s = Shape(x) k = Constant<value=int64 {1}>() b = Gather(s, k) c = Unsqueeze<axes=[0]>(b)"
        " m = Constant<value=int64[1] {-1}>() t = Concat<axis=0>(m, c) y = Reshape(x, t) }",
    ],
    9: [
        "{ s = Constant<value=float[4] {1.0,1.0,2.0,2.0}>() y = Upsample<mode='linear'>(x, s) }",
        "{ s = Constant<value=float[4] {1.0,1.0,1.5,3.0}>() y = Upsample<mode='nearest'>(x, s) }",
        "{ b = Constant<value=float[1] {0.3}>() a = PRelu(x, b) y = Softmax<axis=3>(a) }",
        "{ y = Flatten<axis=2>(x) }",
    ],
    10: [
        "{ s = Constant<value=int64[1] {5}>() e = Constant<value=int64[1] {-10}>() a = Constant<value=int64[1] {3}>()"
        " t = Constant<value=int64[1] {-2}>() y = Slice(x, s, e, a, t) }",
        "{ s = Constant<value=float[4] {1.0,1.0,0.5,2.5}>() y = Resize<mode='linear'>(x, s) }",
        "{ s = Constant<value=float[4] {1.0,1.0,0.5,2.5}>() y = Resize<mode='nearest'>(x, s) }",
        "{ k = Constant<value=int64[1] {2}>() y, i = TopK<axis=3>(x, k) }",
    ],
    11: [
        "{ y = Clip(x) }",
        "{ a = Sum(x, x) y = LogSoftmax<axis=1>(a) }",
        "{ p = Constant<value=int64[8] {0,0,1,1,0,0,1,1}>() y = Pad<mode='reflect'>(x, p) }",
        "{ a = DepthToSpace<blocksize=2>(x) y = ReduceL2<axes=[2,3], keepdims=0>(a) }",
    ],
    13: [
        "{ y = ReduceMean<axes=[2,3], keepdims=0>(x) }",
        "{ y = ReduceMax<axes=[-1]>(x) }",
        "{ y = ReduceMean(x) }",
        "{ s = Constant<value=int64[2] {1,3}>() a, b = Split<axis=1>(x, s) y = Mul(a, b) }",
        "{ a, b = Split<axis=1>(x) y = Sub(a, b) }",
        "{ a = HardSigmoid<alpha=0.3>(x) y = AveragePool<kernel_shape=[3,3], ceil_mode=1, strides=[2,2]>(a) }",
    ],
    18: [
        "{ s = Constant<value=float[2] {2,-3}>() b = Constant<value=float[2] {1,5}>()"
        " y = GroupNormalization<num_groups=2>(x, s, b) }",
        "{ s = Constant<value=float[2] {2,-3}>() m = ReduceMax<keepdims=0>(x) b = Mul(s, m)"
        " y = GroupNormalization<num_groups=2>(x, s, b) }",
    ],
    17: [
        "{ w = Constant<value=float[6] {1,2,3,4,5,6}>() y = LayerNormalization(x, w) }",
        "{ a = com.microsoft.Gelu(x) y = Softplus(a) }",  # of a domain that the file forgets to name
    ],
}  # fmt: skip


def model_of(opset, body):
    # Inputs alone carry shapes: outputs are inferred.
    return onnx.parser.parse_model(HEAD.format(ir=3 if opset < 9 else 8, opset=opset) + body.replace("'", '"'))


@pytest.mark.parametrize(("opset", "body"), [(o, b) for o, bodies in BODIES.items() for b in bodies])
def test_same_numbers(opset, body):
    model = model_of(opset, body)
    normal = normalise(load_ir(model))
    assert normal.graph.opset_imports[""] == TARGET
    x = np.random.default_rng(opset).standard_normal((3, 4, 6, 6)).astype(np.float32)
    old, new = (
        onnxruntime.InferenceSession(m.SerializeToString()).run(["y"], {"x": x})[0] for m in (model, to_proto(normal))
    )
    np.testing.assert_allclose(new, old, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("opset", [7, 12, 13, 17])
def test_weights_are_shared(opset):
    body = "<float[8,4,3,3] w> { a = Conv(x, w) y = Relu(a) }"
    model = model_of(opset, body.replace("<float", "<float").replace("w>", "w = {" + ",".join(["1"] * 288) + "}>"))
    loaded = load_ir(model)
    raised = raise_opset(loaded.clone())
    assert raised.graph.initializers["w"].const_value is loaded.graph.initializers["w"].const_value


def test_relabelled_operators_are_those_the_converter_leaves_alone():
    """What differs between opset 13 and the target in types alone passes onnx's own converter unchanged."""
    for op_type in sorted(_WIDENED):
        known = [v for v in range(13, TARGET) if onnx.defs.has(op_type, v)]
        for version in {onnx.defs.get_schema(op_type, v).since_version: v for v in known}.values():
            node = _minimal(op_type, version)
            assert _converted(node, version) == node, (op_type, version)


def test_reductions_are_relabelled_as_the_converter_does():
    for op_type in sorted(_REDUCTIONS):
        node = _minimal(op_type, 13)
        node.attribute.append(onnx.helper.make_attribute("axes", [1]))
        assert list(_converted(node, 13).attribute) == []
        model = onnx.helper.make_model(_graph(node), opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        (made,) = raise_opset(ir.from_proto(model)).graph
        assert made.inputs[1].const_value.numpy().tolist() == [1]


def _minimal(op_type, version):
    schema = onnx.defs.get_schema(op_type, version)
    required = {n: a for n, a in schema.attributes.items() if a.required}
    values = {"to": 1, "value": onnx.numpy_helper.from_array(np.ones(1, np.float32)), "kernel_shape": [2, 2]}
    given = {name: values[name] for name in required}
    if op_type == "Constant":
        given = {"value": values["value"]}
    return onnx.helper.make_node(op_type, [f"i{i}" for i in range(schema.min_input)], ["y"], **given)


def _graph(node):
    inputs = [onnx.helper.make_tensor_value_info(name, 1, [2, 3, 4, 4]) for name in node.input]
    return onnx.helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name="y")])


def _converted(node, version):
    graph = _graph(node)
    graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, None))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)], ir_version=8)
    converted = onnx.version_converter.convert_version(model, TARGET).graph.node
    (same,) = [n for n in converted if n.op_type == node.op_type]
    return same


def scanned(opset, scan, inputs):
    body = "b (float[2] p, float[2] q) => (float[2] r, float[2] o) { r = Add(p, q) o = Mul(r, q) }"
    head = f'<ir_version: 3, opset_import: ["" : {opset}]> g ({inputs}) => (float y, float z) '
    return onnx.parser.parse_model(head + "{ y, z = " + scan % body + "}")


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan_with_the_batch_in_front_goes_through_each_image(backwards):
    """ONNX Runtime runs no Scan of opset 8: today's, image by image, says what it is."""
    way = f", scan_input_directions=[{backwards}]"
    old = scanned(
        8, f'Scan("", i, x)<num_scan_inputs=1, directions=[{backwards}], body = %s>', "float[n,2] i, float[n,3,2] x"
    )
    new = scanned(9, f"Scan(i, x)<num_scan_inputs=1{way}, body = %s>", "float[2] i, float[3,2] x")
    rng = np.random.default_rng(0)
    i, x = rng.normal(size=(4, 2)).astype(np.float32), rng.normal(size=(4, 3, 2)).astype(np.float32)
    whole = onnxruntime.InferenceSession(to_proto(normalise(load_ir(old))).SerializeToString())
    one = onnxruntime.InferenceSession(new.SerializeToString())
    wanted = [one.run(None, {"i": a, "x": b}) for a, b in zip(i, x, strict=True)]
    for got, parts in zip(whole.run(None, {"i": i, "x": x}), zip(*wanted, strict=True), strict=True):
        np.testing.assert_allclose(got, np.stack(parts), rtol=1e-6)


def test_a_scan_with_lengths_is_refused_by_name():
    model = scanned(8, "Scan(l, i, x)<num_scan_inputs=1, body = %s>", "int64[n] l, float[n,2] i, float[n,3,2] x")
    with pytest.raises(UnsupportedError, match="Scan 'y' of opset 8 is given sequence lengths"):
        normalise(load_ir(model))


@pytest.mark.parametrize(("channels", "groups", "fits"), [(4, 2, False), (4, 4, True)])
def test_a_scale_for_every_channel_is_not_taken_for_one_a_group(channels, groups, fits):
    """The older form would load: of several channels a group it has other numbers, of one it has the same."""
    body = (
        f"{{ s = Constant<value=float[{channels}] {{1,2,3,4}}>() b = Constant<value=float[{channels}] {{4,3,2,1}}>()"
        f" y = GroupNormalization<num_groups={groups}>(x, s, b) }}"
    )
    model = normalise(load_ir(model_of(21, body)))
    if not fits:
        with pytest.raises(UnsupportedError, match="GroupNormalization has one scale and bias a group there"):
            lower_opset(model, 18)
        return
    new = to_proto(model)
    lower_opset(model, 18)
    x = np.random.default_rng(0).standard_normal((3, 4, 6, 6)).astype(np.float32)
    a, b = (onnxruntime.InferenceSession(m.SerializeToString()).run(["y"], {"x": x})[0] for m in (new, to_proto(model)))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
