"""The noise written with standard ONNX operators is the same, so a folded record can draw what streaming draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxsal.kernels.noise import normal, uniform

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
U = np.uint32


class Graph:
    """Appends one node a call: ``g.Add(a, b)`` returns the name of the sum, arrays become constants."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], []

    def name_of(self, value) -> str:
        if isinstance(value, str):
            return value
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def __getattr__(self, operator: str):
        def append(*inputs, **attributes) -> str:
            names, result = [self.name_of(value) for value in inputs], f"v{len(self.nodes)}"
            self.nodes.append(onnx.helper.make_node(operator, names, [result], **attributes))
            return result

        return append


def threefry(g: Graph, c0: str, c1: str, k0: str, k1: str) -> tuple[str, str]:
    keys = (k0, k1, g.BitwiseXor(g.BitwiseXor(k0, k1), U(0x1BD11BDA)))
    a, b = g.Add(c0, k0), g.Add(c1, k1)
    for i in range(20):
        turn = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        a = g.Add(a, b)
        left, right = g.BitShift(b, U(turn), direction="LEFT"), g.BitShift(b, U(32 - turn), direction="RIGHT")
        b = g.BitwiseXor(g.BitwiseOr(left, right), a)
        if i % 4 == 3:
            j = i // 4 + 1
            a, b = g.Add(a, keys[j % 3]), g.Add(g.Add(b, keys[(j + 1) % 3]), U(j))
    return a, b


def floats(g: Graph, word: str) -> str:
    return g.Cast(word, to=onnx.TensorProto.FLOAT)


def both(g: Graph, first: str, second: str) -> str:
    return g.Reshape(g.Concat(g.Unsqueeze(first, [1]), g.Unsqueeze(second, [1]), axis=1), [-1])


def noise_model() -> bytes:
    g, f = Graph(), np.float32
    a, b = threefry(g, "pairs", "draw", "seed", "image")
    u = g.Add(g.Mul(floats(g, a), f(2.0**-32)), f(2.0**-33))
    r = g.Sqrt(g.Mul(g.Log(u), f(-2)))
    # Half a turn is taken off in integers; float32 has too few bits for it.
    half = g.Cast(g.BitShift(b, U(1), direction="LEFT"), to=onnx.TensorProto.INT32)
    angle = g.Mul(floats(g, half), f(math.pi * 2.0**-32))
    odd = g.BitShift(g.Add(b, U(1 << 30)), U(31), direction="RIGHT")
    r = g.Mul(r, g.Sub(f(1), g.Mul(floats(g, odd), f(2))))
    n = both(g, g.Mul(r, g.Cos(angle)), g.Mul(r, g.Sin(angle)))
    unit = [g.Mul(floats(g, g.BitShift(word, U(8), direction="RIGHT")), f(2.0**-24)) for word in (a, b)]
    info, words = onnx.helper.make_tensor_value_info, onnx.TensorProto.UINT32
    inputs = [info("pairs", words, ["n"]), *(info(name, words, []) for name in ("draw", "seed", "image"))]
    outputs = [info(name, onnx.TensorProto.FLOAT, None) for name in (n, both(g, *unit))]
    graph = onnx.helper.make_graph(g.nodes, "noise", inputs, outputs, g.constants)
    opset = [onnx.helper.make_opsetid("", 21)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def test_standard_operators_draw_the_same_noise():
    session = ort.InferenceSession(noise_model(), providers=["CPUExecutionProvider"])
    pairs, words = np.arange(50_000, dtype=U), {"draw": U(7), "seed": U(123456789), "image": U(4)}
    feeds = {name: np.array(value) for name, value in words.items()}
    n, _ = session.run(None, {"pairs": pairs, **feeds})
    np.testing.assert_allclose(n, normal(123456789, 4, 7, 100_000), rtol=0, atol=3e-6)
    _, u = session.run(None, {"pairs": pairs + U(2 << 28), **feeds})
    np.testing.assert_array_equal(u, uniform(123456789, 4, 7, 100_000))
