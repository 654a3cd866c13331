"""Maps of class to score become the scores in front of them: by ONNX Runtime, which gives the maps themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from onnxsal.errors import UnsupportedError
from onnxsal.graph import load_ir, normalise, to_proto
from onnxsal.graph.maps import CLASS_LABELS

X = np.array([[0.5, -2, 3], [1, 1, 0]], np.float32)


def zipped(kind: str = "sequence", **keys: list[Any]) -> onnx.ModelProto:
    """Return softmax rows as maps; ``softmax`` is an output too, or not."""
    key = TensorProto.STRING if "classlabels_strings" in keys else TensorProto.INT64
    maps = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    held = helper.make_sequence_type_proto(maps) if kind == "sequence" else maps
    nodes = [helper.make_node("Softmax", ["x"], ["p"], axis=1),
             helper.make_node("ZipMap", ["p"], ["scores"], domain="ai.onnx.ml", name="zip", **keys)]  # fmt: skip
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "g", [x], [helper.make_value_info("scores", held)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"classlabels_strings": ["apple", "plum", "fig"]}, ("apple", "plum", "fig")),
        ({"classlabels_int64s": [7, 3, 5]}, ("7", "3", "5")),
    ],
    ids=["strings", "numbers"],
)
def test_scores_take_the_place_of_maps(keys: dict[str, list[Any]], names: tuple[str, ...]) -> None:
    proto = zipped(**keys)
    before = proto.SerializeToString()
    loaded = load_ir(proto)
    assert loaded.meta[CLASS_LABELS] == {"scores": names}
    assert [v.name for v in loaded.graph.outputs] == ["scores"]
    written = to_proto(normalise(loaded))
    onnx.checker.check_model(written, full_check=True)
    (rows,) = ort.InferenceSession(written.SerializeToString()).run(None, {"x": X})
    (maps,) = ort.InferenceSession(before).run(None, {"x": X})
    for row, expected in zip(rows, maps, strict=True):
        assert dict(zip(names, row.tolist(), strict=True)) == {str(k): v for k, v in expected.items()}
    assert proto.SerializeToString() == before  # the caller's own message stays as it was


def test_a_bare_map_is_read_alike() -> None:
    assert load_ir(zipped("map", classlabels_int64s=[0, 1, 2])).meta[CLASS_LABELS] == {"scores": ("0", "1", "2")}


def test_models_without_maps_have_no_keys() -> None:
    proto = zipped(classlabels_int64s=[0, 1, 2])
    del proto.graph.node[1]
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 3]))
    assert load_ir(proto).meta[CLASS_LABELS] == {}


def test_maps_that_go_in_are_refused() -> None:
    maps = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    node = helper.make_node("DictVectorizer", ["x"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph([node], "g", [helper.make_value_info("x", maps)], [y])
    with pytest.raises(UnsupportedError, match="the input 'x' is a map, not a tensor: export the model so that"):
        load_ir(helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)]))
