"""Text in pictures: a font that has the letters, at a size at which they fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import groupby
from typing import NamedTuple, TypeAlias

from PIL import Image, ImageDraw, ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont

# Pillow's own font has the letters of English; other scripts depend on what the machine has.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "segoeui.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKkr-Regular.otf",
    "NotoSansCJKjp-Regular.otf",
    "NotoSansKR-Regular.ttf",
    "NotoSansJP-Regular.ttf",
    "SourceHanSans.ttc",
    "msyh.ttc",
    "PingFang.ttc",
    "malgun.ttf",
    "AppleSDGothicNeo.ttc",
    "NanumGothic.ttf",
    "YuGothM.ttc",
    "meiryo.ttc",
    "ヒラギノ角ゴシック W3.ttc",
    "ipagp.ttf",
    "ipaexg.ttf",
    "TakaoPGothic.ttf",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
)
_NO_SUCH_LETTER = "\U0010fffe"
_ELLIPSIS = "…"
_LINES = 64
"""That are remembered as they were set: below every picture of a folder stands the same method and layer."""


class Line(NamedTuple):
    """A line of text that fits, and its font."""

    text: str
    font: Font

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return round(_length(*self))


class Ink(NamedTuple):
    """A line as it is set: how much of each pixel is ink, and where the first one lies from where the line stands."""

    mask: Image.Image
    """Shared, do not write into it."""
    left: int
    top: int


@lru_cache(_LINES)
def ink(line: Line, anchor: str) -> Ink:
    """Return a line as Pillow sets it on whole pixels. Args: anchor: where it stands, as of ``ImageDraw.text``."""
    left, top, right, bottom = (round(v) for v in line.font.getbbox(line.text, anchor=anchor))
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), line.text, 255, line.font, anchor)
    return Ink(mask, left, top)


def fit_line(text: str, width: float, size: int, *, smallest: int | None = None) -> Line:
    """Return the text at ``size``, smaller where it is wider than ``width``, at last shortened with an ellipsis."""
    shown, name = _readable(" ".join(text.split()))
    for points in range(size, min(size, smallest or round(size * 0.8)) - 1, -1):
        line = Line(shown, _font(name, points))
        if line.width <= width:
            return line
    return Line(_shortened(line, width), line.font)


def without_letters(samples: Mapping[str, str]) -> list[str]:
    """Return the scripts of which no font of this machine has all letters. Args: samples: some letters of each."""
    return [name for name, letters in samples.items() if _readable(letters)[0] != letters]


def _shortened(line: Line, width: float) -> str:
    """The longest beginning that fits, with an ellipsis."""
    fits, too_long = 0, len(line.text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        wide = line.font.getlength(line.text[:middle].rstrip() + _ELLIPSIS) > width
        fits, too_long = (fits, middle) if wide else (middle, too_long)
    return line.text[:fits].rstrip(" ,;-") + _ELLIPSIS


def _readable(text: str) -> tuple[str, str]:
    """The text and the first font that has all of its letters, or that and the text without its accents.

    Failing both, the font that has most of them, and the others spelt out: a box says nothing.
    """
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    fonts = ("", *_SYSTEM_FONTS)
    for candidate in (text, plain):
        for name in fonts:
            if all(_has(name, letter) for letter in candidate):
                return candidate, name
    best = max(fonts, key=lambda name: sum(_has(name, letter) for letter in text))
    runs = groupby(text, key=lambda letter: _has(best, letter))
    return "".join("".join(run) if shown else "-".join(map(_spelt, run)) for shown, run in runs), best


_SPOKEN = ("HANGUL SYLLABLE ", "HIRAGANA LETTER ", "KATAKANA LETTER ")


def _spelt(letter: str) -> str:
    """A letter by its sound, as Unicode names those of Korean and of Japanese kana, or by its number."""
    name = unicodedata.name(letter, "")
    sound = next((name.removeprefix(kind) for kind in _SPOKEN if name.startswith(kind)), "")
    return sound.lower().split()[-1] if sound else f"U+{ord(letter):04X}"


@cache
def _has(name: str, letter: str) -> bool:
    if letter.isspace() or _shapes_others(letter):
        return True
    if not _is_there(name):
        return False
    # Letter by letter: a library that shapes text draws a mark without its letter on a circle, had or not.
    font = _font(name, 20).font_variant(layout_engine=ImageFont.Layout.BASIC)
    mask, missing = font.getmask(letter), font.getmask(_NO_SUCH_LETTER)
    return mask.size != missing.size or bytes(mask) != bytes(missing)


@lru_cache(_LINES)
def _length(text: str, font: Font) -> float:
    return font.getlength(text)


def _shapes_others(letter: str) -> bool:
    """Whether a character has no glyph of its own: joiners, marks of direction, choices of a variant."""
    return unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"


@cache
def _is_there(name: str) -> bool:
    """Whether the machine has a font; Pillow looks through all folders of fonts for one that it has not."""
    try:
        return bool(_font(name, 20))
    except OSError:
        return False


@cache
def _font(name: str, size: int) -> Font:
    """The font of that file name, or Pillow's own for the empty one. Raises: OSError: the machine has none such."""
    font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
