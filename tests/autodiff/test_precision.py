"""Half precision against float64 at the same numbers: on the reference evaluator, which sums in half, and on ORT.

Values of about 300 overflow float16 when squared; thousands of terms lose all digits of bfloat16.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from checker import Arrays, Case, Problem, model_of, problem, run_ort, run_reference

RNG = np.random.default_rng(0)
TOLERANCE = {np.float16: 4e-3, ml_dtypes.bfloat16: 1.2e-2}
KINDS = pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])


def normal(*shape: int, size: float = 1.0) -> np.ndarray:
    return RNG.normal(0, size, shape)


def large(*shape: int) -> np.ndarray:
    return normal(*shape, size=300.0)


WIDE = [
    Case("LayerNormalization", [large(4, 3000), normal(3000), normal(3000)], {"axis": -1}),
    Case("RMSNormalization", [large(4, 3000), normal(3000)], {"axis": -1}, opset=23),
    Case("InstanceNormalization", [large(2, 3, 40, 50), normal(3), normal(3)]),
    Case("GroupNormalization", [large(2, 4, 40, 50), normal(4), normal(4)], {"num_groups": 2}),
    Case("BatchNormalization", [normal(4, 3, 40, 50), normal(3), normal(3), normal(3), RNG.uniform(1, 2, 3)]),
    Case("LogSoftmax", [large(4, 3000)], {"axis": 1}),
    Case("Softmax", [normal(40, 30)], {"axis": 1}),
    Case("ReduceMean", [large(4, 3000), np.array([1])]),
    Case("Add", [large(100, 900), large(900)]),
    Case("Mul", [normal(400, 300), normal(300)]),
    Case("Gemm", [normal(3000, 20), normal(20, 4), normal(4)]),
    Case("MatMul", [normal(20, 3000), normal(3000, 4)]),
    Case("Gelu", [normal(40, 50)]),
    Case("Sigmoid", [large(40, 50)]),
    Case("ReduceL2", [large(4, 3000), np.array([1])]),
    Case("GlobalLpPool", [large(2, 3, 40, 40)]),
    Case("GlobalAveragePool", [large(2, 3, 90, 80)]),
    Case("Tile", [normal(1, 30), np.array([3000, 1])]),
    Case("Gather", [normal(3, 30), np.zeros(3000, np.int64)], {"axis": 0}),
    Case("Attention", [normal(1, 2, 12, 16) for _ in range(3)], opset=23),
]


def narrowed(case: Case, kind: Any) -> tuple[Problem, Arrays]:
    """Return the problem in half precision, and the gradients in float64 at the same rounded numbers."""
    exact = problem(case)
    feeds, seeds = ({k: v.astype(kind) for k, v in arrays.items()} for arrays in (exact.feeds, exact.seeds))
    narrow = Problem(model_of(case, np.dtype(kind)), feeds, seeds, exact.directions)
    wide = {k: v.astype(np.float64) for k, v in narrow.all_feeds().items()}
    return narrow, run_reference(exact.gradient(), wide)


def hold(results: Arrays, wanted: Arrays, kind: Any) -> None:
    for name in (n for n in wanted if n.startswith("grad/")):
        assert results[name].dtype == kind
        error = np.abs(results[name].astype(np.float64) - wanted[name]).max()
        assert error <= TOLERANCE[kind] * np.abs(wanted[name]).max(), name


@KINDS
@pytest.mark.parametrize("case", WIDE, ids=str)
def test_on_the_reference_evaluator(case: Case, kind: Any) -> None:
    narrow, wanted = narrowed(case, kind)
    hold(run_reference(narrow.gradient(), narrow.all_feeds()), wanted, kind)


@pytest.mark.parametrize("case", WIDE, ids=str)
def test_float16_on_onnx_runtime(case: Case) -> None:
    narrow, wanted = narrowed(case, np.float16)
    hold(run_ort(narrow.gradient(), narrow.all_feeds()), wanted, np.float16)


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
def test_sums_over_pictures(op_type: str) -> None:
    """The evaluator has no convolution in bfloat16, nor has ONNX Runtime."""
    narrow, wanted = narrowed(Case(op_type, [normal(2, 3, 30, 40), normal(3, 3, 3, 3), normal(3)]), np.float16)
    hold(run_reference(narrow.gradient(), narrow.all_feeds()), wanted, np.float16)
    hold(run_ort(narrow.gradient(), narrow.all_feeds()), wanted, np.float16)


@KINDS
def test_partial_sums_beyond_the_range_cancel(kind: Any) -> None:
    """A broadcast over 60,000 rows: half the cotangents are 8, half are -8, and float16 ends at 65,504."""
    case = Case("Add", [normal(60_000, 2), normal(1, 2)], wrt=[1])
    narrow, _ = narrowed(case, kind)
    seed = np.repeat([8.0, -8.0], 30_000)[:, None] + np.array([[0.0, 1 / 1024]]) * (np.arange(60_000) == 0)[:, None]
    seeds = {"y0": np.broadcast_to(seed, (60_000, 2)).astype(kind)}
    results = run_reference(narrow.gradient(), {**narrow.all_feeds(), "seed/y0": seeds["y0"]})
    np.testing.assert_allclose(
        results["grad/x1"].astype(np.float64), seeds["y0"].astype(np.float64).sum(axis=0, keepdims=True), atol=1e-2
    )


def test_the_forward_stays_in_half_precision() -> None:
    """Widening is for gradients alone: the user's node, its type and its values stay."""
    narrow, _ = narrowed(WIDE[0], np.float16)
    graph = narrow.gradient()
    (node,) = (n for n in graph.graph.node if n.output[0] == "y0")
    assert (node.op_type, list(node.input)) == ("LayerNormalization", ["x0", "x1", "x2"])
    types = {o.name: o.type.tensor_type.elem_type for o in graph.graph.output}
    assert set(types.values()) == {onnx.TensorProto.FLOAT16}
    forward = run_ort(narrow.model, narrow.feeds)["y0"]
    np.testing.assert_array_equal(run_ort(graph, narrow.all_feeds())["y0"], forward)
