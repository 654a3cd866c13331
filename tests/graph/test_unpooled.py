"""Indices of a MaxUnpool that a file gives no shape: the process lives, and values and gradients are the operator's."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxsal
from onnxsal.graph import Program, load_ir
from onnxsal.runtime import Session

BODIES = {
    "read": ("j = Reshape (i, s)", "z = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (x, j)"),
    "inside": (
        "j = Reshape (i, s) t = Constant <value_int = 1> () on = Cast <to = 9> (t)",
        """z = If <
            then_branch = a () => (float[B, 1, c, d] u) {
                u = MaxUnpool <kernel_shape = [2, 2], strides = [2, 2]> (x, j) },
            else_branch = b () => (float[B, 1, c, d] v) { v = Identity (x) }> (on)""",
    ),
}


@pytest.mark.parametrize("opset", [21, 13])
@pytest.mark.parametrize("nodes", BODIES.values(), ids=BODIES)
def test_places_of_any_shape(nodes: tuple[str, str], opset: int) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}]> g (float[B, 1, 2, 2] x, int64[n] i, int64[k] s) '
        f"=> (float[B, 1, c, d] y) {{ {' '.join(nodes)} y = Mul (z, z) }}"
    )
    x, places = np.array([[[[1, -2], [3, 4]]]], np.float32), np.array([5, 2, 8, 15])
    y, dx = np.zeros(16, np.float32), 2 * x.reshape(-1) * np.arange(4)
    y[places] = x.reshape(-1) ** 2
    made = onnxsal.gradient(model, of=["y"], wrt=["x"])
    seed = np.zeros(16, np.float32)
    seed[places] = np.arange(4)
    feeds = {"x": x, "i": places, "s": np.array(x.shape), "seed/y": seed.reshape(1, 1, 4, 4)}
    found = Session(Program(load_ir(made))).run(feeds)
    np.testing.assert_array_equal(found["y"].reshape(-1), y)
    np.testing.assert_allclose(found["grad/x"].reshape(-1), dx)
