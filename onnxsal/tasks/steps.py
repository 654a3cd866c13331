"""Scores of each step of time: of labels, such as a recogniser's characters or sounds, or one number a step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import TARGET
from onnxsal.decisions import Decision
from onnxsal.errors import NotSeenError, UnsupportedError, UsageError, nearest
from onnxsal.graph import Tape, dims
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.registry import Sample, recognise
from onnxsal.tasks.classes import class_index
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.outputs import ACTIVATIONS, behind, made_by, main_outputs, named_outputs, source
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Floats, Numbers, Prediction, label_of
from onnxsal.tasks.tokens.heads import is_of_tokens
from onnxsal.tasks.tokens.scores import ScoresOfEach
from onnxsal.tasks.transcript import Written, blank_of, words_in
from onnxsal.tasks.words import Words

_AT = " at "
_PLACE = re.compile(r"#(?P<step>-?\d+)|(?P<second>\d+(\.\d*)?|\.\d+)\s*s")
_ASK = "say which label at which step: -t 'LABEL at #12', 'LABEL at 1.2s', '#12' for what is highest there"
_IN_ORDER = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast", "DequantizeLinear"})
"""What leaves numbers in their order."""
_LISTED = 8
_USUAL = "labels of a step are mostly of one softmax; nothing in the graph proves it"


@dataclass(frozen=True)
class Step:
    """A label at a step; None where that is what is highest there, and where it is highest."""

    label: str | int | None
    number: int | None = None
    second: float | None = None
    share: float | None = None
    """Where the second lies, as a share of what was read."""


@dataclass(frozen=True)
class StepPrediction(Prediction):
    """What is written, or the label of a step."""

    @property
    def told(self) -> str:
        """What it is called in a list."""
        return self.label


@task("steps", when="scores of each step of time, [B, T, K] or [B, T]: characters of speech, sounds, phases")
@dataclass(frozen=True)
class Steps(ScoresOfEach):
    """Where the scores of steps are. Its numbers are [B, T x K], step by step."""

    noun: ClassVar[str] = "step"

    @classmethod
    def find(cls, graph: ir.Graph) -> Steps:
        """Raise UnsupportedError: a graph alone does not tell scores of steps from vectors of them."""
        _heads(graph)
        raise UnsupportedError("whether rows of numbers are scores of steps is told by labels, or by who knows it")

    @classmethod
    def assume(cls, graph: ir.Graph) -> Steps:
        """Return the first output with numbers for each step. Raises: UnsupportedError: there is none."""
        return replace(_heads(graph)[0], why="said to be")

    @classmethod
    def find_said(cls, graph: ir.Graph, words: Words, *, asked: bool = False) -> Steps:
        """Return the output that has as many scores a step as labels are known. Raises: UnsupportedError: none has."""
        heads = _heads(graph)
        if recognise(graph)[0].name != "image":  # rows of whose outputs are places, or boxes
            for head in heads:
                if head.classes > 1 and words.fits(head.classes):
                    return replace(head, why=f"labels name its {head.classes} scores of each step")
        return cls.assume(graph) if asked else cls.find(graph)

    @property
    def decided(self) -> tuple[Decision, ...]:
        """That these are scores of steps, and why."""
        activation = () if self.proof or self.classes == 1 else (Decision("activation", self.activation, _USUAL),)
        return (Decision("task", self.name, self.why), *activation)

    @property
    def labelled(self) -> int:
        """How many labels there are; one number a step has no name."""
        return self.classes if self.classes > 1 else 0

    @property
    def how(self) -> str:
        """What to ask of it."""
        return _ASK

    def in_text(self, target: Any, sample: Sample, labels: Labels | None) -> Any:
        """Return a target whose time is a share of what was read."""
        if isinstance(target, tuple):
            return tuple(self.in_text(each, sample, labels) for each in target)
        found = self._read(target, labels)
        if not isinstance(found, Step) or found.second is None:
            return found
        heard = sample.heard
        if heard is None or heard.rate is None:
            return found
        length = len(heard.wave) / heard.rate if len(heard.wave) else heard.ends(sample.x.shape[-1])[1]
        if found.second >= length:
            raise UsageError(f"{found.second:g}s is behind the end of {heard.name!r}, which has {length:g} s")
        return replace(found, share=found.second / length)

    def _read(self, target: Any, labels: Labels | None) -> Any:
        """Return the label and the step that text names; itself where it names no step."""
        if not isinstance(target, str) or (labels is not None and labels.exactly(target) is not None):
            return target
        label, at, where = f" {target.strip()}".rpartition(_AT)
        found = _PLACE.fullmatch(where.strip() if at else target.strip())
        if found is None:
            return target
        name = (label.strip() or None) if at else None
        if found["step"] is not None:
            return Step(name, int(found["step"]))
        return Step(name, second=float(found["second"]))

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return a label at a step; of one without a step that where it is highest; of a word that is written the sum
        over the steps at which its labels are; None is the highest label that is no blank.

        Raises: NotSeenError: nothing is written. UsageError: there is no such label, step or word.
        """
        if isinstance(target, tuple):
            return self.difference([self.resolve(each, numbers, labels) for each in target])
        found = self._read(target, labels)
        asked = found if isinstance(found, Step) else Step(found)
        word = self._word(asked, numbers, labels)
        return self._at(asked, numbers, labels) if word is None else word

    def _at(self, asked: Step, numbers: Numbers, labels: Labels | None) -> Target:
        held = self.held(numbers) if numbers else np.zeros((0, self.classes), np.float32)
        number = asked.number if asked.second is None else self._step(asked, len(held))
        index = self._index(asked.label, labels)
        if not numbers and None in (number, index):
            raise UsageError(f"what is highest, and where, is known when there is something to explain: {_ASK}")
        if number is None:
            number = self._highest(held, labels) if index is None else int(held[:, index].argmax())
        if numbers and not -len(held) <= number < len(held):
            raise UsageError(f"step #{number} is out of range: there are the steps #0 to #{len(held) - 1}")
        number += len(held) if number < 0 else 0
        index = int(held[number].argmax()) if index is None else index
        name = f"{self._name(index, labels)} at " if self.classes > 1 else ""
        when = f"{asked.second:g} s (#{number})" if asked.second is not None else f"#{number}"
        column = np.array([number * self.classes + index], np.int64)
        return Target(f"{name}#{number}", f"{name}{when}", None, column, np.ones(1, np.float32))

    def _step(self, asked: Step, count: int) -> int:
        """Return the step that a time lies in: steps lie evenly over all that was read."""
        if asked.share is None:
            raise UsageError(
                f"{asked.second:g}s: nothing says how many steps there are a second: --rate HZ of a model of sound, or "
                "the step's number, '#12'"
            )
        return min(int(asked.share * count), count - 1)

    def _index(self, label: Any, labels: Labels | None) -> int | None:
        if self.classes == 1 and label in (None, 0, "0"):
            return 0
        return None if label is None else class_index(self.classes, labels, label, "labels")

    def _word(self, asked: Step, numbers: Numbers, labels: Labels | None) -> Target | None:
        """Return the word that is asked for, None where a label is: those are looked for first."""
        text, blank = asked.label, None if labels is None else blank_of(labels.names)
        if labels is None or blank is None or not isinstance(text, str) or text.lstrip("-").isdigit():
            return None
        if labels.exactly(text) is not None:
            return None
        if not numbers:
            raise UsageError(f"{text!r} is looked for among what is written, and nothing is read yet: {_ASK}")
        every = self._words(numbers, labels, blank)
        found = [word for word in every if word.text.casefold() == text.strip().casefold()]
        number = asked.number if asked.second is None else self._step(asked, len(self.held(numbers)))
        if number is not None:
            found = [word for word in found if word.steps[0] <= number <= word.steps[-1]]
        if len(found) != 1:
            raise _no_word(text, found, every)
        steps, own = np.array(found[0].steps), np.array(found[0].labels)
        told = f"{found[0].text} at #{steps[0]} to #{steps[-1]}"
        return Target(told, told, None, (steps * self.classes + own).astype(np.int64), np.ones(len(own), np.float32))

    def _words(self, numbers: Numbers, labels: Labels, blank: int) -> list[Written]:
        return words_in(self.held(numbers).argmax(axis=1), labels.names, blank)

    def _name(self, index: int, labels: Labels | None) -> str:
        return label_of(labels, index, "label")

    def _highest(self, held: Floats, labels: Labels | None) -> int:
        """Return the step of the highest label that is no blank."""
        blank = None if labels is None else blank_of(labels.names)
        seen = np.where(held.argmax(axis=1) == blank, -np.inf, held.max(axis=1)) if blank is not None else held.max(1)
        if np.isneginf(seen).all():
            raise NotSeenError(f"nothing is written: the blank is highest at every step; {_ASK}")
        return int(seen.argmax())

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the words that are written, in their order, with the probability of their steps; without a blank
        among the labels the steps whose highest label is the surest."""
        held, logits = self.held(numbers), numbers["logit"].reshape(-1, self.classes)
        blank = None if labels is None else blank_of(labels.names)
        if labels is not None and blank is not None:
            return [self._written(w, held, logits) for w in self._words(numbers, labels, blank)[:top]]
        best = held.argmax(axis=1)
        surest = sorted(np.argsort(-held.max(axis=1), kind="stable")[: min(top, _LISTED)].tolist())
        return [
            StepPrediction(int(best[t]), f"{self._name(int(best[t]), labels)} at #{t}" if self.classes > 1 else f"#{t}",
                           float(held[t, best[t]]), float(logits[t, best[t]])) for t in surest
        ]  # fmt: skip

    def _written(self, word: Written, held: Floats, logits: Floats) -> StepPrediction:
        at = np.array(word.steps), np.array(word.labels)
        label = f"{word.text} at #{word.steps[0]} to #{word.steps[-1]}"
        return StepPrediction(word.labels[0], label, float(np.prod(held[at])), float(logits[at].sum()))

    def nothing(self, numbers: Numbers, labels: Labels | None) -> str:
        """Return why ``predict`` shows nothing."""
        return "nothing is written: the blank is highest at every step"

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return the probability, of several numbers NaN, and the target's value among logits."""
        alone = len(target.indices) == 1 and self.activation != "none"
        return target.value(numbers["probability"]) if alone else float("nan"), target.value(numbers["logit"])

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the column that is fed, step x labels + label, or that of the highest label that is no blank."""
        if given is not None:
            return {TARGET: op.Expand(given, batch)}
        held = op.Reshape(numbers["probability"], [0, -1, self.classes])
        blank = None if labels is None else blank_of(labels.names)
        says = np.array([index != blank for index in range(self.classes)])[None, None]
        low = op.const(np.array(np.finfo(np.float32).min))
        shown = op.Where(op.And(op.Equal(held, op.ReduceMax(held, [2], keepdims=1)), op.const(says)), held, low)
        return {TARGET: op.ArgMax(op.Flatten(shown, axis=1), axis=1, keepdims=0)}

    @property
    def means(self) -> Mapping[str, str]:
        """What the input ``target`` means."""
        return {"target": f"the step's number times {self.classes} plus the label's"}


def _no_word(text: str, found: Sequence[Written], every: Sequence[Written]) -> UsageError | NotSeenError:
    """Return what is wrong with a word that is not there, or more than once."""
    if found:
        places = [f"#{word.steps[0]}" for word in found[:_LISTED]]
        return UsageError(f"{text!r} is written {len(found)} times, at {', '.join(places)}: -t '{text} at {places[0]}'")
    written = " ".join(word.text for word in every)
    hint = nearest(text, [word.text for word in every])
    return NotSeenError(f"{text!r} is neither a label nor a word that is written{hint}; written is {written!r}; {_ASK}")


def _heads(graph: ir.Graph) -> list[Steps]:
    """Return the outputs that may hold scores of steps, the main ones alone.

    Raises: UnsupportedError: there are none.
    """
    if is_of_tokens(graph):
        raise UnsupportedError("the model takes token ids, and has no steps of time")
    found = [(output, _head(output)) for output in graph.outputs]
    heads = [(output, head) for output, head in found if head is not None]
    if not heads:
        told = named_outputs([f"{v.name!r} is {list(dims(v) or ())}" for v in graph.outputs])
        raise UnsupportedError(f"no output has numbers for each step, [B, T, K] or [B, T]: {told}")
    main = main_outputs([output for output, _ in heads])
    return [heads[at][1] for at in main]


def _head(output: ir.Value) -> Steps | None:
    shape = dims(output) or ()
    if not is_float(output) or len(shape) not in (2, 3) or shape[1] == 1 or not isinstance(shape[-1], int | str):
        return None
    classes = shape[2] if len(shape) == 3 else 1
    if not isinstance(classes, int):
        return None
    made = next((v for v in _alike(output) if made_by(v) in ACTIVATIONS), None)
    logit = output if made is None else source(made)
    if logit is None or _row(logit) != _row(output):  # steps of several things may be one behind the other there
        made, logit = None, output
    operator = "" if made is None else made_by(made)
    held = any(made_by(v) in ("Softmax", "Sigmoid") for v in behind(output))  # out of their order: no logit is read
    usual = "softmax" if classes != 1 and not held else "none"
    return Steps(
        str(output.name), str(logit.name), None if made is None or operator == "LogSoftmax" else str(made.name),
        ACTIVATIONS.get(operator, usual), classes, shape[1] if isinstance(shape[1], int) else 1,
        "" if made is None else f"{operator} makes {output.name!r}",
    )  # fmt: skip


def _row(value: ir.Value) -> tuple[int | str | None, ...]:
    """Return the axes of one thing, those of one number left out."""
    return tuple(d for d in (dims(value) or ())[1:] if d != 1)


def _alike(value: ir.Value) -> Iterator[ir.Value]:
    """Yield a value and those that it only dresses up, as long as their numbers are in its order, one thing a row."""
    for each in behind(value):
        yield each
        producer = each.producer()
        if producer is None or producer.op_type not in _IN_ORDER:
            return
