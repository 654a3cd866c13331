"""Logits of tokens and what makes probabilities of them: what the tasks of tokens have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.select import LOGITS, PROBABILITIES
from onnxsal.errors import UsageError, nearest
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.tasks.outputs import open_quantiser
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Floats, Numbers, Task

ACTIVATIONS = ("softmax", "sigmoid", "none")


@dataclass(frozen=True)
class TokenScores(Task):
    """Where scores [B, T, K] are."""

    probability: str | None
    activation: str
    classes: int
    length: int
    """How many tokens the model is opened for."""
    proof: str = field(default="", compare=False)

    by_length: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that scores are read from."""
        return (self.logit,) if self.probability is None else (self.logit, self.probability)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Logits and probabilities."""
        return {"logit": LOGITS, "probability": PROBABILITIES}

    @property
    def probabilities_by(self) -> str:
        """The activation."""
        return self.activation

    def activated(self, activation: str) -> Self:
        """Return the same with other probabilities. Raises: UsageError: the graph proves others, or there is none."""
        if activation not in ACTIVATIONS:
            raise UsageError(
                f"activation={activation!r}: expected {', '.join(ACTIVATIONS)}{nearest(activation, ACTIVATIONS)}"
            )
        if self.proof:
            raise UsageError(f"activation={activation!r}: the graph proves {self.activation!r} ({self.proof})")
        return replace(self, activation=activation)

    @property
    def labelled(self) -> int:
        """Every score has a name."""
        return self.classes

    def rows(self, op: Tape, value: ir.Value) -> ir.Value:
        """Return the numbers of what a target may name, float32 [B, N], of scores [B, T, K]."""
        raise NotImplementedError

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return logits and probabilities, float32 [B, N]."""
        open_quantiser(values[self.logit])
        logits = op.cast(values[self.logit], ir.DataType.FLOAT)
        if self.probability is not None:
            held = op.cast(values[self.probability], ir.DataType.FLOAT)
        elif self.activation == "none":
            held = op.Identity(logits)
        else:
            held = op.Sigmoid(logits) if self.activation == "sigmoid" else op.Softmax(logits, axis=-1)
        return {LOGITS: self.rows(op, logits), PROBABILITIES: self.rows(op, held)}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "task": self.name, "logit": self.logit, "probability": self.probability,
                "activation": self.activation, "classes": self.classes}  # fmt: skip

    def written(self) -> dict[str, Any]:
        """Return what a compiled file says of its output."""
        return {"name": self.output, "task": self.name, "classes": self.classes, "activation": self.activation,
                "probabilities": self.probability is not None}  # fmt: skip


@dataclass(frozen=True)
class ScoresOfEach(TokenScores):
    """Where scores [B, T, K] are of which a target names any: a label at a token or a step. Its numbers are
    [B, T x K], one position behind the other."""

    why: str = ""

    @property
    def size(self) -> int:
        """Positions times labels."""
        return self.length * self.classes

    @property
    def most(self) -> int:
        """Every position that says something is shown."""
        return 1 << 20

    def rows(self, op: Tape, value: ir.Value) -> ir.Value:
        """Return the scores of all positions, one behind the other."""
        return op.Flatten(value, axis=1)

    def held(self, numbers: Numbers) -> Floats:
        """Return the probabilities, [T, K]."""
        return numbers["probability"].reshape(-1, self.classes)

    def difference(self, parts: Sequence[Target]) -> Target:
        """Return the first target minus the second. Raises: UsageError: they are not two."""
        if len(parts) != 2:
            raise UsageError(f"a pair of targets (a, b) means a minus b; got {len(parts)} of them")
        told, label = (" minus ".join(str(getattr(p, name)) for p in parts) for name in ("target", "label"))
        signed = [parts[0].coefficients, -parts[1].coefficients]
        return Target(told, label, None, np.concatenate([p.indices for p in parts]), np.concatenate(signed))
