"""The tokens that a model of language may put next, as people read them, and the one that a text means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from onnxsal.errors import EnvironmentSetupError, ModelError, UsageError, nearest
from onnxsal.modalities.tokens.tokenizer import beside
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.task import Floats

_SPACE_BEFORE = "▁"
_NEAR = 2000
"""Tokens of which one that is nearly right is looked for: the most probable ones."""


def names_beside(path: str, count: int) -> tuple[str, ...]:
    """Return the tokens of the ``tokenizer.json`` beside a model as people read them, spaces in front of them too.

    Numbers behind its last one, to which tables are often filled up, are called by themselves. None where there is no
    tokenizer that can be read, or one of more tokens than the model has.
    """
    try:
        found = beside(path)
    except (ModelError, EnvironmentSetupError):  # who gives words is told; ids and numbers need no names
        return ()
    if isinstance(found, str):
        return ()
    names = [found.word(number) for number in range(count + 1)]
    return () if names[count] != str(count) else as_read(names[:count])


@lru_cache(maxsize=4)
def _bytes() -> Mapping[str, int]:
    """Which byte each character of a byte-level vocabulary stands for: printable ones for themselves, the others for
    the characters from 256 on, in order."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in kept]
    return {chr(b): b for b in kept} | {chr(256 + n): b for n, b in enumerate(others)}


def as_read(names: Sequence[str]) -> tuple[str, ...]:
    """Return tokens of a vocabulary as people read them."""
    if any(name.startswith("Ġ") for name in names):
        return tuple(map(_of_bytes, names))
    return tuple(name.replace(_SPACE_BEFORE, " ") for name in names)


def _of_bytes(name: str) -> str:
    if not all(character in _bytes() for character in name):
        return name
    return bytes(_bytes()[c] for c in name).decode("utf-8", "backslashreplace")


def token_of(text: str, labels: Labels | None, scores: Floats | None) -> int:
    """Return the number of the token that a text means: the one that is written so; else, with or without a space in
    front, the most probable of these.

    Args: scores: of all tokens, where there is a text. Raises: UsageError: none is meant, or several and nothing tells
    which.
    """
    if text.strip().isdecimal() and (labels is None or text not in labels.names):
        return int(text)
    if labels is None:
        raise UsageError(
            f"target {text!r} is a token, and the model has no tokenizer.json beside it: give the token's number"
        )
    found = [i for i, name in enumerate(labels.names) if name == text and text != text.strip()]
    found = found or [i for i, name in enumerate(labels.names) if name.strip() == text.strip() and name.strip()]
    if not found:
        order = range(len(labels)) if scores is None else np.argsort(-scores)[:_NEAR].tolist()
        near = nearest(text.strip(), [labels.names[i].strip() for i in order][:_NEAR])
        raise UsageError(f"{text!r} is no token of the model{near}; a word of several tokens begins with one of them")
    if len(found) > 1 and scores is None:
        listed = " or ".join(f"{i} ({labels.names[i]!r})" for i in found[:4])
        raise UsageError(f"{text!r} is written with and without a space in front: give the number, {listed}")
    return found[0] if scores is None else max(found, key=lambda i: scores[i])


def quoted(labels: Labels | None, number: int) -> str:
    """Return a token as messages call it, with its spaces."""
    return f"token {number}" if labels is None else repr(labels.names[number])
