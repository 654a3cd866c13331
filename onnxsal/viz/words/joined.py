"""Tokens joined to words by their places in the text: a word's score is the sum of its tokens'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.viz.words.boundaries import breaks


class Token(Protocol):
    """What is read of a token; ``modalities.pieces.Piece`` says what each is."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def added(self) -> bool: ...


@dataclass(frozen=True)
class Word:
    """A word of a text with its score, and the tokens that it is made of."""

    text: str
    score: float
    start: int
    stop: int
    """[start, stop) in the text, in characters; of a token that was added an empty place."""
    tokens: tuple[tuple[str, float], ...]
    """The text of each token and its score."""
    added: bool = False
    """Whether it is a token that the tokenizer put beside the text."""
    first: int = 0
    """The number of its first token."""


@dataclass(frozen=True)
class _Cut:
    """A token as it lies in the text, without the spaces at its ends."""

    at: int
    start: int
    stop: int
    added: bool


def joined(text: str, tokens: Sequence[Token], scores: NDArray[np.floating]) -> tuple[Word, ...]:
    """Return the words of a text in the order of its tokens, each with the sum of its tokens' scores.

    Tokens belong to one word where no word begins between them (``boundaries.breaks``) or where they are parts of one
    character. One that is nothing but blanks belongs to the word that follows at once; line breaks are words of their
    own, and so is every token that was added.
    Raises: UsageError: there is not one score a token.
    """
    if np.shape(scores) != (len(tokens),):
        raise UsageError(f"{len(tokens)} tokens have one score each; got {list(np.shape(scores))}")
    groups: list[list[_Cut]] = []
    for at, token in enumerate(tokens):
        cut = _cut(text, token, at)
        if groups and _together(text, groups[-1], cut):
            groups[-1].append(cut)
        else:
            groups.append([cut])
    return tuple(_word(text, group, tokens, np.asarray(scores, np.float64)) for group in groups)


def strongest(words: Sequence[Word], top: int | None = None) -> list[Word]:
    """Return words with the largest absolute scores first; equal ones in reading order."""
    return sorted(words, key=lambda word: -abs(word.score))[:top]


def _cut(text: str, token: Token, at: int) -> _Cut:
    start, stop = max(token.start, 0), min(token.stop, len(text))
    cut = _Cut(at, start, max(start, stop), token.added)
    if token.added:
        return cut
    inside = text[start:stop]
    kept = inside.strip()
    if not kept:
        return cut
    left = start + len(inside) - len(inside.lstrip())
    return replace(cut, start=left, stop=left + len(kept))


def _together(text: str, group: Sequence[_Cut], cut: _Cut) -> bool:
    """Whether a token belongs to the word of the ones before it."""
    last = group[-1]
    if cut.added or last.added:
        return False
    start, stop = min(each.start for each in group), max(each.stop for each in group)
    if cut.start < stop and start < cut.stop:  # parts of one character, or of one that was written as several
        return True
    if _is_blank(text, start, stop):
        return stop == cut.start and not _has_lines(text, start, stop) and not _is_blank(text, cut.start, cut.stop)
    if _is_blank(text, cut.start, cut.stop):
        return cut.start == cut.stop and start < cut.start <= stop  # a part that takes no place of its own
    return cut.start >= stop and not any(breaks(text, place) for place in range(stop, cut.start + 1))


def _is_blank(text: str, start: int, stop: int) -> bool:
    return not text[start:stop].strip()


def _has_lines(text: str, start: int, stop: int) -> bool:
    return any(line in text[start:stop] for line in "\n\r")


def _word(text: str, group: Sequence[_Cut], tokens: Sequence[Token], scores: NDArray[np.float64]) -> Word:
    own = [cut for cut in group if not _is_blank(text, cut.start, cut.stop)] or list(group)
    start, stop = min(cut.start for cut in own), max(cut.stop for cut in own)
    added = group[0].added
    shown = tokens[group[0].at].text if added or start == stop else text[start:stop]
    parts = tuple((tokens[cut.at].text, float(scores[cut.at])) for cut in group)
    total = float(sum(scores[cut.at] for cut in group))
    return Word(shown, total, start, start if added else stop, parts, added, group[0].at)
