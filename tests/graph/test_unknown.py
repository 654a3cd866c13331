"""An operator that no opset has is named, whatever is asked of the file."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import ModelError, OnnxsalError, UnsupportedError
from onnxsal.graph import load_ir
from onnxsal.graph.unknown import check_operators

WEIGHTS = f"<float[4,3,3,3] w = {{{','.join(['0.1'] * 108)}}}, float[4,5] v = {{{','.join(['0.2'] * 20)}}}>"


def model(line, opset=15, domains=""):
    text = f"""<ir_version: 8, opset_import: ["" : {opset}{domains}]> g (float[n,3,8,8] x) => (float[m,5] y) {WEIGHTS}
        {{ a = Conv(x, w) {line} s = Shape(b) zero = Constant<value_ints=[0]>() one = Constant<value_ints=[1]>()
        n1 = Slice(s, zero, one) rest = Constant<value_ints=[4, -1]>() to = Concat<axis=0>(n1, rest) f = Reshape(b, to)
        m = ReduceMean<axes=[2], keepdims=0>(f) y = MatMul(m, v) }}"""
    return onnx.parser.parse_model(text)


WAYS = {
    "load": lambda m: onnxsal.load(m),
    "explain": lambda m: onnxsal.explain(m, np.zeros((3, 8, 8), np.float32), method="score-cam"),
    "gradient": lambda m: onnxsal.gradient(m, of=["y"], wrt=["x"]),
    "compile": lambda m: onnxsal.compile(m, method="grad-cam"),
    "evaluate": lambda m: onnxsal.evaluate(m, [np.zeros((3, 8, 8))], methods=["gradient"], metrics=["insertion"]),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_an_operator_that_no_opset_has_is_named(way):
    with pytest.raises(ModelError, match=r"operator Erfc \(node 'ef'\) is in no opset .* did you mean 'Erf'"):
        WAYS[way](model("[ef] b = Erfc(a)"))


def test_so_is_one_in_a_body_and_one_of_the_machine_learning_domain():
    branch = "c = Constant<value = bool {1}>() b = If(c)<then_branch = t () => (float p) {p = Erfc(a)}," \
             " else_branch = e () => (float q) {q = Relu(a)}>"  # fmt: skip
    with pytest.raises(ModelError, match=r"operator Erfc \(node 'p'\)"):
        onnxsal.load(model(branch))
    with pytest.raises(
        ModelError, match=r"operator ai.onnx.ml.LinearClasifier \(node 'b'\).*did you mean 'LinearClassifier'"
    ):
        onnxsal.load(model("b = ai.onnx.ml.LinearClasifier(a)", domains=', "ai.onnx.ml" : 3'))


def test_one_of_a_newer_opset_than_the_file_says_is_named_with_it():
    with pytest.raises(ModelError, match=r"operator Swish .* is of opset 24, and the model says that it is in 15"):
        onnxsal.load(model("b = Swish(a)"))


def test_operators_that_older_opsets_had_are_known():
    text = """<ir_version: 8, opset_import: ["" : 9]> g (float[n,3,8,8] x) => (float[n,3,8,8] y)
        <float[4] s = {1,1,1,1}> { y = Upsample(x, s) }"""
    assert onnx.defs.get_schema("Upsample", 21).deprecated
    check_operators(load_ir(onnx.parser.parse_model(text)))


def test_operators_of_another_domain_are_the_reason_why_shapes_are_lost():
    lost = model("b = lab.Sharpen(a)", domains=', "lab" : 1')
    with pytest.raises(UnsupportedError, match=r"does not know operator lab:Sharpen \(node 'b'\).*--custom-ops"):
        onnxsal.load(lost)


def test_a_library_of_custom_operators_may_bring_it(tmp_path):
    """What it brings is not known before it is loaded: this one is no library, and that is what is said."""
    library = tmp_path / "ops.so"
    library.write_bytes(b"none")
    file = model("b = Erfc(a)")
    file.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(OnnxsalError) as found:
        onnxsal.load(file, custom_ops=[str(library)]).predict(np.zeros((3, 8, 8), np.float32))
    assert "is in no opset" not in str(found.value)


def test_the_runtime_says_the_same():
    with pytest.raises(Exception, match="No Op registered for Erfc"):
        onnxruntime.InferenceSession(model("b = Erfc(a)").SerializeToString())
