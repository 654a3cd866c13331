"""Rules of operators that move, cut, gather and reduce elements against difference quotients."""

from __future__ import annotations

import numpy as np
import pytest
from checker import Case, check

R = np.random.default_rng(2)


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


X = normal(2, 3, 4, 5)
CASES = [
    Case("Reshape", [X, ints(6, -1)]),
    Case("Reshape", [X, ints(6, -1)], runtime=[1]),
    Case("Reshape", [X, ints(0, -1)], symbolic=True),
    Case("Flatten", [X], {"axis": 2}),
    Case("Flatten", [X], symbolic=True),
    Case("Transpose", [X]),
    Case("Transpose", [X], {"perm": [0, 2, 3, 1]}, symbolic=True),
    Case("Squeeze", [normal(2, 1, 3, 1), ints(1)]),
    Case("Squeeze", [normal(2, 1, 3, 1), ints(-1)], runtime=[1]),
    Case("Squeeze", [normal(2, 1, 3, 1)]),
    Case("Unsqueeze", [normal(2, 3), ints(0, 3)]),
    Case("Expand", [normal(3, 1), ints(2, 3, 4)]),
    Case("Expand", [normal(3, 1), ints(1, 1, 4)]),
    Case("Expand", [normal(3, 1), ints(2, 1, 4)], runtime=[1]),
    Case("Expand", [normal(3, 1), ints(2, 1, 4)], runtime=[1], symbolic=True),
    Case("Tile", [normal(2, 3), ints(3, 2)]),
    Case("Tile", [normal(2, 3), ints(3, 2)], runtime=[1], symbolic=True),
    Case("Trilu", [normal(4, 5)]),
    Case("Trilu", [normal(2, 4, 5), np.array(-1)], {"upper": 0}),
    Case("ReverseSequence", [normal(4, 3, 2), ints(4, 2, 1)], {"time_axis": 0, "batch_axis": 1}),
    Case("DepthToSpace", [normal(2, 8, 2, 3)], {"blocksize": 2}),
    Case("DepthToSpace", [normal(2, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    Case("DepthToSpace", [normal(2, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}, symbolic=True),
    Case("SpaceToDepth", [normal(2, 2, 4, 6)], {"blocksize": 2}),
    Case("Concat", [normal(2, 3), normal(2, 1), normal(2, 2)], {"axis": -1}),
    Case("Concat", [normal(2, 3), normal(2, 1), normal(2, 2)], {"axis": 1}, wrt=[1]),
    Case("Concat", [normal(2, 3), normal(2, 1)], {"axis": 1}, symbolic=True),
    Case("Split", [normal(2, 7), ints(3, 4)], {"axis": 1}, outputs=2, of=[0, 1]),
    Case("Split", [normal(2, 7), ints(3, 4)], {"axis": 1}, outputs=2, of=[1]),
    Case("Split", [normal(2, 7), ints(3, 2, 2)], {"axis": 1}, outputs=3, of=[1], symbolic=True),
    Case("Split", [normal(7, 2)], {"num_outputs": 3}, outputs=3, of=[0, 2]),
    Case("Pad", [normal(2, 3), ints(1, 0, 2, 1), np.array(0.7)]),
    Case("Pad", [normal(4, 5), ints(1, -1, -2, 1), np.array(0.7)]),
    Case("Pad", [normal(4, 5), ints(1, 2), None, ints(-1)]),
    Case("Pad", [normal(4, 5), ints(1, 2, 0, 1), np.array(0.7)], runtime=[1], symbolic=True),
    Case("Gather", [normal(4, 5), np.array(2)], {"axis": 1}),
    Case("Gather", [normal(4, 5), ints(1, 2)], {"axis": 1}),
    Case("Gather", [normal(4, 5), ints(1, -1, 1)], {"axis": 1}),
    Case("Gather", [normal(4, 5), ints(1, -1, 1)]),
    Case("Gather", [normal(4, 5), ints(1, -1, 1).astype(np.int32)]),
    Case("Gather", [normal(4, 5), ints(1, -1, 1).reshape(3, 1)], symbolic=True, runtime=[1]),
    Case("Gather", [normal(4, 5), np.array(1)], symbolic=True, runtime=[1]),
    Case("GatherElements", [normal(4, 3), ints(1, 2, 1, 0, 3, 1).reshape(2, 3)], {"axis": 0}),
    Case("GatherElements", [normal(4, 5), ints(1, 4, 1, 0).reshape(4, 1)], {"axis": -1}),
    Case("GatherND", [normal(4, 5, 2), ints(1, -1, 1, 0).reshape(2, 2)]),
    Case("GatherND", [normal(4, 5, 2), ints(1, -1, 1, 0).reshape(4, 1)], {"batch_dims": 1}),
    Case("CumSum", [normal(4, 5), np.array(1)]),
    Case("CumSum", [normal(4, 5), np.array(-2)], {"exclusive": 1, "reverse": 1}),
]
CASES += [Case("Pad", [normal(4, 5), ints(2, 1, 1, 3), None], {"mode": m}) for m in ("reflect", "edge", "wrap")]

BIG, SMALL = 2**63 - 1, -(2**63)
SLICES = [
    ([1], [2], None, None),
    ([0], [BIG], [2], [2]),
    ([1], [BIG], [2], [3]),
    ([-1], [SMALL], [1], [-1]),
    ([-1], [SMALL], [-2], [-2]),
    ([1, 0], [6, BIG], [2, 1], [2, 2]),
    ([6, 3], [0, SMALL], [2, 1], [-2, -3]),
    ([2], [3], [2], [5]),
    ([3], [3], [2], [1]),
    ([-3], [-1], [1], None),
]
for spec in SLICES:
    vectors = [None if v is None else ints(*v) for v in spec]
    for options in ({}, {"symbolic": True}, {"runtime": [1, 2]}):
        CASES.append(Case("Slice", [normal(2, 4, 7, 3), *vectors], **options, note=str(spec)))

AXES = [None, ints(1), ints(0, -1)]
for name in ("Sum", "Mean", "SumSquare", "L1", "L2", "LogSum", "LogSumExp", "Prod", "Max", "Min"):
    for axes in AXES:
        x = np.abs(normal(2, 3, 4)) + 0.1 if name == "LogSum" else normal(2, 3, 4)
        CASES.append(Case(f"Reduce{name}", [x, axes]))
        CASES.append(Case(f"Reduce{name}", [x, axes], {"keepdims": 0}, symbolic=True))
    CASES.append(Case(f"Reduce{name}", [x, ints(1)], {"keepdims": 0}, runtime=[1], symbolic=True))
    CASES.append(Case(f"Reduce{name}", [x, None], {"noop_with_empty_axes": 1}))
CASES.append(Case("ReduceProd", [np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, -3.0]]), ints(1)]))
CASES.append(Case("ReduceL2", [np.array([[0.5, 2.0]]), ints(0)]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slope(case: Case) -> None:
    check(case)
