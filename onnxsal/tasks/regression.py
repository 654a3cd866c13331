"""Regression: numbers that are no scores of classes, such as an age, a dose, a similarity."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, SupportsIndex

import onnx_ir as ir

from onnxsal.anatomy import TARGET
from onnxsal.anatomy.select import VALUES
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import Tape, dims
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import is_float
from onnxsal.tasks import settle
from onnxsal.tasks.evidence import Evidence, Settled
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.outputs import batches, behind, named_outputs, open_quantiser
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target, difference, one
from onnxsal.tasks.task import Numbers, Prediction, Task


@task("regression", when="one number, or several that are no scores of classes")
@dataclass(frozen=True)
class Regression(Task):
    """Where the numbers are: an output [B] or [B, 1], or [B, N] where somebody says that it holds no classes."""

    count: int

    @classmethod
    def find(cls, graph: ir.Graph) -> Regression:
        """Return the first output [B] or [B, 1], of the input's own batch: [B, N] may hold classes, [n] what is found.

        Raises: UnsupportedError: there is none.
        """
        return _first(graph, (1, 2), proven=True)

    @classmethod
    def assume(cls, graph: ir.Graph) -> Regression:
        """Return the first output [B] or else [B, N], of which a user says that it holds numbers, or what is proven."""
        try:
            return _first(graph, (1, 2), proven=False)
        except UnsupportedError as error:
            with suppress(UnsupportedError):
                return cls.find(graph)
            raise error

    @property
    def kinds(self) -> Mapping[str, str]:
        """The numbers as they are."""
        return {"value": VALUES}

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.count

    def settled(self, evidence: Evidence) -> Settled:
        """Return the task, or of one number the classes that labels or the file's words make of it."""
        return settle.numbers(self, evidence)

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return the numbers, float32 [B, N]."""
        open_quantiser(values[self.logit])
        return {VALUES: op.Reshape(op.cast(values[self.logit], ir.DataType.FLOAT), [-1, self.count])}

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return a number by its index, or a pair (a, b) of which it is a minus b; None is the first.

        Raises: UsageError: it is something else, or out of range.
        """
        if isinstance(target, tuple):
            if len(target) != 2:
                raise UsageError(f"a pair of targets (a, b) means a minus b; got {len(target)} of them")
            a, b = (self._index(each, labels) for each in target)
            return difference((a, b), (self._name(a, labels), self._name(b, labels)))
        index = 0 if target is None else self._index(target, labels)
        return one(index, self._name(index, labels))

    def _index(self, target: Any, labels: Labels | None) -> int:
        text = target.strip() if isinstance(target, str) else ""
        if labels is not None and text and text in (labels.names if text.lstrip("-").isdigit() else (text,)):
            return labels.find(text)
        if text.lstrip("-").isdigit():
            target = int(text)
        if isinstance(target, str) and target == self._name(0, None):
            return 0
        if not isinstance(target, SupportsIndex) or isinstance(target, bool):
            raise UsageError(f"a target of regression is the index of a number; got {target!r}")
        index = int(target.__index__())
        if not 0 <= index < self.count:
            raise UsageError(f"target {index} is out of range: the model puts out the numbers 0 to {self.count - 1}")
        return index

    def _name(self, index: int, labels: Labels | None) -> str:
        if labels is not None:
            return labels.short(index)
        return self.output if self.count == 1 else f"{self.output} {index}"

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the numbers in their order."""
        values = numbers["value"][:top]
        return [Prediction(i, self._name(i, labels), float("nan"), float(value)) for i, value in enumerate(values)]

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return NaN, for there is no probability, and the number."""
        return float("nan"), target.value(numbers["value"])

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the number whose index is fed, or the first, as ``resolve`` does."""
        return {TARGET: op.Expand(op.const([0]) if given is None else given, batch)}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "logit": self.logit, "task": self.name, "numbers": self.count}


def _first(graph: ir.Graph, ranks: tuple[int, ...], *, proven: bool) -> Regression:
    for rank in ranks:
        for output in graph.outputs:
            found = next((v for v in behind(output) if _is_of(graph, v, rank, proven=proven)), None)
            if found is not None and (proven or found is output):
                count, *_ = (*(d for d in (dims(found) or ())[1:] if isinstance(d, int)), 1)
                return Regression(str(output.name), str(found.name), count)
    found_instead = named_outputs([f"{v.name!r} is {list(dims(v) or ())}" for v in graph.outputs])
    hint = "; if one is a number for each input, say so: task='regression' (--task regression)" if proven else ""
    raise UnsupportedError(f"no output holds one number: {found_instead}{hint}")


def _is_of(graph: ir.Graph, value: ir.Value, rank: int, *, proven: bool) -> bool:
    """Whether a value is [B], or [B, N] where somebody says so: where nobody does, N is 1."""
    shape = dims(value) or ()
    alone = not proven or all(d == 1 for d in shape[1:])
    return is_float(value) and len(shape) == rank and alone and _of_a_batch(graph, shape, proven=proven)


def _of_a_batch(graph: ir.Graph, shape: tuple[int | str | None, ...], *, proven: bool) -> bool:
    """Whether the first axis may be the batch: proven where an input has the same, allowed where it is open or 1."""
    first, *others = shape
    same = first in batches(graph) or not (proven or (isinstance(first, int) and first != 1))
    return all(isinstance(d, int) for d in others) and same
