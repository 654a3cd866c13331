"""Models of a few kilobytes, made on the fly: one that works, and one for everything that can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

LABELS = ("red", "green", "blue", "green apple")
SIDE = 16

BODY = """
    <ir_version: 8, opset_import: ["" : 17]>
    classifier (float[N, 3, 16, 16] picture) => (float[N, 4] logits) {
        c1 = Conv <pads = [1, 1, 1, 1]> (picture, w1)
        r1 = Relu (c1)
        p1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r1)
        c2 = Conv <pads = [1, 1, 1, 1]> (p1, w2)
        r2 = Relu (c2)
        pooled = GlobalAveragePool (r2)
        flat = Flatten (pooled)
        logits = Gemm (flat, w3, b3)
    }
"""


def weights(scale: float = 1.0) -> dict[str, np.ndarray]:
    """Return the weights of BODY: the second layer's maps follow one colour each, and the classes follow the maps."""
    random = np.random.default_rng(0)
    w1 = random.normal(0, 0.1, (6, 3, 3, 3))
    w1[:3] += np.eye(3)[:, :, None, None] * np.ones((3, 3)) / 9
    w2 = random.normal(0, 0.05, (6, 6, 3, 3)) + np.eye(6)[:, :, None, None] * np.ones((3, 3)) / 9
    w3 = np.zeros((6, 4))
    w3[:3, :3] = 6 * np.eye(3)
    named = {"w1": w1, "w2": w2, "w3": w3, "b3": np.zeros(4)}
    return {name: (value * scale).astype(np.float32) for name, value in named.items()}


def build(text: str, arrays: dict[str, np.ndarray], *, preset: str | None = "unit") -> onnx.ModelProto:
    """Return the model of a text with these weights; it says how it wants its pictures, and what its classes are."""
    model = parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in arrays.items())
    properties = {"onnxsal.labels": "\n".join(LABELS)}
    if preset is not None:
        properties["onnxsal.preprocess"] = f'{{"preset": "{preset}", "fit": "squash"}}'
    helper.set_model_props(model, properties)
    return model


def classifier(**options: str | None) -> onnx.ModelProto:
    """Return the model that works: red, green and blue pictures."""
    return build(BODY, weights(), **options)


def changed(old: str, new: str) -> onnx.ModelProto:
    """Return the classifier with one line of its text replaced."""
    assert old in BODY
    return build(BODY.replace(old, new), weights())


def behind(front: str, **constants: object) -> onnx.ModelProto:
    """Return the classifier behind nodes from ``picture`` to ``sum``."""
    body = BODY.replace("(picture, w1)", "(sum, w1)").replace("        c1 =", front + "        c1 =")
    return build(body, weights() | {name: np.array(value) for name, value in constants.items()})


def without_kernel() -> onnx.ModelProto:
    """Return a classifier with an operator of a domain that ONNX Runtime does not know."""
    return _with_domain("lab", "r1 = Relu (c1)", "r1 = lab.Sharpen (c1)")


def without_rule() -> onnx.ModelProto:
    """Return a classifier with an operator that ONNX Runtime runs and that has no gradient rule."""
    return _with_domain(
        "ai.onnx.ml",
        "flat = Flatten (pooled)",
        "rows = Flatten (pooled)\n"
        "flat = ai.onnx.ml.Imputer <imputed_value_floats = [0.0], replaced_value_float = -1.0> (rows)",
    )


def _with_domain(domain: str, old: str, new: str) -> onnx.ModelProto:
    text = BODY.replace('"" : 17]', f'"" : 17, "{domain}" : 1]').replace(old, new)
    return build(text, weights())


def in_float64() -> onnx.ModelProto:
    """Return a classifier with a convolution in a type that ONNX Runtime has no kernel for."""
    return changed(
        "c1 = Conv <pads = [1, 1, 1, 1]> (picture, w1)",
        "wide = Cast <to = 11> (picture)\n w = Cast <to = 11> (w1)\n"
        "conv = Conv <pads = [1, 1, 1, 1]> (wide, w)\n c1 = Cast <to = 1> (conv)",
    )


def with_nan() -> onnx.ModelProto:
    """Return the classifier with a weight that is not a number."""
    arrays = weights()
    arrays["w2"][0, 0, 0, 0] = np.nan
    return build(BODY, arrays)


def cyclic() -> onnx.ModelProto:
    """Return the classifier with a node that feeds itself."""
    model = classifier()
    model.graph.node[1].input[0] = "r2"
    return model


def of_terabytes() -> onnx.ModelProto:
    """Return a classifier that repeats its maps a billion times and takes their mean."""
    text = BODY.replace(
        "pooled = GlobalAveragePool (r2)",
        "huge = Expand (r2, size)\n m = ReduceMean <axes = [0], keepdims = 0> (huge)\n pooled = GlobalAveragePool (m)",
    )
    return build(text, {**weights(), "size": np.array([10**9, 1, 6, 8, 8], np.int64)})


def segmenter() -> onnx.ModelProto:
    """Return a model whose output is a picture."""
    return parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        segmenter (float[N, 3, 16, 16] picture) => (float[N, 3, 16, 16] mask) { mask = Sigmoid (picture) }"""
    )


def with_weights_at(location: str) -> onnx.ModelProto:
    """Return the classifier with one weight in a file of its own."""
    model = classifier()
    tensor = next(t for t in model.graph.initializer if t.name == "w2")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


def write(model: onnx.ModelProto, path: Path) -> Path:
    """Write the model as it is, valid or not."""
    path.write_bytes(model.SerializeToString())
    return path
