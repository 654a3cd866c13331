"""Where the scores are, and what is said of outputs that hold none."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.graph import load_ir, normalise
from onnxsal.tasks.classification import Classification, find_head

FRONT = """c = Conv(x, w) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) z = Gemm<transB=1>(f, v) """
WEIGHTS = """<float[8,3,1,1] w = {WW}, float[5,8] v = {VV}, float[1,8] s = {SS}>"""


def head(body, outputs="float y"):
    weights = WEIGHTS.replace("WW", ",".join(["1"] * 24)).replace("VV", ",".join(["1"] * 40))
    weights = weights.replace("SS", ",".join(["1"] * 8))
    text = (
        f'<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]> g (float[n,3,8,8] x) => ({outputs}) {weights} '
        f"{{ {FRONT} {body} }}"
    )
    return find_head(normalise(load_ir(onnx.parser.parse_model(text.replace("'", '"')))).graph)


INT2 = "<value=int64[2] {%s}>"
HEADS = {
    "logits": ("y = Identity(z)", Classification("y", "y", None, "softmax", 5)),
    "softmax": ("y = Softmax<axis=1>(z)", Classification("y", "z", "y", "softmax", 5)),
    "log softmax": ("y = LogSoftmax(z)", Classification("y", "z", None, "softmax", 5)),
    "sigmoid": ("y = Sigmoid(z)", Classification("y", "z", "y", "sigmoid", 5)),
    "one logit": ("y = Gemm<transB=1>(f, s)", Classification("y", "y", None, "sigmoid", 1)),
    "one probability": ("o = Gemm<transB=1>(f, s) y = Sigmoid(o)", Classification("y", "o", "y", "sigmoid", 1)),
    "one, squeezed": (
        "o = Gemm<transB=1>(f, s) q = Sigmoid(o) a = Constant<value=int64[1] {1}>() y = Squeeze(q, a)",
        Classification("y", "o", "q", "sigmoid", 1),
    ),
    "squeezed, one": (
        "o = Gemm<transB=1>(f, s) a = Constant<value=int64[1] {1}>() q = Squeeze(o, a) y = Sigmoid(q)",
        Classification("y", "o", "y", "sigmoid", 1),
    ),
    "maps of one": ("y = Softmax<axis=1>(p)", Classification("y", "p", "y", "softmax", 8)),
    "maps of one, reshaped": (
        "a = Softmax<axis=1>(p) t = Constant<value=int64[2] {-1,8}>() y = Reshape(a, t)",
        Classification("y", "p", "a", "softmax", 8),
    ),
    "best class": ("y = ArgMax<axis=1>(z)", Classification("y", "z", None, "softmax", 5)),
    "best probability": ("q = Softmax(z) y = ArgMax<axis=1>(q)", Classification("y", "z", "q", "softmax", 5)),
    "double": ("y = Cast<to=11>(z)", Classification("y", "y", None, "softmax", 5)),
    "quantised": (
        "q = Softmax(z) a = Constant<value=float {0.00390625}>() b = Constant<value=uint8 {0}>() "
        "y = QuantizeLinear(q, a, b)",
        Classification("y", "z", "q", "softmax", 5),
    ),
    "map of labels": (
        "q = Softmax(z) y = ai.onnx.ml.ZipMap<classlabels_int64s=[1,2,3,4,5]>(q)",
        Classification("y", "z", "q", "softmax", 5),
    ),
}


@pytest.mark.parametrize(("body", "expected"), HEADS.values(), ids=HEADS)
def test_heads(body, expected):
    assert head(body, "y") == expected


def test_features_are_not_the_scores():
    found = head("y = Identity(f) q = Softmax(z)", "float y, float f, float q")
    assert (found.output, found.logit, found.classes) == ("q", "z", 5)


def test_copies_of_the_scores_are_one_head():
    assert head("y = Identity(z)", "float z, float y").output == "z"
    assert head("y = Softmax(z)", "float z, float y") == Classification("y", "z", "y", "softmax", 5)


def test_auxiliary_heads_are_not_the_scores():
    body = "a = GlobalMaxPool(c) b = Flatten(a) aux = Gemm<transB=1>(b, v) "
    body += "".join(f"k{i} = Relu({'z' if i == 0 else f'k{i - 1}'}) " for i in range(20)) + "y = Identity(k19)"
    assert head(body, "float aux, float y").output == "y"


def test_of_equal_heads_the_first():
    assert head("a = Gemm<transB=1>(f, s) y = Identity(a)", "float z, float y").output == "z"


REFUSED = {
    "segmentation": ("y = Softmax<axis=1>(r)", r"\[n, 8, 8, 8\], not \[batch, classes\].*segmentation"),
    "rows": ("t = Constant<value=int64[3] {0,0,-1}>() y = Reshape(r, t)", r"\[n, 8, 64\].*boxes or tokens"),
    "segmentation, best class": ("y = ArgMax<axis=1>(r)", r"\[n, 8, 8, 8\]"),
    "other axis": ("y = Softmax<axis=0>(z)", "Softmax over another axis than the classes"),
    "sums over pictures": ("t = Transpose(z) y = MatMul(t, z)", r"\[5, 5\], whose rows are not the pictures"),
    "integers": ("y = Shape(z)", "holds INT64, not float scores"),
}


@pytest.mark.parametrize(("body", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_classifier(body, why):
    with pytest.raises(UnsupportedError, match=f"'y'.*{why}"):
        head(body, "y")


def test_detectors():
    body = """t = Constant<value=int64[3] {0,-1,4}>() b = Reshape(r, t) u = Constant<value=int64[3] {0,1,-1}>()
              m = ReduceMax(b) s2 = Reshape(m, u) k = Constant<value=int64 {3}>() i = NonMaxSuppression(b, s2, k)
              y = Gather<axis=1>(z, i)"""
    with pytest.raises(UnsupportedError, match="NonMaxSuppression: this is a detector"):
        head(body, "y")


def test_every_output_is_named():
    with pytest.raises(UnsupportedError, match=r"'r' has shape.*; 'y' holds"):
        head("y = Shape(z)", "r, y")


def test_where_shapes_are_lost():
    """An exporter wrote its framework's own operator into the standard domain; behind it nothing is known."""
    with pytest.raises(UnsupportedError, match=r"'y' has an unknown shape, for onnx knows none of what comes out of"
                       r" Erfc 'a'$"):  # fmt: skip
        head("a = Erfc(z) b = Relu(a) y = Softmax<axis=1>(b)")


def test_where_shapes_are_lost_in_a_domain():
    with pytest.raises(UnsupportedError, match=r"comes out of my\.own\.Erfc 'a'$"):
        head("a = my.own.Erfc(z) b = Relu(a) y = Softmax<axis=1>(b)")


STEPS = """<ir_version: 10, opset_import: ["" : 21]>
    steps (float[1, time, 3] x) => (float[1, time, 1] gate) <float[3, 1] w = {0.5, -1, 0.25}> {
        l = MatMul (x, w)
        gate = Sigmoid (l)
    }"""


def test_an_output_as_long_as_what_goes_in_holds_steps_and_no_classes() -> None:
    """Opened for a length, [1, time, 1] has the shape of scores of as many classes as there are steps."""
    proto, x = onnx.parser.parse_model(STEPS), np.random.default_rng(0).normal(size=(1, 6, 3)).astype(np.float32)
    found = onnxsal.explain(onnxsal.load(proto), x, target="gate[0, 4, 0]", method="gradient")
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (gate,) = session.run(None, {"x": x})
    assert found.logit == pytest.approx(float(gate[0, 4, 0]), rel=1e-5)
    assert onnxsal.load(proto).task.name == "element"
