"""Words and pictures that other inputs are held at, as a model takes them: the other side of a model of both."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.modalities.image.entry import entry_of
from onnxsal.modalities.image.modality import ImageModality, known, prepared
from onnxsal.modalities.npy import is_npy
from onnxsal.modalities.said import Said
from onnxsal.modalities.tokens.embedding import is_ids
from onnxsal.modalities.tokens.text import tokenised
from onnxsal.modalities.tokens.tokenizer import Read, Tokenizer, beside
from onnxsal.model.constants import PICTURES, Constant
from onnxsal.model.defaults import is_mask
from onnxsal.model.dimensions import declared
from onnxsal.model.text_filling import whole_length


@dataclass(frozen=True)
class Beside:
    """What is known of a file where things are read for it."""

    graph: ir.Graph
    name: str
    """The file's path; empty where it is none."""
    metadata: Mapping[str, str]
    preprocess: Any = None
    """How pictures are prepared, where somebody said it."""


def read_held(file: Beside, given: Any) -> Any:
    """Return what inputs are held at, with the ids of words and the numbers of pictures in the place of these.

    Where texts are not of one length, the mask that the file takes beside them says which tokens are theirs.
    Raises: UsageError, ImageError: a text or a picture cannot be read, or does not fit.
    """
    if not isinstance(given, Mapping):
        return given
    inputs = {str(v.name): v for v in file.graph.inputs}
    found = {str(name): _read(file, inputs.get(str(name)), thing) for name, thing in given.items()}
    for name, thing in list(found.items()):
        if isinstance(thing, _Texts):
            found[name] = thing.constant
            found |= {each: mask for each, mask in thing.masks(file.graph).items() if each not in found}
    return found


def _read(file: Beside, value: ir.Value | None, thing: Any) -> Any:
    if value is None or isinstance(thing, Constant):
        return thing
    texts = _texts(thing) if is_ids(value) else None
    if texts is not None:
        return _held_texts(file, value, texts)
    pictures = _pictures(thing)
    return thing if pictures is None or len(declared(value) or ()) < _RANK else _held_pictures(file, value, pictures)


_RANK = 4
"""Axes of an input of pictures."""


def _texts(thing: Any) -> list[str | os.PathLike[str]] | None:
    """Return texts that were given for ids: words, a file of them, several of them; None where it is numbers."""
    if isinstance(thing, list | tuple) and thing and all(isinstance(each, str) for each in thing):
        return [Said(each) for each in thing]
    if isinstance(thing, Said):
        return [thing]
    if not isinstance(thing, str | os.PathLike) or is_npy(thing) or _is_picture(thing):
        return None
    try:
        parsed = json.loads(os.fspath(thing))
    except ValueError:
        return [thing]
    return _texts([parsed] if isinstance(parsed, str) else parsed) if isinstance(parsed, str | list) else None


@dataclass(frozen=True)
class _Texts:
    """Texts that an input of ids is held at."""

    value: ir.Value
    constant: Constant
    own: NDArray[np.int64]
    """Where a token is one of the text, [n, T]; 0 where it fills it up."""

    def masks(self, graph: ir.Graph) -> dict[str, Constant]:
        """Return what masks of the same shape as the ids are held at, where any token fills a text up."""
        if self.own.all():
            return {}
        shape = declared(self.value)
        beside = [v for v in graph.inputs if is_mask(v) and declared(v) == shape]
        return {str(v.name): Constant.read(self.own, f"1 at the tokens of {self.constant.said}", ()) for v in beside}


def _held_texts(file: Beside, value: ir.Value, texts: Sequence[str | os.PathLike[str]]) -> _Texts:
    tokenizer = beside(file.name)
    tokens = [tokenised(each, tokenizer) for each in texts]
    assert isinstance(tokenizer, Tokenizer)  # words without one were refused
    most, by = whole_length(file.graph, value, tokenizer)
    reads = [tokenizer.read(each.text, most) for each in tokens]
    notes = dict.fromkeys(f"{each.text!r}: {note}" for each, read in zip(tokens, reads, strict=True)
                          for note in tokenizer.notes(read))  # fmt: skip
    ids, own = _filled(reads, max([most or 0, *(len(read.ids) for read in reads)]), tokenizer)
    filled = () if own.all() or _has_mask(file.graph, value) else (_unmasked(tokenizer, own, by),)
    names = tuple(each.text for each in tokens)
    said = repr(names[0]) if len(names) == 1 else f"{len(names)} texts"
    return _Texts(value, Constant.read(ids, said, names, (*notes, *filled)), own)


def _has_mask(graph: ir.Graph, value: ir.Value) -> bool:
    return any(is_mask(v) and declared(v) == declared(value) for v in graph.inputs)


def _filled(reads: Sequence[Read], length: int, tokenizer: Tokenizer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return texts of one length, and where their own tokens are. Raises: UsageError: nothing says what fills them."""
    if any(len(read.ids) != length for read in reads) and tokenizer.pad is None:
        lengths = ", ".join(str(len(read.ids)) for read in reads)
        raise UsageError(
            f"texts of {lengths} tokens are filled up to {length}, and {tokenizer.where!r} names no token that does "
            "that: give ids of tokens, an array [n, T]"
        )
    fill = tokenizer.pad or 0
    ids = np.array([[*read.ids, *[fill] * (length - len(read.ids))] for read in reads], np.int64)
    return ids, np.array([np.arange(length) < len(read.ids) for read in reads], np.int64)


def _unmasked(tokenizer: Tokenizer, own: NDArray[np.int64], by: str) -> str:
    word = "" if tokenizer.pad is None else f" {tokenizer.word(tokenizer.pad)!r}"
    said = f", as {by} has it" if by else ""
    return (
        f"texts are filled up with{word} to {own.shape[1]} tokens{said}, and the model takes no mask beside them: it "
        "reads these tokens too"
    )


def _pictures(thing: Any) -> list[Any] | None:
    """Return pictures that were given, files of them or PIL's; None where it is something else."""
    several = list(thing) if isinstance(thing, list | tuple) else [thing]
    return several if several and all(map(_is_picture, several)) else None


def _is_picture(thing: Any) -> bool:
    if isinstance(thing, str | os.PathLike):
        return Path(thing).suffix.lower() in PICTURES
    return hasattr(thing, "getbands") and hasattr(thing, "convert")


def _held_pictures(file: Beside, value: ir.Value, pictures: Sequence[Any]) -> Constant:
    """Return pictures as an input takes them, prepared as the file, what lies beside it, or somebody says."""
    modality = ImageModality()
    try:
        entry = entry_of(file.graph, value)
    except UnsupportedError as error:
        raise UsageError(f"input {value.name!r} is held at a picture, and takes none: {error}") from None
    found = modality.find_preprocess(file.preprocess, file.name, file.metadata, entry)
    size = entry.size or _stated(file, modality, value)
    preprocess = known(found, str(pictures[0]), file.name or "MODEL")
    array = np.concatenate([prepared(each, entry, preprocess, size) for each in pictures])
    names = tuple(_name(each) for each in pictures)
    return Constant.read(array, f"{', '.join(names)}, prepared by {preprocess.name}", names)


def _name(picture: Any) -> str:
    if isinstance(picture, str | os.PathLike):
        return Path(picture).name
    return Path(str(getattr(picture, "filename", ""))).name or "picture"


def _stated(file: Beside, modality: ImageModality, value: ir.Value) -> tuple[int, int]:
    for each in modality.stated_sizes(file.preprocess, file.name, file.metadata):
        return each.sizes["H"], each.sizes["W"]
    raise UsageError(
        f"input {value.name!r} is held at a picture, and nothing says of which height and width it takes them: hold an "
        ".npy file of the prepared numbers"
    )
