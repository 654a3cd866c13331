"""Compiled files of arrays, sequences and models of several inputs, in ONNX Runtime, against explain and the file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.compiler.metadata import METADATA
from onnxsal.errors import UnsupportedError, UsageError

RNG = np.random.default_rng(0)
HEAD = '<ir_version: 10, opset_import: ["" : 21]> g '

NET = (
    HEAD
    + """(float%s x) => (float[B, 3] y) <int64[2] flat = {%s}>
    { a = Mul (x, x) t = Tanh (a) s = Sin (x) z = Add (t, s) f = Reshape (z, flat) y = MatMul (f, v) }"""
)

SEQUENCE = (
    HEAD
    + """(float[%s] x) => (float[B, 2] y) <int64[1] last = {2}> { %s
    a = Conv <pads = [2, 2]> (t, w) r = Relu (a) m = ReduceMean <keepdims = 0> (r, last) y = MatMul (m, u) }"""
)

SHAPES = {
    "[B, 4]": (4,), "[1, 6]": (6,), "[B, 3, 5]": (3, 5), "[B, 2, 7, 9]": (2, 7, 9),
    "[B, 2, 1, 2, 3, 2]": (2, 1, 2, 3, 2), "[5]": (5,), "[4, 5]": (4, 5), "[1]": (1,), "": (),
}  # fmt: skip
"""Shapes of an input, and of one thing of it."""

METHODS: dict[str, dict[str, Any]] = {
    "gradient": {}, "smoothgrad": {"samples": 3}, "integrated-gradients": {"steps": 3, "baseline": "blur"},
    "occlusion": {"patch": 1, "stride": 1}, "rise": {"samples": 5, "grid": 2},
}  # fmt: skip

OF_LAYERS: dict[str, dict[str, Any]] = {
    "grad-cam++": {}, "cam": {}, "score-cam": {"top_k": 2}, "ss-cam": {"samples": 2, "top_k": 2}, "recipro-cam": {},
    "smooth-grad-cam++": {"samples": 2},
}  # fmt: skip


def made(text: str, **weights: np.ndarray) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(text)
    for name, array in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return proto


def array(shape: str) -> onnx.ModelProto:
    count = int(np.prod(SHAPES[shape]))
    flat = f"-1, {count}" if shape.startswith(("[B,", "[1,")) else f"1, {count}"
    return made(NET % (shape, flat), v=np.random.default_rng(3).normal(0, 1, (count, 3)))


def sequence(shape: str = "B, 2, 24", front: str = "t = Identity (x)") -> onnx.ModelProto:
    rng = np.random.default_rng(2)
    return made(SEQUENCE % (shape, front), w=rng.normal(0, 1, (3, 2, 5)), u=rng.normal(0, 1, (3, 2)))


def run(proto: onnx.ModelProto, **feeds: Any) -> dict[str, np.ndarray]:
    onnx.checker.check_model(proto, full_check=True)
    assert {each.domain for each in proto.opset_import} == {""}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def check(found: dict[str, np.ndarray], wanted: list[onnxsal.Explanation]) -> None:
    """The maps and what was computed for them are those of explain."""
    for i, one in enumerate(wanted):
        np.testing.assert_allclose(found["saliency"][i], one.saliency, rtol=0, atol=1e-5)
        if "raw" in found:
            np.testing.assert_allclose(found["raw"][i], one.raw, rtol=1e-4, atol=1e-6)


def together(shape: str, things: list[np.ndarray]) -> np.ndarray:
    return np.stack(things) if shape.startswith(("[B,", "[1,")) else things[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", METHODS)
def test_arrays_of_any_number_of_axes(shape: str, method: str) -> None:
    proto, options = array(shape), METHODS[method]
    count = 2 if shape.startswith("[B") else 1
    things = [RNG.normal(0, 0.5, SHAPES[shape]).astype(np.float32) for _ in range(count)]
    model = onnxsal.load(proto, task="regression")
    wanted = [onnxsal.explain(model, each, method=method, target=1, **options) for each in things]
    explained = onnxsal.compile(model, method=method, target=1, give=["saliency", "raw"], **options)
    feed = together(shape, things)
    found = run(explained, x=feed)
    if method == "integrated-gradients" and len(things[0].reshape(-1)) == 1:
        found.pop("raw")  # a number less its own blur is rounding
    check(found, wanted)
    assert found["saliency"].shape == (count, *model.size)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    np.testing.assert_array_equal(found["y"], session.run(["y"], {"x": feed})[0])
    without = run(explained, x=feed, explain=np.array(False))
    assert not without["saliency"].any() and not without["raw"].any()


@pytest.mark.parametrize(
    ("method", "options"),
    [(method, {**more, "by": by}) for by in ("channel", "cell")
     for method, more in (("occlusion", {"patch": 2, "stride": 1}), ("rise", {"samples": 12, "grid": 2}))],
)  # fmt: skip
def test_masks_of_channels_and_cells(method: str, options: dict[str, Any]) -> None:
    model, things = onnxsal.load(sequence()), [RNG.normal(0, 1, (2, 24)).astype(np.float32) for _ in range(2)]
    wanted = [onnxsal.explain(model, each, method=method, target=1, **options) for each in things]
    assert wanted[0].raw.shape == (2, 24) and np.ptp(wanted[0].raw) > 1e-3
    explained = onnxsal.compile(model, method=method, target=1, give=["saliency", "raw"], **options)
    check(run(explained, x=np.stack(things)), wanted)


def test_a_map_of_a_volume_has_the_slopes_of_the_file() -> None:
    proto, x = array("[B, 2, 1, 2, 3, 2]"), RNG.normal(0, 0.5, (1, 2, 1, 2, 3, 2)).astype(np.float32)
    model = onnxsal.load(proto, task="regression")
    raw = run(onnxsal.compile(model, method="gradient", target=2, give="raw"), x=x)["raw"]
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    way = RNG.normal(0, 1, x.shape)
    ends = [session.run(["y"], {"x": (x + step * way).astype("f")})[0][0, 2] for step in (1e-2, -1e-2)]
    assert (raw.reshape(x.shape) * way).sum() == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)


@pytest.mark.parametrize("method", OF_LAYERS)
def test_sequences_and_their_layers(method: str) -> None:
    proto, things = sequence(), [RNG.normal(0, 1, (2, 24)).astype(np.float32) for _ in range(2)]
    model, options = onnxsal.load(proto), OF_LAYERS[method]
    wanted = [onnxsal.explain(model, each, method=method, target=1, **options) for each in things]
    explained = onnxsal.compile(model, method=method, target=1, give=["saliency", "raw"], **options)
    found = run(explained, x=np.stack(things))
    assert found["saliency"].std() > 1e-3
    check(found, wanted)
    said = json.loads({each.key: each.value for each in explained.metadata_props}[METADATA])
    assert (said["input"]["axes"], said["input"]["size"], said["input"]["channels"]) == ("NCT", [24], 2)


def test_channels_behind_and_several_layers() -> None:
    model = onnxsal.load(sequence("B, 24, 2", "t = Transpose <perm = [0, 2, 1]> (x)"))
    thing, both = RNG.normal(0, 1, (24, 2)).astype(np.float32), ["a", "r"]
    wanted = onnxsal.explain(model, thing, method="grad-cam", target=0, layer=both)
    found = run(onnxsal.compile(model, method="grad-cam", target=0, layer=both), x=thing[None])
    check(found, [wanted])


def test_the_predicted_class_and_the_target_as_an_input() -> None:
    model, things = onnxsal.load(sequence()), RNG.normal(0, 1, (2, 2, 24)).astype(np.float32)
    check(run(onnxsal.compile(model, method="gradient"), x=things), [
        onnxsal.explain(model, each, method="gradient") for each in things
    ])  # fmt: skip
    asked = run(onnxsal.compile(model, method="gradient", target="input"), x=things, target=np.array([1, 0]))
    check(
        asked,
        [onnxsal.explain(model, each, method="gradient", target=t) for each, t in zip(things, (1, 0), strict=True)],
    )


ELEMENTS = {
    "a[0, 2, 4]": lambda a, y: a[2, 4], "a[0, :, 3] minus a[0, 1, 2]": lambda a, y: a[:, 3].sum() - a[1, 2],
    "y[0, 1]": lambda a, y: y[1],
}  # fmt: skip
"""Elements as text, and what they are of the file's outputs for one thing."""


@pytest.mark.parametrize("target", ELEMENTS)
def test_elements_of_any_output(target: str) -> None:
    proto = sequence()
    proto.graph.output.append(onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, ["B", 3, 24]))
    model, things = onnxsal.load(proto), RNG.normal(0, 1, (2, 2, 24)).astype(np.float32)
    wanted = [onnxsal.explain(model, each, method="smoothgrad", target=target, samples=2) for each in things]
    found = run(
        onnxsal.compile(model, method="smoothgrad", target=target, samples=2, give=["saliency", "raw"]), x=things
    )
    check(found, wanted)
    y, a = onnxruntime.InferenceSession(proto.SerializeToString()).run(["y", "a"], {"x": things})
    for i, one in enumerate(wanted):
        assert one.logit == pytest.approx(ELEMENTS[target](a[i], y[i]), rel=1e-4)


def test_an_embedding_of_a_sequence_has_its_reference_inside_or_takes_it() -> None:
    text = (
        HEAD
        + """(float[B, 2, 24] x) => (float[B, 3] y) <int64[1] last = {2}, int64[1] one = {1}> {
        a = Conv <pads = [2, 2]> (x, w) r = Relu (a) m = ReduceMean <keepdims = 0> (r, last)
        n = ReduceL2 <keepdims = 1> (m, one) y = Div (m, n) }"""
    )
    model = onnxsal.load(made(text, w=np.random.default_rng(2).normal(0, 1, (3, 2, 5))))
    things, like = RNG.normal(0, 1, (2, 2, 24)).astype(np.float32), RNG.normal(0, 1, 3).astype(np.float32)
    wanted = [onnxsal.explain(model, each, method="grad-cam", target=onnxsal.Like(like)) for each in things]
    check(run(onnxsal.compile(model, method="grad-cam", target=onnxsal.Like(like)), x=things), wanted)
    check(run(onnxsal.compile(model, method="grad-cam", target="input"), x=things, reference=like[None]), wanted)


HELD = (
    HEAD
    + """(float[B, 3, 5] x, float gain, float[B, 5] shift, int64[1] sr) => (float[B, 2] y)
    <int64[2] flat = {-1, 15}, int64[1] one = {1}> { u = Unsqueeze (shift, one) a = Add (x, u) b = Mul (a, gain)
      t = Tanh (b) q = Cast <to = 1> (sr) k = Div (t, q) f = Reshape (k, flat) y = MatMul (f, v) }"""
)


@pytest.mark.parametrize("method", ["gradient", "occlusion", "smoothgrad"])
def test_held_inputs_are_inside(method: str) -> None:
    proto, options = made(HELD, v=np.random.default_rng(3).normal(0, 1, (15, 2))), METHODS[method]
    held = {"gain": 1.5, "shift": RNG.normal(0, 1, 5), "sr": [2]}
    model = onnxsal.load(proto, explained="x", inputs=held, task="regression")
    things = RNG.normal(0, 1, (2, 3, 5)).astype(np.float32)
    explained = onnxsal.compile(model, method=method, target=1, **options)
    assert [value.name for value in explained.graph.input] == ["x", "explain"]
    found = run(explained, x=things)
    check(found, [onnxsal.explain(model, each, method=method, target=1, **options) for each in things])
    feeds = {
        "x": things,
        "gain": np.array(1.5, np.float32),
        "shift": np.stack([held["shift"]] * 2).astype("f"),
        "sr": np.array([2]),
    }
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    np.testing.assert_allclose(found["y"], session.run(["y"], feeds)[0], rtol=1e-5)
    said = json.loads({each.key: each.value for each in explained.metadata_props}[METADATA])
    assert said["held"]["gain"] == "1.5" and set(said["held"]) == {"gain", "shift", "sr"}


TOKENS = (
    HEAD
    + """(int64[B, T] ids, bool[B, T] mask) => (float[B, 3] y) <int64[1] last = {2}, int64[1] time = {1}> {
    e = Gather (table, ids) m = Cast <to = 1> (mask) u = Unsqueeze (m, last) k = Mul (e, u) s = Sin (k)
    p = ReduceSum <keepdims = 0> (s, time) y = MatMul (p, w) }"""
)


@pytest.mark.parametrize("method", ["gradient", "integrated-gradients", "rise"])
def test_a_value_inside_is_computed_from_the_model_s_own_inputs(method: str) -> None:
    proto, options = made(TOKENS, table=RNG.normal(0, 1, (9, 4)), w=RNG.normal(0, 1, (4, 3))), METHODS.get(method, {})
    ids, mask = np.array([[4, 0, 7, 2, 8], [1, 1, 3, 5, 6]]), np.array([[True, True, False, True, True]])
    model = onnxsal.load(proto, explained="e", inputs={"mask": mask})
    wanted = [onnxsal.explain(model, each[None], method=method, target=1, **options) for each in ids]
    explained = onnxsal.compile(model, method=method, target=1, **options)
    assert [value.name for value in explained.graph.input] == ["ids", "explain"]
    found = run(explained, ids=ids)
    check(found, wanted)
    assert found["saliency"].shape == (2, 5), "ids become vectors: a number for each token"
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    np.testing.assert_allclose(found["y"], session.run(["y"], {"ids": ids, "mask": mask.repeat(2, 0)})[0], rtol=1e-5)
    said = json.loads({each.key: each.value for each in explained.metadata_props}[METADATA])
    assert said["computed_from"] == ["ids"]


def test_what_is_no_picture_is_refused_by_name() -> None:
    model = onnxsal.load(sequence())
    with pytest.raises(UnsupportedError, match=r"give=drawing is a picture, and maps .* are 24 numbers \(sequence\)"):
        onnxsal.compile(model, method="gradient", give="drawing")
    with pytest.raises(UnsupportedError, match="bytes_in is for models of images"):
        onnxsal.compile(model, method="gradient", bytes_in=True)
    with pytest.raises(UsageError, match="the baseline has shape"):
        onnxsal.compile(model, method="integrated-gradients", baseline=(1.0, 2.0, 3.0))


def test_a_number_a_channel_is_a_baseline_of_any_number_of_axes() -> None:
    """In explain and in a file: IG adds up to the difference from that baseline, eq. 3 of the paper."""
    proto, thing = sequence(), RNG.normal(0, 1, (2, 24)).astype(np.float32)
    model, options = onnxsal.load(proto), {"method": "integrated-gradients", "steps": 60, "baseline": (0.5, -1.0)}
    found = onnxsal.explain(model, thing, target=1, **options)
    base = np.broadcast_to(np.array([[0.5], [-1.0]], np.float32), thing.shape)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    ends = [session.run(["y"], {"x": each[None]})[0][0, 1] for each in (thing, base)]
    assert found.raw.sum() == pytest.approx(ends[0] - ends[1], abs=2e-2)
    check(run(onnxsal.compile(model, target=1, **options), x=thing[None]), [found])
