"""similarity-map: what each position adds to the cosine, against the closed form; its sum is the cosine."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

import onnxsal
from onnxsal.errors import UnsupportedError

RNG = np.random.default_rng(3)
X, A, B = (RNG.normal(0, 1, (1, 3, 12, 12)).astype(np.float32) for _ in range(3))
WEIGHTS = {
    "w1": RNG.normal(0, 0.3, (6, 3, 3, 3)), "b1": RNG.normal(0, 0.3, 6), "w2": RNG.normal(0, 0.5, (6, 5)),
    "b2": RNG.normal(0, 0.5, 5), "wide": RNG.normal(0, 0.1, (6 * 36, 5)), "w3": RNG.normal(0, 0.4, (6, 6, 1, 1)),
    "scale": RNG.uniform(0.5, 2, 5), "mean": RNG.normal(0, 0.3, 5), "var": RNG.uniform(0.5, 2, 5),
}  # fmt: skip

POOLED = "m = GlobalAveragePool (a) f = Flatten (m)"
ENDS = {
    "pooled": f"{POOLED} e = LpNormalization <axis = 1> (f)",
    "a mean over axes": "f = ReduceMean <keepdims = 0> (a, places) e = LpNormalization <axis = 1> (f)",
    "windows that cover all": "m = AveragePool <kernel_shape = [6, 6]> (a) f = Flatten (m) e = Identity (f)",
    "a linear layer with a bias": f"{POOLED} g = Gemm (f, w2, b2) e = LpNormalization <axis = 1> (g)",
    "its batch normalisation too": f"""{POOLED} g = Gemm (f, w2, b2) n = BatchNormalization (g, scale, b2, mean, var)
        e = LpNormalization <axis = 1> (n)""",
    "places side by side": "f = Flatten (a) g = Gemm (f, wide, b2) e = LpNormalization <axis = 1> (g)",
    "a convolution behind": """d = Conv (a, w3) m = GlobalAveragePool (d) f = Flatten (m)
        e = LpNormalization <axis = 1> (f)""",
}


def model(end: str) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 12, 12] x) => (float[B, N] e)
        <int64[2] places = {{2, 3}}> {{
        c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1) a = Relu (c) {end} }}"""
    )
    used = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(w.astype(np.float32), n) for n, w in WEIGHTS.items() if n in used
    )
    return proto


def run(proto: onnx.ModelProto, name: str, x: NDArray[np.float32]) -> NDArray[np.float64]:
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    if name not in {v.name for v in shown.graph.output}:
        shown.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    found: NDArray[np.float64] = onnxruntime.InferenceSession(shown.SerializeToString()).run([name], {"x": x})[0]
    return found.astype(np.float64)


def unit(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return v / np.linalg.norm(v)


def split(proto: onnx.ModelProto, target: object, **options: object) -> onnxsal.Explanation:
    return onnxsal.explain(
        onnxsal.load(proto, task="embedding"), X, method="similarity-map", target=target, **options
    )  # fmt: skip


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_the_map_adds_up_to_the_cosine(end: str) -> None:
    proto = model(end)
    found = split(proto, onnxsal.Like(A))
    expected = float(unit(run(proto, "e", X)[0]) @ unit(run(proto, "e", A)[0]))
    assert found.raw.shape == (6, 6)
    assert float(found.raw.sum(dtype=np.float64)) == pytest.approx(expected, abs=1e-6)
    assert found.logit == pytest.approx(expected, abs=1e-6)
    assert (found.manifest["forwards"], found.manifest["backwards"]) == (1, 0)


def test_each_place_is_what_it_is_like_on_average_over_the_reference() -> None:
    """The published form: a sum over the positions of both, here over those of the reference."""
    proto = model(ENDS["pooled"])
    ours, theirs = (run(proto, "a", each)[0].reshape(6, -1) for each in (X, A))
    lengths = np.linalg.norm(ours.mean(1)) * np.linalg.norm(theirs.mean(1))
    expected = (ours.T @ theirs).sum(axis=1).reshape(6, 6) / (36 * 36 * lengths)
    np.testing.assert_allclose(split(proto, onnxsal.Like(A)).raw, expected, atol=1e-7)
    mirrored = (theirs.T @ ours).sum(axis=1).reshape(6, 6) / (36 * 36 * lengths)
    of_reference = onnxsal.explain(onnxsal.load(proto), A, method="similarity-map", target=onnxsal.Like(X))
    np.testing.assert_allclose(of_reference.raw, mirrored, atol=1e-7)


def test_a_linear_layer_is_applied_to_every_place_and_its_bias_is_shared_out() -> None:
    proto = model(ENDS["a linear layer with a bias"])
    maps = run(proto, "a", X)[0].reshape(6, -1)
    at_places = maps.T @ WEIGHTS["w2"] + WEIGHTS["b2"]
    reference, length = unit(run(proto, "e", A)[0]), np.linalg.norm(run(proto, "g", X))
    expected = (at_places @ reference).reshape(6, 6) / (36 * length)
    np.testing.assert_allclose(split(proto, onnxsal.Like(A)).raw, expected, atol=1e-6)


def test_places_side_by_side_have_weights_of_their_own() -> None:
    proto = model(ENDS["places side by side"])
    maps, weight = run(proto, "a", X)[0], WEIGHTS["wide"].reshape(6, 6, 6, 5)
    at_places = np.einsum("khw,khwn->hwn", maps, weight) + WEIGHTS["b2"] / 36
    reference, length = unit(run(proto, "e", A)[0]), np.linalg.norm(run(proto, "g", X))
    np.testing.assert_allclose(split(proto, onnxsal.Like(A)).raw, at_places @ reference / length, atol=1e-6)


def test_of_a_pair_it_adds_up_to_the_difference_and_of_the_dot_product_to_that() -> None:
    proto = model(ENDS["pooled"])
    one, two = split(proto, onnxsal.Like(A)), split(proto, onnxsal.Like(B))
    pair = split(proto, onnxsal.Like(A) - onnxsal.Like(B))
    np.testing.assert_allclose(pair.raw, one.raw - two.raw, atol=1e-7)
    dot = split(proto, onnxsal.Like(A), score="dot")
    np.testing.assert_allclose(dot.raw, one.raw * np.linalg.norm(run(proto, "f", X)), rtol=1e-5)


@pytest.mark.parametrize(
    ("end", "named"),
    [
        ("m = GlobalMaxPool (a) f = Flatten (m) e = LpNormalization <axis = 1> (f)", "no layer of this model has one"),
        (f"{POOLED} r = Relu (f) e = LpNormalization <axis = 1> (r)", "no layer of this model has one"),
    ],
)
def test_where_the_way_is_not_linear_it_does_not_apply(end: str, named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        split(model(end), onnxsal.Like(A))
    with pytest.raises(UnsupportedError, match=r"(GlobalMaxPool|Relu) .* stands between"):
        split(model(end), onnxsal.Like(A), layer="a")


def test_a_classifier_has_no_cosine_to_split() -> None:
    proto = model(f"{POOLED} e = Softmax (f)")
    with pytest.raises(UnsupportedError, match="splits the cosine of two embeddings, and this model puts out none"):
        onnxsal.explain(proto_model := onnxsal.load(proto), X, method="similarity-map")
    with pytest.raises(UnsupportedError, match="and this score is none"):
        onnxsal.explain(proto_model, X, method="similarity-map", layer="a")
