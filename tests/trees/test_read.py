"""Trees read from nodes against the file itself on ONNX Runtime: every mode, type, head and transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from tiny_trees import TESTS, drawn, newer, node_of, older, run, values, without_transform

from onnxsal.errors import ModelError, UnsupportedError, UsageError
from onnxsal.trees import ensemble_of

RNG = np.random.default_rng(0)
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def several(columns: Any, tests: Any = TESTS[:6], trees: int = 5, depth: int = 4) -> list[Any]:
    return [drawn(RNG, depth, columns, tests) for _ in range(trees)]


def compare(proto: onnx.ModelProto, rows: Any) -> None:
    ensemble = ensemble_of(node_of(proto))
    loose = 5e-4 if ensemble.post_transform == "PROBIT" else 1e-6  # of which float32 keeps four digits
    np.testing.assert_allclose(ensemble.scores(rows), run(proto, rows), rtol=2e-5, atol=loose)
    margins = ensemble.margins(rows)
    np.testing.assert_allclose(margins, run(without_transform(proto), rows), rtol=1e-5, atol=2e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("onnxsal.trees.ensemble.FEW", -1)  # as many rows and trees are walked, by a kernel
        np.testing.assert_array_equal(ensemble.margins(rows), margins)


@BOTH
@pytest.mark.parametrize("tests", [*((test,) for test in TESTS[:6]), TESTS[:6]], ids="+".join)
def test_every_test_and_several_in_one_ensemble(tests: tuple[str, ...], dtype: Any) -> None:
    rows = values(RNG, 300, dtype=dtype)
    proto = older("TreeEnsembleRegressor", several([0, 1], tests), dtype, RNG, n_targets=2, base_values=[0.5, -1.0])
    compare(proto, rows)
    compare(newer(several([0], tests), dtype, n_targets=1), rows)


@BOTH
def test_memberships_of_small_sets_are_exact_and_of_others_lose_fractions(dtype: Any) -> None:
    big = [(0, "MEMBER", (-1, 2), True, {0: 1.0}, (1, "MEMBER", (40, 3, 0), False, {0: 2.0}, {0: 4.0}))]
    rows = np.concatenate([values(RNG, 300, dtype=dtype), RNG.choice([-1.5, 2.5, 40.5, 0.5, 3], (90, 4)).astype(dtype)])
    compare(newer([*several([0], TESTS), *big], dtype, n_targets=1), rows)


@BOTH
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"])
def test_transforms_of_one_target_and_of_three(transform: str, dtype: Any) -> None:
    rows = values(RNG, 100, dtype=dtype)
    for columns in ([0], [0, 1, 2]):
        more = {"n_targets": len(columns), "post_transform": transform, "aggregate_function": "AVERAGE"}
        compare(older("TreeEnsembleRegressor", several(columns), dtype, **more), rows)
    number = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT").index(transform)  # ONNX Runtime's numbers
    trees = [drawn(RNG, 3, [int(c)]) for c in RNG.integers(3, size=9)]
    compare(newer(trees, dtype, n_targets=3, post_transform=number, aggregate_function=0), rows)


@pytest.mark.parametrize("base", [0, 1, 2])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("columns", [(0,), (1,), (0, 1)], ids=str)
@pytest.mark.parametrize("positive", [True, False])
def test_two_classes(columns: Any, transform: str, base: int, positive: bool) -> None:
    def signed(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {column: abs(weight) for column, weight in tree.items()}
        return (*tree[:4], signed(tree[4]), signed(tree[5]))

    trees = [signed(tree) if positive else tree for tree in several(columns, trees=3)]
    more = {"post_transform": transform, "classlabels_strings": ["no", "yes"]}
    more |= {"base_values": [0.25, 0.75][:base]} if base else {}
    proto = older("TreeEnsembleClassifier", trees, **more)
    if 1 in columns and base == 2:
        with pytest.raises(UnsupportedError, match="leaves class 1's trees out"):
            ensemble_of(node_of(proto))
        return
    if positive and columns == (0,) and transform != "LOGISTIC" and base < 2:
        of_one = older("TreeEnsembleClassifier", [{0: 2.0}], classlabels_strings=["no", "yes"])
        if run(of_one, np.zeros((1, 4), np.float32))[0, 0] != 1 - 2.0:
            pytest.skip(
                f"ONNX Runtime {ort.__version__} gives one of two classes -s where it is 1 - s of a sum s by now"
            )
    rows, ensemble = values(RNG, 60), ensemble_of(node_of(proto))
    np.testing.assert_allclose(ensemble.scores(rows), run(proto, rows), rtol=2e-5, atol=2e-6)
    if transform == "LOGISTIC" and columns == (0,) and base < 2:  # the file shows votes otherwise, not margins
        np.testing.assert_allclose(ensemble.margins(rows)[:, 0], -ensemble.margins(rows)[:, 1])
    else:
        np.testing.assert_allclose(ensemble.margins(rows), run(without_transform(proto), rows), rtol=1e-5, atol=1e-6)


def test_many_classes_each_with_trees_of_its_own_and_one_class_alone() -> None:
    rows = values(RNG, 60)
    trees = [drawn(RNG, 4, [int(c)]) for c in RNG.integers(4, size=12)]
    for transform in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        more = {"post_transform": transform, "classlabels_int64s": [3, 5, 7, 9], "base_values": [0.1, 0.2, 0.3, 0.4]}
        compare(older("TreeEnsembleClassifier", trees, **more), rows)
    compare(older("TreeEnsembleClassifier", several([0]), classlabels_int64s=[1], post_transform="LOGISTIC"), rows)


def test_thresholds_are_compared_in_the_type_of_the_file() -> None:
    tree = [(0, "LEQ", 0.1, False, {0: 1.0}, {0: 2.0})]
    rows = np.array([[0.1], [np.float64(np.float32(0.1))], [0.11]])
    narrow, wide = ([tree], np.float32), ([tree], np.float64)
    for make in (
        lambda t, d: older("TreeEnsembleRegressor", t[0], d, n_targets=1),
        lambda t, d: newer(t[0], d, n_targets=1),
    ):
        assert ensemble_of(node_of(make(*narrow))).margins(rows)[:, 0].tolist() == [1, 1, 2]
        assert ensemble_of(node_of(make(*wide))).margins(rows)[:, 0].tolist() == [1, 2, 2]
    proto = older("TreeEnsembleRegressor", tree, n_targets=1)  # floats in the file, double values: compared as double
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    rows = np.array([[0.1], [np.float64(np.float32(0.1))], [np.nextafter(np.float64(np.float32(0.1)), 1)]])
    compare(proto, rows)
    assert ensemble_of(node_of(proto)).margins(rows)[:, 0].tolist() == [1, 1, 2]


def test_no_tree_a_leaf_alone_leaves_without_weights_and_no_rows() -> None:
    rows = values(RNG, 5)
    if tuple(map(int, ort.__version__.split(".")[:2])) > (1, 28):  # up to there, and perhaps later, it ends the process
        compare(older("TreeEnsembleRegressor", [], n_targets=2), rows)
    compare(older("TreeEnsembleRegressor", [{0: 2.0}, (0, "LT", 0.0, False, {0: 1.0}, {})], n_targets=1), rows)
    compare(newer([(0, "LEQ", 0.0, False, {0: 1.0}, {0: 1.5})], n_targets=1, nodes_falsenodeids=[0]), rows)
    assert ensemble_of(node_of(newer(several([0]), n_targets=1))).margins(rows[:0]).shape == (0, 1)


STUMP = [(0, "LEQ", 0.0, False, {0: 1.0}, {0: 2.0})]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("nodes_values", [0.0], r"nodes_values has 1 values, not 3"),
        ("nodes_modes", ["BRANCH_LEQ", "LEAF"], r"nodes_modes has 2 values, not 3"),
        ("nodes_modes", ["BRANCH_OR", "LEAF", "LEAF"], r"nodes_modes holds 'BRANCH_OR'"),
        ("nodes_truenodeids", [7, 0, 0], r"nodes_truenodeids names node 7 of tree 0"),
        ("nodes_falsenodeids", [-1, 0, 0], r"nodes_falsenodeids names node -1 of tree 0"),
        ("nodes_truenodeids", [0, 0, 0], r"two branches lead to the branch at place 0"),
        ("nodes_nodeids", [0, 1, 1], r"nodes_nodeids has node 1 of tree 0 twice"),
        ("nodes_treeids", [0, 1, 0], r"nodes_treeids goes back to a tree"),
        ("nodes_featureids", [-2, 0, 0], r"nodes_featureids holds -2"),
        ("target_ids", [0, 1], r"target_ids holds 1 at place 1, outside of 0 to 0"),
        ("target_nodeids", [1, 9], r"target_nodeids names node 9 of tree 0"),
        ("target_nodeids", [1, 1], r"two weights for the only target"),
        ("target_weights", [1.0], r"target_weights has 1 values, not 2"),
        ("base_values", [1.0, 2.0], r"base_values has 2 values, not 1"),
        ("n_targets", 0, r"n_targets is 0"),
        ("aggregate_function", "MEDIAN", r"'MEDIAN'"),
    ],
)
def test_what_contradicts_is_named(name: str, value: Any, said: str) -> None:
    proto = older("TreeEnsembleRegressor", STUMP, n_targets=1)
    proto.graph.node[0].name = "forest"
    kept = [a for a in proto.graph.node[0].attribute if a.name != name]
    del proto.graph.node[0].attribute[:]
    proto.graph.node[0].attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
    with pytest.raises(ModelError, match=f"TreeEnsembleRegressor 'forest'.*{said}"):
        ensemble_of(node_of(proto))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"nodes_splits": numpy_helper.from_array(np.zeros(2, np.float32))}, "nodes_splits has 2 values, not 1"),
        ({"nodes_truenodeids": [5]}, "nodes_truenodeids names leaf 5 at place 0; there are 2"),
        ({"nodes_falseleafs": [0], "nodes_falsenodeids": [0]}, "two branches lead"),
        ({"tree_roots": [3]}, "tree_roots holds 3"),
        ({"leaf_targetids": [0, 4]}, "leaf_targetids holds 4"),
        ({"nodes_modes": numpy_helper.from_array(np.array([6], np.uint8))}, "0 sets, and 1 branches"),
        ({"nodes_modes": numpy_helper.from_array(np.array([9], np.uint8))}, "nodes_modes holds 9"),
        ({"aggregate_function": 7}, "aggregate_function is 7"),
    ],
)
def test_what_contradicts_in_the_newer_operator_is_named(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        ensemble_of(node_of(newer(STUMP, n_targets=1, **more)))


def test_what_is_no_sum_is_refused_by_name() -> None:
    for proto in (
        older("TreeEnsembleRegressor", STUMP, n_targets=1, aggregate_function="MAX"),
        newer(STUMP, n_targets=1, aggregate_function=2),
    ):
        with pytest.raises(UnsupportedError, match=r"aggregate_function M\w+ is no sum over trees"):
            ensemble_of(node_of(proto))
    sparse = [(0, "LEQ", 0.0, False, {0: 1.0}, {1: 2.0})]
    with pytest.raises(UnsupportedError, match="a weight for one class only"):
        ensemble_of(node_of(older("TreeEnsembleClassifier", sparse, classlabels_int64s=[0, 1])))
    with pytest.raises(ModelError, match="names a class"):
        ensemble_of(node_of(older("TreeEnsembleClassifier", sparse)))


def test_rows_that_do_not_fit_are_refused() -> None:
    ensemble = ensemble_of(node_of(older("TreeEnsembleRegressor", [(2, "LT", 0.0, False, {}, {})], n_targets=1)))
    with pytest.raises(UsageError, match="reads 3 columns; rows have 2"):
        ensemble.margins(np.zeros((4, 2)))
    with pytest.raises(UsageError, match="rows are numbers"):
        ensemble.margins(np.array([["a", "b", "c"]]))
