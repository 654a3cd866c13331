"""Scores of chosen classes against NumPy's own indexing, for one target, several, and differences."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from onnxsal.graph.program import empty
from onnxsal.runtime import ColumnSession, DeviceBuffer, Session

X = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def picked(minus: str | None = None) -> ColumnSession:
    """The classes are the picture's own five numbers, doubled."""
    op = empty(21)
    x = op.input("x", ir.DataType.FLOAT, ["batch", 5])
    return ColumnSession(Session(op.finish(other=op.Neg(x), scores=op.Add(x, x))), "scores", "target", minus)


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


def test_a_difference_of_classes() -> None:
    session = picked("versus")
    assert session.inputs == ("x", "target", "versus")
    found = session.run({"x": X, "target": np.array([4, 0, 2]), "versus": np.array([1, 1, 1])})["score"]
    np.testing.assert_allclose(found, 2 * (X[[0, 1, 2], [4, 0, 2]] - X[:, 1]), rtol=1e-6)
