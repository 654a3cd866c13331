"""Files written for other runtimes: the same map, the model's own outputs, and none of the operators left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tables
import tiny_detectors
import tiny_texts
from compiled_cases import BUNDLED, QUICK, built_in, photos
from onnx import parser

import onnxsal
from onnxsal.compiler.metadata import METADATA
from onnxsal.errors import UnsupportedError, UsageError

FLAT: dict[str, Any] = {"no_if": True, "batch": 2, "unroll": True, "noise_as": "constants", "fold_weights": True}
PHOTOS = photos()


def run(proto: onnx.ModelProto, feeds: dict[str, Any], *, as_written: bool = False) -> dict[str, np.ndarray]:
    """Return the outputs by name. Args: as_written: nothing is fused, so that equal graphs round alike."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if as_written:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([v.name for v in session.get_outputs()], session.run(None, feeds), strict=True))


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from nodes(attribute.g)


def said(proto: onnx.ModelProto) -> dict[str, Any]:
    return json.loads({each.key: each.value for each in proto.metadata_props}[METADATA])


def check(ours: onnx.ModelProto, ordinary: onnx.ModelProto, own: onnx.ModelProto, feeds: dict[str, Any]) -> None:
    """Hold a file to the ordinary one, and the model's outputs to the model's."""
    onnx.checker.check_model(ours, full_check=True)
    found, wanted = (run(proto, feeds, as_written=True) for proto in (ours, ordinary))
    assert list(found) == list(wanted)
    for name, value in found.items():
        assert np.ptp(wanted[name]) > 0, name
        assert (value.shape, value.dtype) == (wanted[name].shape, wanted[name].dtype)
        np.testing.assert_allclose(value, wanted[name], rtol=0, atol=1e-6 * np.nanmax(np.abs(wanted[name])))
    fused = run(ours, feeds)
    for name, value in run(own, {each.name: feeds[each.name] for each in own.graph.input}).items():
        np.testing.assert_array_equal(fused.pop(name), value)
    for name, value in fused.items():
        np.testing.assert_allclose(value, wanted[name], rtol=0, atol=2e-6 * np.nanmax(np.abs(wanted[name])))


FEW: dict[str, dict[str, Any]] = {
    **QUICK, "score-cam": {"top_k": 5}, "is-cam": {"samples": 2, "top_k": 3},
    "ablation-cam": {"layer": "stem/relu"}, "recipro-cam": {"batch_size": 40}, "occlusion": {"patch": 48, "stride": 48},
    "ss-cam": {"samples": 2, "top_k": 3, "estimator": "independent"}, "smooth-grad-cam++": {"samples": 3},
    "rise": {"samples": 5}, "integrated-gradients": {"steps": 3, "baseline": "uniform"},
    "smoothgrad": {"samples": 3}, "smoothgrad-squared": {"samples": 3}, "vargrad": {"samples": 3},
}  # fmt: skip
"""Options of a few turns, the last of them shorter than the others."""


@pytest.fixture(scope="module")
def model() -> onnxsal.Model:
    return onnxsal.load(BUNDLED)


@pytest.mark.parametrize("method", built_in())
def test_every_method_without_if_and_loop(model: onnxsal.Model, method: str) -> None:
    few = FEW.get(method, {})
    options = ({"batch_size": 2} if set(few) & {"samples", "top_k", "steps"} else {}) | few
    ours, ordinary = (onnxsal.compile(model, method=method, **options, **form) for form in (FLAT, {}))
    check(ours, ordinary, onnx.load(BUNDLED), {"picture": PHOTOS.feed(2)})
    assert not {"If", "Loop", "Shape", "BitwiseXor", "BitShift"} & {node.op_type for node in ours.graph.node}
    held = {each.name for each in ours.graph.initializer}
    assert not any(node.op_type in ("Transpose", "Neg") and set(node.input) <= held for node in ours.graph.node)
    inputs = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in ours.graph.input}
    assert inputs == {"picture": [2, 3, 96, 96]}
    assert said(ours)["switches"] == FLAT
    noisy = {"smoothgrad", "smoothgrad-squared", "vargrad", "smooth-grad-cam++", "ss-cam", "integrated-gradients"}
    assert [note[:22] for note in said(ours)["notes"]] == ["noise lies in the file"] * (method in noisy)


@pytest.mark.parametrize("form", [{"no_if": True}, {"batch": 2}, {"fold_weights": True}, {"noise_as": "constants"}])
def test_each_switch_stands_alone(model: onnxsal.Model, form: dict[str, Any]) -> None:
    ours, ordinary = (onnxsal.compile(model, method="gradient", **each) for each in (form, {}))
    check(ours, ordinary, onnx.load(BUNDLED), {"picture": PHOTOS.feed(2)})
    operators = {node.op_type for node in nodes(ours.graph)}
    assert ("If" in operators, "Shape" in operators) == ("no_if" not in form, "batch" not in form)
    if "no_if" not in form:
        unasked = run(ours, {"picture": PHOTOS.feed(2), "explain": np.array(False)})["saliency"]
        assert unasked.shape == (2, 96, 96) and not unasked.any()


def test_a_detector_a_text_a_volume_and_rows_of_a_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    form = FLAT | {"batch": 1}
    proto = tiny_detectors.detector("v8")
    feeds = {"picture": rng.uniform(0, 1, (1, 3, 32, 32)).astype(np.float32)}
    feeds |= {"target": np.array([1]), "box": np.array([[4, 4, 20, 20]], np.float32)}
    given: dict[str, Any] = {"method": "smoothgrad", "samples": 3, "target": "input@input"}
    ours, ordinary = (onnxsal.compile(proto, **given, **each) for each in (form, {}))
    check(ours, ordinary, proto, feeds)
    assert "ScatterND" not in {node.op_type for node in ours.graph.node}  # a sum over the one thing there is

    path = tiny_texts.written(tmp_path, tiny_texts.proto("classes"), config={"id2label": tiny_texts.LABELS})
    text, ids = "a bad film", tiny_texts.ids("a bad film")
    model = onnxsal.load(path, size=ids.shape[1])
    found = onnxsal.compile(model, method="occlusion", **form)
    wanted = onnxsal.explain(model, text, method="occlusion").saliency
    np.testing.assert_allclose(run(found, {"input_ids": ids})["saliency"][0], wanted, rtol=0, atol=2e-6)
    assert any("batch fixes every shape" in note for note in said(found)["notes"])

    proto = parser.parse_model(VOLUME)
    feeds = {"x": rng.normal(size=(2, 2, 4, 5, 6)).astype(np.float32)}
    given = {"method": "smoothgrad", "samples": 3, "target": 1}
    model = onnxsal.load(proto, task="regression")
    check(*(onnxsal.compile(model, **given, **each) for each in (FLAT, {})), proto, feeds)

    proto = tables.pipeline(tables.NET)
    given = {"method": "shapley", "target": 1, "background": list(tables.ROWS[1:3])}
    ours, ordinary = (onnxsal.compile(proto, **given, **each) for each in (FLAT, {}))
    feeds = tables.feeds(proto, (tables.ROWS[0], tables.ROWS[4]))
    np.testing.assert_allclose(run(ours, feeds)["values"], run(ordinary, feeds)["values"], rtol=0, atol=1e-6)
    assert not {"If", "Loop"} & {node.op_type for node in nodes(ours.graph)}
    assert ours.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2


def test_noise_in_the_file_has_the_bits_of_the_operators(model: onnxsal.Model) -> None:
    given: dict[str, Any] = {"method": "smoothgrad", "samples": 2, "give": "raw", "seed": 2**32 - 1}
    held, drawn = (onnxsal.compile(model, **given, noise_as=each) for each in ("constants", "operators"))
    feeds = {"picture": PHOTOS.feed(1)}
    np.testing.assert_array_equal(run(held, feeds, as_written=True)["raw"], run(drawn, feeds, as_written=True)["raw"])
    assert any(note == "noise lies in the file as 0.2 MB of constants" for note in said(held)["notes"])
    assert onnxsal.compile(model, **given, noise_as="constants", opset=17).opset_import[0].version == 17


VOLUME = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 4, 5, 6] x) => (float[B, 2] y)
    <float[2, 2, 1, 1, 1] w = {1, -1, 0.5, 2}, int64[3] axes = {2, 3, 4}>
    { a = Conv (x, w) r = Relu (a) q = Mul (r, r) y = ReduceMean <keepdims = 0> (q, axes) }"""
LOOP = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 8, 8] x) => (float[B, 2] y)
    <float[3, 2] w = {1, -1, 0.5, 2, -0.3, 0.7}, int64[2] axes = {2, 3}, bool go = {1}, float one = {1}>
    { m = ReduceMean <keepdims = 0> (x, axes) COUNT
      a = Loop (n, go, m) <body = b (int64 i, bool c, float[B, 3] s) => (bool d, float[B, 3] t)
          { d = Identity (c) t = Mul (s, m) }>
      y = MatMul (a, w) }"""
OFTEN = "most = ReduceMax <keepdims = 0> (x) many = Add (most, one) n = Cast <to = 7> (many)"
BRANCH = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 8, 8] x) => (float[B, 2] y)
    <float[3, 2] w = {1, -1, 0.5, 2, -0.3, 0.7}, int64[2] axes = {2, 3}, float one = {1}>
    { m = ReduceMean <keepdims = 0> (x, axes) most = ReduceMax <keepdims = 0> (x) c = Greater (most, one)
      a = If (c) <then_branch = t () => (float[B, 3] u) { u = Neg (m) },
                  else_branch = e () => (float[B, 3] v) { v = Abs (m) }>
      y = MatMul (a, w) }"""


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"no_if": True, "explain_required": True}, "choose one"),
        ({"batch": 0}, "expected how many things"),
        ({"unroll": True}, "say how many these are"),
        ({"noise_as": "tables"}, "expected operators or constants"),
        (
            {"method": "rise", "unroll": True, "batch": 1},
            "501 turns of loops .* may have 256",
        ),
        (
            {"method": "smoothgrad", "samples": 9999, "noise_as": "constants"},
            "9999 draws .* 1,106 MB",
        ),
    ],
)
def test_misuse(model: onnxsal.Model, asked: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, UnsupportedError), match=message):
        onnxsal.compile(model, **asked)


def test_loops_and_branches_of_the_model_itself() -> None:
    """One of three turns is written out; what depends on the picture is refused by name."""
    three = parser.parse_model(LOOP.replace("COUNT", "n = Constant <value_int = 3> ()"))
    x = np.random.default_rng(0).uniform(0.5, 1, (1, 3, 8, 8)).astype(np.float32)
    given: dict[str, Any] = {"method": "occlusion", "patch": 4, "stride": 4, "target": 1, "batch": 1}
    found = onnxsal.compile(three, **given, no_if=True, unroll=True)
    assert not {"If", "Loop"} & {node.op_type for node in nodes(found.graph)}
    wanted = run(onnxsal.compile(three, **given), {"x": x})["saliency"]
    np.testing.assert_allclose(run(found, {"x": x})["saliency"], wanted, rtol=0, atol=1e-6)
    with pytest.raises(UnsupportedError, match=r"how many turns Loop .* depends on what goes in"):
        onnxsal.compile(parser.parse_model(LOOP.replace("COUNT", OFTEN)), **given, unroll=True)
    with pytest.raises(UnsupportedError, match=r"no_if: \d If of the model itself"):
        onnxsal.compile(parser.parse_model(BRANCH), **given, no_if=True)
    np.testing.assert_allclose(run(found, {"x": x})["y"], run(three, {"x": x})["y"], rtol=1e-6)
