"""Rules of matrix products and normalisations against difference quotients."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
from checker import Case, check

import onnxsal

R = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def positive(*shape: int) -> np.ndarray:
    return R.uniform(0.5, 2.0, size=shape)


CASES = [
    Case("Gemm", [normal(*((4, 3) if t else (3, 4))), normal(*((2, 4) if u else (4, 2))), c],
         {"transA": t, "transB": u, "alpha": 0.7, "beta": 1.3})
    for t in (0, 1) for u in (0, 1) for c in (None, normal(2), normal(3, 1), normal())
]  # fmt: skip
CASES += [Case("Gemm", [normal(4, 3), normal(2, 4)], {"transA": 7, "transB": 26})]  # any number but 0 turns
SHAPES = [
    ((3, 4), (4, 2)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((1, 3, 4), (2, 4, 5)), ((2, 3, 4), (1, 4, 5)),
    ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (3, 4, 5)), ((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((2, 3, 4), (4,)),
    ((4,), (2, 4, 3)),
]  # fmt: skip
CASES += [Case("MatMul", [normal(*a), normal(*b)], symbolic=s) for a, b in SHAPES for s in (False, True)]
CASES += [
    Case("BatchNormalization", [normal(2, 3, 4), positive(3), normal(3), normal(3), positive(3)]),
    Case("BatchNormalization", [normal(5, 3), positive(3), normal(3), normal(3), positive(3)], {"epsilon": 0.1}),
    Case("BatchNormalization", [normal(2, 3, 4, 4), positive(3), normal(3), normal(3), positive(3)],
         {"training_mode": 1}, outputs=3, wrt=[0, 1, 2]),
    Case("InstanceNormalization", [normal(2, 3, 4, 2), positive(3), normal(3)]),
    Case("InstanceNormalization", [normal(2, 3, 4), positive(3), normal(3)]),
    Case("InstanceNormalization", [normal(2, 3, 4, 2), positive(3), normal(3)], symbolic=True),
    Case("GroupNormalization", [normal(2, 6, 4, 2), positive(6), normal(6)], {"num_groups": 3}),
    Case("GroupNormalization", [normal(2, 6, 4), positive(6), normal(6)], {"num_groups": 2}, symbolic=True),
    Case("LayerNormalization", [normal(2, 3, 4), positive(4), normal(4)]),
    Case("LayerNormalization", [normal(2, 3, 4), positive(4)]),
    Case("LayerNormalization", [normal(2, 3, 4), positive(4), normal(4)], symbolic=True),
    Case("LayerNormalization", [normal(2, 3, 4), positive(3, 4), normal(3, 4)], {"axis": 1}),
    Case("LayerNormalization", [normal(2, 3, 4), positive(4), normal(4)], {"axis": -1}, outputs=3, of=[0, 1, 2],
         on_ort=False),
    Case("RMSNormalization", [normal(2, 3, 4), positive(4)], opset=23),
    Case("RMSNormalization", [normal(2, 3, 4), positive(3, 4)], {"axis": 1, "epsilon": 0.1}, opset=23),
    Case("LRN", [normal(2, 7, 3, 2)], {"size": 3, "alpha": 0.9, "beta": 0.75, "bias": 1.2}),
    Case("LRN", [normal(2, 7, 3, 2)], {"size": 5, "alpha": 0.9, "beta": 0.5, "bias": 2.0}, symbolic=True),
    Case("LpNormalization", [normal(3, 4)]),
    Case("LpNormalization", [normal(3, 4)], {"p": 1, "axis": 0}),
    Case("MeanVarianceNormalization", [normal(2, 3, 4, 2)]),
    Case("MeanVarianceNormalization", [normal(2, 3, 4, 2)], {"axes": [1, 2]}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slope(case: Case) -> None:
    check(case)


def test_no_output_is_left_out_before_one_that_is_read() -> None:
    """OpenCV and IREE refuse a gradient of LayerNormalization without the mean, which nothing reads."""
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["": 21]> g (float[2, 4] x, float[4] w) => (float[2, 4] y)
        { y = LayerNormalization <axis = -1> (x, w) }"""
    )
    nodes = onnxsal.gradient(model, of=["y"], wrt=["x"]).graph.node
    outputs = [list(node.output) for node in nodes if node.op_type == "LayerNormalization"]
    assert [len(each) for each in outputs] == [1, 3] and all(all(each) for each in outputs)
