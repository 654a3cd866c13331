"""Files written for other runtimes: the same map, the model's own outputs, and none of the operators left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from compiled_cases import BUNDLED, QUICK, built_in, photos

import onnxsal
from onnxsal.compiler.metadata import METADATA

FLAT: dict[str, Any] = {"no_if": True, "batch": 2, "fold_weights": True}
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
        np.testing.assert_array_equal(value, wanted[name], strict=True)
    fused = run(ours, feeds)
    for name, value in run(own, {each.name: feeds[each.name] for each in own.graph.input}).items():
        np.testing.assert_array_equal(fused.pop(name), value)
    for name, value in fused.items():
        np.testing.assert_allclose(value, wanted[name], rtol=0, atol=2e-6 * np.nanmax(np.abs(wanted[name])))


def folded(graph: onnx.GraphProto) -> bool:
    """Whether no node of the main graph is computed from weights alone, but for what repeats a number."""
    held, repeat = {each.name for each in graph.initializer}, {"ConstantOfShape", "Expand", "Loop"}
    return not any(node.input and set(node.input) <= held and node.op_type not in repeat for node in graph.node)


@pytest.fixture(scope="module")
def model() -> onnxsal.Model:
    return onnxsal.load(BUNDLED)


@pytest.mark.parametrize("method", built_in())
def test_every_method_without_an_if(model: onnxsal.Model, method: str) -> None:
    options = QUICK.get(method, {}) | ({"top_k": 11} if method == "score-cam" else {})
    ours, ordinary = (onnxsal.compile(model, method=method, **options, **form) for form in (FLAT, {}))
    check(ours, ordinary, onnx.load(BUNDLED), {"picture": PHOTOS.feed(2)})
    assert "If" not in {node.op_type for node in nodes(ours.graph)}
    assert folded(ours.graph)
    inputs = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in ours.graph.input}
    assert inputs == {"picture": [2, 3, 96, 96]}
    assert (said(ours)["switches"], said(ours)["notes"]) == (FLAT, [])


@pytest.mark.parametrize("form", [{"no_if": True}, {"batch": 2}, {"fold_weights": True}])
def test_each_switch_stands_alone(model: onnxsal.Model, form: dict[str, Any]) -> None:
    ours, ordinary = (onnxsal.compile(model, method="gradient", **each) for each in (form, {}))
    check(ours, ordinary, onnx.load(BUNDLED), {"picture": PHOTOS.feed(2)})
    operators = {node.op_type for node in nodes(ours.graph)}
    assert ("If" in operators, "Shape" in operators) == ("no_if" not in form, "batch" not in form)
    if "no_if" not in form:
        unasked = run(ours, {"picture": PHOTOS.feed(2), "explain": np.array(False)})["saliency"]
        assert unasked.shape == (2, 96, 96) and not unasked.any()
