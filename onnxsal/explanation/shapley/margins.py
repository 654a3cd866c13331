"""What is explained of a row: its classes' margins where a model has them, in front of what makes probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.by_rows import by_rows
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program, attributes
from onnxsal.graph.maps import ML
from onnxsal.graph.program import values_by_name
from onnxsal.model import Model
from onnxsal.trees import ensemble_of, is_ensemble

SCORES = "sal/scores"
"""What is explained, [rows, N]."""

MARGIN = "logit"

_DRESS = frozenset({"Identity", "Cast", "Reshape", "Flatten", "Normalizer"})
"""Operators that may stand between what a classifier puts out and the output of the file."""

_MADE_BY = frozenset({"LOGISTIC", "SOFTMAX"})
"""What makes probabilities of margins. Others are rare, and a probability is explained then."""

_FEW = 64
"""Rows of which that is asked."""

_CLOSE = 1e-3
"""How far probabilities that are made of margins may be from the file's own."""

_CLASSIFIERS = frozenset({"LinearClassifier", "TreeEnsembleClassifier"})


@dataclass(frozen=True)
class Scored:
    """A program from a model's rows to ``SCORES``, and which kind of numbers these are."""

    program: Program
    kind: str
    made_by: str = ""
    """What makes the file's probabilities of these, where the margins were taken out of a classifier."""


def scored(model: Model, asked: str | None) -> Scored:
    """Return what is explained: ``logit`` (``margin``) where there is one, or the kind that was asked for.

    Raises: UsageError: the model has no such numbers.
    """
    task = model.task
    wanted = MARGIN if asked in (None, "margin") else asked
    if wanted in task.kinds:
        return Scored(_named(model, task.kinds[wanted]), wanted)
    if wanted == MARGIN and (own := _own_margins(model)) is not None:
        return own
    kind = next(iter(task.kinds)) if asked is None else task.checked_kind(asked)
    return Scored(_named(model, task.kinds[kind]), kind)


def _named(model: Model, name: str) -> Program:
    """Return the program that gives numbers of the task under our name."""
    op = by_rows(model.anatomy).extend()
    return op.finish_with({SCORES: op[name]})


def check_margins(model: Model, scored: Scored, rows: NDArray[np.float64]) -> None:
    """Run some rows, and raise where probabilities made of margins are not those of the file.

    Raises: UnsupportedError: they are not; the probability can be explained.
    """
    if not scored.made_by:
        return
    few = rows[:_FEW]
    margins = model.run_rows(scored.program, few)[SCORES].astype(np.float64)
    own = model.numbers_of_rows(few)["probability"]
    apart = np.exp(margins - margins.max(axis=1, keepdims=True))
    with np.errstate(over="ignore"):
        each = 1 / (1 + np.exp(-margins))
    made = each if scored.made_by == "LOGISTIC" else apart / apart.sum(axis=1, keepdims=True)
    shares = made / made.sum(axis=1, keepdims=True)  # as a Normalizer behind it makes them
    if not any(np.allclose(each, own, atol=_CLOSE, equal_nan=True) for each in (made, shares)):
        raise UnsupportedError(
            "the classifier's sums do not make the probabilities that the file gives, so that its margins are not "
            "known: --score probability (score='probability') explains these"
        )


def _own_margins(model: Model) -> Scored | None:
    """Return the program that gives what a classifier of ai.onnx.ml adds up before it makes probabilities of it.

    None where the output is no such one's, where it makes none, or where what it adds up is not known.
    """
    graph = model.anatomy.model.graph
    value = values_by_name(graph).get(model.task.logit)
    while (node := None if value is None else value.producer()) is not None and _is_dress(node):
        value = node.inputs[0]
    if node is None or node.domain != ML or node.op_type not in _CLASSIFIERS or value is not node.outputs[1]:
        return None
    made_by = attributes(node).get("post_transform", "NONE")
    if made_by not in _MADE_BY:
        return None
    program = _trees(model, node) if is_ensemble(node) else _linear(model, node)
    return None if program is None else Scored(program, MARGIN, made_by)


def _is_dress(node: ir.Node) -> bool:
    """Whether a node hands on what a classifier puts out; LightGBM's converter multiplies it with 1."""
    if node.op_type != "Mul":
        return node.op_type in _DRESS
    factor = None if node.inputs[1] is None else ir.convenience.get_const_tensor(node.inputs[1])
    return factor is not None and bool((factor.numpy() == 1).all())


def _linear(model: Model, node: ir.Node) -> Program | None:
    """Return the scores of a linear classifier of as many sums as classes."""
    a = attributes(node)
    classes, intercepts = model.task.size, a.get("intercepts", ())
    if len(intercepts) != classes or len(a["coefficients"]) % classes:
        return None
    weights = np.asarray(a["coefficients"], np.float32).reshape(classes, -1)
    op = Program(model.anatomy.model).extend()
    rows = op.cast(op[str(node.inputs[0].name)], ir.DataType.FLOAT)  # type: ignore[union-attr]
    return op.finish_with({SCORES: op.Gemm(rows, weights.T.copy(), np.asarray(intercepts, np.float32))})


def _trees(model: Model, node: ir.Node) -> Program | None:
    """Return the margins of an ensemble, which a regressor of the same trees adds up."""
    try:
        ensemble = ensemble_of(node)
    except UnsupportedError:  # what it adds up is not known
        return None
    sums = len(ensemble.mix)
    own = {name: attr for name, attr in node.attributes.items() if name.startswith("nodes_")}
    own |= {name.replace("class_", "target_"): ir.Attr(name.replace("class_", "target_"), attr.type, attr.value)
            for name, attr in node.attributes.items() if name.startswith("class_")}  # fmt: skip
    op = Program(model.anatomy.model).extend()
    found = op.emit(
        "TreeEnsembleRegressor", op[str(node.inputs[0].name)], outputs=None, domain=ML, n_targets=sums,  # type: ignore[union-attr]
        aggregate_function="SUM", post_transform="NONE", **{name: attr.value for name, attr in own.items()},
    )  # fmt: skip
    margins = op.Add(op.MatMul(found, ensemble.mix.astype(np.float32)), ensemble.base.astype(np.float32))
    return op.finish_with({SCORES: margins})
