"""Models as plain data: the message that went in comes back, weights of every type once, those in files by the way."""

from __future__ import annotations

import pickle
from itertools import pairwise

import ml_dtypes
import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from onnxsal.errors import ModelError
from onnxsal.graph.files import load_ir
from onnxsal.graph.packed import pack, unpack

TYPES = [T.FLOAT, T.FLOAT16, T.DOUBLE, T.BFLOAT16, T.INT8, T.UINT8, T.INT64, T.BOOL, T.INT4, T.UINT4, T.FLOAT8E4M3FN]


def again(*models):
    return unpack(pickle.loads(pickle.dumps(pack(models))))


def held(dtype, count=4096, name="w"):
    array = np.random.default_rng(int(dtype)).integers(0, 2, (2, count // 2))
    if dtype in (T.INT4, T.UINT4, T.BFLOAT16, T.FLOAT8E4M3FN):
        kind = {T.INT4: ml_dtypes.int4, T.UINT4: ml_dtypes.uint4, T.BFLOAT16: ml_dtypes.bfloat16}
        return ir.to_proto(ir.Tensor(array.astype(kind.get(dtype, ml_dtypes.float8_e4m3fn)), name=name))
    return nh.from_array(array.astype(h.tensor_dtype_to_np_dtype(dtype)), name)


def message(*tensors, nodes=()):
    made = nodes or [h.make_node("Identity", [t.name], [f"out_{t.name}"]) for t in tensors]
    outputs = [h.make_tensor_value_info(f"out_{t.name}", t.data_type, t.dims) for t in tensors]
    graph = h.make_graph(made, "g", [], outputs, tensors)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 23)], ir_version=11)


@pytest.mark.parametrize("dtype", TYPES, ids=T.DataType.Name)
def test_every_type_comes_back_bit_for_bit(dtype):
    model = load_ir(message(held(dtype), held(dtype, 8, "small")))
    (found,) = again(model)
    assert ir.to_proto(found).SerializeToString(deterministic=True) == ir.to_proto(model).SerializeToString(
        deterministic=True
    )


def test_what_models_share_is_packed_once_and_shared_again():
    model = load_ir(message(held(T.FLOAT, 2**18)))
    packed = pickle.dumps(pack([model, model.clone()]))
    assert 2**20 < len(packed) < 2**20 + 4096
    first, second = unpack(pickle.loads(packed))
    arrays = [each.graph.initializers["w"].const_value.numpy() for each in (first, second)]
    assert np.shares_memory(*arrays)


def test_a_shared_weight_has_the_name_of_each():
    model = load_ir(message(held(T.FLOAT)))
    other = model.clone()
    other.graph.initializers["w"].name = "own/w"
    for each, expected in zip(again(model, other), ("w", "own/w"), strict=True):
        (tensor,) = ir.to_proto(each).graph.initializer
        assert tensor.name == expected


def test_weights_of_bodies_are_packed():
    inner = h.make_graph(
        [h.make_node("Identity", ["b"], ["o"])], "t", [], [h.make_tensor_value_info("o", T.FLOAT, None)],
        [held(T.FLOAT, 4096, "b")],
    )  # fmt: skip
    node = h.make_node("If", ["yes"], ["out_yes"], then_branch=inner, else_branch=inner)
    proto = message(nh.from_array(np.array(True), "yes"), nodes=[node])
    proto.graph.output[0].CopyFrom(h.make_tensor_value_info("out_yes", T.FLOAT, None))
    model = load_ir(proto)
    packed = pack([model])
    assert len(packed.messages[0]) < 4096 < packed.weights[0].nbytes
    assert ir.to_proto(unpack(packed)[0]).graph == ir.to_proto(model).graph


def test_weights_in_files_are_found_by_their_way(tmp_path):
    proto = message(held(T.FLOAT))
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="m.data")
    packed = pickle.dumps(pack([load_ir(tmp_path / "m.onnx")]))
    assert len(packed) < 2048
    (found,) = unpack(pickle.loads(packed))
    np.testing.assert_array_equal(found.graph.initializers["w"].const_value.numpy(), nh.to_array(held(T.FLOAT)))
    (tmp_path / "m.data").rename(tmp_path / "other")
    with pytest.raises(ModelError, match=r"the pickled model keeps weights in '.*m\.data', which is not there"):
        unpack(pickle.loads(packed))


def test_a_graph_may_be_deeper_than_pickle_goes():
    names = ["w", *(f"v{i}" for i in range(1500)), "out_w"]
    chain = [h.make_node("Neg", [a], [b]) for a, b in pairwise(names)]
    model = load_ir(message(held(T.FLOAT), nodes=chain))
    (found,) = again(model)
    assert [node.outputs[0].name for node in found.graph] == names[1:]
