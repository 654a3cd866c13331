"""Why a map is 0: the node at which the gradient ends, found by running; and steps that no gradient sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import onnxsal

RNG = np.random.default_rng(5)
SIDE, K = 8, 4
X = RNG.uniform(0.1, 1, (3, SIDE, SIDE)).astype(np.float32)
WEIGHTS: dict[str, NDArray[Any]] = {
    "w1": np.abs(RNG.normal(0, 0.4, (K, 3, 3, 3))), "w2": RNG.normal(0, 0.4, (K, K, 3, 3)),
    "v": RNG.normal(0, 1, (3, K)),
    "th": np.array(0.9), "two": np.array(2.0), "big": np.array(1e4), "nought": np.array(0.0), "one": np.array(1.0),
    "scale": np.array(0.001), "low": np.array(-1.0),
}  # fmt: skip
END = ("GlobalAveragePool maps p", "Flatten p f", "Gemm f v z transB")


def node(text: str, number: int) -> NodeProto:
    """OP INPUT ... OUTPUT [flag], named by its operator and number."""
    op_type, *rest = text.split()
    attributes: dict[str, Any] = {}
    if rest[-1] == "transB":
        attributes, rest = {"transB": 1}, rest[:-1]
    if op_type == "Cast":
        attributes = {"to": TensorProto.FLOAT}
    if op_type == "Conv":
        attributes = {"pads": [1, 1, 1, 1]}
    return helper.make_node(op_type, rest[:-1], rest[-1:], f"{op_type.lower()}{number}", **attributes)


def model(*middle: str, end: Sequence[str] = END, **weights: NDArray[Any]) -> onnxsal.Model:
    """Conv, what is given (from ``a`` to ``r``), Conv, Relu, mean, linear layer."""
    lines = ["Conv x w1 a", *middle, "Conv r w2 b", "Relu b maps", *end]
    every = {k: v.astype(np.float32) for k, v in {**WEIGHTS, **weights}.items()} | {"zp": np.array(0, np.uint8)}
    every |= {"last": np.array([2])}
    used = {name for line in lines for name in line.split()}
    constants = [numpy_helper.from_array(np.asarray(a), n) for n, a in every.items() if n in used]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
        for n, s in (("x", ["n", 3, SIDE, SIDE]), ("z", ["n", 3]))
    ]
    graph = helper.make_graph([node(t, i) for i, t in enumerate(lines)], "g", ends[:1], ends[1:], constants)
    file: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnxsal.load(file)


def notes(given: onnxsal.Model, x: NDArray[np.float32] = X, **how: Any) -> tuple[list[str], Any]:
    found = onnxsal.explain(given, x, **{"method": "gradient", "target": 0, **how})
    return [n for n in found.manifest["notes"] if "map" in n], found


STEPS = {
    "Round": ["Round a q", "Relu q r"], "Floor": ["Floor a r"], "Ceil": ["Ceil a r"], "Sign": ["Sign a r"],
    "Greater": ["Greater a th s", "Cast s r"], "LessOrEqual": ["LessOrEqual a th s", "Not s m", "Cast m r"],
    "Where": ["Greater a th s", "Where s one nought r"],
}  # fmt: skip


@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "integrated-gradients", "guided-backprop"])
def test_a_step_is_named(method: str) -> None:
    options = {"samples": 2} if method == "smoothgrad" else {}
    (note,), found = notes(model(*STEPS["Sign"]), method=method, **options)
    assert not found.raw.any()
    assert "ends at Sign 'sign1'" in note or "ends at Sign sign1" in note
    assert "occlusion" in note and "layer behind it, such as 'maps'" in note


@pytest.mark.parametrize("step", STEPS)
def test_every_kind_of_step(step: str) -> None:
    (note,), found = notes(model(*STEPS[step]))
    operator = "Greater" if step == "Where" else step
    assert not found.raw.any()
    assert f"the gradient of the score ends at {operator} " in note
    assert "the gradient 0 everywhere" in note


def test_the_step_nearest_the_score_is_where_it_ends() -> None:
    (note,), _ = notes(model("Round a q", "Sign q r"))
    assert "Sign" in note and "Round" not in note


def test_straight_through_as_arithmetic_cancels_at_its_rounding() -> None:
    """x + (round(x) - x), as a training trick is exported: its gradient is 1 + (0 - 1)."""
    (note,), found = notes(model("Round a q", "Sub q a d", "Add a d r"))
    assert not found.raw.any()
    assert "ends at Round" in note


def test_dead_units_are_told_from_steps() -> None:
    (note,), _ = notes(model("Relu a r", w1=-WEIGHTS["w1"]))
    assert "ends at Relu" in note and "all at 0 where the score reads them" in note and "steps" not in note


def test_a_layer_without_anything_in_it_is_not_advised() -> None:
    (note,), _ = notes(model("Mul a nought r"))
    assert "the gradient of the score ends at Relu" in note and "all at 0" in note
    assert "occlusion" in note and "layer behind it" not in note


def test_a_clipped_quantiser_says_its_range() -> None:
    (note,), _ = notes(model("QuantizeLinear a scale zp q", "DequantizeLinear q scale zp r"))
    assert "ends at QuantizeLinear" in note and "at its bounds" in note and "255" in note


def test_a_saturated_gate_inside() -> None:
    (note,), _ = notes(model("Mul a big h", "Sigmoid h r"))
    assert "ends at Sigmoid" in note and "saturated (1 to 1)" in note


def test_a_certain_probability_asks_for_the_logit() -> None:
    end, head = (*END[:2], "Gemm f v y transB", "Softmax y z"), np.array([[900.0] * K, [0] * K, [0] * K])
    sure = model("Relu a r", end=end, v=head, w2=np.abs(WEIGHTS["w2"]))
    (note,), found = notes(sure, score="probability")
    assert found.score == 1
    assert "ends at Softmax" in note and "saturated" in note and "score=logit" in note
    assert not notes(sure)[0]


def test_shares_of_one_number_are_the_same_for_every_method() -> None:
    end = (*END[:2], "Gemm f v y transB", "Unsqueeze y last u", "Softmax u s", "Squeeze s last z")
    (note,), found = notes(model("Relu a r", end=end), target="z[0, 0]")
    assert found.score == 1
    assert "ends at Softmax" in note and "goes over one number and puts out 1 whatever that is" in note
    assert "No method finds anything" in note and "score-cam" not in note


def test_multiplied_by_nothing() -> None:
    (note,), _ = notes(model("Mul a nought h", "Add h one r", w2=np.abs(WEIGHTS["w2"])))
    assert "ends at Mul" in note and "multiplied by 0" in note


def test_a_picture_of_zeros() -> None:
    (note,), _ = notes(model("Relu a h", "Add h one r"), np.zeros_like(X), method="input-x-gradient")
    assert "the picture itself is 0 everywhere" in note or "ends at Relu" in note


def test_an_empty_map_of_a_layer_has_its_own_causes() -> None:
    against, _ = notes(model("Relu a r", v=-np.abs(WEIGHTS["v"]), w2=np.abs(WEIGHTS["w2"])), method="grad-cam")
    assert "nothing in it is above 0 (ReLU)" in against[0] and "gradient there is not 0" in against[0]
    assert "nothing that speaks for it; hirescam weighs each place by its own gradient, and a pair" in against[0]
    step, _ = notes(
        model("Relu a r", end=("Sign maps s", "GlobalAveragePool s p", *END[1:])), method="grad-cam", layer="r"
    )
    assert "map of layer 'r' is empty" in step[0] and "ends at Sign" in step[0]
    dead, _ = notes(model("Relu a r", w1=-WEIGHTS["w1"]), method="hirescam", layer="r")
    assert "the gradient of the score ends at Relu" in dead[0] or "holds 0 everywhere" in dead[0]


SEEN = {
    "a mask times what it was made of": ["Greater a th s", "Cast s m", "Mul a m r"],
    "a chosen branch": ["Greater a th s", "Mul a two d", "Where s a d r"],
    "a fraction": ["Floor a i", "Sub a i r"],
    "a sign times a size": ["Sign a s", "Abs a u", "Sqrt u q", "Mul s q r"],
    "quantised": ["QuantizeLinear a scale zp q", "DequantizeLinear q scale zp d", "Add a d r"],
    "a mask of what is exactly 0": ["Equal a nought s", "Cast s m", "Add a m r"],
    "sizes": ["Shape a s", "Reshape a s r"],
}  # fmt: skip
UNSEEN = {
    "Sign": ["Sign a s", "Add a s r"], "Round": ["Round a q", "Mul q two d", "Add d a r"],
    "Greater": ["Greater a th s", "Cast s m", "Conv m w2 k", "Add a k r"],
    "Floor": ["Floor a q", "Conv q w2 k", "Mul a k r"],
}  # fmt: skip


@pytest.mark.parametrize("form", SEEN)
def test_nothing_is_said_where_the_derivative_is_whole(form: str) -> None:
    assert not notes(model(*SEEN[form]))[0]


@pytest.mark.parametrize("step", UNSEEN)
def test_a_way_that_no_gradient_sees_is_said(step: str) -> None:
    (note,), found = notes(model(*UNSEEN[step]))
    assert found.raw.any()
    assert note.startswith(f"no gradient passes {step} ")
    for method in ("grad-cam", "eigencam"):  # above it all is seen, and without gradients as well
        assert not any("no gradient" in n for n in notes(model(*UNSEEN[step]), method=method, layer="maps")[0])
