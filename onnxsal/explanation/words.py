"""Explanations of texts: what each word counts for, as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError
from onnxsal.modalities.registry import Sample, Seen
from onnxsal.viz.colour import Pixels
from onnxsal.viz.maps import over_channels

if TYPE_CHECKING:  # pictures need nothing of words
    from onnxsal.viz.words import Word
    from onnxsal.viz.words.picture import Look


class OfText(Protocol):
    """What is read of an explanation; ``Explanation`` says what each is."""

    @property
    def saliency(self) -> NDArray[np.float32]: ...
    @property
    def raw(self) -> NDArray[np.float32]: ...
    @property
    def sample(self) -> Sample | None: ...
    @property
    def signed(self) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def modality(self) -> str: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...


def is_of_text(explanation: Any) -> TypeGuard[OfText]:
    """Return whether what was explained are words: a text with tokens that have places in it."""
    sample = getattr(explanation, "sample", None)
    return sample is not None and sample.text is not None and len(sample.pieces) > 0


def token_scores(explanation: OfText) -> NDArray[np.float64]:
    """Return what each token counts for, [T], in the unit of the method: of a map over the width of the vectors that
    tokens stand for what ``sign`` makes of it, their sum where that is ``signed``."""
    raw, tokens = explanation.raw, explanation.saliency.shape[0]
    if raw.ndim == explanation.saliency.ndim + 1:
        return over_channels(np.asarray(raw, np.float64), explanation.manifest.get("sign") or "signed")
    return np.asarray(raw if raw.shape == (tokens,) else explanation.saliency, np.float64)


def words_of(explanation: Any) -> tuple[Word, ...]:
    """Return the words of what was explained, each with the sum of its tokens' scores.

    Raises: UnsupportedError: it was no text.
    """
    from onnxsal.viz.words import joined

    if not is_of_text(explanation):
        raise UnsupportedError(
            f"words are of texts, and {explanation.name!r} is none that onnxsal has the words of "
            f"({explanation.modality}): take the numbers, Explanation.raw and saliency"
        )
    sample = explanation.sample
    assert sample is not None
    return joined(str(sample.text), sample.pieces, token_scores(explanation))


def drawn_words(explanation: Any, look: Look, colours: str | None = None) -> Pixels:
    """Return the picture of a text."""
    from onnxsal.viz.words.picture import picture
    from onnxsal.viz.words.shades import Scale

    words = words_of(explanation)
    scale = Scale.of(words, signed=explanation.signed, colours=colours)
    return picture(str(explanation.sample.text), words, scale, look=look)


def canvas_of(explanation: Any) -> Seen:
    """Return the text without colours, as what maps are shown beside."""
    plain = drawn_words(explanation, "plain")
    return Seen(plain, (0.0, 0.0, float(plain.shape[1]), float(plain.shape[0])), plain)
