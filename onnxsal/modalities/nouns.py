"""What messages call the things of a modality and their positions: nobody who explains a sound hears of its pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from onnxsal.errors import UnsupportedError, UsageError


class Nouns(NamedTuple):
    """A thing, several, and the positions that its map has numbers at."""

    thing: str
    things: str
    positions: str


_OF = {
    "image": Nouns("picture", "pictures", "pixels"),
    "tokens": Nouns("text", "texts", "tokens"),
    "audio": Nouns("sound", "sounds", "samples"),
    "sequence": Nouns("series", "series", "steps"),
    "volume": Nouns("volume", "volumes", "voxels"),
    "table": Nouns("row", "rows", "columns"),
}
_ANY = Nouns("array", "arrays", "positions")

_WORDS = re.compile(r"('[^']*')|\b([Pp])icture(s?)\b|\b(images|pixels)\b")


def nouns_of(modality: str, spatial: str = "") -> Nouns:
    """Return the nouns of a modality. Args: spatial: the letters of its positions; a sound may be bins by frames."""
    found = _OF.get(modality, _ANY)
    return found._replace(positions="bins and frames") if modality == "audio" and len(spatial) > 1 else found


def spoken(text: str, nouns: Nouns) -> str:
    """Return a message that speaks of pictures as it is said of other things; names in quotes stay."""

    def other(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        if found[4]:
            return nouns.positions if found[4] == "pixels" else nouns.things
        word = nouns.things if found[3] else nouns.thing
        return word.capitalize() if found[2] == "P" else word

    return text if nouns.thing == "picture" else _WORDS.sub(other, text)


@contextmanager
def speaking(nouns: Nouns) -> Iterator[None]:
    """Let what is refused inside be said of these things."""
    try:
        yield
    except (UnsupportedError, UsageError) as error:
        if (told := spoken(str(error), nouns)) == str(error):
            raise
        raise type(error)(told) from error
