"""Weights outside the file: read beside the model wherever they are named, from whatever folder, by every command.

The right value is what ONNX Runtime makes of the file by its path.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal
from onnxsal.errors import ModelError
from onnxsal.graph import load_ir, normalise, save_ir
from onnxsal.graph.files import weight_bytes
from onnxsal.graph.memory import footprint
from onnxsal.graph.program import Program
from onnxsal.runtime import Session

Made = tuple[list[onnx.NodeProto], dict[str, np.ndarray]]
R = np.random.default_rng(4)
X = R.normal(size=(1, 3, 12, 12)).astype(np.float32) + 0.3


def weights(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def value(name: str, *shape: int | str | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape or None)


def conv(seed: int, x: str, y: str, prefix: str, *, channels: int = 3, constant: bool = False):
    """A convolution, and its weight as an initializer or as a constant."""
    tensor = numpy_helper.from_array(weights(seed, 3, channels, 3, 3), f"{prefix}w")
    node = helper.make_node("Conv", [x, f"{prefix}w"], [y], pads=[1] * 4)
    if constant:
        return [helper.make_node("Constant", [], [f"{prefix}w"], value=tensor), node], []
    return [node], [tensor]


def branch(seed: int, name: str, **form: bool) -> onnx.GraphProto:
    nodes, held = conv(seed, "x", f"{name}o", name, **form)
    return helper.make_graph(nodes, name, [], [value(f"{name}o")], held)


def condition() -> list[onnx.NodeProto]:
    return [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["c"]),
    ]


def chosen(**form: bool) -> onnx.NodeProto:
    return helper.make_node(
        "If", ["c"], ["y"], then_branch=branch(1, "t", **form), else_branch=branch(2, "e", **form)
    )  # fmt: skip


def nested() -> onnx.NodeProto:
    """A choice in a choice, as torch.cond within torch.cond is written."""
    inner = helper.make_node("If", ["c"], ["io"], then_branch=branch(1, "t"), else_branch=branch(2, "e"))
    outer = helper.make_graph([inner], "outer", [], [value("io")])
    return helper.make_node("If", ["c"], ["y"], then_branch=outer, else_branch=branch(3, "n"))


def turned() -> list[onnx.NodeProto]:
    """Three turns of a Loop through one convolution."""
    nodes, held = conv(1, "state", "next", "l")
    taken = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []), value("state", "n", 3, 12, 12),
    ]  # fmt: skip
    given = [helper.make_tensor_value_info("on", TensorProto.BOOL, []), value("next", "n", 3, 12, 12)]
    body = helper.make_graph([helper.make_node("Identity", ["go"], ["on"]), *nodes], "body", taken, given, held)
    return [helper.make_node("Loop", ["three", "", "x"], ["y"], body=body)]


def scanned() -> list[onnx.NodeProto]:
    """A Scan over the rows, each multiplied by a matrix."""
    matrix = numpy_helper.from_array(weights(1, 12, 12), "m")
    body = helper.make_graph(
        [helper.make_node("MatMul", ["row", "m"], ["out"])], "body", [value("row", "n", 3, 12)],
        [value("out", "n", 3, 12)], [matrix],
    )  # fmt: skip
    return [
        helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1, scan_input_axes=[2], scan_output_axes=[2])
    ]


def called(opset: int) -> tuple[list[onnx.NodeProto], onnx.FunctionProto]:
    """A function whose weight is a constant of its own."""
    nodes, _ = conv(1, "a", "b", "f", constant=True)
    function = helper.make_function("lab", "Filter", ["a"], ["b"], nodes, [helper.make_opsetid("", opset)])
    return [helper.make_node("Filter", ["x"], ["y"], domain="lab")], function


def sparse() -> onnx.SparseTensorProto:
    w = weights(1, 3, 3, 3, 3) * (weights(2, 3, 3, 3, 3) > 0)
    places = np.flatnonzero(w)
    return helper.make_sparse_tensor(
        numpy_helper.from_array(w.reshape(-1)[places], "sw"), numpy_helper.from_array(places, "si"), w.shape
    )


def model(kind: str, opset: int = 17) -> onnx.ModelProto:
    functions: list[onnx.FunctionProto] = []
    held = [numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.int64(3), "three"),
            numpy_helper.from_array(weights(5, 3, 4), "v")]  # fmt: skip
    if kind == "function":
        nodes, function = called(opset)
        functions.append(function)
    elif kind in ("sparse", "sparse constant"):
        nodes = [helper.make_node("Conv", ["x", "sw"], ["y"], pads=[1] * 4)]
        if kind == "sparse constant":
            nodes.insert(0, helper.make_node("Constant", [], ["sw"], sparse_value=sparse()))
    elif kind == "constant":
        nodes = conv(1, "x", "y", "k", constant=True)[0]
    elif kind in ("Loop", "Scan"):
        nodes = turned() if kind == "Loop" else scanned()
    else:
        kinds: dict[str, Callable[[], onnx.NodeProto]] = {
            "If": chosen, "If in If": nested, "constant in If": lambda: chosen(constant=True)
        }  # fmt: skip
        nodes = [*condition(), kinds[kind]()]
    nodes += [
        helper.make_node("Sigmoid", ["y"], ["r"]), helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]), helper.make_node("Gemm", ["f", "v"], ["z"]),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "g", [value("x", "N", 3, 12, 12)], [value("z", "N", 4)], held)
    graph.value_info.append(value("y", "N", 3, 12, 12))
    if kind == "sparse":
        graph.sparse_initializer.append(sparse())
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid("lab", 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions)


def tensors(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Every tensor of a message with numbers in it, wherever it is."""
    found: list[onnx.TensorProto] = []

    def visit(message) -> None:
        if isinstance(message, onnx.TensorProto):
            found.append(message)
            return
        for field, held in message.ListFields():
            if field.message_type is not None:
                for each in held if isinstance(held, (list, tuple)) or hasattr(held, "append") else [held]:
                    visit(each)

    visit(proto)
    return found


def write(folder: Path, kind: str, opset: int = 17, scale: float = 1.0) -> Path:
    """The model with every tensor that has bytes in a file beside it."""
    folder.mkdir(exist_ok=True)
    proto, data = model(kind, opset), b""
    for tensor in tensors(proto):
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            array = (array * np.float32(scale)).astype(np.float32)
        tensor.ClearField("int64_data")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in {"location": "model.onnx.data", "offset": len(data), "length": array.nbytes}.items():
            tensor.external_data.add(key=key, value=str(text))
        data += array.tobytes()
    (folder / "model.onnx.data").write_bytes(data)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


KINDS = ["If", "If in If", "constant in If", "Loop", "Scan", "function", "constant", "sparse", "sparse constant"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in a folder of its own; the current folder holds another's weights of the same name."""
    monkeypatch.chdir(write(tmp_path / "elsewhere", kind, scale=-3).parent)
    return write(tmp_path / "home", kind)


def right(path: Path) -> np.ndarray:
    return itself(path).run(None, {"x": X})[0]


def itself(path: Path) -> onnxruntime.InferenceSession:
    """The runtime's session of the file; where it cannot read places of sparse weights beside it, nothing says what is
    right."""
    try:
        return onnxruntime.InferenceSession(str(path))
    except Exception as error:
        if "CopySparseData" in str(error):
            pytest.skip(f"ONNX Runtime {onnxruntime.__version__} loads no sparse weights beside the model")
        raise


def from_bytes(proto: onnx.ModelProto, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": X, **feeds}), strict=True))


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_the_normal_form_reads_beside_the_model(
    kind: str, opset: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opset 17 goes through onnx's converter, which takes weights of bodies along; 21 does not."""
    monkeypatch.chdir(write(tmp_path / "elsewhere", kind, scale=-3).parent)
    path = write(tmp_path / "home", kind, opset)
    work = normalise(load_ir(path))
    np.testing.assert_allclose(Session(Program(work)).run({"x": X})["z"], right(path), rtol=1e-5)


def test_explaining_reads_beside_the_model(path: Path) -> None:
    loaded = onnxsal.load(path)
    found = onnxsal.explain(loaded, X, method="gradient", target=1)
    assert found.logit == pytest.approx(float(right(path)[0, 1]), rel=1e-5)


def test_a_gradient_runs_from_its_bytes(path: Path) -> None:
    """Its gradient is the slope of the file itself."""
    made = onnxsal.gradient(path, of=["z"], wrt=["x"])
    assert not any(t.data_location == TensorProto.EXTERNAL for t in tensors(made))
    seed = np.float32([[0.3, -1, 0.5, 2]])
    found = from_bytes(made, **{"seed/z": seed})
    np.testing.assert_allclose(found["z"], right(path), rtol=1e-5)
    way = R.normal(size=X.shape).astype(np.float32)
    session = itself(path)
    ends = [float((seed * session.run(None, {"x": X + step * way})[0]).sum()) for step in (1e-2, -1e-2)]
    assert float((found["grad/x"] * way).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=2e-2, abs=1e-3)


def test_a_compiled_model_runs_from_its_bytes(path: Path) -> None:
    made = onnxsal.compile(path, method="gradient", target=1)
    assert not any(t.data_location == TensorProto.EXTERNAL for t in tensors(made))
    found = from_bytes(made)
    np.testing.assert_allclose(found["z"], right(path), rtol=1e-5)
    expected = onnxsal.explain(onnxsal.load(path), X, method="gradient", target=1).saliency
    np.testing.assert_allclose(found["saliency"][0], expected, atol=1e-5)


def test_saving_elsewhere_takes_the_weights_along(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    onnxsal.save(onnxsal.load(path), out / "saved.onnx")
    expected = right(path)
    path.with_name("model.onnx.data").unlink()
    np.testing.assert_allclose(right(out / "saved.onnx"), expected, rtol=1e-5)


def test_the_hash_counts_them(kind: str, path: Path) -> None:
    before = onnxsal.load(path).digest
    assert onnxsal.load(path).digest == before
    message = path.read_bytes()
    write(path.parent, kind, scale=1.5)
    assert path.read_bytes() == message
    assert onnxsal.load(path).digest != before


def test_memory_counts_them(kind: str, path: Path) -> None:
    """What a session takes has the weights of bodies in it."""
    sizes = {"If": (2, 324), "If in If": (3, 324), "constant in If": (2, 324), "Scan": (1, 576)}
    count, each = sizes.get(kind, (1, 324))
    work = normalise(load_ir(path))
    if kind != "constant in If":
        assert count * each <= weight_bytes(work) == footprint(work).fixed <= count * each + 200


@pytest.mark.parametrize("location", ["../elsewhere/model.onnx.data", "/etc/hostname", "absent.bin"])
def test_places_outside_the_folder_are_refused(path: Path, location: str) -> None:
    proto = onnx.load(path, load_external_data=False)
    for entry in (e for t in tensors(proto) if t.name not in ("zero", "three", "v") for e in t.external_data):
        entry.value = location if entry.key == "location" else entry.value
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"outside the model's folder|which is missing"):
        onnxsal.load(path)


def wide(folder: Path) -> Path:
    """A choice between two matrices of 16 kB each, in a file beside it."""
    branches = [
        helper.make_graph(
            [helper.make_node("MatMul", ["x", f"{n}w"], [f"{n}o"])], n, [], [value(f"{n}o", "n", 64)],
            [numpy_helper.from_array(weights(i, 64, 64), f"{n}w")],
        )
        for i, n in enumerate("te")
    ]  # fmt: skip
    nodes = [*condition(), helper.make_node("If", ["c"], ["z"], then_branch=branches[0], else_branch=branches[1])]
    graph = helper.make_graph(
        nodes, "g", [value("x", "n", 64)], [value("z", "n", 64)], [numpy_helper.from_array(np.float32(0), "zero")]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    folder.mkdir(exist_ok=True)
    onnx.save(proto, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    return folder / "model.onnx"


def test_too_many_for_one_file_stay_outside_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a file had room for one of the two."""
    monkeypatch.setattr("onnxsal.graph.files.PROTOBUF_LIMIT", 20_000)
    path, feeds = wide(tmp_path / "home"), {"x": weights(7, 3, 64), "seed/z": weights(8, 3, 64)}
    with pytest.warns(
        UserWarning, match=r"0\.0 GB, more than one file can hold .*stay where they are.*model.onnx.data"
    ):
        made = onnxsal.gradient(path, of=["z"], wrt=["x"])
    assert {e.value for t in tensors(made) for e in t.external_data if e.key == "location"} == {"model.onnx.data"}
    onnxsal.save(made, path.parent / "saved.onnx")
    (path.parent / "grad.onnx").write_bytes(made.SerializeToString())
    for name in ("saved.onnx", "grad.onnx"):
        session = onnxruntime.InferenceSession(str(path.parent / name))
        z, grad = session.run(["z", "grad/x"], feeds)
        taken = weights(0 if feeds["x"].mean() > 0 else 1, 64, 64)
        np.testing.assert_allclose(z, feeds["x"] @ taken, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(grad, feeds["seed/z"] @ taken.T, rtol=1e-4, atol=1e-5)


def test_constants_of_operators_that_are_taken_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CenterCropPad is differentiated as the function that defines it, with its constant sizes."""
    node = helper.make_node("CenterCropPad", ["x", "sizes"], ["z"], axes=[1])
    sizes = numpy_helper.from_array(np.int64([4]), "sizes")
    graph = helper.make_graph([node], "g", [value("x", "n", 6)], [value("z", "n", 4)], [sizes])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = onnxsal.gradient(tmp_path / "m.onnx", of=["z"], wrt=["x"])
    seed = np.float32([[1, 2, 3, 4]])
    session = onnxruntime.InferenceSession(made.SerializeToString())
    found = session.run(["grad/x"], {"x": np.zeros((1, 6), "f"), "seed/z": seed})[0]
    np.testing.assert_array_equal(found, [[0, 1, 2, 3, 4, 0]])


@pytest.mark.parametrize("kind", ["If", "If in If"], indirect=True)
def test_weights_of_bodies_are_written_beside_the_file(path: Path, tmp_path: Path) -> None:
    save_ir(load_ir(path), tmp_path / "home" / "saved.onnx")
    saved = onnx.load(tmp_path / "home" / "saved.onnx", load_external_data=False)
    places = {e.value for t in tensors(saved) for e in t.external_data if e.key == "location"}
    assert places <= {"saved.onnx.data"}
    np.testing.assert_allclose(right(tmp_path / "home" / "saved.onnx"), right(path), rtol=1e-6)


def test_sparse_weights_of_wrong_places_are_damage() -> None:
    proto = model("sparse")
    proto.graph.sparse_initializer[0].indices.CopyFrom(numpy_helper.from_array(np.int64([0, 999]), "si"))
    with pytest.raises(ModelError, match=r"sparse weight 'sw' has .* values at"):
        load_ir(proto)


def test_a_weight_that_only_a_branch_reads(tmp_path: Path) -> None:
    """torch.cond is written so by torch 2.13: the weights of its branches are those of the model, in a file beside it.

    ONNX Runtime takes no initializer of a part of the model that does not read it.
    """
    branches = [
        helper.make_graph([helper.make_node("Conv", ["x", w], [f"{w}o"], pads=[p] * 4)], w, [], [value(f"{w}o")])
        for w, p in (("u", 1), ("v", 2))
    ]
    nodes = [
        *condition(), helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("GlobalAveragePool", ["y"], ["g"]), helper.make_node("Flatten", ["g"], ["z"]),
    ]  # fmt: skip
    held = {"zero": np.float32(0), "u": weights(1, 16, 3, 3, 3), "v": weights(2, 16, 3, 5, 5)}
    graph = helper.make_graph(
        nodes, "g", [value("x", 1, 3, 12, 12)], [value("z", 1, 16)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    loaded = onnxsal.load(tmp_path / "m.onnx")
    for x in (X, X - 1):
        wanted = onnxruntime.InferenceSession(str(tmp_path / "m.onnx")).run(None, {"x": x})[0]
        found = onnxsal.explain(loaded, x, method="gradient", target=3)
        assert found.logit == pytest.approx(float(wanted[0, 3]), rel=1e-5)
