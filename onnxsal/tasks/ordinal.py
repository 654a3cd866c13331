"""Ordinal heads: K - 1 sigmoids say how surely the rank is above 0, above 1 ...; never a class by the largest of them.

Source: CORAL, Cao et al. 2020, arXiv:1901.07884 (one weight vector, K - 1 biases); CORN, Shi et al. 2023,
arXiv:2111.08851 (each sigmoid given that the rank is above the one before).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import TARGET
from onnxsal.anatomy.select import VALUES
from onnxsal.decisions import Decision
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import Tape, attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.graph.names import node_title
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.classes import class_index
from onnxsal.tasks.evidence import Evidence, Settled
from onnxsal.tasks.held import operand
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.outputs import batches, behind, open_quantiser
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target, one
from onnxsal.tasks.task import Numbers, Prediction, Task, label_of

_RANK = re.compile(r"rank\s*(>=|<)\s*(\d+)")
_SIGMOID = "Sigmoid"
_SURE = 0.5


@task("ordinal", when="ranks from K - 1 sigmoids, each that the rank is above another (CORAL)")
@dataclass(frozen=True)
class Ordinal(Task):
    """Where the logits of being above each rank are, [B, K - 1]; rising or falling as the ranks go up.

    Its numbers are the expected rank, then how sure each rank or a higher one is, P(rank >= 1) to P(rank >= K - 1), and
    how sure each rank itself is, P(rank = 0) to P(rank = K - 1): 2 K columns.
    """

    steps: int
    """K - 1."""
    below: bool = False
    """Whether each sigmoid says that the rank is not above its own, as in a proportional-odds model."""
    proof: str = field(default="", compare=False)

    conditional: ClassVar[bool] = False
    """Whether each says so of pictures that are above the rank before."""

    @classmethod
    def find(cls, graph: ir.Graph) -> Ordinal:
        """Return the head whose logits differ by constants alone, which no head of classes does.

        Raises: UnsupportedError: no output is of that kind.
        """
        for output in graph.outputs:
            logits = _logits(output)
            biases = None if logits is None else _shared(logits)
            if logits is not None and biases is not None and (found := _direction(biases)) is not None:
                node = logits.producer()
                why = f"{node_title(node) if node else logits.name} adds constants to one number"
                return cls(str(output.name), str(logits.name), len(biases), found, why)
        raise UnsupportedError("no output is one number with a constant for each rank (ordinal)")

    @classmethod
    def assume(cls, graph: ir.Graph) -> Ordinal:
        """Return the first output [B, K - 1], of which a user says that it is of that kind."""
        try:
            return cls.find(graph)
        except UnsupportedError:
            for output in graph.outputs:
                logits = _logits(output)
                if logits is not None and not _are_things(graph, logits):
                    return cls(str(output.name), str(logits.name), _wide(logits))
        found = "; ".join(f"{v.name!r} is {list(dims(v) or ())}" for v in graph.outputs)
        raise UnsupportedError(f"no output is [batch, K - 1] of logits or sigmoids: {found}")

    def settled(self, evidence: Evidence) -> Settled:
        """Return the same, with what it was decided by."""
        why = "asked for" if evidence.task == self.name else self.proof
        return Settled(self, (Decision("task", self.name, why),))

    @property
    def kinds(self) -> Mapping[str, str]:
        """The expected rank, and how sure ranks are."""
        return {"value": VALUES}

    @property
    def ranks(self) -> int:
        """How many there are, K."""
        return self.steps + 1

    @property
    def size(self) -> int:
        """Columns: the expected rank, the ranks above 0 or higher ones, the ranks."""
        return 1 + self.steps + self.ranks

    @property
    def numbered(self) -> int:
        """The ranks."""
        return self.ranks

    @property
    def labelled(self) -> int:
        """Every rank has a name."""
        return self.ranks

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return the numbers, float32 [B, 2 K]."""
        open_quantiser(values[self.logit])
        logits = op.Reshape(op.cast(values[self.logit], ir.DataType.FLOAT), [-1, self.steps])
        above = op.Sigmoid(op.Neg(logits) if self.below else logits)
        if self.conditional:  # P(rank > k) is a product over the ranks up to k
            upper = np.triu(np.ones((self.steps, self.steps), np.float32))
            above = op.Exp(op.MatMul(op.Neg(op.Softplus(op.Neg(logits))), op.const(upper)))
        expected = op.ReduceSum(above, [1], keepdims=1)
        ends = op.Mul(op.Slice(above, [0], [1], [1]), 0.0)
        each = op.Sub(op.Concat(op.Add(ends, 1.0), above, axis=1), op.Concat(above, ends, axis=1))
        return {VALUES: op.Concat(expected, above, each, axis=1)}

    def rank(self, numbers: Numbers) -> int:
        """Return how many of the sigmoids are above one half."""
        return int((numbers["value"][1 : self.ranks] > _SURE).sum())

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return the expected rank for None; for ``rank >= k``, a rank, or the name of one how sure that is.

        Raises: UsageError: an unknown rank.
        """
        if target is None:
            rank = self.rank(numbers) if numbers else 0
            return Target(rank, "expected rank", None, np.zeros(1, np.int64), np.ones(1, np.float32))
        if isinstance(target, str) and target == "expected rank":
            return self.resolve(None, numbers, labels)
        threshold = _RANK.fullmatch(target.strip()) if isinstance(target, str) else None
        if threshold is not None:
            return self._threshold(threshold[1], int(threshold[2]), labels)
        if isinstance(target, tuple):
            raise UsageError("an ordinal head has no pairs: give a rank, its name, 'rank >= k' or 'rank < k'")
        index = class_index(self.ranks, labels, target, "ranks")
        return self._column(1 + self.steps + index, index, label_of(labels, index, "rank"))

    def _threshold(self, sign: str, k: int, labels: Labels | None) -> Target:
        if not 1 <= k <= self.steps:
            raise UsageError(f"rank {sign} {k} is out of range: the model tells the ranks 0 to {self.steps} apart")
        named = f" ({labels.short(k)})" if labels is not None else ""
        found = self._column(k, k, f"rank {sign} {k}{named}")
        return found if sign == ">=" else Target(k, found.label, None, found.indices, np.array([-1], np.float32))

    def _column(self, column: int, rank: int, label: str) -> Target:
        return Target(rank, label, None, one(column, label).indices, np.ones(1, np.float32))

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the rank, with the expected one beside it, then how sure each rank or a higher one is."""
        values, rank = numbers["value"], self.rank(numbers)
        named = f" ({labels.short(rank)})" if labels is not None else ""
        first = Prediction(rank, f"rank {rank}{named}, as expected", float("nan"), float(values[0]))
        rest = (
            Prediction(k, self._threshold(">=", k, labels).label, float(values[k]), float(values[k]))
            for k in range(1, self.ranks)
        )
        return [first, *rest][:top]

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return how sure the target is, NaN for the expected rank, and the number that is explained."""
        value = target.value(numbers["value"])
        if target.program is not None or not target.indices[0]:
            return float("nan"), value
        return (value if target.coefficients[0] > 0 else 1 + value), value

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the column of the rank that is fed, or that of the expected rank."""
        column = op.const([0]) if given is None else op.Add(given, 1 + self.steps)
        return {TARGET: op.Expand(column, batch)}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "logit": self.logit, "task": self.name, "ranks": self.ranks}


@task("ordinal-conditional", when="ranks from K - 1 sigmoids, each given that the one before holds (CORN)")
@dataclass(frozen=True)
class Conditional(Ordinal):
    """The same where each sigmoid says that the rank is above its own, of pictures that are above the one before."""

    conditional: ClassVar[bool] = True

    @classmethod
    def find(cls, graph: ir.Graph) -> Conditional:
        """Raise: no graph tells it from other sigmoids. Raises: UnsupportedError: always."""
        raise UnsupportedError("an ordinal head of conditional sigmoids is asked for (--task ordinal-conditional)")


def _are_things(graph: ir.Graph, logits: ir.Value) -> bool:
    """Whether rows of logits are parts of one thing that goes in, and no batch."""
    rows = (dims(logits) or (None,))[0]
    return isinstance(rows, int) and rows > 1 and rows not in batches(graph)


def _logits(output: ir.Value) -> ir.Value | None:
    """Return the logits [B, K - 1] behind an output, through a Sigmoid or as they are."""
    for value in behind(output):
        node = value.producer()
        found = operand(node, 0) if node is not None and node.op_type == _SIGMOID else value
        if found is not None and is_float(found) and len(dims(found) or ()) == 2 and _wide(found) > 1:
            return found
    return None


def _wide(value: ir.Value) -> int:
    size = (dims(value) or (0,))[-1]
    return size if isinstance(size, int) else 0


def _shared(logits: ir.Value) -> NDArray[Any] | None:
    """Return the constants [K - 1] that logits add to one number; None where they are of another kind."""
    node = logits.producer()
    if node is None or node.op_type not in ("Add", "Sub", "Gemm"):
        return None
    if node.op_type == "Gemm":
        return _alike(node)
    for at in (0, 1):
        biases, number = constant_of(operand(node, 1 - at)), operand(node, at)
        single = number is not None and _wide(number) == 1 and len(dims(number) or ()) == 2
        if biases is not None and single and biases.size == _wide(logits):
            return np.asarray(biases, np.float64).reshape(-1) * (-1 if node.op_type == "Sub" and at == 0 else 1)
    return None


def _alike(node: ir.Node) -> NDArray[Any] | None:
    """Return the biases of a Gemm all of whose outputs have one weight vector."""
    weights, biases = constant_of(operand(node, 1)), constant_of(operand(node, 2))
    if weights is None or biases is None:
        return None
    rows = weights if attributes(node).get("transB") else weights.T
    return biases.reshape(-1) if len(rows) > 1 and bool((rows == rows[0]).all()) and rows[0].any() else None


def _direction(biases: NDArray[Any]) -> bool | None:
    """Return whether each says that the rank is not above its own; None where the biases are in no order.

    Less sure from rank to rank is being above it, surer is being at most it.
    """
    steps = np.diff(biases)
    if not steps.any():
        return None
    return False if (steps <= 0).all() else True if (steps >= 0).all() else None
