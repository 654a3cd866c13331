"""Scores of chosen classes against NumPy's own indexing, for one target, several, and sums of several columns."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from onnxsal.graph.program import empty
from onnxsal.runtime import ColumnSession, DeviceBuffer, PickedSession, Session

X = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def picked(coefficients: str | None = None) -> ColumnSession:
    """The classes are the picture's own five numbers, doubled."""
    op = empty(21)
    x = op.input("x", ir.DataType.FLOAT, ["batch", 5])
    return ColumnSession(Session(op.finish(other=op.Neg(x), scores=op.Add(x, x))), "scores", "target", coefficients)


@pytest.mark.parametrize("place", [False, True])
def test_one_class_an_image(place: bool) -> None:
    session, target = picked(), np.array([4, 0, 2])
    places = {"x": DeviceBuffer("cpu", X.ctypes.data, X.shape)}
    found = session.run_placed(places, {"target": target}) if place else session.run({"x": X, "target": target})
    np.testing.assert_array_equal(found["score"], 2 * X[[0, 1, 2], [4, 0, 2]])


def test_several_classes_an_image() -> None:
    target = np.array([[4, 0], [1, 1], [2, 3]])
    found = picked().run({"x": X, "target": target})["score"]
    np.testing.assert_array_equal(found, 2 * np.take_along_axis(X, target, axis=1))


def test_a_difference_of_classes_is_exact() -> None:
    session = picked("coefficients")
    assert session.inputs == ("x", "target", "coefficients")
    target, signs = np.array([[4, 1], [0, 1], [2, 1]]), np.tile(np.float32([1, -1]), (3, 1))
    found = session.run({"x": X, "target": target, "coefficients": signs})["score"]
    np.testing.assert_array_equal(found, 2 * X[[0, 1, 2], [4, 0, 2]] - 2 * X[:, 1])


def test_several_sums_an_image() -> None:
    rng = np.random.default_rng(1)
    target, weights = rng.integers(0, 5, (3, 2, 4)), rng.normal(size=(3, 2, 4)).astype(np.float32)
    found = picked("coefficients").run({"x": X, "target": target, "coefficients": weights})["score"]
    wanted = np.einsum("btm,btm->bt", 2 * X[np.arange(3)[:, None, None], target], weights)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_score_is_worked_out_of_several_outputs() -> None:
    """What is picked sees all outputs that it asks for, and everything that is fed."""
    op = empty(21)
    x = op.input("x", ir.DataType.FLOAT, ["n", 2])
    session = Session(op.finish(other=op.Neg(x), scores=op.Add(x, x)))
    picked = PickedSession(
        session,
        ("other", "scores"),
        ("at",),
        lambda found, fed: found["other"][:, 0] + found["scores"][:, 1] * fed["at"],
    )
    given = np.array([[1, 2], [3, 4]], np.float32)
    assert picked.inputs == ("x", "at")
    assert picked.run({"x": given, "at": np.array([1.0, 10.0])})["score"].tolist() == [3, 77]
