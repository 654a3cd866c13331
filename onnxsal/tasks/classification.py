"""Classification: one score per class. Its logit is found behind an output, through what only dresses it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from onnxsal.anatomy import TARGET
from onnxsal.anatomy.select import LOGITS, PROBABILITIES
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Tape, attributes, dims
from onnxsal.graph.names import node_title
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.classes import class_target
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.outputs import ancestors, behind, main_output, open_quantiser, source
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Numbers, Prediction, Task, label_of, most

_ACTIVATIONS = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}


@task("classification", when="one score per class")
@dataclass(frozen=True)
class Classification(Task):
    """Where a classifier's scores are: the logit behind its output, and what makes probabilities of it."""

    probability: str | None
    """The value that holds probabilities, in front of any quantisation; None where the model ends in logits."""
    activation: str
    """``softmax`` or ``sigmoid``."""
    classes: int

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that scores are read from."""
        return (self.logit,) if self.probability is None else (self.logit, self.probability)

    @property
    def kinds(self) -> Mapping[str, str]:
        """Logits, and the probabilities that are made of them."""
        return {"logit": LOGITS, "probability": PROBABILITIES}

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return logits and probabilities, float32 [B, classes], of a model's values by name."""
        open_quantiser(values[self.logit])
        logits = _rows(op, values[self.logit], self.classes)
        if self.probability is not None:
            probabilities = _rows(op, values[self.probability], self.classes)
        else:
            probabilities = op.Sigmoid(logits) if self.activation == "sigmoid" else op.Softmax(logits, axis=-1)
        return {LOGITS: logits, PROBABILITIES: probabilities}

    @classmethod
    def find(cls, graph: ir.Graph) -> Classification:
        """Return where the scores are. Raises: UnsupportedError: no output holds one score per class."""
        return find_head(graph)

    @property
    def probabilities_by(self) -> str:
        """The activation."""
        return self.activation

    @property
    def size(self) -> int:
        """The number of classes."""
        return self.classes

    @property
    def labelled(self) -> int:
        """Every class has a name."""
        return self.classes

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return the class, or the pair (a, b) of which it is a minus b; None is the one of highest probability.

        Raises: UsageError: an index out of range, a label that is unknown or ambiguous.
        """
        return class_target(self.classes, labels, target, numbers)

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the most probable classes, best first."""
        logits, probabilities = numbers["logit"], numbers["probability"]
        return [
            Prediction(i, label_of(labels, i), float(probabilities[i]), float(logits[i]))
            for i in most(probabilities, top)
        ]

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return the probability of the class, of a pair that of the first, and the target's value among logits."""
        first = target.target[0] if isinstance(target.target, tuple) else target.target
        probability = float(numbers["probability"][first]) if isinstance(first, int) else float("nan")
        return probability, target.value(numbers["logit"])

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the class that is fed, or the predicted one."""
        # One class may be fed for all pictures; of another number than these, the runtime says so here.
        best = op.ArgMax(numbers["probability"], axis=1, keepdims=0) if given is None else op.Expand(given, batch)
        return {TARGET: best}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "logit": self.logit, "probability": self.probability,
                "activation": self.activation, "classes": self.classes}  # fmt: skip

    def written(self) -> dict[str, Any]:
        """Return what a compiled file says of its output."""
        return {"name": self.output, "classes": self.classes, "activation": self.activation,
                "probabilities": self.probability is not None}  # fmt: skip


def _rows(op: Tape, value: ir.Value, classes: int) -> ir.Value:
    value = op.cast(value, ir.DataType.FLOAT)
    shape = dims(value)
    return value if shape is not None and len(shape) == 2 else op.Reshape(value, [-1, classes])


def find_head(graph: ir.Graph) -> Classification:
    """Return where the scores of a classifier are: behind its first output that is neither auxiliary nor features.

    Raises: UnsupportedError: no output holds one score per class; each is named with what it is instead.
    """
    batch = next(((dims(v) or (None,))[0] for v in graph.inputs), None)
    found = [(output, *_head_behind(output, batch)) for output in graph.outputs]
    heads = [(output, head) for output, head, _ in found if head is not None]
    if heads:
        return heads[main_output([output for output, _ in heads])][1]
    reasons = "; ".join(f"{output.name!r} {reason}" for output, _, reason in found)
    raise UnsupportedError(
        f"onnxsal explains classifiers, and no output of this model holds one score per class: {reasons}"
    )


def _head_behind(output: ir.Value, batch: int | str | None) -> tuple[Classification | None, str]:
    """Return the head behind an output, or None and what the output is instead."""
    if any(node.op_type == "NonMaxSuppression" for node in ancestors(output)):
        return None, "comes from NonMaxSuppression: this is a detector"
    chain = list(behind(output))
    found = next((v for v in chain if _made_by(v) in _ACTIVATIONS), None)
    scores = chain if found is None else list(behind(source(found)))
    logit = next((v for v in scores if is_float(v) and _classes(v) is not None), None)
    if logit is None:
        return None, _instead(scores, output)
    classes = _classes(logit) or 1
    if not _same_batch(logit, batch):
        return None, f"has shape {_shown(logit)}, whose rows are not the pictures{_as_far(logit)}"
    if found is not None and not _over_classes(found, classes):
        return None, f"has shape {_shown(logit)} and a {_made_by(found)} over another axis than the classes"
    return _head(output, logit, found, classes), ""


def _head(output: ir.Value, logit: ir.Value, found: ir.Value | None, classes: int) -> Classification:
    made_by = "" if found is None else _made_by(found)
    probability = str(found.name) if found is not None and made_by != "LogSoftmax" else None
    activation = "sigmoid" if classes == 1 else _ACTIVATIONS.get(made_by, "softmax")
    return Classification(str(output.name), str(logit.name), probability, activation, classes)


def _made_by(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None or node.domain else node.op_type


def _classes(value: ir.Value) -> int | None:
    """Return the number of classes of a value [B, K], or [B, K, 1, 1] and the like."""
    shape = dims(value)
    if shape is None or len(shape) < 2:
        return None
    wide = [d for d in shape[1:] if d != 1]
    if not wide:
        return 1
    return wide[0] if len(wide) == 1 and isinstance(wide[0], int) else None


def _same_batch(value: ir.Value, batch: int | str | None) -> bool:
    leading = (dims(value) or (None,))[0]
    return leading is None or batch is None or leading == batch


def _over_classes(probability: ir.Value, classes: int) -> bool:
    node = probability.producer()
    if node is None or node.op_type == "Sigmoid" or node.inputs[0] is None:
        return True
    shape = dims(node.inputs[0]) or ()
    axis = int(attributes(node).get("axis", -1))
    return -len(shape) <= axis < len(shape) and shape[axis] in (classes, None)


def _instead(scores: Sequence[ir.Value], output: ir.Value) -> str:
    """Say what an output without a score per class is."""
    value = next((v for v in scores if is_float(v)), None)
    if not isinstance(output.type, ir.TensorType) and output.type is not None:
        return f"is a {'sequence or map' if value is None else 'sequence or map of scores that are not one per class'}"
    if lost := _lost_behind(scores):
        return f"has an unknown shape, for onnx knows none of what comes out of {', '.join(lost[:3])}"
    if value is None:
        return f"holds {output.dtype or 'values of unknown type'}, not float scores"
    wide = [d for d in (dims(value) or ())[1:] if d != 1]
    kinds = {0: "", 1: "", 2: ": rows of boxes or tokens?", 3: ": scores of every position, as in segmentation?"}
    return f"has shape {_shown(value)}, not [batch, classes]{kinds.get(len(wide), '')}"


def _lost_behind(scores: Sequence[ir.Value]) -> list[str]:
    """Return the operators behind scores of unknown shape at which shapes are lost: what they read is known."""
    unknown = [v for v in scores if dims(v) is None]
    nodes = {node for v in unknown for node in (v.producer(), *ancestors(v)) if node is not None}
    return sorted(node_title(node) for node in nodes if any(dims(v) is None for v in node.outputs) and _all_known(node))


def _as_far(value: ir.Value) -> str:
    """Say which operators nobody sees through, where there are some on the way to a value."""
    lost = sorted(node_title(n) for n in ancestors(value) if any(dims(v) is None for v in n.outputs) and _all_known(n))
    return (
        f", as far as they can be followed: onnx knows none of what comes out of {', '.join(lost[:3])}" if lost else ""
    )


def _all_known(node: ir.Node) -> bool:
    return all(v is None or dims(v) is not None for v in node.inputs)


def _shown(value: ir.Value) -> str:
    return "[" + ", ".join(str(d or "?") for d in dims(value) or ()) + "]"
