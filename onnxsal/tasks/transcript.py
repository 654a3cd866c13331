"""What a recogniser of speech writes: the best path, blanks and repeats left out, and its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

BLANKS = ("<blank>", "[blank]", "<blk>", "<ctc>", "<pad>", "[PAD]", "ε", "_")
"""How the blank of CTC (Graves et al. 2006) is called; the first of these that is a label is it."""

_SPACES = ("|", "▁", "<space>", "[space]", "")
"""What parts words; a label that is a space alone is read as an empty one."""


@dataclass(frozen=True)
class Written:
    """A word, and the steps at which its labels are: repeats too, blanks not."""

    text: str
    steps: tuple[int, ...]
    labels: tuple[int, ...]
    """The label at each of these steps."""


def blank_of(names: Sequence[str]) -> int | None:
    """Return which label is the blank, None where none is called so."""
    return next((names.index(name) for name in BLANKS if name in names), None)


def words_in(path: Indices, names: Sequence[str], blank: int) -> list[Written]:
    """Return the words of a best path, the label of each step [T], in their order.

    A label that is there in a row is written once; a blank between tells two apart.
    """
    found, text = list[Written](), ""
    steps, labels = list[int](), list[int]()

    def end() -> None:
        nonlocal text
        if steps:
            found.append(Written(text, tuple(steps), tuple(labels)))
        text = ""
        steps.clear()
        labels.clear()

    for step, label in enumerate(path.tolist()):
        name = names[label]
        repeated = step > 0 and path[step - 1] == label
        begins = name in _SPACES or (name.startswith("▁") and not repeated)
        if label != blank and begins:
            end()
        if label == blank or name in _SPACES:
            continue
        text += "" if repeated else name.removeprefix("▁")
        steps.append(step)
        labels.append(label)
    end()
    return found
