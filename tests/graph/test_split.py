"""Programs in two: both together give what the whole gives, to the bit; the first needs nothing that comes late."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper
from tinynet import TinyNet, image

import onnxsal
from onnxsal.anatomy import TARGET, X
from onnxsal.explanation.build import build, choose_layer
from onnxsal.explanation.method_plan import plan
from onnxsal.graph import Program, load_ir
from onnxsal.graph.split import Halves, split
from onnxsal.runtime import Session


def program(nodes: list[onnx.NodeProto], inputs: str, outputs: str, *weights: onnx.TensorProto) -> Program:
    """Return a program of float vectors [2]."""
    kinds = {"q": TensorProto.UINT8, "when": TensorProto.BOOL}
    values = [
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), [] if n == "when" else [2]) for n in names]
        for names in (inputs.split(), outputs.split())
    ]
    graph = helper.make_graph(nodes, "g", *values, list(weights))
    return Program(load_ir(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)))


def node(op: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def together(halves: Halves, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return all outputs, computed in two steps."""
    first = Session(halves.first)
    own = [name for name in first.outputs if name not in halves.passed]
    found, passed = first.run_passing(feeds, own, halves.passed)
    if halves.rest is None:
        return found
    rest = Session(halves.rest)
    return {**found, **rest.run_passing(feeds, rest.outputs, taken=passed)[0]}


@pytest.mark.parametrize("method", ["gradient", "grad-cam++", "layercam", "hirescam", "grad-cam", "eigencam"])
def test_the_two_of_a_method_give_its_map(method: str) -> None:
    model, steps = onnxsal.load(TinyNet().model()), plan(method, {})
    layer = choose_layer(model, steps, None) if steps.needs_layer else None
    built = build(model, steps, layer=layer, score=model.score("logit", keep=True))
    assert isinstance(built, Program)
    halves = split(built, [TARGET])
    assert halves is not None and TARGET not in halves.first.inputs
    assert (halves.rest is None) == (method == "eigencam")
    feeds = {X: image()[None], TARGET: np.array([2])}
    expected, found = Session(built).run(feeds), together(halves, feeds)
    assert set(found) == set(expected) and np.ptp(expected["saliency"]) > 0
    for name, value in expected.items():
        assert_array_equal(found[name], value, strict=True)


def test_the_model_runs_in_the_first_alone() -> None:
    """The second has none of the model's convolutions of the picture: it reads what they gave."""
    model = onnxsal.load(TinyNet().model())
    built = build(model, plan("gradient", {}), layer=None, score=model.score("logit"))
    assert isinstance(built, Program)
    halves = split(built, [TARGET])
    assert halves is not None and halves.rest is not None
    forward = [n for n in built.model.graph if n.op_type == "Conv" and not str(n.name).startswith("sal/")]
    assert forward and not {n.name for n in forward} & {n.name for n in halves.rest.model.graph}
    assert X not in halves.rest.inputs


def test_bodies_read_what_is_passed_on_from_outside() -> None:
    then = helper.make_graph([node("Mul", "early late", "a")], "t", [], [helper.make_tensor_value_info("a", 1, [2])])
    other = helper.make_graph([node("Neg", "late", "b")], "e", [], [helper.make_tensor_value_info("b", 1, [2])])
    whole = program(
        [node("Exp", "x", "early"), node("If", "when", "y", then_branch=then, else_branch=other)], "x late when", "y"
    )
    halves = split(whole, ["late"])
    assert halves is not None and halves.passed == ("early",) and halves.rest is not None
    assert set(halves.first.inputs) == {"x", "when"} and set(halves.rest.inputs) == {"early", "late", "when"}
    feeds = {"x": np.float32([0.5, 2]), "late": np.float32([3, -4])}
    for when, expected in ((True, np.exp(feeds["x"]) * feeds["late"]), (False, -feeds["late"])):
        assert_allclose(together(halves, {**feeds, "when": np.array(when)})["y"], expected, rtol=1e-6)


def test_bytes_are_passed_on_rather_than_what_they_stand_for() -> None:
    """The rest dequantises for itself: the file's own pairs stay whole, and a quarter of the bytes is kept."""
    scale, zero = helper.make_tensor("s", 1, [], [0.1]), helper.make_tensor("z", TensorProto.UINT8, [], [3])
    nodes = [node("QuantizeLinear", "x s z", "bytes"), node("DequantizeLinear", "bytes s z", "f"),
             node("Mul", "f late", "y")]  # fmt: skip
    halves = split(program(nodes, "x late", "y", scale, zero), ["late"])
    assert halves is not None and halves.passed == ("bytes",)
    found = together(halves, {"x": np.float32([0.5, 2]), "late": np.float32([3, -4])})
    assert_allclose(found["y"], [1.5, -8], rtol=1e-6)


def test_what_is_drawn_is_drawn_once() -> None:
    """Behind the late input the same numbers are read as in front of it."""
    nodes = [node("RandomNormal", "", "n", shape=[2]), node("Add", "x n", "seen"), node("Mul", "n late", "y")]
    halves = split(program(nodes, "x late", "seen y"), ["late"])
    assert halves is not None and halves.passed == ("n",)
    found = together(halves, {"x": np.zeros(2, np.float32), "late": np.float32([1, 1])})
    assert_array_equal(found["y"], found["seen"])


def test_sequences_cannot_be_passed_on() -> None:
    nodes = [node("SequenceConstruct", "x", "parts"), node("SequenceAt", "parts at", "first"),
             node("SequenceInsert", "parts late", "more"), node("SequenceAt", "more at", "y")]  # fmt: skip
    at = helper.make_tensor("at", TensorProto.INT64, [], [0])
    assert split(program(nodes, "x late", "first y", at), ["late"]) is None


def test_half_precision_is_not_passed_on() -> None:
    """Without kernels for it a runtime computes on in float32: between two sessions it would be rounded."""
    nodes = [node("Cast", "x", "h", to=TensorProto.FLOAT16), node("Relu", "h", "r"), node("Cast", "late", "l", to=10),
             node("Mul", "r l", "m"), node("Cast", "m", "y", to=TensorProto.FLOAT)]  # fmt: skip
    assert split(program(nodes, "x late", "y"), ["late"]) is None


def test_what_bodies_of_removed_nodes_read_goes_with_them() -> None:
    then = helper.make_graph([node("Neg", "twice", "a")], "t", [], [helper.make_tensor_value_info("a", 1, [2])])
    other = helper.make_graph([node("Neg", "x", "b")], "e", [], [helper.make_tensor_value_info("b", 1, [2])])
    nodes = [node("Exp", "x", "seen"), node("Add", "late late", "twice"),
             node("If", "when", "y", then_branch=then, else_branch=other)]  # fmt: skip
    halves = split(program(nodes, "x late when", "seen y"), ["late"])
    assert halves is not None and [n.op_type for n in halves.first.model.graph] == ["Exp"]
