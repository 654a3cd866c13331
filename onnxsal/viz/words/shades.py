"""The colour behind a word: how strong its score is, and which way it points; letters on it that stay readable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from onnxsal.viz.colour import DIVERGING, colour_table
from onnxsal.viz.words.joined import Word

Rgb: TypeAlias = tuple[int, int, int]

NIGHT: Rgb = (20, 22, 27)
"""The paper of a page that is dark."""
CHALK: Rgb = (232, 234, 238)
"""The letters on it."""
LEVELS = 20
"""Steps of colour from nothing to the strongest word."""
_FARTHEST = 0.86
"""How far towards the end of a diverging map the strongest word goes: its last colours are nearly black."""
_AT_NIGHT = 0.6
_LIFTED = 0.7
"""Lets weak words show on dark paper, on which the eye tells less apart."""


@dataclass(frozen=True)
class Scale:
    """How scores are coloured: ``limit`` is the score of the strongest colour, above 0."""

    limit: float
    signed: bool
    colours: str | None = None
    """A colour map by name; by default a diverging one, of maps without a sign its upper half."""

    @classmethod
    def of(cls, words: Sequence[Word], *, signed: bool, colours: str | None = None) -> Scale:
        """Return the scale on which the strongest word of the text has the strongest colour.

        Tokens that were added count where the text itself has no score: they often have more than all words together,
        and would leave these pale.
        """
        own = max((abs(word.score) for word in words if not word.added), default=0.0)
        limit = own or max((abs(word.score) for word in words), default=0.0)
        return cls(limit or 1.0, signed or any(word.score < 0 for word in words), colours)

    def level(self, score: float) -> int:
        """Return the step of a score's colour, from -LEVELS to LEVELS; 0 has none."""
        return round(max(-1.0, min(1.0, score / self.limit)) * LEVELS)

    def colour(self, level: int) -> Rgb | None:
        """Return the colour of a step on white paper; None of 0."""
        return None if level == 0 else self._of_table(level, _FARTHEST)

    def at_night(self, level: int) -> Rgb | None:
        """Return the colour of a step on dark paper, which the weakest are like."""
        if level == 0:
            return None
        return _mixed(
            NIGHT, self._of_table(LEVELS if level > 0 else -LEVELS, _AT_NIGHT), (abs(level) / LEVELS) ** _LIFTED
        )

    def _of_table(self, level: int, farthest: float) -> Rgb:
        share = level / LEVELS
        place = 0.5 + share / 2 * farthest if self.signed or self.colours is None else abs(share)
        red, green, blue = colour_table(self.colours or DIVERGING)[round(place * 255)].tolist()
        return red, green, blue


def letters_on(paper: Rgb) -> Rgb:
    """Return black or white, which can be read better on a paper: at a contrast of 4.58 at least, whatever it is."""
    return max(((0, 0, 0), (255, 255, 255)), key=lambda each: contrast(paper, each))


def contrast(first: Rgb, second: Rgb) -> float:
    """Return the contrast of two colours by WCAG 2.1, from 1 to 21."""
    low, high = sorted(map(_luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Rgb) -> float:
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _mixed(first: Rgb, second: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
