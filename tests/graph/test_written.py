"""What is written is checked in full before it appears."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

import onnxsal
from onnxsal.errors import InvalidGraphError, ModelError
from onnxsal.graph import load_ir, save_ir, to_proto
from onnxsal.graph.scopes import first_free, separate_names
from onnxsal.graph.tape import Tape
from onnxsal.graph.written import check_written

IF = """<ir_version: 10, opset_import: ["": 21]> f (float[2] x, bool c) => (float[2] y) {{
 {first} = Exp (x)
 z = If (c) <then_branch = t () => (float[2] p) {{ {second} = Neg (x) p = Abs ({second}) }},
             else_branch = e () => (float[2] p) {{ p = Sin (x) }}>
 y = Add (z, {first}) }}"""


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


def test_branches_may_call_their_values_alike() -> None:
    check_written(parsed(IF.format(first="a", second="b")))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (IF.format(first="a", second="a"), "Neg 'a' in the then_branch of If 'z' computes 'a'"),
        ('<ir_version: 10, opset_import: ["": 21]> f (float[2] x) => (float[2] y) { y = Exp (z) z = Sin (x) }', "'z'"),
        ('<ir_version: 10, opset_import: ["": 21]> f (float[2] x) => (float[3] y) { y = Exp (x) }', "Exp"),
        ('<ir_version: 10, opset_import: ["": 21]> f (float[2] x) => (float[2] y) { y = Exp <a = 1> (x) }', "Exp"),
        ('<ir_version: 10, opset_import: ["": 21]> f (float[2] x) => (int64[2] y) { y = Exp (x) }', "Exp"),
        ('<ir_version: 10, opset_import: ["m": 1]> f (float[2] x) => (float[2] y) { y = Exp (x) }', "domain ''"),
    ],
)
def test_what_is_wrong_is_named(fault: str, said: str) -> None:
    with pytest.raises(InvalidGraphError, match=r"internal error: .* nothing is written") as caught:
        check_written(parsed(fault))
    assert said in str(caught.value)


def test_what_was_wrong_in_the_users_model_is_not_held_against_it() -> None:
    """A wrong shape in the user's file loads in runtimes; a name that stands for two values never does."""
    declared = parsed('<ir_version: 10, opset_import: ["": 21]> f (float[2] x) => (float[3] y) { y = Exp (x) }')
    check_written(declared, lambda: declared)
    twice = parsed(IF.format(first="a", second="a"))
    with pytest.raises(InvalidGraphError):
        check_written(twice, lambda: twice)


def test_operators_and_ranks_that_nobody_knows_are_no_fault() -> None:
    head = '<ir_version: 10, opset_import: ["": 21, "mine": 1]>'
    model = parsed(head + " f (float[2] x) => (float y) { z = mine.Op (x) y = Exp (z) }")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    check_written(model)


def test_weights_are_stood_in_for(tmp_path: Path) -> None:
    """Whatever they weigh and wherever they lie, in bodies too: their files are not looked for."""
    model = parsed(IF.format(first="a", second="b").replace("Neg (x)", "Neg (w)"))
    weight = onnx.TensorProto(name="w", data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="nowhere.bin")
    branch = next(a.g for a in model.graph.node[1].attribute if a.name == "then_branch")
    branch.initializer.append(weight)
    check_written(model)
    large = onnx.numpy_helper.from_array(np.zeros((3, 10**6), np.float32), "big")
    model.graph.initializer.append(large)
    model.graph.node[0].input[0] = "big"
    with pytest.raises(InvalidGraphError, match="Add"):  # 3 x 10^6 does not broadcast to 2
        check_written(model)


def invalid() -> ir.Model:
    """Return a model in which two values are called alike, as ``onnx_ir`` lets them."""
    model = load_ir(parsed(IF.format(first="a", second="b")))
    branch = next(n for n in model.graph if n.op_type == "If")
    next(iter(branch.attributes["then_branch"].as_graph())).outputs[0].name = "a"
    return model


def test_nothing_bypasses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.onnx"
    with pytest.raises(InvalidGraphError):
        to_proto(invalid())
    with pytest.raises(InvalidGraphError):
        save_ir(invalid(), path)
    given = parsed(IF.format(first="a", second="b"))
    monkeypatch.setattr("onnxsal.model.export.lower_gradients", lambda model: invalid())
    with pytest.raises(InvalidGraphError):
        onnxsal.save(given, path)
    builder = importlib.import_module("onnxsal.autodiff.gradient")
    monkeypatch.setattr(builder, "gradient_model", lambda *a, **k: invalid())
    with pytest.raises(InvalidGraphError):
        onnxsal.gradient(given, of=["y"], wrt=["x"])
    assert not list(tmp_path.iterdir())


def test_a_model_that_onnx_runtime_refuses_is_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph made of it is no fault of onnxsal then, whatever it lacks."""
    monkeypatch.setattr(
        importlib.import_module("onnxsal.autodiff.gradient"), "gradient_model", lambda *a, **k: invalid()
    )
    refused = parsed('<ir_version: 10, opset_import: ["": 21]> f (float[2] x) => (float[2] y) { y = Exp <to = 1> (x) }')
    with pytest.raises(ModelError, match=r"^ONNX Runtime cannot load the model: .*\bto\b"):
        onnxsal.gradient(refused, of=["y"], wrt=["x"])


def test_a_file_with_weights_beside_it_is_checked_before_it_appears(tmp_path: Path) -> None:
    model = invalid()
    (tmp_path / "w.bin").write_bytes(np.zeros(2, np.float32).tobytes())
    tensor = ir.ExternalTensor("w.bin", 0, 8, ir.DataType.FLOAT, shape=ir.Shape([2]), name="w", base_dir=str(tmp_path))
    Tape(model.graph).weight(tensor)
    with pytest.raises(InvalidGraphError):
        save_ir(model, tmp_path / "out.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["w.bin"]


def test_names_are_separated_over_scopes() -> None:
    model = invalid()
    separate_names(model.graph, Tape(model.graph).unique)
    proto = to_proto(model)
    assert proto.graph.node[0].output[0] == "a"
    x = np.array([0.5, -1], np.float32)
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString())
    np.testing.assert_allclose(session.run(None, {"x": x, "c": np.array(True)})[0], abs(x) + np.exp(x), rtol=1e-6)


def test_numbers_in_bodies_are_taken_too() -> None:
    text = IF.format(first="a", second='"sal/Neg_12"').replace(
        "(float[2] p) { p =", "(float[2] p) <float k = {1.0}> { p ="
    )
    model = load_ir(parsed(text))
    assert first_free(model.graph) == 13
    branch = next(n for n in model.graph if n.op_type == "If").attributes["else_branch"].as_graph()
    next(iter(branch.initializers.values())).name = "sal/const_40"
    assert first_free(model.graph) == 41
