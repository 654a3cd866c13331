"""The tokens that a model of language may put next, as people read them, and the one that a text means."""

from __future__ import annotations

import numpy as np

from onnxsal.errors import EnvironmentSetupError, ModelError, UsageError, nearest
from onnxsal.modalities.tokens.spelling import as_meant, as_read
from onnxsal.modalities.tokens.tokenizer import beside
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.task import Floats

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
    return () if names[count] != str(count) else tuple(as_read(name, found.spelling) for name in names[:count])


def token_of(text: str, labels: Labels | None, scores: Floats | None) -> int:
    """Return the number of the token that a text means: the one that is written so, as people read it; else, with or
    without a space in front, the most probable of these; else the one that the vocabulary writes so (``Ġfilm``).

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
    meant = () if found else as_meant(text)
    found = found or [i for i, name in enumerate(labels.names) if name in meant]
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
