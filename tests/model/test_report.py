"""The report on a model against what is known of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import onnxsal
from onnxsal.autodiff.registry import REGISTRY
from onnxsal.graph import empty, to_proto
from onnxsal.methods import catalogue

BUNDLED = Path(__file__).resolve().parents[2] / "models" / "shapes.onnx"
F = ir.DataType.FLOAT


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return onnxsal.load(BUNDLED).inspect()


def test_facts_of_the_bundled_model(report: dict[str, Any]) -> None:
    assert report["inputs"] == [{"name": "picture", "type": "float", "shape": ["N", 3, 96, 96]}]
    said = {"task": "classification", "holds": "10 classes", "element": "logits[0, 5]"}
    assert report["outputs"] == [{"name": "logits", "type": "float", "shape": ["N", 10], **said}]
    assert (report["opset"], report["output"]["logit"], report["grid"]) == (18, "logits", None)
    tensors = [onnx.numpy_helper.to_array(t) for t in onnx.load(BUNDLED).graph.initializer]
    assert report["parameters"] == sum(t.size for t in tensors)
    assert report["weight_bytes"] == sum(t.nbytes for t in tensors)
    assert report["operators"] == {"Conv": 9, "Relu": 9, "Add": 3, "ReduceMean": 1, "Gemm": 1}
    assert report["layers"] == len(onnxsal.load(BUNDLED).layers)
    assert json.loads(json.dumps(report))["sha256"] == report["sha256"]


def test_operations_of_the_bundled_model(report: dict[str, Any]) -> None:
    """Kernels of 3 x 3: 3 to 12 channels on 48 x 48; then on 24 x 24 from 12 to 24, 24, 24, 48, and four of 48."""
    convolutions = 9 * (48**2 * 3 * 12 + 24**2 * (12 * 24 + 2 * 24 * 24 + 24 * 48 + 4 * 48 * 48))
    expected = {"Conv": convolutions, "Gemm": 48 * 10}
    assert report["operations"] == {
        "multiply_accumulates": convolutions + 480,
        "by_operator": expected,
        "unknown": [],
    }


def test_every_method_applies_to_it_at_its_cost(report: dict[str, Any]) -> None:
    methods = {each["method"]: each for each in report["methods"]}
    assert list(methods) == catalogue.names()
    assert report["without_rule"] == []
    refused = {name: each["reason"] for name, each in methods.items() if not each["applies"]}
    assert refused == {
        "similarity-map": "similarity-map splits the cosine of two embeddings, and this model puts out none",
        "shapley": "shapley is for rows of tables",
    }
    assert all(each["reason"] is None for each in methods.values() if each["applies"])
    assert (methods["score-cam"]["forwards"], methods["score-cam"]["backwards"]) == (48 + 1, 0)
    assert (methods["smoothgrad"]["forwards"], methods["smoothgrad"]["backwards"]) == (50, 50)
    speed = report["speed"]
    expected = 50 * (speed["forward"] + speed["to_pixels"])
    assert methods["smoothgrad"]["seconds"] == pytest.approx(expected)
    assert methods["score-cam"]["seconds"] == pytest.approx(49 * speed["forward"])


def test_memory_is_the_weights_and_eight_times_what_lives_at_once(report: dict[str, Any]) -> None:
    """Going back to the pixels keeps every rectified map until its turn; at a layer near the end hardly any."""
    methods = {each["method"]: each for each in report["methods"]}
    image = 8 * 4 * 3 * 96 * 96
    rectified = 8 * 4 * (48 * 48 * 12 + 24 * 24 * (3 * 24 + 5 * 48))
    assert methods["gradient"]["memory"] > report["weight_bytes"] + 2 * image + rectified
    assert methods["gradient"]["memory"] < report["weight_bytes"] + 4 * image + 3 * rectified
    assert methods["grad-cam"]["memory"] < methods["gradient"]["memory"]


def test_a_node_without_rule_is_named_and_what_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last Relu's output as the layer, no Relu is between layer and score."""
    monkeypatch.delitem(REGISTRY, ("", "Relu"))
    report = onnxsal.load(BUNDLED).inspect()
    methods = {each["method"]: each for each in report["methods"]}
    assert {"operator": "Relu", "node": "block3/relu"} in report["without_rule"]
    assert len(report["without_rule"]) == 9
    assert not methods["gradient"]["applies"]
    assert "stem/relu" in methods["gradient"]["reason"]
    assert methods["gradient"]["seconds"] is None
    assert methods["grad-cam"]["applies"] and methods["score-cam"]["applies"]


def quantised() -> onnx.ModelProto:
    """Return a classifier whose probabilities come out as bytes."""
    rng = np.random.default_rng(0)
    op = empty(21)
    x = op.input("x", F, ["batch", 3, 8, 8])
    maps = op.Relu(op.Conv(x, op.const(rng.normal(size=(4, 3, 3, 3)).astype(np.float32)), pads=[1] * 4))
    logits = op.Gemm(op.ReduceMean(maps, [2, 3], keepdims=0), op.const(rng.normal(size=(4, 5)).astype(np.float32)))
    scale, zero = op.const(np.float32(1 / 256)), op.const(np.uint8(3))
    return to_proto(op.finish(scores=op.QuantizeLinear(op.Softmax(logits), scale, zero)).model)


def test_the_grid_of_a_quantised_output() -> None:
    report = onnxsal.load(quantised()).inspect()
    assert report["grid"] == {"type": "uint8", "scale": 1 / 256, "zero_point": 3, "steps": 256}
    assert report["output"]["activation"] == "softmax"
    assert report["outputs"][0]["type"] == "uint8"
