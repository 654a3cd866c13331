"""Tokens that are no place in the picture, in front of the patches, behind them, at both ends.

Attention and a mean do not know an order: with its position embeddings moved along, the same model gives the same maps
wherever such tokens stand.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
from anatomies import dissected
from onnx import TensorProto, helper, numpy_helper

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.graph import load_ir, normalise

PATCH, WIDTH, ROWS, COLUMNS = 4, 6, 2, 3
COUNT = ROWS * COLUMNS
EXTRA = 3


def node(text, **attributes):
    op, *inputs, _, output = text.split()
    return helper.make_node(op, inputs, [output], name=output, **attributes)


def vit(front):
    """Attention over patches and three more tokens, ``front`` of them in front; the mean of all is scored."""
    rng = np.random.default_rng(5)
    shapes = {"wp": (WIDTH, 3, PATCH, PATCH), "q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH),
              "o": (WIDTH, WIDTH), "w": (4, WIDTH), "b": (4,), "u": (WIDTH, WIDTH)}  # fmt: skip
    given = {name: rng.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}
    extra, at = rng.normal(0, 1, (1, EXTRA, WIDTH)).astype(np.float32), rng.normal(0, 0.5, (1, EXTRA, WIDTH))
    patches = rng.normal(0, 0.5, (1, COUNT, WIDTH))
    given |= {
        "front": extra[:, :front],
        "behind": extra[:, front:],
        "rows": np.array([0, WIDTH, -1]),
        "one": np.array([1]),
    }
    given["at"] = np.concatenate([at[:, :front], patches, at[:, front:]], axis=1).astype(np.float32)
    parts = [name for name in ("front", "patches", "behind") if name == "patches" or given[name].size]
    nodes = [
        node("Conv x wp -> p4", strides=[PATCH, PATCH]), node("Reshape p4 rows -> p3"),
        node("Transpose p3 -> patches", perm=[0, 2, 1]), node(f"Concat {' '.join(parts)} -> t", axis=1),
        node("Add t at -> h0"), node("MatMul h0 q -> qx"), node("MatMul h0 k -> kx"), node("MatMul h0 v -> vx"),
        node("Transpose kx -> kt", perm=[0, 2, 1]), node("MatMul qx kt -> s"), node("Softmax s -> a", axis=-1),
        node("MatMul a vx -> av"), node("MatMul av o -> ao"), node("Add h0 ao -> h1"), node("Tanh h1 -> h2"),
        node("ReduceMean h2 one -> f", keepdims=0), node("Gemm f w b -> z", transB=1),
    ]  # fmt: skip
    read = {name for n in nodes for name in n.input}
    weights = [numpy_helper.from_array(np.asarray(v), k) for k, v in given.items() if k in read]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, ROWS * PATCH, COLUMNS * PATCH])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph(nodes, "vit", [x], [z], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@cache
def loaded(front):
    return onnxsal.load(vit(front))


IMAGE = np.random.default_rng(1).normal(0, 1, (3, ROWS * PATCH, COLUMNS * PATCH)).astype(np.float32)


@pytest.mark.parametrize("front", [0, 1, EXTRA])
def test_they_are_counted_on_either_side(front):
    layer = dissected(normalise(load_ir(vit(front)))).layers.find(None)
    assert (layer.name, layer.grid) == ("h2", (ROWS, COLUMNS))
    assert (layer.dropped_tokens, layer.trailing_tokens) == (front, EXTRA - front)


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "layercam", "xgrad-cam", "eigencam", "score-cam"])
def test_a_map_is_the_same_wherever_they_stand(method):
    maps = [onnxsal.explain(loaded(front), IMAGE, method=method, target=2).raw for front in (EXTRA, 0, 1)]
    assert maps[0].shape == (ROWS, COLUMNS) and np.ptp(maps[0]) > 0
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], rtol=1e-3, atol=1e-5 * np.abs(maps[0]).max())


@pytest.mark.parametrize("method", ["grad-cam", "score-cam"])
def test_a_compiled_file_draws_the_same_map(method):
    model = loaded(0)
    found = onnxsal.explain(model, IMAGE, method=method, target=2)
    file = onnxsal.compile(model, method=method, target=2)
    made = run(file, IMAGE[None])
    np.testing.assert_allclose(made, found.saliency, atol=1e-4)


def run(file: onnx.ModelProto, x):

    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["saliency"], {"x": x})[0][0]


def test_maps_alone_do_not_make_such_a_layer_whole():
    with pytest.raises(UnsupportedError, match=r"no place in the picture .class token, registers."):
        onnxsal.explain(loaded(0), IMAGE, method="recipro-cam", target=2)
