"""Rules of pooling against difference quotients, and ties of a maximum against PyTorch's choice (the first)."""

from __future__ import annotations

import numpy as np
import pytest
from checker import Case, check, gradient_model, model_of, run_ort, run_reference

R = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def distinct(*shape: int) -> np.ndarray:
    return R.permutation(int(np.prod(shape))).reshape(shape) / 7


SQUARE = {"kernel_shape": [2, 2], "strides": [2, 2]}
OVERLAP = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
WINDOWS: list[tuple[tuple[int, ...], dict[str, object]]] = [
    ((2, 3, 9), {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
    ((2, 3, 6, 8), SQUARE),
    ((2, 3, 7, 9), SQUARE),
    ((2, 3, 7, 9), {**SQUARE, "ceil_mode": 1}),
    ((2, 3, 8, 8), OVERLAP),
    ((2, 3, 8, 9), {**OVERLAP, "ceil_mode": 1}),
    ((2, 3, 5, 6), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ((2, 3, 5, 6), {"kernel_shape": [3, 3]}),
    ((2, 3, 9, 8), {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 0, 0, 1]}),
    ((2, 3, 9, 8), {"kernel_shape": [2, 2], "strides": [3, 3]}),
    ((2, 3, 7, 6), {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ((2, 3, 7, 6), {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    ((1, 2, 4, 5, 6), {"kernel_shape": [2, 3, 2], "strides": [1, 2, 2], "pads": [0, 1, 0, 1, 0, 0]}),
]
DILATED = ((2, 3, 9, 8), {"kernel_shape": [2, 3], "dilations": [3, 2], "strides": [2, 1]})

DENSE = ((2, 3, 9, 8), {"kernel_shape": [2, 3], "dilations": [3, 2]})
"""Turned round it would need pads as large as its kernel."""

MAX = [Case("MaxPool", [distinct(*shape)], kw) for shape, kw in [*WINDOWS, DILATED]]
MAX += [Case("MaxPool", [distinct(2, 3, 7, 8)], {**OVERLAP, "ceil_mode": 1}, symbolic=True)]
MAX += [Case("MaxPool", [distinct(2, 3, 7, 8)], OVERLAP, outputs=2)]
MAX += [Case("MaxPool", [distinct(2, 3, 7, 8) - 99], {**OVERLAP, "ceil_mode": 1})]
MAX += [Case("MaxPool", [distinct(1, 2, 40, 5)], {"kernel_shape": [33, 2]})]
MAX += [Case("MaxPool", [distinct(2, 3, 7, 8)], {**OVERLAP, "storage_order": 1}, outputs=2)]
MEAN = [
    Case("AveragePool", [normal(*shape)], {**kw, "count_include_pad": pad}, symbolic=symbolic)
    for shape, kw in [*WINDOWS, DILATED, DENSE]
    for pad in (0, 1)
    for symbolic in (False, True)
]
NORM = [Case("LpPool", [normal(*shape)], {**kw, "p": p}) for shape, kw in [*WINDOWS, DENSE] for p in (1, 2, 3)]
GLOBAL = [
    Case(name, [distinct(*shape) - 3], symbolic=symbolic)
    for name in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    for shape in ((2, 3, 5), (2, 3, 4, 5), (2, 2, 3, 2, 4))
    for symbolic in (False, True)
]
GLOBAL += [Case("GlobalLpPool", [normal(2, 3, 4)], {"p": p}) for p in (1, 3)]


@pytest.mark.parametrize("case", [*MAX, *MEAN, *NORM, *GLOBAL], ids=str)
def test_slope(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("run", [run_ort, run_reference])
@pytest.mark.parametrize(("op_type", "kw"), [("MaxPool", SQUARE), ("MaxPool", OVERLAP), ("GlobalMaxPool", {})])
def test_ties_go_to_the_first(op_type: str, kw: dict[str, object], run: object) -> None:
    """On a constant picture each window's gradient lands on its first element."""
    model = model_of(Case(op_type, [np.ones((1, 1, 4, 4))], kw), np.dtype(np.float32))
    graph = gradient_model(model, ["y0"], ["x0"])
    shape = (1, 1, 1, 1) if op_type == "GlobalMaxPool" else (1, 1, 2, 2)
    seed = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    got = run(graph, {"x0": np.ones((1, 1, 4, 4), np.float32), "seed/y0": seed})["grad/x0"]  # type: ignore[operator]
    wanted = np.zeros((4, 4))
    firsts = {"GlobalMaxPool": [(0, 0)]}.get(op_type, [(0, 0), (0, 2), (2, 0), (2, 2)])
    if kw is OVERLAP:
        firsts = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for place, value in zip(firsts, seed.reshape(-1), strict=True):
        wanted[place] = value
    np.testing.assert_array_equal(got[0, 0], wanted)


@pytest.mark.parametrize(("shape", "kw"), [w for w in [*WINDOWS, DILATED] if w[1] is not SQUARE or w[0][2] % 2])
def test_windows_that_overlap_need_no_places(shape: tuple[int, ...], kw: dict[str, object]) -> None:
    """Elsewhere MaxPool's second output and sums by ScatterElements are wrong, or missing."""
    graph = gradient_model(model_of(Case("MaxPool", [distinct(*shape)], kw), np.dtype(np.float32)), ["y0"], ["x0"])
    assert not [n for n in graph.graph.node if n.op_type == "ScatterElements" or len(n.output) > 1]
