"""Pictures inside the page, which a reader can enlarge."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

_BLOCKS_UP_TO = 64
"""Pictures of fewer pixels a side are enlarged in blocks, so that their own pixels show."""


@dataclass(frozen=True)
class Figure:
    """A picture with its caption: an array uint8 [h, w, 3] or [h, w], or the bytes of a JPEG or PNG.

    ``data`` is what selects of a filter compare.
    """

    image: Pixels | bytes
    caption: str
    small: str = ""
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def alt(self) -> str:
        """What it shows, in words."""
        return f"{self.caption}: {self.small}" if self.small else self.caption

    @property
    def source(self) -> str:
        """An address that holds it."""
        return data_uri(self.image if isinstance(self.image, bytes) else encoded(self.image))

    @property
    def in_blocks(self) -> bool:
        """Whether it is so small that its own pixels are to show."""
        return not isinstance(self.image, bytes) and max(self.image.shape[:2]) <= _BLOCKS_UP_TO


def encoded(image: Pixels, *, quality: int = 84) -> bytes:
    """Return a picture as JPEG, or as PNG where it is small or grey, so that its values survive."""
    buffer = io.BytesIO()
    exact = image.ndim == 2 or max(image.shape[:2]) <= _BLOCKS_UP_TO
    options: dict[str, Any] = {"optimize": True} if exact else {"quality": quality, "subsampling": 0}
    Image.fromarray(image).save(buffer, format="PNG" if exact else "JPEG", **options)
    return buffer.getvalue()


def data_uri(data: bytes) -> str:
    """Return the bytes of a picture as an address that holds it."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
