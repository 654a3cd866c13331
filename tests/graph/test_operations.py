"""Multiply-accumulates against counts by hand."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
import pytest

from onnxsal.graph import Tape, empty, infer_shapes
from onnxsal.graph.operations import operations

F = ir.DataType.FLOAT


def count(build: Callable[[Tape, Callable[..., ir.Value]], ir.Value]) -> dict[str, int]:
    op = empty(21)
    names = iter("abcdefgh")
    y = build(op, lambda *shape: op.input(next(names), F, shape))
    program = op.finish(y=y)
    infer_shapes(program.model)
    found = operations(program.model.graph)
    assert found.unknown == ()
    assert found.total == sum(found.by_operator.values())
    return found.by_operator


CASES: dict[str, tuple[Callable[..., ir.Value], dict[str, int]]] = {
    "convolution": (
        lambda op, x: op.Conv(x("batch", 3, 10, 12), x(8, 3, 5, 3), pads=[2, 1, 2, 1]),
        {"Conv": 8 * 10 * 12 * 3 * 5 * 3},
    ),
    "strided": (
        lambda op, x: op.Conv(x("batch", 3, 10, 12), x(8, 3, 2, 2), strides=[2, 2]),
        {"Conv": 8 * 5 * 6 * 3 * 2 * 2},
    ),
    "depthwise": (lambda op, x: op.Conv(x("batch", 4, 6, 6), x(4, 1, 3, 3), group=4), {"Conv": 4 * 4 * 4 * 9}),
    "transposed": (
        lambda op, x: op.ConvTranspose(x("batch", 6, 5, 5), x(6, 2, 3, 3), strides=[2, 2]),
        {"ConvTranspose": 6 * 5 * 5 * 2 * 9},
    ),
    "matrix product over heads": (
        lambda op, x: op.MatMul(x("batch", 4, 7, 16), x("batch", 4, 16, 9)),
        {"MatMul": 4 * 7 * 9 * 16},
    ),
    "two layers": (
        lambda op, x: op.Gemm(op.Relu(op.Gemm(x("batch", 20), x(30, 20), transB=1)), x(30, 5)),
        {"Gemm": 20 * 30 + 30 * 5},
    ),
    "turned": (lambda op, x: op.Gemm(x(20, 3), x(20, 5), transA=1), {"Gemm": 3 * 5 * 20}),
    "none": (lambda op, x: op.Relu(x("batch", 3)), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name: str) -> None:
    build, expected = CASES[name]
    assert count(build) == expected


def test_extents_that_nobody_knows_are_said_to_be_so() -> None:
    op = empty(21)
    x = op.input("x", F, None)
    node = op.MatMul(x, op.input("w", F, [4, 4]))
    found = operations(op.finish(y=node).model.graph)
    assert found.unknown == (node.producer().name,)
    assert found.total == 0
