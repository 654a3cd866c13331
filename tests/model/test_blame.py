"""What ONNX Runtime refuses of a model is said of it, not of the graph that was to be made of it."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

import onnxsal
from onnxsal.errors import ModelError
from onnxsal.graph import load_ir
from onnxsal.model.blame import blaming

WEIGHTS = """<ir_version: 10, opset_import: ["": 21]> f (float[B, 2] x) => (float[B, 3] y)
    <int8[2, 3] q = {1, 2, 3, 4, 5, 6}, float[0] scale = {}, int8[3] zero = {0, 0, 0}>
    { w = DequantizeLinear <axis = 1> (q, scale, zero) y = MatMul (x, w) }"""
PICTURES = """<ir_version: 10, opset_import: ["": 21]> f (float[B, 3, 8, 8] x) => (float[B, 3] y)
    { r = LRN <size = 0> (x) m = GlobalAveragePool (r) y = Flatten (m) }"""


def test_a_model_that_loads_and_never_runs_is_what_is_wrong() -> None:
    """ONNX Runtime looks at what the weights of a quantised one are multiplied by when it runs."""
    with pytest.raises(ModelError, match=r"^the model cannot be run: .*DequantizeLinear"):
        onnxsal.gradient(onnx.parser.parse_model(WEIGHTS), of=["y"], wrt=["x"])


def test_a_rule_that_fails_over_such_a_model_says_so_too() -> None:
    model = onnx.parser.parse_model(PICTURES)
    with pytest.raises(ModelError, match=r"^ONNX Runtime cannot load the model"):
        onnxsal.gradient(model, of=["y"], wrt=["x"])
    with pytest.raises(ModelError, match=r"^ONNX Runtime cannot load the model"):
        onnxsal.explain(onnxsal.load(model), np.ones((3, 8, 8), np.float32), method="gradient", target=0)
    with pytest.raises(ModelError, match=r"^ONNX Runtime cannot load the model"):
        onnxsal.compile(model, method="gradient", no_if=True)


def test_what_compile_alone_does_to_such_a_model_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that runs, what is raised stays as it is."""

    def strange(*given: object, **more: object) -> None:
        raise IndexError

    monkeypatch.setattr("onnxsal.compiler.compile.assemble", strange)
    for size, error in ((0, ModelError), (3, IndexError)):
        model = onnxsal.load(onnx.parser.parse_model(PICTURES.replace("size = 0", f"size = {size}")))
        with pytest.raises(error):
            onnxsal.compile(model, method="occlusion", target=0)


def test_a_fault_of_ours_stays_one() -> None:
    model = load_ir(onnx.parser.parse_model(PICTURES.replace("size = 0", "size = 3")))
    with pytest.raises(IndexError), blaming(model):
        raise IndexError
