"""Nodes of ai.onnx.ml that hold trees, as arrays."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.trees.ensemble import Ensemble
from onnxsal.trees.given import Given
from onnxsal.trees.newer import tree_ensemble
from onnxsal.trees.older import classifier, regressor

ML = "ai.onnx.ml"

READERS: dict[str, Callable[[Given], Ensemble]] = {
    "TreeEnsemble": tree_ensemble,
    "TreeEnsembleClassifier": classifier,
    "TreeEnsembleRegressor": regressor,
}


def is_ensemble(node: ir.Node) -> bool:
    """Return whether a node is one that ``ensemble_of`` reads."""
    return node.domain == ML and node.op_type in READERS


def ensemble_of(node: ir.Node) -> Ensemble:
    """Return the trees that a node holds, with thresholds, weights and covers as the file has them.

    A classifier's margins are its second output, a regressor's its first, before the post transform.

    Raises:
        ModelError: its attributes contradict each other; the message names the node and the attribute.
        UnsupportedError: it holds no trees, or what it answers is no sum over trees.
    """
    if not is_ensemble(node):
        raise UnsupportedError(f"{node.domain or 'onnx'}.{node.op_type} {node.name!r} holds no trees")
    return READERS[node.op_type](Given(node))
