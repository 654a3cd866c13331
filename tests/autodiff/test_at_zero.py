"""Roots and norms have the gradient 0 at 0, finite beside it; also where the gradient is differentiated again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxsal

Node = tuple[str, str, str, dict[str, object]]
WIDTH = 4
ROWS = np.array([[0, 0, 0, 0], [0.7, -1.2, 0.4, 2.0], [0, 3, 0, -1], [0, 0, 0, 0]], float)
CONSTANTS = {
    "axis": np.array([-1]), "half": np.array(0.5), "two": np.array(2.0), "third": np.array(1 / 3),
    "three": np.array(3.0), "tiny": np.array(1e-8), "low": np.array(-5.0), "halves": np.full(WIDTH, 0.5),
    "zero": np.array(0.0),
    "w": np.random.default_rng(0).normal(size=(WIDTH, WIDTH)),
}  # fmt: skip


def n(op_type: str, inputs: str, output: str, **attributes: object) -> Node:
    return op_type, inputs, output, attributes


NORM = [n("Mul", "x x", "s"), n("ReduceSum", "s axis", "q"), n("Sqrt", "q", "n")]
FORMS: dict[str, list[Node]] = {
    "ReduceL2": [n("ReduceL2", "x axis", "y")],
    "sqrt of a sum of squares": [*NORM, n("Identity", "n", "y")],
    "sqrt of ReduceSumSquare": [n("ReduceSumSquare", "x axis", "q"), n("Sqrt", "q", "y")],
    "power a half": [n("Pow", "x two", "s"), n("ReduceSum", "s axis", "q"), n("Pow", "q half", "y")],
    "powers per element": [n("Pow", "x two", "s"), n("Pow", "s halves", "y")],
    "p-norm of 3": [n("Abs", "x", "b"), n("Pow", "b three", "s"), n("ReduceSum", "s axis", "q"),
                    n("Pow", "q third", "y")],
    "magnitude": [n("Slice", "x starts0 ends0 last", "re"), n("Slice", "x starts1 ends1 last", "im"),
                  n("Mul", "re re", "a"), n("Mul", "im im", "b"), n("Add", "a b", "q"), n("Sqrt", "q", "y")],
    "unit vector, bounded": [*NORM, n("Max", "n tiny", "m"), n("Div", "x m", "y")],
    "unit vector, shifted": [*NORM, n("Add", "n tiny", "m"), n("Div", "x m", "y")],
    "unit vector, clipped": [n("ReduceL2", "x axis", "n"), n("Clip", "n tiny", "m"), n("Div", "x m", "y")],
    "squash": [n("ReduceSumSquare", "x axis", "q"), n("Sqrt", "q", "n"), n("Max", "n tiny", "m"), n("Div", "x m", "u"),
               n("Mul", "u q", "y")],
    "decibels": [n("ReduceSumSquare", "x axis", "q"), n("Log", "q", "l"), n("Max", "l low", "y")],
    "decibels of a power summed as ReduceLogSum": [n("Mul", "x x", "s"), n("ReduceLogSum", "s axis", "l"),
                                                   n("Max", "l low", "y")],
    "root written with a logarithm": [n("ReduceSumSquare", "x axis", "q"), n("Log", "q", "l"), n("Mul", "l half", "h"),
                                      n("Exp", "h", "y")],
    "signed root": [n("Abs", "x", "b"), n("Sqrt", "b", "r"), n("Sign", "x", "g"), n("Mul", "g r", "y")],
    "deviation": [n("ReduceMean", "x axis", "m"), n("Sub", "x m", "c"), n("Mul", "c c", "s"),
                  n("ReduceMean", "s axis", "v"), n("Sqrt", "v", "y")],
    "cosine distances": [n("MatMul", "x w", "e"), n("ReduceL2", "e axis", "n"), n("Clip", "n tiny", "m"),
                         n("Div", "e m", "y")],
}  # fmt: skip


def model(nodes: Sequence[Node], dtype: int = TensorProto.DOUBLE) -> onnx.ModelProto:
    integers = {"axis": np.array([-1]), "last": np.array([-1]), "starts0": np.array([0]), "ends0": np.array([2]),
                "starts1": np.array([2]), "ends1": np.array([4])}  # fmt: skip
    real = {k: v.astype(helper.tensor_dtype_to_np_dtype(dtype)) for k, v in CONSTANTS.items() if k != "axis"}
    used = {name for _, inputs, _, _ in nodes for name in inputs.split()}
    weights = [numpy_helper.from_array(a, k) for k, a in {**real, **integers}.items() if k in used]
    made = [helper.make_node(o, i.split(), [y], f"{o}{k}", **a) for k, (o, i, y, a) in enumerate(nodes)]
    x = helper.make_tensor_value_info("x", dtype, ROWS.shape)
    y = helper.make_tensor_value_info("y", dtype, [None, None])
    graph = helper.make_graph(made, "zero", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def gradient(file: onnx.ModelProto, x: np.ndarray, seed: np.ndarray) -> np.ndarray:
    made = onnxsal.gradient(file, of=["y"], wrt=["x"])
    (found,) = ReferenceEvaluator(made).run(["grad/x"], {"x": x, "seed/y": seed})
    return np.asarray(found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_silence_is_finite_and_the_rest_is_right(form: str) -> None:
    file = model(FORMS[form])
    evaluator, rng = ReferenceEvaluator(file), np.random.default_rng(1)
    seed = rng.normal(size=evaluator.run(None, {"x": ROWS})[0].shape)
    found = gradient(file, ROWS, seed)
    assert np.isfinite(found).all()
    across = rng.normal(size=ROWS.shape) * (ROWS != 0)  # along what is not 0, where every form has a slope
    step = 1e-6
    high, low = (float((evaluator.run(None, {"x": ROWS + s * across})[0] * seed).sum()) for s in (step, -step))
    assert_allclose((found * across).sum(), (high - low) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("form", [f for f in FORMS if not f.startswith(("unit vector", "cosine"))])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_at_the_origin_the_slope_is_0(form: str) -> None:
    file = model(FORMS[form])
    found = gradient(file, ROWS, np.ones_like(ReferenceEvaluator(file).run(None, {"x": ROWS})[0]))
    assert (found[[0, 3]] == 0).all()
    assert found[1:3].any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_differentiated_again_it_stays_finite(form: str) -> None:
    """Where x is not 0 the second derivative is the slope of the first."""
    file = model(FORMS[form])
    rng = np.random.default_rng(2)
    seed, v = rng.normal(size=ReferenceEvaluator(file).run(None, {"x": ROWS})[0].shape), rng.normal(size=ROWS.shape)
    first = onnxsal.gradient(file, of=["y"], wrt=["x"])
    twice = onnxsal.gradient(first, of=["grad/x"], wrt=["x"])
    feeds = {"x": ROWS, "seed/y": seed, "seed/grad/x": v}
    assert np.isfinite(ReferenceEvaluator(twice).run(["grad/x"], feeds)[0]).all()
    v[[0, 3]] = 0  # beside the origin a unit vector turns too fast for quotients
    (found,) = ReferenceEvaluator(twice).run(["grad/x"], {**feeds, "seed/grad/x": v})
    across = rng.normal(size=ROWS.shape) * (ROWS != 0)
    step = 1e-6
    high, low = (float((gradient(file, ROWS + s * across, seed) * v).sum()) for s in (step, -step))
    assert_allclose((found * across).sum(), (high - low) / (2 * step), rtol=1e-4, atol=1e-6)


def test_what_is_infinite_by_the_standard_stays_so() -> None:
    found = gradient(model([n("Reciprocal", "x", "y")]), ROWS, np.ones_like(ROWS))
    assert np.isinf(found[0]).all()
