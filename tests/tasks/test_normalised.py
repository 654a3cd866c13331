"""What is L2-normalised, in the forms that exporters write it; each is run, and is one long or is not."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError

X = np.random.default_rng(0).normal(0, 1, (2, 3, 8, 8)).astype(np.float32)
W = np.random.default_rng(1).normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)

NORMALISED = {
    "one operator": "y = LpNormalization <axis = 1> (f)",
    "one operator, last axis": "y = LpNormalization (f)",
    "over its length": "l = ReduceL2 <keepdims = 1> (f, last) y = Div (f, l)",
    "a floor, laid out (torch's normalize)": """l = ReduceL2 <keepdims = 1> (f, last) k = Clip (l, tiny) s = Shape (f)
        e = Expand (k, s) y = Div (f, e)""",
    "an absolute value first (torch's vector_norm)": """b = Abs (f) p = Pow (b, two)
        s = ReduceSum <keepdims = 1> (p, last) l = Pow (s, half) k = Max (l, tiny) y = Div (f, k)""",
    "a root of squares": "p = Mul (f, f) s = ReduceSum <keepdims = 1> (p, last) l = Sqrt (s) y = Div (f, l)",
    "a root of a sum of squares": "s = ReduceSumSquare <keepdims = 1> (f, last) l = Sqrt (s) k = Add (l, tiny) "
    "y = Div (f, k)",
    "an inverse root (TensorFlow's l2_normalize)": """p = Mul (f, f) s = ReduceSum <keepdims = 1> (p, last)
        k = Max (s, tiny) l = Sqrt (k) r = Reciprocal (l) y = Mul (f, r)""",
    "one over a root": """s = ReduceSumSquare <keepdims = 1> (f, last) l = Sqrt (s) r = Div (one, l) y = Mul (r, f)""",
    "a power": "s = ReduceSumSquare <keepdims = 1> (f, last) r = Pow (s, minus) y = Mul (f, r)",
    "an inverse of a length": "l = ReduceL2 <keepdims = 1> (f, last) r = Pow (l, inverse) y = Mul (f, r)",
    "without kept axes": "l = ReduceL2 <keepdims = 0> (f, last) u = Unsqueeze (l, last) y = Div (f, u)",
    "in front of the flattening": "n = LpNormalization <axis = 1> (m) y = Flatten (n)",
    "computed in another type": """d = Cast <to = 11> (f) l = ReduceL2 <keepdims = 1> (d, last) t = Cast <to = 1> (l)
        y = Div (f, t)""",
    "quantised behind": """n = LpNormalization <axis = 1> (f) q = QuantizeLinear (n, step, zero)
        y = DequantizeLinear (q, step, zero)""",
}
"""The end of a model by what it does to f, its pooled maps [B, 8]."""

NOT = {
    "root mean square": "p = Mul (f, f) s = ReduceMean <keepdims = 1> (p, last) l = Sqrt (s) y = Div (f, l)",
    "another norm": "y = LpNormalization <axis = 1, p = 1> (f)",
    "sum of sizes": "l = ReduceL1 <keepdims = 1> (f, last) y = Div (f, l)",
    "over the batch": "y = LpNormalization <axis = 0> (f)",
    "over everything": "l = ReduceL2 <keepdims = 1> (f) y = Div (f, l)",
    "a floor that counts": "l = ReduceL2 <keepdims = 1> (f, last) k = Add (l, one) y = Div (f, k)",
    "the length of something else": "g = Mul (f, half) l = ReduceL2 <keepdims = 1> (g, last) y = Div (f, l)",
    "over its squared length": "s = ReduceSumSquare <keepdims = 1> (f, last) y = Div (f, s)",
    "in two halves": """r = Reshape (f, halves) n = LpNormalization <axis = 2> (r) y = Flatten (n)""",
    "and a layer of weights": "n = LpNormalization <axis = 1> (f) y = MatMul (n, w2)",
    "nothing": "y = Identity (f)",
}


def model(end: str) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 8, 8] x) => (float[B, 8] y)
        <int64[1] last = {{1}}, float two = {{2}}, float half = {{0.5}}, float minus = {{-0.5}}, float inverse = {{-1}},
        float one = {{1}}, float tiny = {{1e-12}}, float step = {{0.008}}, int8 zero = {{0}},
        int64[3] halves = {{0, 2, 4}}>
        {{ c = Conv <pads = [1, 1, 1, 1]> (x, w) a = Relu (c) m = GlobalAveragePool (a) f = Flatten (m) {end} }}"""
    )
    weights = {"w": W, "w2": W.reshape(8, -1)[:, :8]}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in weights.items())
    return proto


@pytest.mark.parametrize("end", NORMALISED.values(), ids=NORMALISED.keys())
def test_it_is_seen_and_read_in_front(end: str) -> None:
    proto = model(end)
    found = onnxsal.load(proto)
    (y,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": X})
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), 1, atol=0.03 if "Quantize" in end else 1e-5)
    assert (found.task.name, found.task.size) == ("embedding", 8)
    assert found.task.logit in ("f", "m")
    assert found.notes == ()
    (decided,) = found.decided
    assert decided.why.startswith("output 'y' is L2-normalised by ")


@pytest.mark.parametrize("end", NOT.values(), ids=NOT.keys())
def test_what_is_none_is_not_taken_for_one(end: str) -> None:
    proto = model(end)
    (y,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": X})
    assert np.abs(np.linalg.norm(y, axis=1) - 1).max() > 0.01
    assert onnxsal.load(proto).task.name != "embedding"


def test_descriptors_of_every_position_are_no_embedding() -> None:
    proto = model("y = Identity (f)")
    proto.graph.node.append(onnx.helper.make_node("LpNormalization", ["a"], ["d"], axis=1))
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("d", 1, ["B", 8, 8, 8]))
    with pytest.raises(UnsupportedError, match="no output is one vector: 'd' is"):
        onnxsal.load(proto, task="embedding")
