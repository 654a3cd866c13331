"""Inference sessions: batches of fixed models, and every failure as one error that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from onnxsal.errors import ModelError, OnnxsalError, OutOfMemoryError, UnsupportedError
from onnxsal.graph import Program, Tape, load_ir
from onnxsal.graph.program import empty
from onnxsal.runtime import DeviceBuffer, ReferenceSession, Session
from onnxsal.runtime.failures import translated

FLOAT, INT64, DOUBLE = ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.DOUBLE


def squares(batch: int | str) -> Program:
    """Return x -> x^2 + 1 over rows of three."""
    op = empty(21)
    x = op.input("x", FLOAT, [batch, 3])
    return op.finish(y=op.Add(op.Mul(x, x), 1.0))


@pytest.mark.parametrize("kind", [Session, ReferenceSession])
def test_runs_what_it_is_given(kind: type) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(kind(squares("batch")).run({"x": x, "unused": x})["y"], x * x + 1)


def test_a_fixed_batch_is_run_image_by_image() -> None:
    session = Session(squares(1))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert session.single
    np.testing.assert_array_equal(session.run({"x": x})["y"], x * x + 1)


def test_rows_of_other_sizes_are_named() -> None:
    """What an operator finds of each row may be more of one than of another."""
    op = empty(21)
    found = op.NonZero(op.input("x", FLOAT, [1, 3]))
    with pytest.raises(
        ModelError, match=r"output 'y' has other sizes for other rows of a batch, \[2, 1\] and \[2, 3\]"
    ):
        Session(op.finish(y=found)).run({"x": np.array([[1, 0, 0], [1, 1, 1]], np.float32)})


@pytest.mark.parametrize("batch", ["batch", 1])
def test_what_lies_in_place_gives_what_arrays_give(batch: int | str) -> None:
    """On the host an address is bound as on a GPU; a fixed batch goes image by image there too."""
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    found = Session(squares(batch)).run_placed({"x": DeviceBuffer("cpu", x.ctypes.data, x.shape)}, {})
    np.testing.assert_array_equal(found["y"], x * x + 1)


def test_feeds_take_the_type_that_the_program_wants() -> None:
    x = np.array([[1.5, 2.5, 3.5]])
    assert Session(squares("batch")).run({"x": x})["y"].dtype == np.float32


def test_an_unknown_operator_is_named_with_its_nodes() -> None:
    op = empty(21, domains={"lab": 1})
    x = op.input("x", FLOAT, ["batch", 3])
    nodes = [ir.node("Sharpen", [x], domain="lab", name=f"sharp{i}") for i in range(2)]
    for node in nodes:
        node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = f"{node.name}_out", x.type, x.shape
        op.graph.append(node)
    program = op.finish(y=op.Add(*(n.outputs[0] for n in nodes)))
    with pytest.raises(UnsupportedError, match=r"operator lab:Sharpen \(nodes 'sharp0', 'sharp1'\).*--custom-ops"):
        Session(program)


def test_a_missing_kernel_is_named_with_its_node() -> None:
    op = empty(21)
    x = op.input("x", DOUBLE, ["batch", 1, 4, 4])
    y = op.Conv(x, op.const(np.ones((1, 1, 3, 3))))
    y.producer().name = "wide"
    with pytest.raises(
        UnsupportedError,
        match=r"no kernel for Conv of float64 at node .wide.; few .* in float64: export the model in float32",
    ):
        Session(op.finish(y=y))


def test_memory_that_is_not_there() -> None:
    op = empty(21)
    size = op.input("size", INT64, [2])
    program = op.finish(y=op.ReduceSum(op.ConstantOfShape(size), None, keepdims=0))
    with pytest.raises(OutOfMemoryError, match=r"out of memory; bound it with --memory"):
        Session(program).run({"size": np.array([2**30, 2**14])})


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (MemoryError(), OutOfMemoryError, "out of memory; bound it with --memory"),
        (RuntimeError("std::bad_alloc"), OutOfMemoryError, "out of memory"),
        (RuntimeError("CUDA failure 2: out of memory"), OutOfMemoryError, "out of memory"),
        (RuntimeError("Available memory of 9 is smaller than requested bytes of 10"), OutOfMemoryError, "out of"),
        (RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for 10"), OutOfMemoryError, "out of"),
        (RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED"), OutOfMemoryError, "out of memory"),
        (RuntimeError("axis 7 is\nout of range"), ModelError, "it failed: axis 7 is out of range"),
        (RuntimeError("lab:Sharpen(-1) is not a registered function/op"), UnsupportedError, "lab:Sharpen;"),
        (
            RuntimeError("Could not find an implementation for lab:Blur(1) node with name 'b'"),
            UnsupportedError, "no kernel for lab:Blur at node 'b'; if it is a custom operator",
        ),
    ],
)  # fmt: skip
def test_failures_are_translated(error: Exception, kind: type[OnnxsalError], said: str) -> None:
    found = translated(error, "it failed")
    assert type(found) is kind
    assert said in str(found)


def test_a_library_that_is_none(tmp_path: Path) -> None:
    library = tmp_path / "ops.so"
    library.write_bytes(b"no library")
    with pytest.raises(UnsupportedError, match=r"ops.so' cannot be loaded as a library of custom operators"):
        Session(squares("batch"), custom_ops=[str(library)])


def test_large_weights_are_handed_over_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxsal.runtime.session._INLINE", 1000)
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    op = empty(21)
    x = op.input("x", FLOAT, ["batch", 64])
    program = op.finish(y=op.MatMul(x, op.const(weight)))
    found = Session(program).run({"x": np.eye(64, dtype=np.float32)})["y"]
    np.testing.assert_allclose(found, weight, rtol=1e-6)


def test_views_that_are_handed_over_by_reference_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of an array, as the cells of a detector's grids are, and a transposed one."""
    monkeypatch.setattr("onnxsal.runtime.session._INLINE", 1000)
    whole = np.random.default_rng(0).normal(size=(1200, 3)).astype(np.float32)
    for view in (whole[None, :, :2], whole.T[None], whole[None, ::-1]):
        op = empty(21)
        program = op.finish(y=op.Add(op.input("x", FLOAT, list(view.shape)), op.const(view)))
        np.testing.assert_array_equal(Session(program).run({"x": np.zeros(view.shape, np.float32)})["y"], view)


TURNED = {
    "Add": lambda op, x, w: op.Add(x, w),
    "Where": lambda op, x, w: op.Where(op.Less(x, w), x, w),
    "Concat": lambda op, x, w: op.Concat(x, op.Unsqueeze(w, [0]), axis=1),
    "MatMul": lambda op, x, w: op.MatMul(x, w),
    "MatMul from the left": lambda op, x, w: op.MatMul(w, x),
    "Gemm": lambda op, x, w: op.Unsqueeze(op.Gemm(op.Squeeze(x, [0]), w, transB=1), [0]),
    "Gather": lambda op, x, w: op.Add(x, op.Gather(w, list(range(63, -1, -1)), axis=0)),
    "Gather of columns": lambda op, x, w: op.Add(x, op.Gather(w, list(range(63, -1, -1)), axis=1)),
    "Conv": lambda op, x, w: op.Conv(x, op.Unsqueeze(w, [2])),
    "ConvTranspose": lambda op, x, w: op.ConvTranspose(x, op.Unsqueeze(w, [2])),
    "a Transpose of its own": lambda op, x, w: op.Add(x, op.Transpose(w, perm=[1, 0])),
    "MatMul by its Transpose": lambda op, x, w: op.MatMul(x, op.Transpose(w, perm=[1, 0])),
    "both": lambda op, x, w: op.MatMul(op.Add(x, w), w),
}


@pytest.mark.parametrize("between", TURNED.values(), ids=list(TURNED))
def test_weights_that_onnx_runtime_turns_are_not_handed_over_as_they_were(
    between: Callable[[Tape, ir.Value, ir.Value], ir.Value], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its optimiser turns them in place where Transposes meet across an operator; their sides are equal here."""
    rng = np.random.default_rng(0)
    weight, x = (rng.normal(size=shape).astype(np.float32) for shape in ((64, 64), (1, 64, 64)))
    op = empty(21)
    turned = op.Transpose(op.input("x", FLOAT, [1, 64, 64]), perm=[0, 2, 1])
    program = op.finish(y=op.Transpose(between(op, turned, op.const(weight)), perm=[0, 2, 1]))
    right = ReferenceEvaluator(ir.to_proto(program.model)).run(None, {"x": x})[0]
    monkeypatch.setattr("onnxsal.runtime.session._INLINE", 1000)
    np.testing.assert_allclose(Session(program).run({"x": x})["y"], right, rtol=1e-4, atol=1e-4)


def test_small_weights_that_lie_outside_go_along(tmp_path: Path) -> None:
    """A message has no folder: what it leaves outside would be looked for in the current one."""
    op = empty(21)
    x = op.input("x", FLOAT, ["batch", 3])
    inside = op.finish(y=op.ReduceSum(op.Mul(x, op.const(np.float32([1, 2, 3]))), op.const(np.int64([1]))))
    ir.save(inside.model, tmp_path / "m.onnx", external_data="m.data", size_threshold_bytes=0)
    outside = Program(load_ir(tmp_path / "m.onnx"))
    assert any(isinstance(v.const_value, ir.ExternalTensor) for v in outside.model.graph.initializers.values())
    np.testing.assert_array_equal(Session(outside).run({"x": np.float32([[1, 1, 1]])})["y"], [[6]])
