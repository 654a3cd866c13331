"""A task: grades from 1 to N with a probability each, of which the mean is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import onnx_ir as ir

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import Tape, Trace, dims
from onnxsal.tasks import Numbers, Prediction, Target, Task, one

__all__ = ["Rating"]

VALUES = "sal/values"


@onnxsal.task("rating", when="grades from 1 to N of which the mean is meant, as of pictures (NIMA) or ages")
@dataclass(frozen=True)
class Rating(Task):
    """The mean grade of a first output [B, N] that a Softmax makes."""

    grades: int
    kinds: ClassVar[Mapping[str, str]] = {"value": VALUES}
    size: ClassVar[int] = 1

    @classmethod
    def find(cls, graph: ir.Graph) -> Self:
        """Return where the grades are. Raises: UnsupportedError: the first output is no Softmax over N grades."""
        output = graph.outputs[0]
        node, shape = output.producer(), dims(output) or ()
        logits = node.inputs[0] if node is not None and node.op_type == "Softmax" else None
        if logits is None or len(shape) != 2 or not isinstance(shape[1], int):
            raise UnsupportedError(f"{output.name!r} is no Softmax over grades, [batch, N]")
        return cls(output=str(output.name), logit=str(logits.name), grades=shape[1])

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return the mean grade, [B, 1]."""
        grades = np.arange(1, self.grades + 1, dtype=np.float32).reshape(-1, 1)
        return {VALUES: op.MatMul(op.cast(values[self.output], ir.DataType.FLOAT), op.const(grades))}

    def ends(self, kind: str) -> tuple[float, float]:
        """Return the least and the greatest grade."""
        return 1.0, float(self.grades)

    def resolve(self, target: Any, numbers: Numbers, labels: object) -> Target:
        """Return the one target there is. Raises: UsageError: another was asked for."""
        if target not in (None, 0, "mean grade"):
            raise UsageError(f"target={target!r}: a rating has one target, its mean grade")
        return one(0, "mean grade")

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return no probability, and the mean grade."""
        return float("nan"), float(numbers["value"][0])

    def predict(self, numbers: Numbers, labels: object, top: int) -> list[Prediction]:
        """Return the mean grade."""
        return [Prediction(0, "mean grade", float("nan"), float(numbers["value"][0]))]
