"""The words of a text that was read, and which tokens each is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxsal.modalities.registry import Sample
from onnxsal.viz.words import joined


@dataclass(frozen=True)
class Spelt:
    """A word, and the positions of its tokens [first, end)."""

    text: str
    first: int
    end: int
    added: bool
    """Whether it is a token that the tokenizer put beside the text."""


def spelt(sample: Sample) -> tuple[Spelt, ...]:
    """Return the words of what was read; none where it has no tokens that are known."""
    if sample.text is None or not sample.pieces:
        return ()
    words = joined(sample.text, sample.pieces, np.zeros(len(sample.pieces)))
    return tuple(Spelt(w.text, w.first, w.first + len(w.tokens), w.added) for w in words)
