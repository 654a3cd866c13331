"""Graphs that resize their pictures themselves: which do, and photographs that go in at their own size."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

import onnxsal

RNG = np.random.default_rng(0)
WEIGHTS = {"k": RNG.normal(0, 0.4, (4, 3, 3, 3)), "v": RNG.normal(0, 1, (3, 4))}
TO_SIZE = 'r = Resize <mode = "linear"> (t, , , to)'

FRONTS = {
    "to a size": (f"f = Cast <to = 1> (x) t = Transpose <perm = [0, 3, 1, 2]> (f) {TO_SIZE}", True),
    "scaled, then to a size": (
        f"f = Cast <to = 1> (x) g = Mul (f, unit) t = Transpose <perm = [0, 3, 1, 2]> (g) {TO_SIZE}", True,
    ),
    "to a size, of which N is read off": (
        "f = Cast <to = 1> (x) t = Transpose <perm = [0, 3, 1, 2]> (f) s = Shape <end = 2> (t) "
        'e = Concat <axis = 0> (s, side) r = Resize <mode = "linear"> (t, , , e)', True,
    ),
    "by a ratio that the picture gives": (
        "f = Cast <to = 1> (x) t = Transpose <perm = [0, 3, 1, 2]> (f) s = Shape <start = 2> (t) h = Cast <to = 1> (s) "
        'q = Div (wanted, h) e = Concat <axis = 0> (same, q) r = Resize <mode = "linear"> (t, , e)', True,
    ),
    "by a factor": (
        'f = Cast <to = 1> (x) t = Transpose <perm = [0, 3, 1, 2]> (f) r = Resize <mode = "linear"> (t, , half)', False,
    ),
    "not at all": ("f = Cast <to = 1> (x) r = Transpose <perm = [0, 3, 1, 2]> (f)", False),
}  # fmt: skip
HELD = {
    "to": np.array([1, 3, 32, 32]), "side": np.array([32, 32]), "unit": np.float32(1 / 255),
    "wanted": np.float32([32, 32]), "same": np.float32([1, 1]), "half": np.float32([1, 1, 0.5, 0.5]),
}  # fmt: skip


def net(front: str, size: str = "H, W") -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> g (uint8[1, {size}, 3] x) => (float[1, 3] y) {{ {front} '
        "a = Conv <pads = [1, 1, 1, 1]> (r, k) m = Relu (a) p = GlobalAveragePool (m) f0 = Flatten (p) "
        "y = Gemm <transB = 1> (f0, v) }"
    )
    weights = {name: array.astype(np.float32) for name, array in WEIGHTS.items()}
    for name, array in (weights | {n: a for n, a in HELD.items() if f"{n})" in front or f"({n}," in front}).items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return proto


@pytest.mark.parametrize("name", FRONTS)
def test_a_photograph_goes_in_at_its_own_size_where_the_graph_resizes_it(name: str) -> None:
    front, resizes = FRONTS[name]
    proto = net(front)
    model = onnxsal.load(proto)
    assert model.any_size == resizes
    assert any("opened for" in note for note in model.notes) != resizes
    if not resizes:
        return
    photo = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    right = ort.InferenceSession(proto.SerializeToString()).run(["y"], {"x": photo[None]})[0][0]
    found = onnxsal.explain(model, photo, method="grad-cam", target=1)
    np.testing.assert_allclose(found.logit, right[1], rtol=1e-3, atol=1e-3)
    assert (found.saliency.shape, found.box) == ((40, 30), (0.0, 0.0, 30.0, 40.0))
    np.testing.assert_allclose(max(seen.logit for seen in model.predict(photo)), right.max(), rtol=1e-3, atol=1e-3)


def test_bytes_of_a_fixed_size_are_not_cropped_before_they_are_resized() -> None:
    photo = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    sample = onnxsal.load(net(FRONTS["to a size"][0], "24, 24")).prepare(photo)
    assert sample.image().box == (0.0, 0.0, 30.0, 40.0)
    plain = onnxsal.load(net(FRONTS["not at all"][0], "24, 24")).prepare(photo)
    assert plain.image().box != (0.0, 0.0, 30.0, 40.0)
