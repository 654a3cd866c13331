"""A float value inside is explained: maps against differences of the file, cut there by hand, in ONNX Runtime."""

from __future__ import annotations

import pickle

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import UsageError

RNG = np.random.default_rng(0)
HEAD = '<ir_version: 10, opset_import: ["" : 21]> g '

TOKENS = (
    HEAD
    + """(int64[B, T] ids, bool[B, T] mask) => (float[B, 3] y) <int64[1] last = {2}, int64[1] time = {1}> {
    e = Gather (table, ids) m = Cast <to = 1> (mask) u = Unsqueeze (m, last) k = Mul (e, u) s = Sin (k)
    p = ReduceSum <keepdims = 0> (s, time) q = MatMul (p, w) y = Identity (q) }"""
)
PAST = (
    HEAD
    + """(int64[B, T] ids) => (float[B, 3] y) <int64[1] last = {2}, int64[1] time = {1}, int64 zero = {0}> {
    e = Gather (table, ids) g = Greater (ids, zero) m = Cast <to = 1> (g) u = Unsqueeze (m, last) k = Mul (e, u)
    s = Sin (k) p = ReduceSum <keepdims = 0> (s, time) y = MatMul (p, w) }"""
)
SPECTRUM = (
    HEAD
    + """(float[1, n] wave) => (float[1, 3] y) <int64[3] shape = {1, -1, 4}, int64[1] time = {1}> {
    f = Reshape (wave, shape) l = Abs (f) c = MatMul (l, w4) s = Sin (c) p = ReduceMean <keepdims = 0> (s, time)
    y = MatMul (p, w) }"""
)

WEIGHTS = {"table": RNG.normal(0, 1, (9, 4)), "w": RNG.normal(0, 1, (4, 3)), "w4": RNG.normal(0, 1, (4, 4))}
IDS = np.array([[4, 0, 7, 2, 8]])


def made(text: str) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(text)
    read = {name for node in proto.graph.node for name in node.input}
    for name, array in WEIGHTS.items():
        if name in read:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return proto


def cut(proto: onnx.ModelProto, name: str) -> onnxruntime.InferenceSession:
    """Return the file with a value of its own as an input, by hand."""
    found = onnx.ModelProto()
    found.CopyFrom(proto)
    for node in found.graph.node:
        node.output[:] = [f"{each}/before" if each == name else each for each in node.output]
    found.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return onnxruntime.InferenceSession(found.SerializeToString())


def value(proto: onnx.ModelProto, name: str, feeds: dict[str, np.ndarray]) -> np.ndarray:
    found = onnx.ModelProto()
    found.CopyFrom(proto)
    found.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return onnxruntime.InferenceSession(found.SerializeToString()).run([name], feeds)[0]


def check(found: onnxsal.Explanation, proto: onnx.ModelProto, name: str, feeds: dict[str, np.ndarray]) -> None:
    """The map has the value's shape, the score is the file's, and so are the slopes."""
    session, x = cut(proto, name), value(proto, name, feeds)
    own, raw = (v.T if found.modality == "tokens" else v for v in (found.sample.x, found.raw))  # [C, T] of [T, C]
    np.testing.assert_allclose(own.reshape(x.shape), x, rtol=1e-5, atol=1e-6)
    score = {v.name: feeds[v.name] for v in session.get_inputs() if v.name in feeds}
    np.testing.assert_allclose(found.logit, session.run(["y"], {**score, name: x})[0][0, 1], rtol=1e-5)
    for _ in range(3):
        way = RNG.normal(0, 1, x.shape)
        ends = [session.run(["y"], {**score, name: (x + step * way).astype("f")})[0][0, 1] for step in (1e-2, -1e-2)]
        assert (raw.reshape(x.shape) * way).sum() == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2, abs=2e-3)


def test_ids_are_given_and_their_embedding_is_explained() -> None:
    proto, mask = made(TOKENS), np.array([[True, True, False, True, True]])
    model = onnxsal.load(proto, explained="e", inputs={"mask": mask})
    assert [(each.name, each.role) for each in model.inputs] == [("ids", "inside"), ("mask", "held")]
    feeds = {"ids": IDS, "mask": mask}
    for thing in (IDS, {"ids": IDS}, value(proto, "e", feeds), value(proto, "e", feeds)[0]):
        check(onnxsal.explain(model, thing, method="gradient", target=1), proto, "e", feeds)
    assert [p.logit for p in model.predict(IDS)] == [p.logit for p in model.predict({"ids": IDS[0]})]


def test_ids_that_are_read_past_the_value_are_held_and_may_change_from_thing_to_thing() -> None:
    proto = made(PAST)
    model = onnxsal.load(proto, explained="e", inputs={"ids": IDS})
    other = np.array([[0, 0, 3]])
    for thing, ids in (({}, IDS), (IDS, IDS), (other, other), (other[0], other), ({"ids": other}, other)):
        check(onnxsal.explain(model, thing, method="gradient", target=1), proto, "e", {"ids": ids})
    again = pickle.loads(pickle.dumps(model))
    check(onnxsal.explain(again, other, method="gradient", target=1), proto, "e", {"ids": other})


def test_what_lies_between_a_signal_and_its_score_is_explained() -> None:
    proto, wave = made(SPECTRUM), RNG.normal(0, 1, (1, 24)).astype(np.float32)
    model = onnxsal.load(proto, explained="l")
    assert model.modality.name == "array"
    found = onnxsal.explain(model, {"wave": wave}, method="gradient", target=1)
    assert found.saliency.shape == (6, 4)
    check(found, proto, "l", {"wave": wave})


def test_paths_and_noise_run_over_a_value_inside() -> None:
    proto = made(PAST)
    model = onnxsal.load(proto, explained="e", inputs={"ids": IDS})
    plain = onnxsal.explain(model, {}, method="gradient", target=1)
    still = onnxsal.explain(model, {}, method="smoothgrad", target=1, samples=4, noise=0.0)
    np.testing.assert_allclose(still.raw, plain.raw, rtol=1e-4, atol=1e-6)
    path = onnxsal.explain(model, {}, method="integrated-gradients", target=1, steps=200)
    assert path.raw.sum() == pytest.approx(plain.logit, abs=2e-2)  # sin(0) = 0


def test_what_cannot_be_explained_inside_is_named() -> None:
    for name, message in (
        ("E", "no such input or value"),
        ("table", "no such input or value"),
        ("g", "'g' is .*which has no gradient; floats behind it: 'm'"),
    ):
        with pytest.raises(UsageError, match=message):
            onnxsal.load(made(PAST), explained=name, inputs={"ids": IDS})
    with pytest.raises(UsageError, match="no input 'idx'; did you mean 'ids'"):
        onnxsal.explain(onnxsal.load(made(PAST), explained="e", inputs={"ids": IDS}), {"idx": IDS}, method="gradient")


def test_a_mask_beside_has_its_default_and_the_size_of_the_ids() -> None:
    proto = made(
        TOKENS.replace(
            "k = Mul (e, u)", "z = Cast <to = 1> (ids) h = Unsqueeze (z, last) o = Mul (e, h) k = Mul (o, u)"
        )
    )
    model = onnxsal.load(proto, explained="e", inputs={"ids": IDS})
    assert [(each.name, each.role, each.at[:1]) for each in model.inputs][1] == ("mask", "held", "1")
    check(onnxsal.explain(model, {}, method="gradient", target=1), proto, "e", {"ids": IDS, "mask": IDS > -1})
