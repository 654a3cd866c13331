"""Small ensembles of trees, drawn or given, as models of one node in either generation of ai.onnx.ml.

A leaf is {column: weight}; a branch is (feature, test, threshold, whether NaN passes, child where it holds, child
where it fails), a test the name of a mode without BRANCH_; the threshold of MEMBER is a tuple of numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import helper, numpy_helper

TESTS = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER")
GRID = np.round(np.arange(-5, 6) * 0.1, 1)
"""Thresholds and values are drawn from the same few numbers, most of which no float is: many rows lie on thresholds."""


def drawn(rng: np.random.Generator, depth: int, columns: Any, tests: Any = TESTS[:6], features: int = 4) -> Any:
    """Return a tree of at most ``depth`` branches, whose leaves have weights for some or all ``columns``."""
    if depth == 0 or rng.random() < 0.15:
        return {int(c): float(np.float32(rng.normal())) for c in columns}
    test = str(rng.choice(tests))
    threshold = tuple(rng.choice(9, 3, False).tolist()) if test == "MEMBER" else float(rng.choice(GRID))
    ends = [drawn(rng, depth - 1, columns, tests, features) for _ in range(2)]
    return (int(rng.integers(features)), test, threshold, bool(rng.random() < 0.5), *ends)


def values(rng: np.random.Generator, rows: int, features: int = 4, dtype: Any = np.float32) -> Any:
    """Return rows from the grid and small whole numbers, NaN and infinities among them."""
    found = rng.choice([*GRID, *range(-2, 9), np.nan, np.inf, -np.inf], (rows, features))
    return found.astype(dtype)


def flat(tree: Any, into: list[Any] | None = None) -> list[Any]:
    """Return (node, number of the child where it holds, where it fails) for every node, the root first."""
    into = [] if into is None else into
    own = len(into)
    into.append((tree, 0, 0))
    if not isinstance(tree, dict):
        yes = len(into)
        flat(tree[4], into)
        no = len(into)
        flat(tree[5], into)
        into[own] = (tree, yes, no)
    return into


def covered(rng: np.random.Generator, tree: Any) -> list[float]:
    """Return covers for ``flat``'s nodes: 64 rows, each branch parting those that reach it."""
    covers = [64.0] * len(nodes := flat(tree))
    for i, (_, yes, no) in enumerate(nodes):
        if yes:
            covers[yes] = covers[i] * float(rng.choice([0.25, 0.5, 0.75]))
            covers[no] = covers[i] - covers[yes]
    return covers


def older(op_type: str, trees: Any, dtype: Any = np.float32, order: Any = None, **more: Any) -> onnx.ModelProto:
    """Return a model of one TreeEnsembleClassifier or -Regressor; ``order`` shuffles a tree's nodes behind its root."""
    what = "class" if op_type == "TreeEnsembleClassifier" else "target"
    at: dict[str, list[Any]] = {}

    def add(**columns: Any) -> None:
        for name, value in columns.items():
            at.setdefault(name, []).append(value)

    for t, tree in enumerate(trees):
        nodes = list(enumerate(flat(tree)))
        if order is not None:
            nodes[1:] = [nodes[1:][i] for i in order.permutation(len(nodes) - 1)]
        for number, (node, yes, no) in nodes:
            leaf = isinstance(node, dict)
            feature, test, threshold, missing = (0, "LEAF", 0.0, False) if leaf else node[:4]
            mode = test if leaf else f"BRANCH_{test}"
            add(nodes_treeids=t, nodes_nodeids=number, nodes_truenodeids=yes, nodes_falsenodeids=no, nodes_modes=mode)
            add(nodes_featureids=feature, nodes_values=threshold, nodes_missing_value_tracks_true=int(missing))
            for column, weight in node.items() if leaf else ():
                add(**{f"{what}_treeids": t, f"{what}_nodeids": number, f"{what}_ids": column})
                add(**{f"{what}_weights": weight})
    if dtype == np.float64:
        for name in ("nodes_values", f"{what}_weights", "base_values"):
            numbers = at.pop(name, None) or more.pop(name, None)
            if numbers:
                more[f"{name}_as_tensor"] = numpy_helper.from_array(np.array(numbers, np.float64))
    names = ["label", "y"] if what == "class" else ["y"]
    return model(helper.make_node(op_type, ["x"], names, domain="ai.onnx.ml", **at, **more), dtype, 3)


def newer(trees: Any, dtype: Any = np.float32, **more: Any) -> onnx.ModelProto:
    """Return a model of one TreeEnsemble; each leaf has one weight."""
    branches: list[Any] = []
    leaves: list[Any] = []

    def place(tree: Any) -> tuple[int, int]:
        if isinstance(tree, dict):
            leaves.append(next(iter(tree.items())))
            return 1, len(leaves) - 1
        own = len(branches)
        branches.append(None)
        branches[own] = (tree, *place(tree[4]), *place(tree[5]))
        return 0, own

    # A tree that is one leaf is a branch that leads to it either way.
    roots = [place((0, "LEQ", 0.0, False, tree, tree) if isinstance(tree, dict) else tree)[1] for tree in trees]
    tensor = lambda numbers, kind=dtype: numpy_helper.from_array(np.array(list(numbers), kind))
    sets = [[*b[0][2], np.nan] for b in branches if b[0][1] == "MEMBER"]
    attributes = {
        "tree_roots": roots, "nodes_featureids": [b[0][0] for b in branches],
        "nodes_modes": tensor((TESTS.index(b[0][1]) for b in branches), np.uint8),
        "nodes_splits": tensor(0 if b[0][1] == "MEMBER" else b[0][2] for b in branches),
        "nodes_missing_value_tracks_true": [int(b[0][3]) for b in branches],
        "nodes_trueleafs": [b[1] for b in branches], "nodes_truenodeids": [b[2] for b in branches],
        "nodes_falseleafs": [b[3] for b in branches], "nodes_falsenodeids": [b[4] for b in branches],
        "leaf_targetids": [c for c, _ in leaves], "leaf_weights": tensor(w for _, w in leaves),
    }  # fmt: skip
    if sets:
        attributes["membership_values"] = tensor(np.concatenate(sets))
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **(attributes | more))
    return model(node, dtype, 5)


def model(node: onnx.NodeProto, dtype: Any, version: int) -> onnx.ModelProto:
    """Return a model of one node, its input "x" [B, F] and its last output "y"."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    outputs = [helper.make_tensor_value_info("y", kind if version == 5 else onnx.TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", kind, ["B", "F"])], outputs)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def node_of(proto: onnx.ModelProto) -> ir.Node:
    """Return a model's first node with its graph behind it."""
    return next(iter(ir.from_proto(proto).graph))


def run(proto: onnx.ModelProto, rows: Any) -> Any:
    """Return what the file itself says on ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": rows})[0]


def without_transform(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same model without its node's post transform."""
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    kept = [a for a in copy.graph.node[0].attribute if a.name != "post_transform"]
    del copy.graph.node[0].attribute[:]
    copy.graph.node[0].attribute.extend(kept)
    return copy
