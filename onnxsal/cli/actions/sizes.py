"""What a model that does not say the size of its pictures sees in one at the likely sizes."""

from __future__ import annotations

from collections.abc import Iterator

from onnxsal.errors import ModelError, UsageError
from onnxsal.modalities.image import read_image
from onnxsal.model import Model, Prediction
from onnxsal.model.input_size import is_assumed, said

Size = tuple[int, int]
Tried = dict[Size, list[Prediction]]

_MOST = 6
_LARGEST = 1024
_LINE = 2
"""How many times as wide as high a picture is a line of text, as likely as not."""

_LINES, _SQUARES, _WIDTHS = (48, 32), (224, 256, 384, 512), (320, 192)


def tried_sizes(model: Model, image: str, top: int) -> Tried:
    """Return what a model sees in an image at the likely sizes at which it runs, the one it is opened for first.

    Nothing where something says its size, or where its pictures go in at their own.
    """
    if not is_assumed(model.decided) or len(model.size) != 2 or model.modality.name != "image":
        return {}
    found: Tried = {}
    for size in _likely(model, image):
        try:
            found[size] = model.at_size(size).predict(image, top=top)
        except (ModelError, UsageError):  # it does not run at this one
            continue
        if len(found) == _MOST:
            break
    return found if len(found) > 1 else {}


def shown(size: Size) -> str:
    """Return a size as notes name it."""
    return said({"H": size[0], "W": size[1]})


def _likely(model: Model, image: str) -> Iterator[Size]:
    """Yield the size that it is opened for, the picture's own, its proportions as a line of text, and squares."""
    width, height = read_image(image).pixels.size
    wide = width >= _LINE * height
    sizes = [model.image_size]
    sizes += [(height, width)] if max(width, height) <= _LARGEST else []
    sizes += [(line, max(1, round(line * width / height))) for line in _LINES] if wide else []
    sizes += [(side, side) for side in _SQUARES]
    sizes += [(model.image_size[0], round(model.image_size[0] * width / height))]
    sizes += [(model.image_size[0], across) for across in _WIDTHS]
    yield from (size for size in dict.fromkeys(sizes) if model.takes_size(size))
