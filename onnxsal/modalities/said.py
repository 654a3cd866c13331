"""Words that somebody gave, where a name of a file could stand as well."""

from __future__ import annotations

import os
import re

_SHORT = 5
"""Words of a text that name it."""


class Said(str):
    """Words, even where they look like the name of a file."""

    __slots__ = ()

    @property
    def short(self) -> str:
        """The first words, as part of a file's name."""
        return "-".join(re.findall(r"\w+", self)[:_SHORT])[:40] or "text"


def as_said(text: str) -> str:
    """Return several words that are neither a file nor the name of one as words, anything else as it is."""
    named = text.strip().lower().endswith(_SUFFIXES)
    several = not isinstance(text, Said) and len(text.split()) > 1 and not named and not os.path.exists(text)
    return Said(text) if several else text


_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".npy", ".npz", ".txt", ".md", ".csv",
             ".json", ".wav", ".flac", ".nii", ".nii.gz")  # fmt: skip
"""What names of files end in, those with spaces too."""
