"""What ``gradient`` says of values without a way between them, of steps, and of integers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxsal
from onnxsal.errors import UsageError


def model(*lines: str, outputs: str = "y") -> onnx.ModelProto:
    """OP INPUTS OUTPUT a line; inputs x and u, both float [2, 3]."""
    nodes = []
    for i, (op_type, *rest) in enumerate(line.split() for line in lines):
        kept = {"to": TensorProto.INT64 if rest[-1].startswith("i") else TensorProto.FLOAT} if op_type == "Cast" else {}
        nodes.append(helper.make_node(op_type, rest[:-1], rest[-1:], f"{op_type}_{i}", **kept))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in ("x", "u")]
    made = [helper.make_tensor_value_info(n, TensorProto.INT64 if n[0] == "i" else TensorProto.FLOAT, None)
            for n in outputs.split()]  # fmt: skip
    constants = [numpy_helper.from_array(np.array([-1]), "flat"), numpy_helper.from_array(np.float32(0.5), "half"),
                 numpy_helper.from_array(np.array(0, np.uint8), "zp")]  # fmt: skip
    graph = helper.make_graph(nodes, "g", ends, made, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def zeros(file: onnx.ModelProto, wrt: str = "x") -> str | None:
    made = onnxsal.gradient(file, of=["y"], wrt=[wrt])
    feeds = {"x": np.ones((2, 3), np.float32), "u": np.ones((2, 3), np.float32), "seed/y": np.ones((2, 3), np.float32)}
    (found,) = ReferenceEvaluator(made).run([f"grad/{wrt}"], feeds)
    said = {p.key: p.value for p in made.metadata_props}.get(f"onnxsal.zero/grad/{wrt}")
    assert found.any() == (said is None)
    return said


@pytest.mark.parametrize("lines", [["Relu x h", "Mul h h y"], ["Shape u s", "Reshape x s y"]])
def test_what_does_not_depend_is_said_by_both_names(lines: list[str]) -> None:
    """By its size alone is not at all."""
    assert zeros(model(*lines), "u") == "0 whatever the input: 'y' does not depend on 'u' in any way"
    assert zeros(model(*lines)) is None


def test_one_of_several_that_depends_is_enough() -> None:
    file = model("Relu x y", "Mul u u z", outputs="y z")
    made = onnxsal.gradient(file, of=["y", "z"], wrt=["x", "u"])
    assert not any(p.key.startswith("onnxsal.zero/") for p in made.metadata_props)


@pytest.mark.parametrize(
    ("lines", "step"),
    [
        (["Round x q", "Mul q u y"], "Round 'Round_0'"),
        (["Greater x half s", "Cast s m", "Mul m u y"], "Greater 'Greater_0'"),
        (["Cast x i", "Cast i f", "Mul f u y"], "Cast 'Cast_0'"),
        (["Sign x q", "Floor q r", "Add r u y"], "Sign 'Sign_0'"),
    ],
)
def test_a_gradient_that_ends_at_a_step_says_where(lines: list[str], step: str) -> None:
    said = zeros(model(*lines))
    assert said is not None
    assert f"it ends at {step.split()[0]} " in said and step.split()[1].strip("'") in said
    assert zeros(model(*lines), "u") is None


def test_the_float_value_to_use_is_one_that_a_gradient_reaches() -> None:
    """The integer's only float reader leads to z; what leads to y is the value it was made of."""
    file = model("Relu x h", "Cast h i", "Cast i f", "Mul f u z", "Mul h u y", outputs="y z i")
    with pytest.raises(UsageError, match="value 'i' holds INT64 and has no gradient; use the float value 'h'"):
        onnxsal.gradient(file, of=["y"], wrt=["i"])
    with pytest.raises(UsageError, match="value 'i' holds INT64 and has no gradient; use the float value 'f'"):
        onnxsal.gradient(file, of=["z"], wrt=["i"])
    with pytest.raises(UsageError, match="value 'i' holds INT64 and has no gradient; use the float value 'h'"):
        onnxsal.gradient(file, of=["i"], wrt=["x"])


def test_no_float_value_is_named_where_none_leads_there() -> None:
    file = model("ArgMax x i", "Relu x h", "Mul h u y", outputs="y i")
    with pytest.raises(UsageError) as refused:
        onnxsal.gradient(file, of=["i"], wrt=["u"])
    assert "use the float value" not in str(refused.value)
