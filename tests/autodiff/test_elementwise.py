"""Rules of elementwise operators and activations against difference quotients."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from checker import Case, check, gradient_model, run_ort

R = np.random.default_rng(1)


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def positive(*shape: int) -> np.ndarray:
    return R.uniform(0.5, 2.0, size=shape)


def inside(*shape: int) -> np.ndarray:
    return R.uniform(-0.9, 0.9, size=shape)


ANY = ["Neg", "Abs", "Exp", "Erf", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Identity", "Relu",
       "LeakyRelu", "Elu", "Celu", "Selu", "Sigmoid", "Softplus", "Softsign", "HardSigmoid", "HardSwish", "Gelu",
       "Mish", "ThresholdedRelu", "Shrink", "Softmax", "LogSoftmax", "Clip", "Dropout", "Reciprocal"]  # fmt: skip
POSITIVE = ["Sqrt", "Log", "Reciprocal"]
INSIDE = ["Asin", "Acos", "Atanh"]

CASES = [Case(name, [normal(3, 7)]) for name in ANY]
CASES += [Case(name, [positive(2, 5)]) for name in POSITIVE] + [Case(name, [inside(2, 5)]) for name in INSIDE]
CASES += [Case("Acosh", [positive(2, 5) + 1])]
CASES += [
    Case("LeakyRelu", [normal(3, 4)], {"alpha": 0.3}),
    Case("LeakyRelu", [normal(3, 4)], {"alpha": -0.3}),
    Case("Elu", [normal(3, 4)], {"alpha": 1.7}),
    Case("Elu", [normal(3, 4)], {"alpha": -0.5}, on_ort=False),
    Case("Celu", [normal(3, 4)], {"alpha": 1.7}),
    Case("Selu", [normal(3, 4)], {"alpha": 1.2, "gamma": 1.4}),
    Case("HardSigmoid", [3 * normal(3, 9)], {"alpha": 0.3, "beta": 0.4}),
    Case("HardSwish", [4 * normal(4, 9)]),
    Case("Gelu", [normal(3, 9)], {"approximate": "tanh"}),
    Case("ThresholdedRelu", [normal(3, 9)], {"alpha": 0.3}),
    Case("Shrink", [normal(3, 9)], {"lambd": 0.3, "bias": 0.1}),
    Case("Swish", [normal(3, 4)], opset=24),
    Case("Swish", [normal(3, 4)], {"alpha": 1.3}, opset=24),
    Case("PRelu", [normal(2, 3, 4), normal(3, 1)]),
    Case("PRelu", [normal(2, 3), normal(1)]),
    Case("Clip", [normal(3, 9), np.array(-0.5), np.array(0.6)]),
    Case("Clip", [normal(3, 9), np.array(-0.5)]),
    Case("Clip", [normal(3, 9), None, np.array(0.5)]),
    Case("Softmax", [normal(2, 3, 4)], {"axis": 1}),
    Case("LogSoftmax", [normal(2, 3, 4)], {"axis": 0}),
    Case("Dropout", [normal(2, 3), np.array(0.4), np.array(False)]),
    Case("Cast", [normal(3, 4)], {"to": 11}, on_ort=False),
    Case("CastLike", [normal(3, 4), normal(1)], wrt=[0]),
    Case("Where", [np.array([[True], [False]]), normal(2, 3), normal(3)]),
    Case("Pow", [positive(2, 3), np.array(2.0)], wrt=[0]),
    Case("Pow", [normal(2, 3), np.array([3])], wrt=[0]),
    Case("Pow", [normal(2, 3), np.array([2])], wrt=[0]),
    Case("Pow", [normal(2, 3), np.array([1])], wrt=[0]),
    Case("Pow", [normal(2, 3), np.array([[0], [4]])], wrt=[0]),
    Case("Pow", [positive(2, 3), normal(3)]),
    Case("Pow", [positive(2, 1), normal(2, 3)]),
    Case("Mod", [normal(2, 3), positive(3)], {"fmod": 1}),
    Case("Max", [normal(2, 3)]),
]
for name in ("Add", "Sub", "Mul", "Div"):
    CASES += [Case(name, [normal(2, 3, 4), positive(2, 3, 4)]), Case(name, [normal(3, 1), positive(2, 1, 4)])]
    CASES += [Case(name, [normal(2, 3), positive()]), Case(name, [normal(2, 3), positive(1, 3)], symbolic=True)]
    CASES += [Case(name, [normal(3), positive(2, 3)], symbolic=True)]
for name in ("Sum", "Mean", "Max", "Min"):
    CASES += [Case(name, [normal(2, 3), normal(3), normal(2, 1)]), Case(name, [normal(2, 3), normal(2, 3)])]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slope(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("rows", [4, 1], ids=["equal", "broadcast"])
@pytest.mark.parametrize("names", [("a", "b"), ("batch", "n")])
def test_sizes_of_two_names_are_compared_at_run_time(rows: int, names: tuple[str, str]) -> None:
    head = '<ir_version: 10, opset_import: ["" : 21]> g (float[{},3] x, float[{},3] w) => (float[m,3] y) '.format(
        *names
    )
    model = onnx.parser.parse_model(head + "{ s = Add (x, w) t = Mul (s, w) u = Sub (t, x) y = Mul (u, s) }")
    rng = np.random.default_rng(0)
    x, w, u = (rng.normal(size=(n, 3)).astype(np.float32) for n in (4, rows, 4))
    found = run_ort(gradient_model(model, ["y"], ["x", "w"]), {"x": x, "w": w, "seed/y": u})
    s, t = x + w, (x + w) * w - x
    np.testing.assert_allclose(found["grad/x"], u * (s * (w - 1) + t), rtol=1e-4, atol=1e-5)
    dw = u * (s * (x + 2 * w) + t)
    np.testing.assert_allclose(found["grad/w"], dw if rows > 1 else dw.sum(0, keepdims=True), rtol=1e-4, atol=1e-5)


def test_a_remainder_that_is_no_number_leaves_the_gradient_of_others_alone() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[3] x, float[1] d) => (float[3] y) '
        "{ y = Mod <fmod = 1> (x, d) }"
    )
    x, seed = np.array([7.5, np.inf, -4.0], np.float32), np.array([2, 0, 1], np.float32)
    found = run_ort(gradient_model(model, ["y"], ["x", "d"]), {"x": x, "d": np.array([2], np.float32), "seed/y": seed})
    np.testing.assert_array_equal(found["grad/d"], [2 * -3 + 1 * 2])  # 7.5 = 3 times 2 + 1.5, -4 = -2 times 2
    np.testing.assert_array_equal(found["grad/x"], seed)
