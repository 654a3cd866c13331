"""A score that somebody wrote, compiled: what the file gives is what explain gives."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.anatomy.select import entered
from onnxsal.compiler.metadata import METADATA
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (2, 3, 8, 8)).astype(np.float32)


def file(seed: int = 0) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 8, 8] x) => (float[B, 4] p)
        { c = Conv <pads = [1, 1, 1, 1]> (x, w) maps = Relu (c) g = GlobalAveragePool (maps) f = Flatten (g)
          z = MatMul (f, v) p = Softmax (z) }"""
    )
    rng = np.random.default_rng(seed)
    for name, shape in (("w", (5, 3, 3, 3)), ("v", (5, 4))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(0, 1, shape).astype(np.float32), name))
    return proto


def entropy(model: onnxsal.Model) -> Program:
    """Return how unsure the model is, as docs/plugins.md writes it."""
    op = entered(model.anatomy).extend()
    p = op["p"]
    return op.finish(score=op.Neg(op.ReduceSum(op.Mul(p, op.Log(p)), [1], keepdims=0)))


@pytest.mark.parametrize("method", ["gradient", "grad-cam", "score-cam"])
def test_the_file_gives_what_explain_gives(method: str) -> None:
    model = onnxsal.load(file())
    made = onnxsal.compile(model, method=method, target=entropy(model))
    session = onnxruntime.InferenceSession(made.SerializeToString())
    saliency, p = session.run(["saliency", "p"], {"x": X})
    for x, own, row in zip(X, saliency, p, strict=True):
        found = onnxsal.explain(model, x[None], method=method, target=entropy(model))
        np.testing.assert_allclose(own, found.saliency, atol=1e-4)
        assert found.score == found.logit == pytest.approx(-(row * np.log(row)).sum(), rel=1e-4)
    props = {each.key: each.value for each in made.metadata_props}
    assert json.loads(props[METADATA])["target"] == "program"


def test_the_program_of_another_model_is_told_apart() -> None:
    model, other = onnxsal.load(file()), onnxsal.load(file(1))
    with pytest.raises(UnsupportedError, match=r"called as the model's own and are others: '[wv]', '[wv]'"):
        onnxsal.compile(model, method="gradient", target=entropy(other))
