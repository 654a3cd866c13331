"""What comes from afar as the things that ``explain`` takes: never the name of a file, which would be opened here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError, nearest
from onnxsal.graph import dims
from onnxsal.modalities.image.images import pixels_in, read_image
from onnxsal.modalities.nouns import nouns_of
from onnxsal.modalities.said import Said
from onnxsal.modalities.table import Table
from onnxsal.modalities.tokens import Tokens
from onnxsal.modalities.tokens.embedding import is_ids
from onnxsal.model import Model

Given = NDArray[Any] | bytes


class TooManyPixelsError(ImageError):
    """A picture has more pixels than are decoded here."""


def things_of(model: Model, inputs: Mapping[str, Given], most: int | None) -> Any:
    """Return what ``explain`` takes of inputs by name: of a model of several, or of columns, a mapping.

    A picture may come as ``image``, a text as ``text``, whatever the file calls it. Args: most: pixels of a picture.
    Raises: UsageError: there is no such input, or it is no such thing. TooManyPixelsError: a picture has more.
    """
    columns = _columns(model)
    if inputs and columns and set(inputs) <= set(columns):
        return {name: _cell(name, given) for name, given in inputs.items()}
    known, explained = [each.name for each in model.inputs], _explained(model)
    named = {_named(name, [*known, *columns], explained, model): given for name, given in inputs.items()}
    if not named:
        raise UsageError(f"nothing is given to explain: name the input {', '.join([*explained, *columns] or known)}")
    read = {
        name: _thing(given, model, most) if name in explained else _held(name, given, model, most)
        for name, given in named.items()
    }
    return next(iter(read.values())) if len(read) == 1 and set(read) <= set(explained) else read


def _columns(model: Model) -> list[str]:
    """Return the columns of a model of tables, which may be given one by one."""
    return [column.name for column in model.modality.columns] if isinstance(model.modality, Table) else []


def _explained(model: Model) -> list[str]:
    return [each.name for each in model.inputs if each.role in ("explained", "inside")]


def _named(name: str, known: Sequence[str], explained: Sequence[str], model: Model) -> str:
    """Return the name of an input by its own, or by what is explained."""
    if name in known:
        return name
    nouns = (model.modality.name, nouns_of(model.modality.name).thing)
    if name in nouns and len(explained) == 1:
        return explained[0]
    every = [*known, nouns[-1]] if len(explained) == 1 else list(known)
    raise UsageError(f"the model has no input {name!r}{nearest(name, every)} (it has {', '.join(every)})")


def _thing(given: Given, model: Model, most: int | None) -> Any:
    """Return what is explained: content of a picture's file, words, or an array."""
    if isinstance(given, np.ndarray) and given.dtype.kind in "OSU" and not isinstance(model.modality, Table):
        given = _alone(given)
    if isinstance(given, np.ndarray):
        return _picture(given, model) if model.takes_images else given
    if isinstance(model.modality, Tokens):
        return _words(given)
    _check_pixels(given, most)
    return given


def _held(name: str, given: Given, model: Model, most: int | None) -> Any:
    """Return what another input is held at: an array, words for ids, or a picture."""
    if isinstance(given, np.ndarray) and given.dtype.kind not in "OSU":
        return given
    content = _alone(given) if isinstance(given, np.ndarray) else given
    value = next((v for v in model.source.graph.inputs if v.name == name), None)
    if value is not None and is_ids(value):
        return _words(content)
    _check_pixels(content, most)
    return read_image(content).pixels


def _alone(texts: NDArray[Any]) -> bytes:
    """Return the one text or file that a tensor of such holds."""
    if texts.size != 1:
        raise UsageError(f"one thing is explained at a time; got {texts.size} texts or files at once")
    only = texts.reshape(-1)[0]
    return only.encode() if isinstance(only, str) else bytes(only)


def _words(content: bytes) -> Said:
    """Return words, whatever file is called so."""
    try:
        return Said(content.decode())
    except UnicodeDecodeError:
        raise UsageError("a text is in UTF-8; the bytes that were given are not") from None


def _check_pixels(content: bytes, most: int | None) -> None:
    if most is not None and (pixels := pixels_in(content)) > most:
        raise TooManyPixelsError(f"the picture has {pixels:,} pixels, and {most:,} are decoded here at most")


def _picture(array: NDArray[Any], model: Model) -> NDArray[Any]:
    """Return bytes as a photograph [H, W, C], without the batch axis of a tensor; other arrays as they are."""
    if array.dtype != np.uint8 or array.ndim != 4 or len(array) != 1:
        return array
    channels = model.anatomy.entry.channels
    first = not model.anatomy.entry.input_axes.endswith("C") and array.shape[1] == channels != array.shape[3]
    photo: NDArray[Any] = array[0].transpose(1, 2, 0) if first else array[0]
    return photo


def _cell(name: str, given: Given) -> Any:
    """Return what stands in one column."""
    if isinstance(given, bytes):
        return given
    if given.size != 1:
        raise UsageError(f"one row is explained at a time; got {given.size} of column {name!r}")
    return given.reshape(-1)[0]


def rows_of(model: Model, inputs: Mapping[str, Given]) -> list[dict[str, Given]]:
    """Return the things of a batch one by one, as ``things_of`` takes them; mostly it is one.

    Raises: UsageError: inputs have as many things as others have not.
    """
    counts = {name: _count(given, _axes(model, name)) for name, given in inputs.items()}
    several = {count for count in counts.values() if count != 1}
    if len(several) > 1 or 0 in several:
        said = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise UsageError(f"the inputs are batches of different length, or empty: {said}")
    if not several:
        return [dict(inputs)]
    return [
        {name: each[at : at + 1] if counts[name] > 1 and not isinstance(each, bytes) else each
         for name, each in inputs.items()}
        for at in range(several.pop())
    ]  # fmt: skip


def _axes(model: Model, name: str) -> int:
    """Return how many axes an input has where the first is the batch; -1 of what is given without."""
    entry = model.anatomy.entry
    if name in _columns(model):
        return 2
    own = next((v for v in model.source.graph.inputs if v.name == name and name != entry.input), None)
    if own is not None:
        return len(dims(own) or ())
    return len(entry.input_axes) if entry.input_axes.startswith("N") else -1


def _count(given: Given, axes: int) -> int:
    """Return how many things an array is: several where it has as many axes as the input has with the batch."""
    if isinstance(given, bytes):
        return 1
    if given.dtype.kind in "OSU" and given.ndim < 2:
        return given.size
    return len(given) if given.ndim and given.ndim == axes else 1
