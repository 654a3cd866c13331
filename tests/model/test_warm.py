"""What is warm opens nothing more for its first request, whatever the method."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import tables
from tinynet import TinyNet, image

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError


@pytest.mark.parametrize("method", sorted({*onnxsal.methods()} - {"similarity-map", "shapley"}))  # for other things
def test_the_first_request_opens_nothing_more(method):
    model = onnxsal.load(TinyNet().model())
    (done,) = model.warm(method)
    assert done.method == method and done.sessions == model.opened >= 2 and done.seconds > 0
    onnxsal.explain(model, image(), method=method, seconds=9.0 if method == "score-cam" else None)
    assert model.opened == done.sessions


def test_rows_of_tables_open_nothing_more():
    model = onnxsal.load(tables.pipeline(tables.TREES))
    (done,) = model.warm("shapley")
    assert done.sessions == model.opened >= 1
    row = {"age": 30.0, "cabin": 2, "sex": "f", "port": "Q"}
    onnxsal.explain(model, row, background=[row | {"age": 50.0, "port": "elsewhere"}])
    assert model.opened == done.sessions


def test_methods_share_what_is_open():
    model = onnxsal.load(TinyNet().model())
    first, second, third = model.warm(["grad-cam", "gradient", "grad-cam"])
    assert first.sessions > second.sessions > third.sessions == 0


def test_options_are_those_of_the_request():
    model = onnxsal.load(TinyNet().model())
    model.warm("grad-cam", layer=model.layers[0].name, score="probability")
    before = model.opened
    onnxsal.explain(model, image(), method="grad-cam", layer=model.layers[0].name, score="probability")
    assert model.opened == before
    onnxsal.explain(model, image(), method="grad-cam", layer=model.layers[-1].name)
    assert model.opened > before


def test_maps_are_those_of_a_cold_model():
    cold, warmed = (onnxsal.load(TinyNet().model()) for _ in range(2))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(warmed.warm, ["grad-cam", "smoothgrad", "score-cam", "integrated-gradients"]))
    for method in ("grad-cam", "smoothgrad", "score-cam", "integrated-gradients"):
        found, expected = (onnxsal.explain(m, image(), method=method, target=1).raw for m in (warmed, cold))
        np.testing.assert_array_equal(found, expected)


def test_bytes_and_the_channels_behind_are_warmed():
    model = TinyNet().model()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["x"], ["fx"], to=1))
    for node in model.graph.node[1:]:
        node.input[:] = ["fx" if name == "x" else name for name in node.input]
    opened = onnxsal.load(model)
    assert opened.anatomy.entry.is_raw
    (done,) = opened.warm("grad-cam")
    height, width = opened.size
    onnxsal.explain(opened, np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8), method="grad-cam")
    assert opened.opened == done.sessions


def test_what_does_not_apply_is_said():
    model = onnxsal.load(TinyNet().model())
    with pytest.raises(UsageError, match="grad-cma"):
        model.warm("grad-cma")
    with pytest.raises(UsageError, match="layer"):
        model.warm("grad-cam", layer="nowhere")
    linear = onnxsal.load(TinyNet().model())
    with pytest.raises((UsageError, UnsupportedError), match="takes no layer"):
        linear.warm("gradient", layer="a2")
