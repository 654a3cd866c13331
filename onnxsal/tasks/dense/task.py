"""Dense scores: one per class of every position, as in segmentation, text detection, matting, heat maps.

A target is the mean over a region (Seg-Grad-CAM: Vinogradova et al. 2020, arXiv:2002.11434, eq. 2, there the sum): by
default where the model itself sees the class on the clean picture. The region is held while the picture is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy.select import LOGITS, PROBABILITIES
from onnxsal.errors import NotSeenError, UnsupportedError, UsageError
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.modalities.frame import Frame, Voxels
from onnxsal.tasks.classes import class_index
from onnxsal.tasks.dense.compiled import FED, FED_REGION, MEANS, counted_in, mean_in, members_in
from onnxsal.tasks.dense.heads import main_head
from onnxsal.tasks.dense.parts import Part, mean_of
from onnxsal.tasks.dense.region import At, Mask, Region, region_in
from onnxsal.tasks.dense.scores import DenseScores
from onnxsal.tasks.dense.seen import ask_at, foreground, highest, members, surest
from onnxsal.tasks.dense.settle import settled
from onnxsal.tasks.dense.voxels import placed_in_voxels
from onnxsal.tasks.evidence import Evidence, Settled
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.outputs import open_quantiser
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Fed, Numbers, Place, Prediction, label_of
from onnxsal.tasks.words import Words

_ACTIVATIONS: Mapping[str, Callable[[Tape, ir.Value], ir.Value]] = {
    "softmax": lambda op, logits: op.Softmax(logits, axis=1),
    "sigmoid": lambda op, logits: op.Sigmoid(logits),
    "none": lambda op, logits: op.Identity(logits),
}
"""Probabilities [B, C, H, W] of logits."""


@dataclass(frozen=True)
class RegionPrediction(Prediction):
    """A class, how sure the model is of it where it sees it, and which share of the picture that is."""

    share: float
    name: str = ""
    """The class's alone."""
    mask: Mask = field(default_factory=lambda: np.zeros((0, 0), bool), repr=False, compare=False)
    """The positions of the output where it is seen, bool [H, W]."""


@task("dense", when="one score per class of every position: segmentation, text detection, matting")
@dataclass(frozen=True)
class Dense(DenseScores):
    """Where the scores of positions are: [B, C, H, W] or [B, H, W, C], of volumes with depth in front of height."""

    noun: ClassVar[str] = "class"

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

    @classmethod
    def find_said(cls, graph: ir.Graph, words: Words, *, asked: bool = False) -> Dense:
        """Return what the graph proves; or scores without an activation that have as many classes as labels are known.

        Raises: UnsupportedError: it proves none, and labels name something else.
        """
        try:
            return super().find_said(graph, words, asked=asked)
        except UnsupportedError as error:
            with suppress(UnsupportedError):
                return cls(**vars(main_head(graph, proven=False, named=words.fits)))
            raise error

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

    def activated(self, activation: str) -> Dense:
        """Return the same with probabilities of the logits by ``softmax`` or ``sigmoid``; ``none``: it holds them."""
        if activation not in _ACTIVATIONS:
            raise UsageError(f"activation={activation!r}: expected {', '.join(_ACTIVATIONS)}")
        if activation == "none" and self.probability is not None:
            return self
        exclusive = self.exclusive and self.classes > 1 if activation == "none" else activation == "softmax"
        return replace(self, activation=activation, probability=None, exclusive=exclusive)

    def settled(self, evidence: Evidence) -> Settled:
        """Return the same with probabilities as the graph proves, as was asked for, or as running tells."""
        return settled(self, evidence)

    @property
    def size(self) -> int:
        """Classes times positions."""
        return self.classes * self.positions

    @property
    def numbered(self) -> int:
        """The classes."""
        return self.classes

    @property
    def has_regions(self) -> bool:
        """That is what it is about."""
        return True

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
            probabilities = _ACTIVATIONS[self.activation](op, logits)
        return {LOGITS: op.Reshape(logits, [-1, self.size]), PROBABILITIES: op.Reshape(probabilities, [-1, self.size])}

    def _by_class(self, op: Tape, value: ir.Value) -> ir.Value:
        value = op.cast(value, ir.DataType.FLOAT)
        positions = range(1, 1 + len(self.grid))
        return value if self.axis == 1 or self.classes == 1 else op.Transpose(value, perm=[0, self.axis, *positions])

    def as_inputs(self, target: Any) -> tuple[tuple[Fed, ...], Any] | None:
        """Return the class (``input``), the region of a class that is fixed (``cat@input``), or both
        (``input@input``)."""
        name, _, place = (each.strip() for each in (target if isinstance(target, str) else "").rpartition("@"))
        if place != FED or not name:
            return super().as_inputs(target)
        return ((self.fed, FED_REGION), None) if name == FED else ((FED_REGION,), name)

    @property
    def means(self) -> Mapping[str, str]:
        """What the inputs mean that say what is explained."""
        return {FED_REGION.name: MEANS}

    def placed(self, target: Any, frame: Frame | Voxels | None, labels: Labels | None) -> Any:
        """Return a target with its regions on the positions of the output; text such as ``cat@120,80`` is one.

        Raises: UsageError, ImageError: a region is none, or nothing of it is in the picture.
        """
        if isinstance(target, tuple):
            return tuple(self.placed(each, frame, labels) for each in target)
        target = region_in(target, labels) if isinstance(target, str) else target
        if not isinstance(target, Region):
            return target
        if len(self.grid) > 2:
            return placed_in_voxels(target, self.grid, frame if isinstance(frame, Voxels) else Voxels(self.grid))
        height, width = self.grid
        return target.placed((height, width), frame if isinstance(frame, Frame) else Frame.whole(self.grid))

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return the mean over a region: of a class where the model sees it, of a ``Region``, of one minus another; a
        class without a place of its own is taken away over the first one's. None is the class with the largest region
        that is no background.

        Raises: NotSeenError: the model sees the class nowhere on this picture. UsageError: there is no such class.
        """
        if isinstance(target, tuple):
            return self._minus(target, numbers, labels)
        if not numbers and target is not None and not isinstance(target, At):
            index = class_index(self.classes, labels, target)
            return Target(index, label_of(labels, index))
        part = self._part(target, numbers, labels)
        about = {"region": part.about} if part.about else {}
        return mean_of([part], part.index, part.label, self.positions, about)

    def _minus(self, pair: tuple[Any, ...], numbers: Numbers, labels: Labels | None) -> Target:
        if len(pair) != 2:
            raise UsageError(f"a pair of targets (a, b) means a minus b; got {len(pair)} of them")
        if not numbers and not isinstance(pair[0], At):
            raise UsageError(
                "a compiled file of regions takes one class, not a pair: the region is that of the picture. Fix it by "
                "a Region, or as in 'cat@10,20,200,180 minus dog'"
            )
        first = self._part(pair[0], numbers, labels)
        if isinstance(pair[1], At):
            second = self._part(pair[1], numbers, labels)
        else:
            index = class_index(self.classes, labels, pair[1])
            second = replace(first, index=index, label=label_of(labels, index), about={})
        about = {"region": [first.about, second.about]} if first.about or second.about else {}
        names = f"{first.label} minus {second.label}"
        return mean_of([first, second], (first.index, second.index), names, self.positions, about)

    def _part(self, target: Any, numbers: Numbers, labels: Labels | None) -> Part:
        if isinstance(target, At):
            index = class_index(self.classes, labels, target.target)
            return Part(index, f"{label_of(labels, index)} {target.where}", target.weights.reshape(-1), target.about)
        index = self._largest(numbers, labels) if target is None else class_index(self.classes, labels, target)
        mask = self._seen(numbers, index, labels)
        return Part(index, label_of(labels, index), mask / mask.sum())

    def _seen(self, numbers: Numbers, index: int, labels: Labels | None) -> Mask:
        mask: Mask = members(self, numbers)[index]
        if not mask.any():
            raise NotSeenError(
                f"the model sees {label_of(labels, index)!r} nowhere on this picture: {highest(self, numbers, index)}. "
                "Explain another class (`onnxsal predict` lists them), or say where it should be: "
                f"{ask_at(self, numbers, index)}"
            )
        return mask

    def _largest(self, numbers: Numbers, labels: Labels | None) -> int:
        counts = members(self, numbers).sum(axis=1) * foreground(self, labels)
        if not counts.any():
            index = surest(self, numbers, labels)
            behind = " but background" if self.exclusive else ""
            raise NotSeenError(
                f"the model sees nothing on this picture{behind}: say where with a Region. Of "
                f"{label_of(labels, index)!r} {highest(self, numbers, index)}; there it is "
                f"{ask_at(self, numbers, index)}"
            )
        return int(counts.argmax())

    def nothing(self, numbers: Numbers, labels: Labels | None) -> str:
        """Return why ``predict`` shows nothing."""
        return f"nothing is seen: {highest(self, numbers, surest(self, numbers, labels))}"

    def where(self, target: Target) -> Mask | None:
        """Return the positions that a target is a mean over, [H, W]."""
        mask = np.zeros(self.positions, bool)
        mask[target.indices % self.positions] = True
        return mask.reshape(self.grid)

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the classes that the model sees, that of the largest region first."""
        masks = members(self, numbers)
        shares = masks.mean(axis=1)
        order = [int(i) for i in np.argsort(-shares, kind="stable")[:top] if shares[i]]
        return [self._seen_as(numbers, index, masks[index], label_of(labels, index)) for index in order]

    def _seen_as(self, numbers: Numbers, index: int, mask: Mask, name: str) -> RegionPrediction:
        share = float(mask.mean())
        probability, logit = (
            float(numbers[kind].reshape(self.classes, self.positions)[index][mask].mean())
            for kind in ("probability", "logit")
        )
        label = f"{name}, {100 * share:.3g} % of the {'picture' if len(self.grid) == 2 else 'volume'}"
        return RegionPrediction(index, label, probability, logit, share, name, mask.reshape(self.grid))

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the region of the class that is fed, or of the largest one, as the picture at hand has it."""
        members = members_in(op, self, numbers)
        if given is None:
            counts = op.Mul(
                op.ReduceSum(members, [2], keepdims=0), op.const(foreground(self, labels).astype(np.float32))
            )
            chosen = op.ArgMax(counts, axis=1, keepdims=1)
        else:
            chosen = op.Unsqueeze(op.Expand(given, batch), [1])
        place = op.Expand(op.Unsqueeze(chosen, [2]), op.Concat(batch, [1, self.positions], axis=0))
        mask = op.Squeeze(op.GatherElements(members, place, axis=1), [1])
        return mean_in(op, self, chosen, mask)

    def targets_at(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value, place: Place, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the mean of a class over a region that is fed, whether the model sees it there or not; the class that
        is predicted there is that of most of the region, background aside."""
        counted = counted_in(op, self, place)
        if not numbers:
            return mean_in(op, self, op.Unsqueeze(given, [1]), counted)
        share = op.Squeeze(op.MatMul(members_in(op, self, numbers), op.Unsqueeze(counted, [2])), [2])
        share = op.Mul(share, op.const(foreground(self, labels).astype(np.float32)[None]))
        open_ = op.Equal(op.Unsqueeze(given, [1]), -1)
        index = op.Where(open_, op.ArgMax(share, axis=1, keepdims=1), op.Unsqueeze(given, [1]))
        nothing = op.And(open_, op.Equal(op.ReduceMax(share, [1], keepdims=1), 0.0))
        return mean_in(op, self, index, op.Where(nothing, 0.0, counted))

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "task": self.name, "logit": self.logit, "probability": self.probability,
                "activation": self.activation, "classes": self.classes, "grid": list(self.grid)}  # fmt: skip

    def written(self) -> dict[str, Any]:
        """Return what a compiled file says of its output."""
        return {"name": self.output, "task": self.name, "classes": self.classes, "activation": self.activation,
                "grid": list(self.grid), "probabilities": self.probability is not None}  # fmt: skip
