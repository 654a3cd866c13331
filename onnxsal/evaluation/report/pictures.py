"""Pictures inside the page, and rows of them that a reader can enlarge."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxsal.evaluation.report.html import Html, element, void

Pixels = NDArray[np.uint8]

_BLOCKS_UP_TO = 64
"""Pictures of fewer pixels a side are enlarged in blocks, so that their own pixels show."""


@dataclass(frozen=True)
class Figure:
    """A picture with its caption; ``data`` is what selects of a filter compare."""

    image: Pixels | bytes
    caption: str
    small: str = ""
    data: Mapping[str, str] = field(default_factory=dict)


def gallery(figures: Sequence[Figure], *, name: str | None = None) -> Html:
    """Return pictures in rows; a click enlarges one, arrow keys go on to the next.

    Args: name: its ``id``, where ``filters(name)`` is to filter it.
    """
    return element("div", *(_figure(each) for each in figures), class_="gallery", id=name)


def _figure(figure: Figure) -> Html:
    alt = f"{figure.caption}: {figure.small}" if figure.small else figure.caption
    below = element("figcaption", element("b", figure.caption), figure.small)
    data = {f"data_{name}": value for name, value in figure.data.items()}
    return element("figure", picture(figure.image, alt=alt), below, data_item=alt, **data)


def picture(image: Pixels | bytes, *, alt: str) -> Html:
    """Return a picture that a click enlarges: an array uint8 [h, w, 3] or [h, w], or the bytes of a JPEG or PNG."""
    data = image if isinstance(image, bytes) else encoded(image)
    blocks = "blocks" if not isinstance(image, bytes) and max(image.shape[:2]) <= _BLOCKS_UP_TO else None
    shown = void("img", src=data_uri(data), alt=alt, loading="lazy", class_=blocks)
    return element("button", shown, class_="zoom", type="button", aria_label=f"Enlarge {alt}")


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
