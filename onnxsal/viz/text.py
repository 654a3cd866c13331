"""Text in pictures: a font that has the letters, at a size at which they fit."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple, TypeAlias

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont

# Pillow's own font has the letters of English; other scripts depend on what the machine has.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "segoeui.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "PingFang.ttc",
    "malgun.ttf",
)
_NO_SUCH_LETTER = "\U0010fffe"
_ELLIPSIS = "…"


class Line(NamedTuple):
    """A line of text that fits, and its font."""

    text: str
    font: Font

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return round(self.font.getlength(self.text))


def fit_line(text: str, width: float, size: int, *, smallest: int | None = None) -> Line:
    """Return the text at ``size``, smaller where it is wider than ``width``, at last shortened with an ellipsis."""
    shown, name = _readable(" ".join(text.split()))
    for points in range(size, min(size, smallest or round(size * 0.8)) - 1, -1):
        line = Line(shown, _font(name, points))
        if line.width <= width:
            return line
    return Line(_shortened(line, width), line.font)


def _shortened(line: Line, width: float) -> str:
    """The longest beginning that fits, with an ellipsis."""
    fits, too_long = 0, len(line.text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        wide = line.font.getlength(line.text[:middle].rstrip() + _ELLIPSIS) > width
        fits, too_long = (fits, middle) if wide else (middle, too_long)
    return line.text[:fits].rstrip(" ,;-") + _ELLIPSIS


def _readable(text: str) -> tuple[str, str]:
    """The text and the first font that has all of its letters; failing that, the text without its accents."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    for candidate in (text, plain):
        for name in ("", *_SYSTEM_FONTS):
            if all(_has(name, letter) for letter in candidate):
                return candidate, name
    return text, max(("", *_SYSTEM_FONTS), key=lambda name: sum(_has(name, letter) for letter in text))


@cache
def _has(name: str, letter: str) -> bool:
    if letter.isspace():
        return True
    try:
        font = _font(name, 20)
    except OSError:
        return False
    mask, missing = font.getmask(letter), font.getmask(_NO_SUCH_LETTER)
    return mask.size != missing.size or bytes(mask) != bytes(missing)


@cache
def _font(name: str, size: int) -> Font:
    """The font of that file name, or Pillow's own for the empty one. Raises: OSError: the machine has none such."""
    font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
