"""A text in the order of reading: its words, what stands between them, and what no token covers."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxsal.viz.words.joined import Word


@dataclass(frozen=True)
class Run:
    """A part of a text: a word, or what lies between two of them."""

    text: str
    word: Word | None = None

    @property
    def is_unread(self) -> bool:
        """Whether these are letters that no token covers: the model has not seen them."""
        return self.word is None and bool(self.text.strip())


def flow(text: str, words: Sequence[Word]) -> Iterator[Run]:
    """Yield the whole text in runs, words that were added left out."""
    at = 0
    for word in sorted((each for each in words if not each.added), key=lambda each: (each.start, each.first)):
        if word.start > at:
            yield Run(text[at : word.start])
        yield Run(word.text, word)
        at = max(at, word.stop)
    if at < len(text):
        yield Run(text[at:])


def parts(run: Run) -> Iterator[str]:
    """Yield a run's parts that may begin a line, as they are shown: words, single blanks, and ends of lines."""
    if run.word is not None:
        yield visible(run.text)
        if "\n" in run.text:
            yield "\n"
        return
    for number, line in enumerate(run.text.replace("\r\n", "\n").split("\n")):
        if number:
            yield "\n"
        for at, part in enumerate(line.split(" ")):
            if at:
                yield " "
            if part:
                yield visible(part)


def added(words: Sequence[Word]) -> list[Word]:
    """Return the tokens that were put beside the text."""
    return [word for word in words if word.added]


def visible(text: str) -> str:
    """Return a word with what has no shape of its own made visible: blanks, ends of lines, signs that steer."""
    return "".join(_VISIBLE.get(character) or _sign(character) for character in text)


_VISIBLE = {"\n": "↵", "\r": "↵", "\t": "⇥"}


def _sign(character: str) -> str:
    """A character that would steer a terminal, or turn the text around, by its number."""
    steers = unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING
    return f"<{ord(character):02X}>" if steers else character


_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn what follows round: a text could look like another one by them."""


def is_right_to_left(text: str) -> bool:
    """Return whether a text is read from the right, as its first letter with a direction says."""
    strong = (unicodedata.bidirectional(character) for character in text)
    return next((each for each in strong if each in ("L", "R", "AL")), "L") != "L"
