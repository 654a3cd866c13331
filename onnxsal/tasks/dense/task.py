"""Dense scores: one per class of every position, as in segmentation, text detection, matting, heat maps.

A target is the mean over a region (Seg-Grad-CAM: Vinogradova et al. 2020, arXiv:2002.11434, eq. 2, there the sum): by
default where the model itself sees the class on the clean picture. The region is held while the picture is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import COEFFICIENTS, TARGET
from onnxsal.anatomy.select import LOGITS, PROBABILITIES
from onnxsal.errors import UsageError
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.tasks.classes import class_index
from onnxsal.tasks.dense.heads import main_head
from onnxsal.tasks.dense.region import Mask, Region
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.outputs import open_quantiser
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Numbers, Prediction, Task, label_of

_BACKGROUND = frozenset({"background", "__background__", "bg", "void"})
_SURE = 0.5
"""Where a sigmoid says that a position belongs to a class."""


@dataclass(frozen=True)
class RegionPrediction(Prediction):
    """A class, how sure the model is of it where it sees it, and which share of the picture that is."""

    share: float


@task("dense", when="one score per class of every position: segmentation, text detection, matting")
@dataclass(frozen=True)
class Dense(Task):
    """Where the scores of positions are: [B, C, H, W], or [B, H, W, C] with the class on axis 3."""

    probability: str | None
    activation: str
    axis: int
    """Of the classes."""
    classes: int
    grid: tuple[int, int]

    @classmethod
    def find(cls, graph: ir.Graph) -> Dense:
        """Return where they are: behind an output with a Softmax, Sigmoid or ArgMax over the classes, which proves it.

        Raises: UnsupportedError: no output is of that kind.
        """
        return cls(**vars(main_head(graph, proven=True)))

    @classmethod
    def assume(cls, graph: ir.Graph) -> Dense:
        """Return where they are where shapes allow it: logits without an activation have one class a channel."""
        return cls(**vars(main_head(graph, proven=False)))

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that scores are read from."""
        return (self.logit,) if self.probability is None else (self.logit, self.probability)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Logits and probabilities, each [B, classes x height x width], class by class."""
        return {"logit": LOGITS, "probability": PROBABILITIES}

    @property
    def weighted(self) -> bool:
        """A target is a mean over a region."""
        return True

    @property
    def probabilities_by(self) -> str:
        """The activation."""
        return self.activation

    @property
    def size(self) -> int:
        """Classes times positions."""
        return self.classes * self.positions

    @property
    def positions(self) -> int:
        """Of one class."""
        return self.grid[0] * self.grid[1]

    @property
    def labelled(self) -> int:
        """Every class has a name."""
        return self.classes

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return logits and probabilities, float32 [B, classes x height x width]."""
        open_quantiser(values[self.logit])
        logits = self._by_class(op, values[self.logit])
        if self.probability is not None:
            probabilities = self._by_class(op, values[self.probability])
        else:
            probabilities = op.Sigmoid(logits) if self.activation == "sigmoid" else op.Softmax(logits, axis=1)
        return {LOGITS: op.Reshape(logits, [-1, self.size]), PROBABILITIES: op.Reshape(probabilities, [-1, self.size])}

    def _by_class(self, op: Tape, value: ir.Value) -> ir.Value:
        value = op.cast(value, ir.DataType.FLOAT)
        return value if self.axis == 1 else op.Transpose(value, perm=[0, 3, 1, 2])

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return the mean over a region: of a class where the model sees it, of a ``Region``, of a class minus another
        over the first one's. None is the class with the largest region that is no background.

        Raises: UsageError: the model sees the class nowhere on this picture; an unknown class.
        """
        if isinstance(target, Region):
            index = class_index(self.classes, labels, target.target)
            return self._mean({index: 1.0}, target.on(self.grid), index, label_of(labels, index))
        if isinstance(target, tuple):
            return self._minus(target, numbers, labels)
        index = self._largest(numbers, labels) if target is None else class_index(self.classes, labels, target)
        label = label_of(labels, index)
        if not numbers:
            return Target(index, label)
        return self._mean({index: 1.0}, self._seen(numbers, index, label), index, label)

    def _minus(self, pair: tuple[Any, ...], numbers: Numbers, labels: Labels | None) -> Target:
        if len(pair) != 2:
            raise UsageError(f"a pair of targets (a, b) means a minus b; got {len(pair)} of them")
        a, b = (class_index(self.classes, labels, each) for each in pair)
        names = label_of(labels, a), label_of(labels, b)
        if not numbers:
            raise UsageError(
                "a compiled file of regions takes one class, not a pair: the region is that of the picture"
            )
        return self._mean({a: 1.0, b: -1.0}, self._seen(numbers, a, names[0]), (a, b), " minus ".join(names))

    def _mean(self, signs: dict[int, float], mask: Mask, target: int | tuple[int, int], label: str) -> Target:
        at = np.flatnonzero(mask)
        indices = np.concatenate([index * self.positions + at for index in signs])
        weights = np.concatenate([np.full(len(at), sign / len(at), np.float32) for sign in signs.values()])
        return Target(target, label, None, indices.astype(np.int64), weights)

    def _seen(self, numbers: Numbers, index: int, label: str) -> Mask:
        mask: Mask = self._members(numbers)[index]
        if not mask.any():
            raise UsageError(
                f"the model sees {label!r} nowhere on this picture: explain another class (`onnxsal predict` lists "
                "them), or say where with a Region"
            )
        return mask.reshape(self.grid)

    def _members(self, numbers: Numbers) -> Mask:
        """Return which positions belong to which class, [classes, positions]."""
        values = numbers["probability"].reshape(self.classes, self.positions)
        if self.activation == "sigmoid":
            return values > _SURE
        return np.asarray(values.argmax(axis=0)[None] == np.arange(self.classes)[:, None])

    def _largest(self, numbers: Numbers, labels: Labels | None) -> int:
        counts = self._members(numbers).sum(axis=1) * self._foreground(labels)
        if not counts.any():
            raise UsageError("the model sees nothing on this picture but background: say where with a Region")
        return int(counts.argmax())

    def _foreground(self, labels: Labels | None) -> NDArray[np.int64]:
        """Return 1 for every class, 0 for those whose labels say that they are background; int64 [classes]."""
        names = () if labels is None or self.classes == 1 else labels.names
        return np.array([0 if name.strip().casefold() in _BACKGROUND else 1 for name in names] or [1] * self.classes)

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the classes that the model sees, that of the largest region first."""
        members, found = self._members(numbers), list[Prediction]()
        logits, values = (numbers[kind].reshape(members.shape) for kind in ("logit", "probability"))
        shares = members.mean(axis=1)
        for index in np.argsort(-shares, kind="stable")[:top]:
            mask, share = members[index], float(shares[index])
            if share:
                label = f"{label_of(labels, int(index))}, {100 * share:.3g} % of the picture"
                probability, logit = (float(each[index][mask].mean()) for each in (values, logits))
                found.append(RegionPrediction(int(index), label, probability, logit, share))
        return found

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the region of the class that is fed, or of the largest one, as the picture at hand has it."""
        members = self._members_in(op, op.Reshape(numbers["probability"], [-1, self.classes, self.positions]))
        if given is None:
            counts = op.Mul(
                op.ReduceSum(members, [2], keepdims=0), op.const(self._foreground(labels).astype(np.float32))
            )
            chosen = op.ArgMax(counts, axis=1, keepdims=1)
        else:
            chosen = op.Unsqueeze(op.Expand(given, batch), [1])
        place = op.Expand(op.Unsqueeze(chosen, [2]), op.Concat(batch, [1, self.positions], axis=0))
        mask = op.Squeeze(op.GatherElements(members, place, axis=1), [1])
        weights = op.Div(mask, op.Max(op.ReduceSum(mask, [1], keepdims=1), 1.0))
        # A position outside has the coefficient 0: it stands for one inside, for 0 times minus infinity is NaN.
        inside = op.Where(op.Greater(mask, 0.0), op.const(np.arange(self.positions)[None]), op.ArgMax(mask, axis=1))
        return {TARGET: op.Add(op.Mul(chosen, self.positions), inside), COEFFICIENTS: weights}

    def _members_in(self, op: Tape, values: ir.Value) -> ir.Value:
        """Return which positions belong to which class, float32 [B, classes, positions] of 0 and 1."""
        if self.activation == "sigmoid":
            return op.Cast(op.Greater(values, _SURE), to=ir.DataType.FLOAT)
        numbers = op.const(np.arange(self.classes)[None, :, None])
        return op.Cast(op.Equal(op.ArgMax(values, axis=1), numbers), to=ir.DataType.FLOAT)

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "task": self.name, "logit": self.logit, "probability": self.probability,
                "activation": self.activation, "classes": self.classes, "grid": list(self.grid)}  # fmt: skip

    def written(self) -> dict[str, Any]:
        """Return what a compiled file says of its output."""
        return {"name": self.output, "task": self.name, "classes": self.classes, "activation": self.activation,
                "grid": list(self.grid), "probabilities": self.probability is not None}  # fmt: skip
