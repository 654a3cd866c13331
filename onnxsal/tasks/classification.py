"""Classification: one score per class. Its logit is found behind an output, through what only dresses it up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import TARGET
from onnxsal.anatomy.select import LOGITS, PROBABILITIES, VALUES
from onnxsal.errors import UnsupportedError, UsageError, nearest
from onnxsal.graph import Tape, dims
from onnxsal.graph.names import node_title
from onnxsal.graph.program import Trace, values_by_name
from onnxsal.graph.shapes import is_float
from onnxsal.tasks import settle
from onnxsal.tasks.class_scores import as_far, class_count, instead, over_classes, same_batch, shape_shown
from onnxsal.tasks.classes import class_index, class_target
from onnxsal.tasks.evidence import Evidence, Settled, are_within
from onnxsal.tasks.held import Held
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.normalised import embeds
from onnxsal.tasks.outputs import (
    ACTIVATIONS,
    VOID,
    ancestors,
    batches,
    behind,
    holds_steps,
    made_by,
    main_output,
    named_outputs,
    open_quantiser,
    source,
)
from onnxsal.tasks.reading import Reading, held_behind, proof_of
from onnxsal.tasks.registry import task
from onnxsal.tasks.settle import VALUE
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Numbers, Prediction, Task, label_of, most

BY_HAND = ("softmax", "sigmoid", "none")
"""What a user may say that makes probabilities."""


@task("classification", when="one score per class")
@dataclass(frozen=True)
class Classification(Task):
    """Where a classifier's scores are: the logit behind its output, and what makes probabilities of it.

    One number is two classes: 1 is what it speaks for, 0 that it is not so.
    """

    noun: ClassVar[str] = "class"

    probability: str | None
    """The value that holds probabilities, in front of any quantisation; None where the model ends in logits."""
    activation: str
    """``softmax`` or ``sigmoid``; ``none`` where the file holds probabilities of which no logit is known; ``value``
    where nothing says what its numbers are."""
    classes: int
    """How many numbers the file has for a picture."""
    reading: Reading | None = None
    """None where a bare activation, or none, makes them."""
    proof: str = field(default="", compare=False)
    """The nodes that prove the activation; empty where nothing does."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that scores are read from."""
        return (self.logit,) if self.probability is None else (self.logit, self.probability)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Logits where there are, and probabilities; or numbers of which nothing says what they are."""
        if self.activation == VALUE:
            return {"value": VALUES}
        known = self.reading is None or self.reading.logits is not None
        return {"logit": LOGITS, "probability": PROBABILITIES} if known else {"probability": PROBABILITIES}

    @property
    def shown_kind(self) -> str:
        """What classes are compared by: the probability, where it is one."""
        return "value" if self.activation == VALUE else "probability"

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return the numbers of every kind, float32 [B, classes], of a model's values by name."""
        open_quantiser(values[self.logit])
        if self.activation == VALUE:
            return {VALUES: _rows(op, values[self.logit], self.classes)}
        if self.reading is not None:
            return self._read(op, values, self.reading)
        logits = _rows(op, values[self.logit], self.classes)
        if self.probability is not None:
            probabilities = _rows(op, values[self.probability], self.classes)
        else:
            probabilities = self._activated(op, logits)
        return self._both(op, logits, probabilities)

    def _read(self, op: Tape, values: Mapping[str, ir.Value] | Trace, reading: Reading) -> dict[str, ir.Value]:
        logits = None if reading.logits is None else _rows(op, reading.logits.write(op, values), self.classes)
        if self.probability is None:
            assert logits is not None
            return self._both(op, logits, self._activated(op, logits))
        return self._both(op, logits, reading.probabilities(op, _rows(op, values[self.probability], self.classes)))

    def _activated(self, op: Tape, logits: ir.Value) -> ir.Value:
        return op.Sigmoid(logits) if self.activation == "sigmoid" else op.Softmax(logits, axis=-1)

    def _both(self, op: Tape, logits: ir.Value | None, probabilities: ir.Value) -> dict[str, ir.Value]:
        """Return what is put out; one number in the columns of both classes that it tells apart."""
        if self.classes == 1:
            logits = None if logits is None else op.Concat(op.Neg(logits), logits, axis=1)
            probabilities = op.Concat(op.Sub(1.0, probabilities), probabilities, axis=1)
        return {PROBABILITIES: probabilities} if logits is None else {LOGITS: logits, PROBABILITIES: probabilities}

    @classmethod
    def find(cls, graph: ir.Graph) -> Classification:
        """Return where the scores are. Raises: UnsupportedError: no output holds one score per class."""
        return find_head(graph, proven=True)

    @classmethod
    def assume(cls, graph: ir.Graph) -> Classification:
        """Return the same where somebody says that there are classes: one number without an activation is a logit, and
        what may look like an embedding holds scores.
        """
        return find_head(graph, assumed=True)

    @property
    def probabilities_by(self) -> str:
        """The activation."""
        return self.activation

    def activated(self, activation: str) -> Classification:
        """Return the same with other probabilities, where the graph does not prove which they are.

        Raises: UsageError: the graph proves others, one number has a softmax, or there is no such activation.
        """
        if activation not in (*BY_HAND, VALUE):
            raise UsageError(f"activation={activation!r}: expected {', '.join(BY_HAND)}{nearest(activation, BY_HAND)}")
        if self.proof:
            raise UsageError(f"activation={activation!r}: the graph proves {self.activation!r} ({self.proof})")
        if self.classes == 1 and activation == "softmax":
            raise UsageError(
                "activation='softmax': of one number it is always 1; take sigmoid for a logit of two classes"
            )
        held = activation == "none"
        return replace(
            self, activation=activation, probability=self.logit if held else None, reading=Reading() if held else None
        )

    def settled(self, evidence: Evidence) -> Settled:
        """Return the task with the activation that is proven, asked for, said by the file, or found by running it."""
        if self.proof:
            return settle.proven(self, self.proof, evidence)
        value = values_by_name(evidence.graph)[self.logit]
        return settle.scores(self, value, evidence)

    def check(self, numbers: Numbers) -> None:
        """Raise where numbers are not finite, but for the logit minus infinity of a class that is switched off.

        Raises: ModelError. UsageError: what a user says to be probabilities is outside [0, 1].
        """
        others = {kind: found[~np.isneginf(found)] if kind == "logit" else found for kind, found in numbers.items()}
        super().check(others)
        found = numbers.get("probability", np.zeros(0, np.float32))
        if not self.proof and self.activation == "none" and not are_within(found[None]):
            raise UsageError(
                f"{self.output!r} holds no probabilities, which activation 'none' says: numbers from {found.min():.4g} "
                f"to {found.max():.4g}; say softmax or sigmoid where they are logits (--activation), --task regression "
                "where they are no scores of classes"
            )

    @property
    def size(self) -> int:
        """The number of classes: two where there is one number."""
        return max(2, self.classes)

    @property
    def labelled(self) -> int:
        """Every class has a name."""
        return self.size

    @property
    def name_counts(self) -> tuple[int, ...]:
        """One for each class; of one number that of the class it speaks for is enough."""
        return (2, 1) if self.classes == 1 else (self.classes,)

    def named(self, labels: Labels) -> Labels:
        """Return the labels, of one number that of the class it speaks for and of what is not so.

        Raises: UsageError: they are of another number.
        """
        if self.classes == 1 and len(labels) == 1:
            return Labels((f"not {labels.short(0)}", labels.names[0]), labels.source)
        return labels.checked(self.labelled)

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return the class, or the pair (a, b) of which it is a minus b; None is the one of highest probability.

        Raises: UsageError: an index out of range, a label that is unknown or ambiguous.
        """
        target = self._opposite(target, labels)
        found = class_target(self.size, labels, target, {"probability": numbers[self.shown_kind]} if numbers else {})
        if "logit" in numbers and not np.isfinite(numbers["logit"][found.indices]).all():
            raise UsageError(
                f"the model switches {found.label!r} off: its logit is minus infinity, which nothing on the picture "
                "changes; explain another class"
            )
        return found

    def _opposite(self, target: Any, labels: Labels | None) -> Any:
        """Return what "not NAME" means where one number tells two classes apart: the other one."""
        named = isinstance(target, str) and self.classes == 1 and (labels is None or labels.exactly(target) is None)
        before, word, name = target.strip().partition("not ") if named else ("", "", "")
        return target if before or not word else 1 - class_index(self.size, labels, name)

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the most probable classes, best first, without those that the file switches off."""
        nan = np.full(self.size, np.nan, np.float32)
        logits, probabilities = numbers.get("logit", numbers.get("value", nan)), numbers.get("probability", nan)
        return [
            Prediction(i, label_of(labels, i), float(probabilities[i]), float(logits[i]))
            for i in most(numbers[self.shown_kind], top)
            if not np.isneginf(logits[i])
        ]

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return the probability of the class, of a pair that of the first, and the target's value among logits.

        Where there are no logits that is NaN; of numbers of which nothing says what they are it is the target's own.
        """
        first = target.target[0] if isinstance(target.target, tuple) else target.target
        nan, scores = float("nan"), numbers.get("logit", numbers.get("value"))
        held = numbers.get("probability")
        probability = float(held[first]) if held is not None and isinstance(first, int) else nan
        return probability, nan if scores is None else target.value(scores)

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the class that is fed, or the predicted one."""
        # One class may be fed for all pictures; of another number than these, the runtime says so here.
        best = op.ArgMax(numbers[self.shown_kind], axis=1, keepdims=0) if given is None else op.Expand(given, batch)
        return {TARGET: best}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "logit": self.logit if "logit" in self.kinds else None,
                "probability": self.probability, "activation": self.activation, "classes": self.size}  # fmt: skip

    def written(self) -> dict[str, Any]:
        """Return what a compiled file says of its output."""
        return {"name": self.output, "classes": self.size, "activation": self.activation,
                "probabilities": self.probability is not None}  # fmt: skip


def _rows(op: Tape, value: ir.Value, classes: int) -> ir.Value:
    value = op.cast(value, ir.DataType.FLOAT)
    shape = dims(value)
    return value if shape is not None and len(shape) == 2 else op.Reshape(value, [-1, classes])


def find_head(graph: ir.Graph, *, proven: bool = False, assumed: bool = False) -> Classification:
    """Return where the scores of a classifier are: behind its first output that is neither auxiliary nor features.

    Args:
        proven: one number without an activation may as well be no score of a class.
        assumed: a user says that there are some, whatever else an output may look like.
    Raises: UnsupportedError: no output holds one score per class; each is named with what it is instead.
    """
    batch = next(iter(batches(graph)), None)
    found = [
        (output, *_head_behind(output, batch, "" if assumed else embeds(output), proven=proven, assumed=assumed))
        for output in graph.outputs
    ]
    heads = [(output, head) for output, head, _ in found if head is not None]
    if heads:
        return heads[main_output([output for output, _ in heads])][1]
    reasons = named_outputs([f"{output.name!r} {reason}" for output, _, reason in found])
    raise UnsupportedError(
        f"onnxsal explains classifiers, and no output of this model holds one score per class: {reasons}"
    )


def _head_behind(
    output: ir.Value, batch: int | str | None, embeds: str, *, proven: bool, assumed: bool
) -> tuple[Classification | None, str]:
    """Return the head behind an output, or None and what the output is instead.

    Args: embeds: what tells that it is an embedding, unless an activation proves classes.
    """
    if any(node.op_type == "NonMaxSuppression" for node in ancestors(output)):
        return None, "comes from NonMaxSuppression: this is a detector"
    if proven and holds_steps(output):
        return None, "is as long as what goes in: steps, and no classes"
    chain = list(behind(output))
    found = next((v for v in chain if made_by(v) in ACTIVATIONS), None)
    if found is None and embeds:
        return None, f"{embeds}: an embedding"
    scores = chain if found is None else list(behind(source(found)))
    proved = held_behind(chain) if found is None else None
    own = [v for v in scores if is_float(v)]
    logit = next((v for v in own if class_count(v) is not None), None)
    alone = proved is not None or (found is not None and made_by(found) == "Sigmoid")
    if logit is None and alone:  # [B], whose numbers are known to be of that kind
        logit = next((v for v in own if len(dims(v) or ()) == 1), None)
    if logit is None:
        return None, instead(scores, output)
    classes = class_count(logit) or 1
    if not same_batch(logit, batch):
        return None, f"has shape {shape_shown(logit)}, whose rows are not the pictures{as_far(logit)}"
    if found is not None and not over_classes(found, classes):
        return None, f"has shape {shape_shown(logit)} and a {made_by(found)} over another axis than the classes"
    if found is not None and classes == 1 and made_by(found) in VOID:
        if not assumed:
            return None, f"is {made_by(found)} over one number, which is the same whatever goes in"
        found = None  # who says that there are classes means the number in front of it
    if proved is not None:
        return _read_as(output, chain[-1], proved, classes), ""
    if proven and classes == 1 and found is None:
        return None, "is one number a picture, without a Sigmoid"
    return _head(output, logit, found, classes), ""


def _head(output: ir.Value, logit: ir.Value, found: ir.Value | None, classes: int) -> Classification:
    made = "" if found is None else made_by(found)
    probability = str(found.name) if found is not None and made != "LogSoftmax" else None
    activation = "sigmoid" if classes == 1 else ACTIVATIONS.get(made, "softmax")
    node = None if found is None else found.producer()
    proof = "" if node is None else f"{node_title(node)} makes {output.name!r}"
    return Classification(str(output.name), str(logit.name), probability, activation, classes, None, proof)


def _read_as(output: ir.Value, value: ir.Value, found: Held, classes: int) -> Classification:
    """Return a head whose probabilities are a value's numbers, as a proof reads them."""
    reading = Reading(found.logits, found.scale, found.log)
    remade = found.log and found.by == "softmax" and found.logits is not None
    logit = str(value.name) if found.logits is None else found.logits.source
    activation = "none" if found.logits is None else found.by
    return Classification(
        str(output.name), logit, None if remade else str(value.name), activation, classes, reading,
        proof_of(found, value, str(output.name)),
    )  # fmt: skip
