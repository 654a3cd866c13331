"""Operators that are only assumed to keep positions: tested by running, once, where a layer behind one is asked for."""

from __future__ import annotations

import re

import numpy as np
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.anatomy import layout
from onnxsal.errors import UnsupportedError
from onnxsal.model import positions

S = 24
WEIGHTS = {"w": np.ones((2, 3, 3, 3), np.float32) / 9, "v": np.array([[1, 1], [-1, 0]], np.float32)}


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=outputs.split()[0], **attributes)


TAIL = [
    node("Conv", "m w", "a", pads=[1] * 4), node("Relu", "a", "maps"), node("GlobalAveragePool", "maps", "g"),
    node("Flatten", "g", "f"), node("Gemm", "f v", "z", transB=1),
]  # fmt: skip


def model_of(front, *, batch="n", **constants):
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in (WEIGHTS | constants).items()]
    x, z = (
        helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", [batch, 3, S, S]), ("z", [batch, 2]))
    )
    graph = helper.make_graph(front + TAIL, "g", [x], [z], weights)
    return onnxsal.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


KEEP = {
    "DeformConv": (
        [node("DeformConv", "x k o", "m", kernel_shape=[1, 1])],
        {"k": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "o": np.zeros((1, 2, S, S), np.float32), "batch": 1},
    ),
    "MaxUnpool": (
        [node("MaxPool", "x", "p i", kernel_shape=[2, 2], strides=[2, 2]),
         node("MaxUnpool", "p i", "m", kernel_shape=[2, 2], strides=[2, 2])],
        {},
    ),
}  # fmt: skip
MOVE = {
    "CumSum": ([node("CumSum", "x axis", "m")], {"axis": np.array(3)}),
}


@pytest.mark.parametrize("operator", KEEP)
def test_what_keeps_positions_goes_on_working(operator):
    front, constants = KEEP[operator]
    model = model_of(front, **constants)
    x = np.zeros((3, S, S), np.float32)
    x[:, 4:8, 14:18] = 1
    found = onnxsal.explain(model, x, method="grad-cam", target=0, layer="maps")
    row, column = ((found.saliency * g).sum() / found.saliency.sum() for g in np.mgrid[:S, :S])
    assert abs(row - 5.5) < 1 and abs(column - 15.5) < 1
    (note,) = [note for note in found.manifest["notes"] if "tested by running" in note]
    assert operator in note and re.search(r"\(10 forwards, once a model\)", note)


@pytest.mark.parametrize("operator", MOVE)
def test_what_does_not_is_refused_by_its_name(operator):
    front, constants = MOVE[operator]
    with pytest.raises(UnsupportedError, match=f"behind {operator} 'm', which does not keep positions.*10 forwards"):
        onnxsal.explain(model_of(front, **constants), np.ones((3, S, S), np.float32), method="grad-cam", target=0)


def test_a_transform_and_back_keeps_positions_and_one_alone_does_not():
    there = [
        helper.make_node("Unsqueeze", ["x", "four"], ["u"]),
        helper.make_node("DFT", ["u", "", "axis"], ["d"], "dft"),
    ]
    end = [node("Slice", "b zero one four", "re"), node("Squeeze", "re four", "m")]
    numbers = {"four": np.array([4]), "axis": np.array(3), "zero": np.array([0]), "one": np.array([1])}
    back = helper.make_node("DFT", ["d", "", "axis"], ["b"], inverse=1)
    model = model_of([*there, back, *end], **numbers)
    assert all(verdict.keeps for verdict in positions.tested(model, model.anatomy.layers.find("maps")).values())
    again = helper.make_node("DFT", ["d", "", "axis"], ["b"], "again")
    with pytest.raises(UnsupportedError, match=r"not followed through DFT 'dft' .positions become frequencies"):
        model_of([*there, again, *end], **numbers).anatomy.layers.find(None)


def test_only_who_asks_for_such_a_layer_pays_and_once(monkeypatch):
    front, constants = KEEP["DeformConv"]
    model, runs = model_of(front, **constants), []
    monkeypatch.setattr(
        "onnxsal.model.positions._verdict", lambda *given: runs.append(given) or pytest.fail("tested again")
    )
    assert model.layers and model.inspect()["layers"] and not runs
    onnxsal.explain(model, np.ones((3, S, S), np.float32), method="gradient", target=0)
    assert not runs
    monkeypatch.undo()
    layer = model.anatomy.layers.find(None)
    assert positions.tested(model, layer) is positions.tested(model, layer)


def test_a_shortcut_round_an_unknown_operator_carries_positions_past_it():
    """As in any block: what one branch does not keep the other does."""
    model = model_of([node("CumSum", "x axis", "c"), node("Add", "x c", "m")], axis=np.array(3))
    assert model.anatomy.layers.find(None).assumed == ()


@pytest.mark.parametrize(
    ("name", "theta", "keeps"),
    [("as it is", [[1, 0, 0], [0, 1, 0]], True), ("flip", [[-1, 0, 0], [0, 1, 0]], False),
     ("upside down", [[1, 0, 0], [0, -1, 0]], False), ("transposed", [[0, 1, 0], [1, 0, 0]], False),
     ("a quarter to the right", [[1, 0, 0.5], [0, 1, 0]], False), ("half the size", [[2, 0, 0], [0, 2, 0]], False)],
)  # fmt: skip
def test_an_operator_that_nobody_knows(monkeypatch, name, theta, keeps):
    """GridSample stands for a custom operator, as if it were in no table."""
    known = layout.kind_of
    monkeypatch.setattr(layout, "kind_of", lambda n, f: "assumed" if n.op_type == "GridSample" else known(n, f))
    monkeypatch.setattr(layout, "_FOLLOW", {k: v for k, v in layout._FOLLOW.items() if k != "GridSample"})
    front = [node("AffineGrid", "theta size", "grid"), node("GridSample", "x grid", "m")]
    model = model_of(front, batch=1, theta=np.array([theta], np.float32), size=np.array([1, 3, S, S]))
    (verdict,) = positions.tested(model, model.anatomy.layers.find("maps")).values()
    assert verdict.keeps is keeps and verdict.parts == 9 and verdict.forwards == 10, name
