"""Sums in front of a LayerNormalization stay the forward's alone: what the runtime makes of both adds otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper

import onnxsal
from onnxsal.graph import normalise
from onnxsal.graph.residual import sums_of_norms

TOKENS, WIDTH = 16, 48
FORMS = {
    "a bias on the right": "b = Add (m, bias) s = Add (t, b)",
    "a bias on the left": "b = Add (m, bias) s = Add (b, t)",
    "a bias in front": "b = Add (bias, m) s = Add (t, b)",
    "no bias": "s = Add (t, m)",
}


def block(form: str, more: str = "", batch: str = "n") -> onnx.ModelProto:
    """Patches as tokens, one residual product and its normalisation; ``more`` is put in front of the head."""
    rng = np.random.default_rng(7)
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[{batch}, 3, 16, 16] x) => (float[{batch}, 5] y) {{
      p = Conv <strides = [4, 4]> (x, patch)
      r = Reshape (p, flat)
      t = Transpose <perm = [0, 2, 1]> (r)
      h = Tanh (t)
      m = MatMul (h, w)
      {FORMS[form]}
      n = LayerNormalization (s, gain, shift)
      {more or "k = Identity (n)"}
      q = ReduceMean <keepdims = 0> (k, one)
      y = MatMul (q, head)
    }}"""
    shapes = {"patch": (WIDTH, 3, 4, 4), "w": (WIDTH, WIDTH), "bias": (WIDTH,), "gain": (WIDTH,), "shift": (WIDTH,),
              "head": (WIDTH, 5)}  # fmt: skip
    arrays = {k: rng.normal(0, 0.4, s).astype(np.float32) for k, s in shapes.items()}
    arrays |= {"flat": np.array([0, WIDTH, TOKENS]), "one": np.array([1])}
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in arrays.items() if k in text)
    return model


def scores(model: onnx.ModelProto, feeds: dict[str, np.ndarray], optimised: Path | None = None) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], feeds)[0])


def fused(path: Path) -> bool:
    return "SkipLayerNormalization" in {node.op_type for node in onnx.load(path).graph.node}


IMAGES = np.random.default_rng(8).normal(size=(6, 1, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrt", ["x", "s", "n"])
@pytest.mark.parametrize("batch", ["n", "1"])
def test_a_gradient_file_has_the_scores_of_the_model(form: str, wrt: str, batch: str, tmp_path: Path) -> None:
    """With a fixed batch the bias is the product's (Gemm), with a free one the normalisation's.

    Only where the bias comes first and a gradient reads its sum ONNX Runtime gives that up: equal but for rounding.
    """
    rounding = 5e-7 * (form == "a bias in front" and batch == "n" and wrt == "x")
    model = block(form, batch=batch)
    made = onnxsal.gradient(model, of=["y"], wrt=[wrt])
    seed = np.ones((1, 5), np.float32)
    for x in IMAGES:
        wanted = scores(model, {"x": x}, tmp_path / "model.onnx")
        found = scores(made, {"x": x, "seed/y": seed}, tmp_path / "gradient.onnx")
        np.testing.assert_allclose(found, wanted, rtol=0, atol=rounding * np.abs(wanted).max())
    assert fused(tmp_path / "model.onnx") and fused(tmp_path / "gradient.onnx")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("method", "layer"), [("grad-cam", "s"), ("gradient", None), ("grad-cam", "n")])
def test_a_compiled_file_has_the_scores_of_the_model(form: str, method: str, layer: str | None, tmp_path: Path) -> None:
    """Its branch reads from outside, which counts as a reader."""
    model = block(form)
    options = {} if layer is None else {"layer": layer}
    made = onnxsal.compile(model, method=method, target=2, **options)
    for x in IMAGES:
        wanted = scores(model, {"x": x}, tmp_path / "model.onnx")
        np.testing.assert_array_equal(scores(made, {"x": x}, tmp_path / "compiled.onnx"), wanted)
    assert fused(tmp_path / "model.onnx") and fused(tmp_path / "compiled.onnx")


@pytest.mark.parametrize("form", FORMS)
def test_the_gradient_is_the_slope(form: str) -> None:
    model = block(form)
    found = onnxsal.explain(model, IMAGES[0, 0], method="gradient", target=2, preprocess=None).raw
    way = np.random.default_rng(9).normal(size=IMAGES[0].shape).astype(np.float32)
    ends = [float(scores(model, {"x": IMAGES[0] + sign * 3e-3 * way})[0, 2]) for sign in (1, -1)]
    assert float((found * way[0]).sum()) == pytest.approx((ends[0] - ends[1]) / 6e-3, rel=2e-3)


def known(form: str, more: str = "", batch: str = "n") -> set[str]:
    model = normalise(ir.from_proto(block(form, more, batch)))
    return {str(v.name) for v in sums_of_norms(model.graph, set(model.graph))}


def test_which_sums() -> None:
    assert known("a bias on the left") == {"s", "b"}
    assert known("no bias") == {"s"}
    assert known("a bias in front", batch="1") == {"s"}
    assert not known("no bias", "k = Add (n, s)")  # with two readers the runtime leaves the sum as it is
