"""Tensors without elements: no region at a level of a detector, no image in a batch. ONNX Runtime runs them forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checker import gradient_model, run_ort
from onnx import TensorProto, helper, numpy_helper

R = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return R.normal(size=shape).astype(np.float32)


def numbers(*held: int) -> np.ndarray:
    return np.array(held, np.int64)


ROWS: list[tuple[str, list[tuple[int | None, ...]], list[np.ndarray], dict[str, Any]]] = [
    ("Conv", [(None, 4, 7, 7)], [floats(4, 2, 3, 3)], {"strides": [2, 2], "group": 2}),
    ("ConvTranspose", [(None, 4, 7, 7)], [floats(4, 2, 3, 3)], {"strides": [2, 2], "group": 2}),
    ("Gemm", [(None, 5)], [floats(4, 5), floats(4)], {"transB": 1}),
    ("Softmax", [(None, 5)], [], {"axis": 1}),
    ("MaxPool", [(None, 3, 8, 8)], [], {"kernel_shape": [3, 3], "strides": [2, 2]}),
    ("GlobalMaxPool", [(None, 3, 8, 8)], [], {}),
    ("Flatten", [(None, 3, 4, 4)], [], {}),
    ("Tile", [(None, 6)], [numbers(1, 3)], {}),
    ("GridSample", [(None, 3, 4, 4), (None, 5, 5, 2)], [], {}),
    ("InstanceNormalization", [(None, 3, 8, 8)], [floats(3), floats(3)], {}),
    ("Concat", [(None, 6), (2, 6)], [], {"axis": 0}),
    ("ScatterND", [(3, 6)], [np.zeros((0, 1), np.int64), floats(0, 6)], {}),
    ("MaxRoiPool", [(1, 3, 8, 8), (None, 5)], [], {"pooled_shape": [3, 2]}),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_no_row_depends_on_has_the_gradient_zero(row: tuple[Any, ...]) -> None:
    op, shapes, weights, attributes = row
    inputs = [
        helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, ["n" if d is None else d for d in shape])
        for i, shape in enumerate(shapes)
    ]
    held = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    node = helper.make_node(op, [v.name for v in (*inputs, *held)], ["y"], **attributes)
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "none", inputs, [out], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    feeds = {
        v.name: np.zeros([0 if d is None else d for d in s], np.float32) for v, s in zip(inputs, shapes, strict=True)
    }
    y = run_ort(model, feeds)["y"]
    wrt = [*feeds, *(v.name for v, w in zip(held, weights, strict=True) if w.dtype == np.float32)]
    found = run_ort(gradient_model(model, ["y"], wrt), {**feeds, "seed/y": np.ones_like(y)})
    depends = {"Concat": {"x1"}, "ScatterND": {"x0"}}.get(op, set())
    for name in wrt:
        g = found[f"grad/{name}"]
        assert g.shape == (feeds[name].shape if name in feeds else weights[int(name[1:])].shape)
        assert (g == (1.0 if name in depends else 0.0)).all()
