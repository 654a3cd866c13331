"""Where ids become vectors is found by what looks them up: cut there, the file gives what it gives of the ids."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError

RNG = np.random.default_rng(0)
ROWS, WIDTH = 11, 4
IDS = np.array([[4, 0, 7, 2, 10, 4]])
SCALED = RNG.integers(-127, 128, (ROWS, WIDTH)).astype(np.int8)
ARRAYS: dict[str, np.ndarray] = {
    "table": RNG.normal(0, 1, (ROWS, WIDTH)).astype(np.float32),
    "bytes": SCALED,
    "unsigned": (SCALED.astype(int) + 128).astype(np.uint8),
    "middle": np.uint8(128),
    "scale": np.float32(0.02),
    "zero": np.int8(3),
    "three": np.float32(3),
    "scales": RNG.uniform(0.01, 0.03, (ROWS, 1)).astype(np.float32),
    "numbers": np.arange(ROWS).reshape(1, 1, ROWS),
    "low": np.array(0),
    "high": np.array(ROWS - 1),
    "unk": np.array(1),
    "depth": np.array(ROWS),
    "ends": np.array([0, 1], np.float32),
    "last": np.array([2]),
    "w": RNG.normal(0, 1, (WIDTH, 3)).astype(np.float32),
    "time": np.array([1]),
}
WAYS = {
    "plain": "e = Gather (table, ids)",
    "clipped": "c = Clip (ids, low, high) i = Cast <to = 6> (c) e = Gather (table, i)",
    "replaced": "b = Less (ids, low) c = Where (b, unk, ids) e = Gather (table, c)",
    "dequantised": "q = Gather (bytes, ids) e = DequantizeLinear (q, scale, zero)",
    "dequantised behind a move too": "q = Gather (unsigned, ids) e = DequantizeLinear (q, scale, middle) "
    "n = Shape (e) m = Transpose <perm = [1, 0, 2]> (q) p = Transpose <perm = [1, 2, 0]> (m) "
    "f = DequantizeLinear (p, scale, middle) "
    "g = Transpose <perm = [0, 2, 1]> (f)",
    "of a dequantised table": "d = DequantizeLinear (bytes, scale, zero) e = Gather (d, ids)",
    "cast and scaled": "q = Gather (bytes, ids) f = Cast <to = 1> (q) c = Sub (f, three) e = Mul (c, scale)",
    "a scale a row": "q = Gather (bytes, ids) f = Cast <to = 1> (q) r = Gather (scales, ids) e = Mul (f, r)",
    "one-hot": "o = OneHot <axis = -1> (ids, depth, ends) e = MatMul (o, table)",
    "compared": "u = Unsqueeze (ids, last) q = Equal (u, numbers) o = Cast <to = 1> (q) e = MatMul (o, table)",
}
BEHIND = "t = Tanh (e) s = ReduceSum <keepdims = 0> (t, time) y = MatMul (s, w)"


def made(way: str, behind: str = BEHIND, output: str = "float[B, 3] y") -> onnx.ModelProto:
    text = f'<ir_version: 10, opset_import: ["" : 21]> g (int64[B, T] ids) => ({output}) {{ {way} {behind} }}'
    proto = onnx.parser.parse_model(text)
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in ARRAYS.items() if n in read)
    return proto


def vectors(proto: onnx.ModelProto) -> np.ndarray:
    found = onnx.ModelProto()
    found.CopyFrom(proto)
    found.graph.output.append(onnx.helper.make_tensor_value_info("e", onnx.TensorProto.FLOAT, None))
    return onnxruntime.InferenceSession(found.SerializeToString()).run(["e"], {"ids": IDS})[0]


@pytest.mark.parametrize("way", WAYS)
def test_ids_are_followed_to_their_vectors(way: str) -> None:
    """The slope of a sum of tanh is w (1 - tanh²) at whatever the file itself makes of the ids."""
    proto = made(WAYS[way], BEHIND.replace("(e)", "(g)") if "g =" in WAYS[way] else BEHIND)
    model = onnxsal.load(proto)
    e = vectors(proto)
    found = onnxsal.explain(model, IDS, method="gradient", target=1)
    assert found.modality == "tokens"
    np.testing.assert_allclose(found.sample.x, e[0].T, rtol=1e-6)
    np.testing.assert_allclose(found.raw, (ARRAYS["w"][:, 1] * (1 - np.tanh(e[0]) ** 2)).T, rtol=1e-4, atol=1e-6)
    assert any(each.what == "explained" and each.value == "e" and "'ids'" in each.why for each in model.decided)


def test_what_is_looked_up_by_no_constant_table_is_refused_by_what_was_looked_at() -> None:
    with pytest.raises(UnsupportedError, match=r"not found \(behind 'ids': Cast 'f'\).*--explained 'f'"):
        onnxsal.load(made("f = Cast <to = 1> (ids)", "t = Tanh (f) y = Identity (t)", "float[B, T] y"))


def test_words_are_looked_up_apart_where_one_operator_adds_positions_and_types() -> None:
    """The slope at the words alone, of what the runtime's own operator puts out, against differences in float64."""
    text = """<ir_version: 10, opset_import: ["" : 17, "com.microsoft" : 1]>
    g (int32[B, T] ids, int32[B, T] types) => (float[B, 3] y) <int64[1] time = {1}> {
        n, m = com.microsoft.EmbedLayerNormalization <epsilon = 1.0e-5> (ids, types, table, places, kinds, one, nought)
        t = Tanh (n) s = ReduceMean <axes = [1], keepdims = 0> (t) y = MatMul (s, w) }"""
    proto = onnx.parser.parse_model(text)
    more = {"places": RNG.normal(0, 1, (9, WIDTH)), "kinds": RNG.normal(0, 1, (2, WIDTH)), "one": np.ones(WIDTH),
            "nought": np.zeros(WIDTH)}  # fmt: skip
    arrays = {**{n: ARRAYS[n] for n in ("table", "w")}, **more}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a.astype("f"), n) for n, a in arrays.items())
    x, beside = ARRAYS["table"][IDS[0]].astype(np.float64), more["places"][: IDS.size] + more["kinds"][0]

    def score(x: np.ndarray) -> float:
        y = x + beside
        y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
        return float((np.tanh(y).mean(0) @ ARRAYS["w"])[2])

    steps = 1e-6 * np.eye(x.size).reshape(-1, *x.shape)
    slope = np.array([score(x + step) - score(x - step) for step in steps]).reshape(x.shape) / 2e-6
    found = onnxsal.explain(onnxsal.load(proto), IDS, method="gradient", target=2)
    np.testing.assert_allclose(found.raw, slope.T, rtol=1e-3, atol=1e-5)
