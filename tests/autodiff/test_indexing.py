"""Rules of scattering, selecting, transforms and sampling against difference quotients."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from checker import Case, check

import onnxsal

R = np.random.default_rng(6)


def normal(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


ROWS = ints(1, 3, 0, 2, 2, 1).reshape(2, 3)
PAIRS = ints(1, 0, 3, 2, 0, 1).reshape(3, 2)
CASES = [
    Case("ScatterElements", [normal(4, 3), ints(1, 3, 0, 2, 0, 1).reshape(2, 3), normal(2, 3)]),
    Case("ScatterND", [normal(4, 3, 2), PAIRS, normal(3, 2)]),
    Case("ScatterND", [normal(4, 3, 2), ints(2, 2).reshape(2, 1), normal(2, 3, 2)], {"reduction": "add"}),
    Case("GatherElements", [normal(4, 5), ints(-2, 0, 4, -5).reshape(4, 1)], {"axis": 1}),
    Case("GatherElements", [normal(4, 5), ints(-4, 0, 3, 1, -1).reshape(1, 5)], {"axis": -2}),
    Case("GatherElements", [normal(4, 5), ints(-2, 0).reshape(2, 1)], {"axis": 1}),
    Case("TopK", [normal(3, 7), ints(3)], outputs=2),
    Case("TopK", [normal(3, 7), ints(1)], outputs=2),
    Case("TopK", [normal(3, 7), ints(2)], {"largest": 0, "axis": 0}, outputs=2),
    Case("Compress", [normal(3, 4), np.array([True, False, True, True])], {"axis": 1}),
    Case("OneHot", [ints(0, 2, -1), np.array(4), normal(2)]),
    Case("Range", [np.array(0.3), np.array(2.0), np.array(0.7)], wrt=[0, 2]),
    Case("Einsum", [normal(2, 3), normal(3, 4)], {"equation": "ij,jk->ik"}),
    Case("Einsum", [normal(2, 3, 3)], {"equation": "...ii->...i"}),
    Case("Einsum", [normal(3, 4), normal(3, 4), normal(4)], {"equation": "ij,ij,j->i"}),
    Case("Einsum", [normal(2, 3)], {"equation": "ij->j"}),
    Case("Einsum", [normal(2, 1, 3, 4), normal(1, 5, 4, 2)], {"equation": "...ij,...jk->...ik"}),
    Case("Einsum", [normal(3, 4), normal(4, 3)], {"equation": "ij,ji"}),
    Case("Einsum", [normal(1, 3, 3), normal(2, 3)], {"equation": "...ii,...i->...i"}),
    Case("Einsum", [normal(2, 3), normal(1, 3, 3)], {"equation": "...i,...ii->..."}),
    Case("Einsum", [normal(2, 3, 4), normal(5, 3)], {"equation": "...cj,dc->...dj"}),
    Case("Einsum", [normal(2, 1, 3), normal(1, 4, 3)], {"equation": "...k,...k"}),
    Case("Einsum", [normal(2, 1, 3, 3)], {"equation": "...ii"}),
    Case("Einsum", [normal(1, 4, 3), normal(2, 1, 3)], {"equation": "...k,...j->..."}),
    Case("Det", [normal(2, 3, 3)]),
    Case("Det", [normal(4, 4)], on_ort=True),
    Case("CumProd", [normal(3, 4), np.array(1)], opset=26),
    Case("CumProd", [np.array([[0.5, 0.0, 2.0, 0.0, 3.0]]), np.array(1)], {"reverse": 1}, opset=26),
    Case("GridSample", [normal(2, 3, 4, 5), R.uniform(-1.2, 1.2, size=(2, 3, 2, 2))], exact=False),
    Case("GridSample", [normal(1, 2, 4, 5), R.uniform(-1.2, 1.2, size=(1, 3, 2, 2))], {"padding_mode": "border"},
         exact=False),
    Case("GridSample", [normal(1, 2, 4, 5), R.uniform(-1.6, 1.6, size=(1, 3, 2, 2))],
         {"padding_mode": "reflection", "align_corners": 1}, exact=False),
    Case("GridSample", [normal(1, 2, 4, 5), R.uniform(-1, 1, size=(1, 3, 2, 2))], {"mode": "cubic"}, exact=False),
    Case("AffineGrid", [normal(2, 2, 3), ints(2, 3, 4, 5)]),
    Case("AffineGrid", [normal(2, 3, 4), ints(2, 3, 4, 5, 2)], {"align_corners": 1}),
]  # fmt: skip
for how in ("add", "mul", "max", "min"):
    CASES.append(Case("ScatterElements", [normal(4, 3), ROWS, normal(2, 3)], {"reduction": how}))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slope(case: Case) -> None:
    check(case)


def test_one_element_of_each_row_needs_no_scattering() -> None:
    """Several runtimes have no ScatterElements, or leave its ``reduction`` out: a class is picked everywhere."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 5] x) => (float[N, 1] y) { k = ArgMax <axis = 1> (x)  y = GatherElements <axis = 1> (x, k) }""")
    made = onnxsal.gradient(onnx.shape_inference.infer_shapes(model), of=["y"], wrt=["x"])
    assert "ScatterElements" not in {node.op_type for node in made.graph.node}
