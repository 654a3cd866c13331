"""Reading: every file that is no whole model is one error that says why. Writing: whole, weights where they were."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal
from onnxsal.errors import ModelError, OutputError, UnsupportedError
from onnxsal.graph import load_ir, normalise, save_ir, to_proto

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def make(nodes=None, weights=None, opset=21, ir_version=10, **fields):
    """A model y = Relu(x w), or what is given in place of its parts."""
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    weights = [numpy_helper.from_array(np.ones((3, 4), np.float32), "w")] if weights is None else weights
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", 3])],
        [helper.make_tensor_value_info("y", 1, ["n", 4])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    for name, value in fields.items():
        getattr(model, name).extend(value)
    return model


def run(model, **inputs):
    data = model if isinstance(model, (str, bytes)) else model.SerializeToString()
    return onnxruntime.InferenceSession(data).run(None, inputs)


def external(folder, size=48, offset=0, length=48, location="w.bin", dims=(3, 4)):
    (folder / "w.bin").write_bytes(np.ones(12, np.float32).tobytes()[:size])
    tensor = TensorProto(name="w", data_type=1, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": offset, "length": length}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "m.onnx"
    path.write_bytes(make(weights=[tensor]).SerializeToString())
    return path


CONTENTS = {
    "empty": (b"", "is empty"),
    "text": (b"hello, I am a model\n" * 9, "not an ONNX model"),
    "png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "is a PNG picture"),
    "jpeg": (b"\xff\xd8\xff\xe0" + b"\0" * 99, "is a JPEG picture"),
    "zip": (b"PK\x03\x04" + b"\0" * 99, "PyTorch checkpoint"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "tflite": (b"\x1c\0\0\0TFL3" + b"\0" * 99, "TensorFlow Lite"),
    "no graph": (onnx.ModelProto(ir_version=8).SerializeToString(), "no graph"),
    "cut short": (make().SerializeToString()[:-20], "damaged or cut short"),
}


@pytest.mark.parametrize(("data", "why"), CONTENTS.values(), ids=CONTENTS)
def test_files_that_are_no_model(tmp_path, data, why):
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=why):
        load_ir(tmp_path / "m.onnx")


def test_no_such_file_and_folders(tmp_path):
    with pytest.raises(ModelError, match="no model file"):
        load_ir(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        load_ir(tmp_path)


def node(*args, **kwargs):
    return helper.make_node(*args, **kwargs)


def tensor(**fields):
    return TensorProto(**{"name": "w", "data_type": 1, "dims": [3, 4], **fields})


def referring():
    """Return a node outside of any function with an attribute that one would be given."""
    made = node("Flatten", ["x"], ["y"], axis=1)
    made.attribute[0].ref_attr_name = "a"
    return made


def untyped():
    """Return a model whose input is a tensor of nothing."""
    model = make()
    model.graph.input[0].type.tensor_type.elem_type = 0
    return model


DAMAGED = {
    "lost value": (make([node("Relu", ["h"], ["y"], name="r")]), "nothing computes 'h', read by Relu 'r'"),
    "lost weight": (make(weights=[]), "nothing computes 'w', read by MatMul"),
    "lost output": (make([node("MatMul", ["x", "w"], ["h"])]), "nothing computes its output 'y'"),
    "computed twice": (make([node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])]), "two nodes compute a value"),
    "two weights": (make(weights=[numpy_helper.from_array(np.ones((3, 4), np.float32), "w")] * 2), "two weights"),
    "short raw": (make(weights=[tensor(raw_data=b"\0" * 47)]), "holds 47 bytes, its shape says 48 bytes"),
    "short list": (make(weights=[tensor(float_data=[0] * 11)]), "holds 11 numbers"),
    "negative": (make(weights=[tensor(dims=[-3, 4])]), r"has shape \[-3, 4\]"),
    "unknown type": (make(weights=[tensor(data_type=99)]), "unknown type 99"),
    "no operator": (make([node("", ["x"], ["y"])]), "has no operator"),
    "too few inputs": (make([node("MatMul", ["x"], ["y"], name="m")]), "MatMul 'm' has too few inputs"),
    "wrong attribute": (make([node("Flatten", ["x"], ["y"], axis="1")]), "attribute 'axis' of Flatten"),
    "too many inputs": (make([node("Relu", ["x", "x"], ["y"])]), "Relu 'y' has 2 inputs, and 1 at most"),
    "an output too many": (make([node("Relu", ["x"], ["y", ""])]), "Relu 'y' has 2 outputs, and 1 at most"),
    "no attribute": (make([node("Concat", ["x", "x"], ["y"])]), "no attribute 'axis'"),
    "two values": (make([node("Constant", [], ["y"], value_int=1, value_float=1.0)]), "needs one value; got value_"),
    "no value": (make([node("Constant", [], ["y"], name="c")]), "Constant 'c' needs one value; got none"),
    "value and more": (make([node("Constant", [], ["y"], value_int=1, note="n")]), "one value; got note, value_int"),
    "an opset of 64 bits": (make(opset=1 << 40), "no operator set 'ai.onnx' is of version 1099511627776"),
    "a function's attribute": (make([referring()]), "attribute 'axis' of Flatten 'y' is that of a function, 'a'"),
    "an input of no type": (untyped(), "its input 'x' is a tensor of no type"),
    "no opset": (onnx.ModelProto(ir_version=8, graph=make().graph), "names no operator set"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "why"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_models(model, why):
    with pytest.raises(ModelError, match=why):
        load_ir(model)


def test_an_output_without_a_name_is_lost():
    model = make()
    model.graph.output[0].name = ""
    with pytest.raises(ModelError, match="nothing computes its output ''"):
        load_ir(model)


def test_constants_in_branches_and_functions_are_checked_as_well():
    bad = node("Constant", [], ["c"], name="c")
    branch = helper.make_graph([bad], "b", [], [helper.make_tensor_value_info("c", 1, None)])
    choice = node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    function = helper.make_function("own", "F", ["a"], ["c"], [bad], [helper.make_opsetid("", 21)])
    for model in (make([choice]), make(functions=[function])):
        with pytest.raises(ModelError, match="Constant 'c' needs one value"):
            load_ir(model)


def test_cyclic():
    model = make([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])])
    with pytest.raises(ModelError, match="cyclic"):
        load_ir(model)


def test_nodes_in_any_order_are_sorted():
    nodes = [node("Relu", ["h"], ["y"]), node("MatMul", ["x", "w"], ["h"])]
    expected = run(make(nodes[::-1]), x=X)[0]
    np.testing.assert_array_equal(run(to_proto(normalise(load_ir(make(nodes)))), x=X)[0], expected)


def test_contradicting_shapes_are_named():
    model = make(weights=[numpy_helper.from_array(np.ones((5, 4), np.float32), "w")])
    with pytest.raises(ModelError, match=r"shapes contradict each other at MatMul 'h'"):
        normalise(load_ir(model))


@pytest.mark.parametrize(
    ("line", "weights", "said"),
    [
        ("Conv (x, w)", (6, 3, 1, 1), "take 3 channels, and it is given 4"),
        ("Conv <group = 2> (x, w)", (6, 4, 1, 1), "take 8 channels"),
        ("ConvTranspose <group = 2> (x, w)", (6, 2, 1, 1), "take 6 channels"),
        ("Conv <group = 2> (x, w)", (6, 2, 1, 1), ""),
        ("ConvTranspose <group = 2> (x, w)", (4, 3, 1, 1), ""),
    ],
)
def test_channels_are_held_against_the_weights(line, weights, said):
    """As ONNX Runtime does once it runs: onnx's own inference does not, and its checker is content."""
    ports = f"(float[N, 4, 5, 5] x, float[{', '.join(map(str, weights))}] w) => (float[N, C, 5, 5] y)"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g {ports} {{ y = {line} }}')
    onnx.checker.check_model(model, full_check=True)
    feeds = {"x": np.ones((2, 4, 5, 5), np.float32), "w": np.ones(weights, np.float32)}
    if not said:
        assert run(to_proto(normalise(load_ir(model))), **feeds)[0].shape == (2, 6, 5, 5)
        return
    with pytest.raises(ModelError, match=rf"the model is not valid.* '?y'?: its weights {said}"):
        normalise(load_ir(model))
    with pytest.raises(Exception, match="channels"):
        run(model, **feeds)


def test_bounds_of_a_clip_are_held_to_one_number():
    """As ONNX Runtime does once it runs; a gradient would be built on it, and not be valid."""
    ports = "(float[N, 4, 5, 5] x, float[1, 4, 1, 1] w) => (float[N, 4, 5, 5] y)"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g {ports} {{ y = Clip(x, w) }}')
    onnx.checker.check_model(model, full_check=True)
    with pytest.raises(ModelError, match=r"at Clip '?y'?: its bounds are a number each, and one has .* \[1, 4, 1, 1\]"):
        normalise(load_ir(model))
    with pytest.raises(Exception, match="calar"):
        run(model, x=np.ones((2, 4, 5, 5), np.float32), w=np.ones((1, 4, 1, 1), np.float32))


def test_a_weight_is_as_it_is_not_as_it_is_declared():
    """ONNX Runtime does not look at what ``value_info`` says of a weight; a gradient would be built on it."""
    model = make()
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.INT64, [1, 7]))
    made = onnxsal.gradient(model, of=["y"], wrt=["x"])
    right = onnxsal.gradient(make(), of=["y"], wrt=["x"])
    seed = np.ones_like(run(make(), x=X)[0])
    for one, other in zip(*(run(each, x=X, **{"seed/y": seed}) for each in (made, right)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("model", [make(opset=999), make(ir_version=99)], ids=["opset", "file format"])
def test_newer_than_onnx(model):
    with pytest.raises(UnsupportedError, match="update it, or export the model to an older opset"):
        load_ir(model)


def test_older_than_7():
    with pytest.raises(UnsupportedError, match="opset 6"):
        normalise(load_ir(make(opset=6, ir_version=3)))


def test_external_weights_are_read(tmp_path):
    model = normalise(load_ir(external(tmp_path)))
    (weight,) = model.graph.initializers.values()
    assert isinstance(weight.const_value, ir.ExternalTensor)
    np.testing.assert_array_equal(weight.const_value.numpy(), np.ones((3, 4), np.float32))


EXTERNAL = {
    "outside": ({"location": "../w.bin"}, "outside the model's folder"),
    "absolute": ({"location": "/etc/hostname"}, "outside the model's folder"),
    "missing": ({"location": "other.bin"}, "'other.bin', which is missing"),
    "nowhere": ({"location": ""}, "outside the model's folder"),
    "cut short": ({"size": 40}, "cut short"),
    "offset": ({"offset": 4}, "bytes 4 to 52 of 'w.bin', which has 48"),
    "length": ({"length": 44}, "44 bytes outside, expected 48"),
    "no number": ({"offset": "a"}, "lies at a"),
}


@pytest.mark.parametrize(("given", "why"), EXTERNAL.values(), ids=EXTERNAL)
def test_external_weights_that_are_not_there(tmp_path, given, why):
    with pytest.raises(ModelError, match=why):
        load_ir(external(tmp_path, **given))


def test_links_lead_nowhere_but_to_the_blobs_of_a_cache(tmp_path):
    blobs, snapshot, secret = tmp_path / "blobs", tmp_path / "snapshots" / "abc", tmp_path / "secret"
    for folder in (blobs, snapshot, secret):
        folder.mkdir(parents=True)
    path = external(snapshot)
    for target in (blobs, secret):
        (snapshot / "w.bin").replace(target / "w.bin")
        (snapshot / "w.bin").symlink_to(target / "w.bin")
        if target is secret:
            with pytest.raises(ModelError, match="outside"):
                load_ir(path)
        else:
            (weight,) = load_ir(path).graph.initializers.values()
            assert weight.const_value.numpy().sum() == 12
            (snapshot / "w.bin").unlink()
            external(snapshot)


def test_external_weights_stay_external_when_saved(tmp_path):
    (tmp_path / "out").mkdir()
    weight = np.random.default_rng(0).standard_normal((3, 400)).astype(np.float32)
    (tmp_path / "w.bin").write_bytes(weight.tobytes())
    path = external(tmp_path, size=0, length=4800, dims=(3, 400))
    (tmp_path / "w.bin").write_bytes(weight.tobytes())
    save_ir(normalise(load_ir(path)), tmp_path / "out" / "m.onnx")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["m.onnx", "m.onnx.data"]
    saved = onnx.load(tmp_path / "out" / "m.onnx", load_external_data=False)
    assert [t.data_location for t in saved.graph.initializer] == [TensorProto.EXTERNAL]
    expected = np.maximum(X @ weight, 0)
    for file in (path, tmp_path / "out" / "m.onnx"):
        np.testing.assert_allclose(run(str(file), x=X)[0], expected, rtol=1e-5)


def test_more_than_protobuf_holds_is_never_read(tmp_path):
    """A sparse file of 2.5 GB: reading it would show in memory, a copy of it in time."""
    rows = 640 * 1024 * 1024 // 4
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(4 * 4 * rows)
    tensor = TensorProto(name="w", data_type=1, dims=[3, 4], data_location=TensorProto.EXTERNAL)
    path = external(tmp_path, length=4 * 4 * rows, dims=(rows, 4))
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(4 * 4 * rows)
    model = onnx.load(path, load_external_data=False)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = rows
    path.write_bytes(model.SerializeToString())
    loaded = normalise(load_ir(path))
    (weight,) = loaded.graph.initializers.values()
    assert weight.const_value.nbytes > 2**31 and weight.const_value.raw is None
    proto = to_proto(loaded)
    assert proto.ByteSize() < 10_000 and tensor.name == proto.graph.initializer[0].name


def test_saving_where_nothing_can_be_written(tmp_path):
    model = load_ir(make())
    with pytest.raises(OutputError, match="is a folder"):
        save_ir(model, tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        save_ir(model, tmp_path / "absent" / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_saved_inside_one_file(tmp_path):
    save_ir(load_ir(make()), tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    np.testing.assert_array_equal(run(str(tmp_path / "m.onnx"), x=X)[0], np.maximum(X @ np.ones((3, 4)), 0))


def test_a_message_is_saved_beside_its_weights(tmp_path, monkeypatch):
    """A ModelProto with references is that of the folder it is written to, as onnx.save has it; else of the current."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    proto = onnx.load(external(tmp_path / "in"), load_external_data=False)
    assert proto.graph.initializer[0].data_location == TensorProto.EXTERNAL
    with pytest.raises(ModelError, match=r"weights in 'w\.bin', which is not in .*out' nor in .*save it there"):
        onnxsal.save(proto, tmp_path / "out" / "g.onnx")
    onnxsal.save(proto, tmp_path / "in" / "g.onnx")
    monkeypatch.chdir(tmp_path / "in")
    onnxsal.save(proto, tmp_path / "out" / "g.onnx")
    for folder in ("in", "out"):
        np.testing.assert_allclose(run(str(tmp_path / folder / "g.onnx"), x=X)[0], np.maximum(X @ np.ones((3, 4)), 0))
