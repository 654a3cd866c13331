"""Where in a text a label is asked for: at a word, or at a token by its number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from onnxsal.errors import NotSeenError, UsageError, nearest
from onnxsal.modalities.words import Spelt

AT = " at "
_NUMBER = re.compile(r"#(\d+)")
_LISTED = 8


@dataclass(frozen=True)
class Place:
    """A label at a token; None where that is what the model predicts there, and where it is most probable."""

    label: str | int | None
    position: int | None
    words: tuple[Spelt, ...] = ()
    """Of the text."""

    def told(self, position: int) -> str:
        """Return how messages call a token: by its word, where it has one, and its number."""
        own = next((w.text for w in self.words if w.first <= position < w.end and not w.added), None)
        return f"#{position}" if own is None else f"{own} (#{position})"


def place_in(text: str, words: Sequence[Spelt], length: int | None) -> Place | None:
    """Return what text such as ``B-PER at Obama``, ``B-PER at #3`` or ``at #3`` says, None where it names no token.

    Raises: UsageError: there is no such token, or the word is there several times. NotSeenError: the text has not the
    word.
    """
    label, at, where = f" {text.strip()}".rpartition(AT)
    if not at:
        found = _NUMBER.fullmatch(text.strip())
        return None if found is None else _numbered(None, found, words, length)
    name, number = label.strip() or None, _NUMBER.fullmatch(where.strip())
    if number is not None:
        return _numbered(name, number, words, length)
    return _worded(name, where.strip(), words)


def at_one_place(places: Sequence[Place]) -> list[Place]:
    """Return labels that are compared, the one token that is named standing for those where none is:
    ``B-PER minus B-LOC at Paris`` asks about Paris alone."""
    named = {place.position for place in places if place.position is not None}
    if len(named) != 1:
        return list(places)
    (position,) = named
    return [place if place.label is None else replace(place, position=position) for place in places]


def _numbered(label: str | None, found: re.Match[str], words: Sequence[Spelt], length: int | None) -> Place:
    number = int(found[1])
    if length is not None and number >= length:
        raise UsageError(f"token #{number} is out of range: the text has the tokens #0 to #{length - 1}")
    return Place(label, number, tuple(words))


def _worded(label: str | None, word: str, words: Sequence[Spelt]) -> Place:
    own = [w for w in words if not w.added] or list(words)
    if not own:
        raise UsageError(f"{word!r} is looked for in a text, and there is none yet: name a token by its number, at #3")
    found = [w for w in own if w.text == word] or [w for w in own if w.text.casefold() == word.casefold()]
    if not found:
        hint = nearest(word, [w.text for w in own])
        raise NotSeenError(f"the text has no word {word!r}{hint}; tokens have numbers too, at #3")
    if len(found) > 1:
        listed = ", ".join(f"#{w.first}" for w in found[:_LISTED])
        raise UsageError(f"the text has {len(found)} words {word!r}: say which one by its first token, {listed}")
    return Place(label, found[0].first, tuple(words))
