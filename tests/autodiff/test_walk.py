"""What the walk says where a gradient needs a number of dimensions that nothing tells."""

from __future__ import annotations

import onnx.parser
import onnx_ir as ir
import pytest

import onnxsal.autodiff as autodiff
from onnxsal.errors import UnsupportedError

HEAD = '<ir_version: 10, opset_import: ["" : 21]> g ({}) => (float[] y) {{ {} }}'
LOST = {
    "an input that declares none": (
        "float[] x", "y = ReduceSum <keepdims = 0> (x)",
        r"ReduceSum 'y' has no gradient: the number of dimensions of 'x' is not known, and the file does not",
    ),
    "through a node between": (
        "float[] x", "r = Relu (x) y = Transpose (r)", r"Transpose 'y' .* of 'x' is not known, and the file",
    ),
    "a shape of unknown length": (
        "float[n, 3] x, int64[k] s", "r = Reshape (x, s) t = Relu (r) y = Transpose (t)",
        r"Transpose 'y' .* of 'r' is not known, Reshape 'r' gives it only when it is run$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
def test_the_value_where_it_was_lost_is_named(name: str) -> None:
    inputs, body, match = LOST[name]
    model = ir.from_proto(onnx.parser.parse_model(HEAD.format(inputs, body)))
    with pytest.raises(UnsupportedError, match=match) as caught:
        autodiff.gradient(model, of=["y"], wrt=["x"])
    assert "sal/" not in str(caught.value)


def test_a_declared_input_needs_no_more() -> None:
    model = ir.from_proto(onnx.parser.parse_model(HEAD.format("float[n, m] x", "r = Relu (x) y = Transpose (r)")))
    assert autodiff.gradient(model, of=["y"], wrt=["x"]).graph.output[-1].name == "grad/x"
