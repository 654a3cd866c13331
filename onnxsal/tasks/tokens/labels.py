"""A label of each token: names, parts of speech; or of a masked model the token that stands there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import TARGET
from onnxsal.decisions import Decision
from onnxsal.errors import NotSeenError, UnsupportedError, UsageError
from onnxsal.graph import Tape
from onnxsal.modalities.registry import Sample
from onnxsal.modalities.words import Spelt, spelt
from onnxsal.tasks.classes import class_index
from onnxsal.tasks.labels import Labels, is_background
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Floats, Numbers, Prediction, label_of
from onnxsal.tasks.tokens.heads import heads_of, vocabulary
from onnxsal.tasks.tokens.places import AT, Place, at_one_place, place_in
from onnxsal.tasks.tokens.scores import ScoresOfEach
from onnxsal.tasks.tokens.vocabulary import quoted, token_of
from onnxsal.tasks.words import Words

MASKS = ("[MASK]", "<mask>", "<|mask|>", "<MASK>")
_ASK = "say which label at which word or token: -t 'LABEL at WORD', 'LABEL at #3', 'at WORD' for what is predicted"


@dataclass(frozen=True)
class TokenPrediction(Prediction):
    """The label of a token, and of which."""

    position: int
    name: str = ""
    """The label's alone."""

    @property
    def told(self) -> str:
        """What it is called in a list."""
        return self.label


@task("token-labels", when="one label of each token of a text: named entities, parts of speech, masked words")
@dataclass(frozen=True)
class TokenLabels(ScoresOfEach):
    """Where the scores of labels are: [B, T, K]. Its numbers are [B, T x K], token by token."""

    noun: ClassVar[str] = "label"

    is_vocabulary: bool = False
    """Whether its labels are the tokens that the model knows."""
    own: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def find(cls, graph: ir.Graph) -> TokenLabels:
        """Raise UnsupportedError: a graph alone does not tell labels of tokens from vectors of them."""
        heads_of(graph)
        raise UnsupportedError("whether rows of tokens are scores of labels is told by labels, or by who knows it")

    @classmethod
    def assume(cls, graph: ir.Graph) -> TokenLabels:
        """Return the first output with a row of numbers for each token. Raises: UnsupportedError: there is none."""
        return cls._of(graph, heads_of(graph)[0], "said to be")

    @classmethod
    def find_said(cls, graph: ir.Graph, words: Words, *, asked: bool = False) -> TokenLabels:
        """Return the output that has as many scores a token as labels are known. Raises: UnsupportedError: none has."""
        rows = vocabulary(graph)
        for head in heads_of(graph):
            if head.classes != rows and words.fits(head.classes):
                return cls._of(graph, head, f"labels name its {head.classes} scores of each token")
        return cls.assume(graph) if asked else cls.find(graph)

    @classmethod
    def _of(cls, graph: ir.Graph, head: Any, why: str) -> TokenLabels:
        return cls(**vars(head), why=why, is_vocabulary=head.classes == vocabulary(graph))

    @property
    def by_running(self) -> bool:
        """Whether a run told that tokens may look at those behind them."""
        return self.is_vocabulary

    @property
    def own_names(self) -> tuple[str, ...]:
        """The tokens of a vocabulary."""
        return self.own

    @property
    def decided(self) -> tuple[Decision, ...]:
        """That these are labels, and why."""
        return (Decision("task", self.name, self.why),)

    @property
    def how(self) -> str:
        """What to ask of it."""
        return f"a label is explained at a token: {_ASK}"

    def in_text(self, target: Any, sample: Sample, labels: Labels | None) -> Any:
        """Return a target with the words in it as tokens of a text."""
        if isinstance(target, tuple):
            return tuple(self.in_text(each, sample, labels) for each in target)
        words = spelt(sample)
        if target is None and self.is_vocabulary:
            return self._masked(words)
        found = place_in(target, words, len(sample.pieces)) if self._is_place(target, labels) else None
        return Place(target, None, words) if found is None and not isinstance(target, Place) else found or target

    def _is_place(self, target: Any, labels: Labels | None) -> bool:
        """Whether text may name a token: a label that is written so is that label."""
        if not isinstance(target, str) or (labels is not None and labels.exactly(target) is not None):
            return False
        return AT in f" {target}" or target.strip()[:1] == "#"

    def _masked(self, words: Sequence[Spelt]) -> Place:
        found = [w for w in words if w.text in MASKS]
        if len(found) != 1:
            raise UsageError(
                f"the model fills in masked tokens, and the text has {len(found)} of them: write one into it, "
                f"{' or '.join(MASKS[:2])}, or {_ASK}"
            )
        return Place(None, found[0].first, tuple(words))

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return a label at a token; of one without a token that where it is most probable; None is the surest label
        that is not that of nothing (``O``).

        Raises: NotSeenError: no token has one. UsageError: there is no such label or token.
        """
        if isinstance(target, tuple):
            places = at_one_place([self._placed(each, numbers, labels) for each in target])
            return self.difference([self.resolve(each, numbers, labels) for each in places])
        place = self._placed(target, numbers, labels)
        if not numbers and None in (place.position, place.label):
            raise UsageError(f"what is predicted, and where, is known when there is a text: {_ASK}")
        return self._at(place, numbers, labels)

    def _placed(self, target: Any, numbers: Numbers, labels: Labels | None) -> Place:
        if self._is_place(target, labels):
            target = place_in(target, (), len(numbers["logit"]) // self.classes if numbers else None)
        return target if isinstance(target, Place) else Place(target, None)

    def _at(self, place: Place, numbers: Numbers, labels: Labels | None) -> Target:
        held = self.held(numbers) if numbers else np.zeros((0, self.classes), np.float32)
        position = place.position
        index = None if place.label is None else self._index(place.label, labels, None if position is None else (
            held[position] if numbers else None
        ))  # fmt: skip
        if position is None:
            position = self._surest(held, labels) if index is None else int(held[:, index].argmax())
        index = int(held[position].argmax()) if index is None else index
        name = self._label(index, labels)
        told = f"{index if self.is_vocabulary or labels is None else name} at #{position}"
        column = np.array([position * self.classes + index], np.int64)
        return Target(told, f"{name} at {place.told(position)}", None, column, np.ones(1, np.float32))

    def _index(self, label: Any, labels: Labels | None, scores: Floats | None) -> int:
        if self.is_vocabulary and isinstance(label, str):
            label = token_of(label, labels, scores)
        return class_index(self.classes, labels, label, "labels")

    def _label(self, index: int, labels: Labels | None) -> str:
        return quoted(labels, index) if self.is_vocabulary else label_of(labels, index, "label")

    def _surest(self, held: Floats, labels: Labels | None) -> int:
        """Return the token of the surest label that says something."""
        seen = np.where(self._foreground(labels)[held.argmax(axis=1)], held.max(axis=1), -np.inf)
        if np.isneginf(seen).all():
            raise NotSeenError(f"the model sees nothing in this text: every token is {_nothing(labels)!r}; {_ASK}")
        return int(seen.argmax())

    def _foreground(self, labels: Labels | None) -> NDArray[np.bool_]:
        if labels is None or self.is_vocabulary:
            return np.ones(self.classes, bool)
        return np.array([not _says_nothing(name) for name in labels.names])

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the labels of the tokens that have one which says something, the surest, in the order of the text."""
        return list(_surest(self._seen(numbers, labels), top))

    def _seen(self, numbers: Numbers, labels: Labels | None) -> list[TokenPrediction]:
        """Return the label of every token that has one which says something."""
        held, logits = self.held(numbers), numbers["logit"].reshape(-1, self.classes)
        best, says, found = held.argmax(axis=1).tolist(), self._foreground(labels), list[TokenPrediction]()
        for t, k in enumerate(best):
            if says[k]:
                name = self._label(k, labels)
                found.append(TokenPrediction(k, f"{name} at #{t}", float(held[t, k]), float(logits[t, k]), t, name))
        return found

    def predict_in(self, sample: Sample, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the labels of words, each that of the first of its tokens that has one; of masked ones alone, where
        there are some and tokens are filled in."""
        words = spelt(sample)
        if not words:
            return self.predict(numbers, labels, top)
        of_token = {at: word for word in words for at in range(word.first, word.end)}
        masked = {w.first for w in words if self.is_vocabulary and w.text in MASKS}
        found: dict[int, TokenPrediction] = {}
        for each in self._seen(numbers, labels):
            word = of_token[each.position]
            wanted = word.first in masked if masked else not word.added
            if wanted and word.first not in found:
                found[word.first] = replace(each, label=f"{each.name} at {word.text} (#{each.position})")
        return list(_surest(list(found.values()), top))

    def nothing(self, numbers: Numbers, labels: Labels | None) -> str:
        """Return why ``predict`` shows nothing."""
        return f"nothing is seen: every token is {_nothing(labels)!r}"

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return the probability, of a pair NaN, and the target's value among logits."""
        alone = len(target.indices) == 1
        return target.value(numbers["probability"]) if alone else float("nan"), target.value(numbers["logit"])

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return the column that is fed, token x labels + label, or that of the surest label that says something."""
        if given is not None:
            return {TARGET: op.Expand(given, batch)}
        held = op.Reshape(numbers["probability"], [0, -1, self.classes])
        best = op.ReduceMax(held, [2], keepdims=1)
        says = op.const(self._foreground(labels).astype(np.float32)[None, None])
        shown = op.Mul(op.Where(op.Equal(held, best), held, 0.0), says)
        return {TARGET: op.ArgMax(op.Flatten(shown, axis=1), axis=1, keepdims=0)}

    @property
    def means(self) -> Mapping[str, str]:
        """What the input ``target`` means."""
        return {"target": f"the token's number times {self.classes} plus the label's"}


def _surest(found: Sequence[TokenPrediction], top: int) -> list[TokenPrediction]:
    """Return the surest ones in their order."""
    kept = sorted(range(len(found)), key=lambda at: -found[at].probability)[:top]
    return [found[at] for at in sorted(kept)]


def _says_nothing(name: str) -> bool:
    return name.strip() in ("O", "_", "<pad>", "[PAD]") or is_background(name)


def _nothing(labels: Labels | None) -> str:
    return next((name for name in (() if labels is None else labels.names) if _says_nothing(name)), "O")
