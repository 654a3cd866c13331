"""Batch normalisation in training mode, written out: against ONNX Runtime where it is right, and the closed form."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from onnxsal.graph import load_ir, normalise, to_proto

R = np.random.default_rng(0)
KINDS = {"float": (np.float32, 1e-5), "double": (np.float64, 1e-12), "float16": (np.float16, 5e-3)}
SHAPES = {"rows": (5, 4), "signals": (3, 4, 9), "pictures": (2, 4, 6, 5), "volumes": (2, 4, 3, 4, 5)}


def model(outputs, rest="", kind="float", shape=(2, 4, 6, 5), opset=17):
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({kind}[{",".join(map(str, shape))}] x) => ({outputs}) '
    text += (
        "{ a = Relu(x) y0, rm, rv = BatchNormalization<training_mode=1, momentum=0.75, epsilon=0.01>(a, s, b, m, v) "
    )
    proto = onnx.parser.parse_model(text + f"y = Identity(y0) {rest} }}")
    for name, low in (("s", 0.5), ("b", -1), ("m", -1), ("v", 0.5)):
        values = R.uniform(low, 2, 4).astype(KINDS[kind][0])
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return proto


def run(proto, x):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def written_out(proto):
    made = normalise(load_ir(proto))
    assert not [n for n in made.graph if n.op_type == "BatchNormalization"]
    return to_proto(made)


@pytest.mark.parametrize("opset", [14, 15, 21])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_all_three_outputs_are_the_runtimes(shape, opset):
    proto = model("float y, float rm, float rv", shape=shape, opset=opset)
    x = R.normal(0.5, 2, shape).astype(np.float32)
    for expected, found in zip(run(proto, x), run(written_out(proto), x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_without_them_it_is_the_batchs_own_in_every_run(kind):
    proto, (dtype, close) = model(f"{kind} y", kind=kind), KINDS[kind]
    x = R.normal(0.5, 2, (2, 4, 6, 5)).astype(dtype)
    made = written_out(proto)
    first, second = run(made, x)[0], run(made, x)[0]
    np.testing.assert_array_equal(first, second)
    scale, bias = (onnx.numpy_helper.to_array(proto.graph.initializer[i]).reshape(1, 4, 1, 1) for i in (0, 1))
    a = np.maximum(x.astype(np.float64), 0)
    mean, variance = a.mean((0, 2, 3), keepdims=True), a.var((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(
        first, (a - mean) / np.sqrt(variance + np.float32(0.01)) * scale + bias, rtol=close, atol=2 * close
    )


def test_what_is_not_training_stays():
    proto = model("float y")
    (node,) = [n for n in proto.graph.node if n.op_type == "BatchNormalization"]
    del node.output[1:], node.attribute[:]
    kept = normalise(load_ir(proto))
    assert [n.op_type for n in kept.graph].count("BatchNormalization") == 1
