"""The token that a model of language puts next: scores of its vocabulary behind the last token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import TARGET
from onnxsal.decisions import Decision
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Tape
from onnxsal.modalities.registry import recognise
from onnxsal.tasks.classes import class_index
from onnxsal.tasks.evidence import Evidence, Settled
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target, difference, one
from onnxsal.tasks.task import Fed, Numbers, Prediction, most
from onnxsal.tasks.tokens.heads import heads_of, vocabulary
from onnxsal.tasks.tokens.labels import TokenLabels
from onnxsal.tasks.tokens.scores import TokenScores
from onnxsal.tasks.tokens.vocabulary import names_beside, quoted, token_of
from onnxsal.tasks.words import Words

NEXT = "next"
"""The most probable next token, as a target."""

CLOSE = 1e-4
"""How far the scores of the first token may move, as a share of what they are, as the last one is exchanged."""


@task("next-token", when="the next token of a text, of a model of language that reads from the front")
@dataclass(frozen=True)
class NextToken(TokenScores):
    """Where the scores of the next token are: the last row of [B, T, V]."""

    noun: ClassVar[str] = "next"

    why: str = ""
    own: tuple[str, ...] = field(default=(), repr=False, compare=False)
    position: int = -1
    """Of the token that the scores are read behind."""
    told_by_run: bool = False

    @classmethod
    def find(cls, graph: ir.Graph) -> NextToken:
        """Return the output with as many scores a token as the table has rows that ids are looked up in.

        Raises: UnsupportedError: none has, or vectors are as wide as that.
        """
        rows, width = vocabulary(graph), 0
        heads = heads_of(graph)
        width = recognise(graph)[1].channels
        if rows is None or rows == width:
            raise UnsupportedError("nothing tells how many ids the model knows" if rows is None else (
                f"the model knows as many ids as its vectors are wide, {rows}: nothing tells scores from vectors"
            ))  # fmt: skip
        head = next((each for each in heads if each.classes == rows), None)
        if head is None:
            raise UnsupportedError(f"no output has a score for each of the {rows} ids that the model knows")
        return cls(**vars(head), why=f"a score for each of the {rows} ids that the model's table knows")

    @classmethod
    def assume(cls, graph: ir.Graph) -> NextToken:
        """Return the first output with a row of numbers for each token. Raises: UnsupportedError: there is none."""
        return cls(**vars(heads_of(graph)[0]), why="said to be")

    @classmethod
    def find_said(cls, graph: ir.Graph, words: Words, *, asked: bool = False) -> NextToken:
        """Return the same with the names of the tokens, where a tokenizer lies beside the file."""
        found = super().find_said(graph, words, asked=asked)
        return replace(found, own=names_beside(words.path, found.classes) if words.path else ())

    @property
    def by_running(self) -> bool:
        """Whether a run told that no token looks at those behind it."""
        return self.told_by_run

    @property
    def own_names(self) -> tuple[str, ...]:
        """The tokens of the vocabulary."""
        return self.own

    @property
    def own_source(self) -> str:
        """Where they are from."""
        return "the tokenizer.json beside the file"

    @property
    def decided(self) -> tuple[Decision, ...]:
        """That these are scores of the next token, and why."""
        return (Decision("task", self.name, self.why),)

    def settled(self, evidence: Evidence) -> Settled:
        """Return the same where a run shows that no token looks at those behind it; else labels of masked tokens.

        The scores of the first token are read with two different last ones (seed 0).
        """
        if evidence.last_changed is None or evidence.task == self.name:
            return Settled(self)
        rows = evidence.last_changed(replace(self, position=0))
        if len(rows) != 2:
            return Settled(replace(self, why=f"{self.why}; a run told nothing of what tokens look at"))
        same = np.abs(rows[0] - rows[1]).max() <= CLOSE * max(float(np.ptp(rows[0])), 1e-30)
        why = f"{self.why}; as a run with another last token {'left' if same else 'changed'} those of the first one"
        if same:
            return Settled(replace(self, why=f"{why}, it reads from the front", told_by_run=True))
        shared = {name: getattr(self, name) for name in ("output", "logit", "probability", "activation", "classes",
                                                         "length", "proof", "own")}  # fmt: skip
        labels = TokenLabels(**shared, why=f"{why}, it fills in masked tokens", is_vocabulary=True)
        return Settled(labels)

    @property
    def size(self) -> int:
        """How many tokens there are to choose from."""
        return self.classes

    def rows(self, op: Tape, value: ir.Value) -> ir.Value:
        """Return the scores behind one token."""
        return op.Gather(value, op.const(self.position), axis=1)

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return a token by its text or number, or a pair of them; None and ``next`` are the most probable one.

        Raises: UsageError: there is no such token.
        """
        if isinstance(target, tuple) and len(target) == 2:
            a, b = (self._index(each, numbers, labels) for each in target)
            return difference((a, b), (quoted(labels, a), quoted(labels, b)))
        index = self._index(target, numbers, labels)
        return one(index, quoted(labels, index))

    def _index(self, target: Any, numbers: Numbers, labels: Labels | None) -> int:
        if target is None or (isinstance(target, str) and target.strip() == NEXT):
            return int(np.argmax(numbers["logit"]))
        if isinstance(target, str):
            target = token_of(target, labels, numbers.get("logit"))
        return class_index(self.classes, labels, target, "tokens")

    def as_inputs(self, target: Any) -> tuple[tuple[Fed, ...], Any] | None:
        """Return what every task does; ``next`` is what a file predicts of each text."""
        return ((), None) if target == NEXT else super().as_inputs(target)

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the most probable next tokens, best first."""
        held, logits = numbers["probability"], numbers["logit"]
        return [Prediction(i, quoted(labels, i), float(held[i]), float(logits[i])) for i in most(held, top)]

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return the probability of the token, of a pair that of the first, and the target's value among logits."""
        first = target.target[0] if isinstance(target.target, tuple) else target.target
        held = float(numbers["probability"][first]) if isinstance(first, int) else float("nan")
        return held, target.value(numbers["logit"])

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the token that is fed, or the most probable one."""
        best = op.ArgMax(numbers["logit"], axis=1, keepdims=0) if given is None else op.Expand(given, batch)
        return {TARGET: best}
