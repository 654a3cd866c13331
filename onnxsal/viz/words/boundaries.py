"""Where words begin: at spaces, at punctuation, and in scripts without spaces at every character that stands alone.

After the rules of Unicode's annex 29 as far as tokens need them: a tokenizer cuts the text, and what is asked here is
only whether a cut lies inside a word.
"""

from __future__ import annotations

import unicodedata

_JOINER = "‍"
_LINKS = {"L": "'’.-‑·", "N": ".,:"}
"""What may stand between two letters, or two digits, inside a word: don't, U.S., well-read; 3.14, 1,000, 12:30."""

_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F), (0x1780, 0x17FF), (0x19E0, 0x19FF), (0xAA60, 0xAA7F),  # Burmese, Khmer
    (0x1A20, 0x1AAF), (0x0F00, 0x0FFF),  # Tai Tham, Tibetan
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3040, 0x30FF), (0x31F0, 0x31FF),  # kana
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),  # Han
)  # fmt: skip
"""Scripts that put no spaces between words: there tokens are the words."""

_LEADING = "\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4"
"""Thai and Lao vowels that are written in front of their consonant."""

_TRAILING = "\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3"
"""Those behind it, which are letters and begin no word."""

_FLAGS = (0x1F1E6, 0x1F1FF)
_SKIN = (0x1F3FB, 0x1F3FF)


def breaks(text: str, at: int) -> bool:
    """Return whether a word may begin at a place inside a text; False inside of what is read as one character too."""
    before, after = text[at - 1], text[at]
    if before.isspace() or after.isspace():
        return True
    if _extends(after) or before == _JOINER or before in _LEADING or _is_second_flag(text, at):
        return False
    if _is_unspaced(before) or _is_unspaced(after):
        return True
    if _is_letter(before) and _is_letter(after):
        return False
    if _is_letter(before):
        return not (at + 1 < len(text) and _links(before, after, text[at + 1]))
    if _is_letter(after):
        return not (at > 1 and _links(text[at - 2], before, after))
    return before != after or not unicodedata.category(before).startswith("P")  # ... and --- are one sign


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM" or character == "_"


def _links(before: str, between: str, after: str) -> bool:
    kind = unicodedata.category(after)[0]
    return unicodedata.category(before)[0] == kind and between in _LINKS.get(kind, "")


def _extends(character: str) -> bool:
    """Whether a character is a part of the one before it: an accent, a vowel sign, a colour of skin, a joiner."""
    is_mark = unicodedata.category(character)[0] == "M" or character in _TRAILING
    return is_mark or character == _JOINER or _SKIN[0] <= ord(character) <= _SKIN[1]


def _is_second_flag(text: str, at: int) -> bool:
    """Whether a flag's second letter begins there: they come in pairs."""
    flags = 0
    while flags < at and _FLAGS[0] <= ord(text[at - 1 - flags]) <= _FLAGS[1]:
        flags += 1
    return flags % 2 == 1 and _FLAGS[0] <= ord(text[at]) <= _FLAGS[1]


def _is_unspaced(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _UNSPACED)
