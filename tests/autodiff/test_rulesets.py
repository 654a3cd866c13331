"""Rule sets: what guided backprop and deconvnet refuse, and what they must not."""

from __future__ import annotations

import onnx
import onnx.parser
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError

HEAD = '<ir_version: 10, opset_import: ["": 21]> f (float[n,2,4,4] x) => (float[n,2,4,4] y) '
WEIGHTS = (
    "<float half = {0.5}, float one = {1.0}, float three = {3.0}, float six = {6.0}, float zero = {0.0},"
    " float quick = {1.702}, float c = {0.044715}, float d = {0.79788}, int64[2] axes = {2, 3},"
    " float[2,2,1,1] w = {1.0, 2.0, 3.0, 4.0}, float step = {0.1}, int8 nought = {0}>"
)

SMOOTH = {
    "tanh": "y = Tanh (x)",
    "softsign": "y = Softsign (x)",
    "silu": "s = Sigmoid (x) y = Mul (s, x)",
    "quick gelu": "a = Mul (x, quick) s = Sigmoid (a) y = Mul (x, s)",
    "hard swish": "a = Add (x, three) b = Clip (a, zero, six) m = Mul (x, b) y = Div (m, six)",
    "hard swish, divided first": "a = Add (three, x) b = Clip (a, zero, six) s = Div (b, six) y = Mul (s, x)",
    "tanh gelu": "p = Pow (x, three) q = Mul (p, c) r = Add (x, q) s = Mul (r, d) t = Tanh (s) u = Add (t, one)"
    " h = Mul (x, half) y = Mul (h, u)",
    "silu between quantisers": "q = QuantizeLinear (x, step, nought) v = DequantizeLinear (q, step, nought)"
    " s = Sigmoid (v) r = QuantizeLinear (s, step, nought) t = DequantizeLinear (r, step, nought) y = Mul (v, t)",
}
SERVED = {
    "squeeze and excitation": "m = GlobalAveragePool (x) k = Conv (m, w) s = Sigmoid (k) y = Mul (x, s)",
    "without weights": "m = ReduceMean (x, axes) a = Add (m, three) b = Clip (a, zero, six) g = Div (b, six)"
    " y = Mul (x, g)",
    "spatial attention": "k = Conv (x, w) s = Sigmoid (k) y = Mul (x, s)",
    "gated linear unit": "a = Conv (x, w) b = Mul (x, half) k = Conv (b, w) s = Sigmoid (k) y = Mul (a, s)",
    "a square": "r = Relu (x) y = Mul (r, r)",
    "a sigmoid": "y = Sigmoid (x)",
}


def model_of(body: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{HEAD} {WEIGHTS} {{ {body} }}")


@pytest.mark.parametrize("rules", ["guided", "deconv"])
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_activations_are_refused_however_they_are_written(name: str, rules: str) -> None:
    with pytest.raises(UnsupportedError, match="is not a rectifier"):
        onnxsal.gradient(model_of(SMOOTH[name]), of=["y"], wrt=["x"], rules=rules)


@pytest.mark.parametrize("rules", ["guided", "deconv"])
@pytest.mark.parametrize("name", SERVED)
def test_gates_that_are_no_activations_are_served(name: str, rules: str) -> None:
    onnxsal.gradient(model_of(SERVED[name]), of=["y"], wrt=["x"], rules=rules)
