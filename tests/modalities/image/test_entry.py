"""Where the picture goes in, and which value of it is explained."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import onnxsal
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph import load_ir, normalise
from onnxsal.modalities.image.entry import find_entry


def image(inputs, body, weights=""):
    text = f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float y) {weights} {{ {body} }}'
    return find_entry(normalise(load_ir(onnx.parser.parse_model(text.replace("'", '"')))).graph)


def weight(channels):
    return f"<float[2,{channels},1,1] w = {{{','.join(['1'] * 2 * channels)}}}>"


def brief(found):
    return found.value, found.input_axes, found.value_axes, found.channels, found.size


CONV = "y = Conv(x, w)"
TO_NCHW = "c = Transpose<perm=[0,3,1,2]>"
CASES = {
    "colour": ("float[n,3,8,6] x", CONV, 3, ("x", "NCHW", "NCHW", 3, (8, 6))),
    "grey": ("float[n,1,8,6] x", CONV, 1, ("x", "NCHW", "NCHW", 1, (8, 6))),
    "four channels": ("float[n,4,8,6] x", CONV, 4, ("x", "NCHW", "NCHW", 4, (8, 6))),
    "many channels": ("float[n,12,8,6] x", CONV, 12, ("x", "NCHW", "NCHW", 12, (8, 6))),
    "three columns": ("float[n,1,8,3] x", CONV, 1, ("x", "NCHW", "NCHW", 1, (8, 3))),
    "any size": ("float[n,3,h,w2] x", CONV, 3, ("x", "NCHW", "NCHW", 3, None)),
    "all open": ("float[n,c,h,w2] x", CONV, 4, ("x", "NCHW", "NCHW", 4, None)),
    "channels last": ("float[n,8,6,3] x", TO_NCHW + "(x) y = Conv(c, w)", 3, ("c", "NHWC", "NCHW", 3, (8, 6))),
    "last, all open": ("float[n,h,w2,c0] x", TO_NCHW + "(x) y = Conv(c, w)", 1, ("c", "NHWC", "NCHW", 1, None)),
    "last, many": ("float[n,8,6,12] x", TO_NCHW + "(x) y = Conv(c, w)", 12, ("c", "NHWC", "NCHW", 12, (8, 6))),
    "bytes": (
        "uint8[n,8,6,3] x", "f = Cast<to=1>(x) k = Constant<value=float[3] {1,2,3}>() s = Sub(f, k) "
        + TO_NCHW + "(s) y = Conv(c, w)", 3, ("c", "NHWC", "NCHW", 3, (8, 6)),
    ),
    "normalised": (
        "float[n,3,8,6] x", "k = Constant<value=float {2.0}>() a = Div(x, k) b = Sub(k, a) y = Conv(b, w)", 3,
        ("b", "NCHW", "NCHW", 3, (8, 6)),
    ),
    "normalised by integers": (
        "float[n,3,8,6] x", "s = Constant<value=float {0.5}>() z = Constant<value=uint8 {3}>() "
        "xq = QuantizeLinear(x, s, z) xd = DequantizeLinear(xq, s, z) kq = Constant<value=uint8[3,1,1] {1,2,3}>() "
        "k = DequantizeLinear(kq, s, z) a = Mul(xd, k) aq = QuantizeLinear(a, s, z) b = DequantizeLinear(aq, s, z) "
        "y = Conv(b, w)", 3,
        ("b", "NCHW", "NCHW", 3, (8, 6)),
    ),
    "integers of its own": (
        "float[n,3,8,6] x", "s = Constant<value=float {0.5}>() m = ReduceMax(x) xq = QuantizeLinear(x, s) "
        "xd = DequantizeLinear(xq, s) q = QuantizeLinear(m, s) k = DequantizeLinear(q, s) a = Mul(xd, k) "
        "y = Conv(a, w)", 3, ("x", "NCHW", "NCHW", 3, (8, 6)),
    ),
    "resized": (
        "float[n,3,8,6] x", "k = Constant<value=float[4] {1,1,2,2}>() a = Resize(x, , k) y = Conv(a, w)", 3,
        ("x", "NCHW", "NCHW", 3, (8, 6)),
    ),
    "grey made colour": (
        "float[n,1,8,6] x", "k = Constant<value=float[3,1,1] {1,2,3}>() a = Mul(x, k) y = Conv(a, w)", 3,
        ("x", "NCHW", "NCHW", 1, (8, 6)),
    ),
    "read twice": ("float[n,3,8,6] x", "k = Constant<value=float {2.0}>() a = Mul(x, k) b = Add(a, x) y = Conv(b, w)",
                   3, ("x", "NCHW", "NCHW", 3, (8, 6))),
    "patches": ("float[n,3,8,6] x", "t = Constant<value=int64[6] {0,3,4,2,3,2}>() y = Reshape(x, t)", 3,
                ("x", "NCHW", "NCHW", 3, (8, 6))),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "body", "channels", "expected"), CASES.values(), ids=CASES)
def test_pictures(inputs, body, channels, expected):
    assert brief(image(inputs, body, weight(channels))) == expected


def test_bytes_are_raw():
    found = image("uint8[n,8,6,3] x", "f = Cast<to=1>(x) y = Relu(f)")
    assert found.dtype == ir.DataType.UINT8 and found.is_raw
    assert not image("float16[n,3,8,6] x", "y = Relu(x)").is_raw


REFUSED = {
    "two inputs": ("float[n,3,8,6] x, float[n,2] z", r"'x' \[n, 3, 8, 6\] of float, 'z' \[n, 2\] of float"),
    "no batch": ("float[3,8,6] x", r"'x' \[3, 8, 6\]"),
    "flattened": ("float[n,784] x", r"'x' \[n, 784\]"),
    "video": ("float[n,3,16,8,6] x", r"'x' \[n, 3, 16, 8, 6\]"),
    "text": ("string[n,3,8,6] x", "of string"),
    "no channels": ("float[n,12,8,6] x", r"\[n, 12, 8, 6\]"),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float8e5m2", "int4"])
def test_a_type_that_cannot_be_fed(dtype):
    with pytest.raises(UnsupportedError, match=f"input 'x' is {dtype}.*export the model in float32 or float16"):
        image(f"{dtype}[n,3,8,6] x", "y = Identity(x)")


@pytest.mark.parametrize(("inputs", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_picture(inputs, why):
    body = "y = Identity(x)" if "z" not in inputs else "a = Identity(z) y = Relu(x)"
    with pytest.raises(UnsupportedError, match=f"models of one picture.*{why}"):
        image(inputs, body)


@pytest.mark.parametrize(("inputs", "perm"), [("float[n,m,3] x", [0, 3, 1, 2]), ("float[n,8,6,3] x", [0, 2, 1])])
def test_axes_are_not_followed_through_an_order_of_others(inputs, perm):
    """The runtime, which loads no such file, says what is wrong."""
    body = f"c = Transpose<perm={perm}>(x) p = GlobalAveragePool(c) y = Flatten(p)"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float y) {{ {body} }}')
    with pytest.raises(ModelError, match="perm"):
        onnxsal.explain(onnxsal.load(model), np.zeros((1, 8, 6, 3), np.float32), method="gradient")
