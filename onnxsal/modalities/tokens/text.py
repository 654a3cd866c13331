"""Texts on their way into a model: the ids of their tokens, and what these are as people read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError
from onnxsal.files import nearest_file
from onnxsal.modalities.npy import is_npy, read_file
from onnxsal.modalities.pieces import Piece
from onnxsal.modalities.said import Said
from onnxsal.modalities.tokens.spelling import Spelling, written_out
from onnxsal.modalities.tokens.tokenizer import Tokenizer

Ids = NDArray[np.int64]

SUFFIXES = (".txt", ".text", ".md")
"""Of files that hold words."""


@dataclass(frozen=True)
class Tokenised:
    """A text as ids of tokens, and what they are."""

    name: str
    ids: Ids
    """[T]."""
    types: Ids
    """[T]."""
    text: str
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()
    words: bool = False
    """Whether it was given as words, and not as ids."""


@dataclass(frozen=True)
class Words:
    """A text as a model takes it: the vectors of its tokens, and what they are."""

    name: str
    vectors: NDArray[Any]
    """[T, C], or [1, T, C]."""
    tokens: Tokenised | None = None
    nothing: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The vectors of tokens that stand for nothing, [C], by name."""


def tokenised(thing: Any, tokenizer: Tokenizer | str, *, words: bool = False, most: int | None = None) -> Tokenised:
    """Return a text, a file of one, or ids [T] or [1, T] as tokens.

    Args: tokenizer: or why there is none. words: text is words even where it looks like a file's name. most: tokens
    to which words are cut.
    Raises: ImageError: a file is not there or cannot be read. UsageError: it is neither, it is empty, or words without
    a tokenizer.
    """
    if is_npy(thing) and not words and not isinstance(thing, Said):
        return _of_ids(read_file(thing), Path(thing).name, tokenizer)
    if isinstance(thing, str | os.PathLike):
        name, text = _written(thing, words=words)
        return _of_text(text, name, tokenizer, most)
    try:
        array = np.asarray(thing)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    return _of_ids(array, "array", tokenizer)


def _written(thing: str | os.PathLike[str], *, words: bool) -> tuple[str, str]:
    """Return the name of a text, and it: a file's, or the words themselves."""
    path = Path(thing)
    if isinstance(thing, str) and (words or isinstance(thing, Said) or not _is_path(thing)):
        return "text", thing
    if not path.is_file():
        raise ImageError(
            f"no such file: {str(path)!r}{nearest_file(path)}; where these are words, --text says so (in Python {{name "
            "of the ids' input: text})"
        )
    try:
        return path.name, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{str(path)!r} is no text in UTF-8: {error}") from None


def _is_path(text: str) -> bool:
    """Whether words look like the name of a file: one word with the suffix of a text, or with folders in front."""
    if len(text.split()) > 1:
        return Path(text).suffix.lower() in SUFFIXES and _is_file(text)
    return Path(text).suffix.lower() in (*SUFFIXES, ".npy") or os.sep in text or _is_there(text)


def _is_file(text: str) -> bool:
    return _is_there(text) and Path(text).is_file()


def _is_there(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()  # the path of no words is the folder one is in
    except (OSError, ValueError):  # longer than a name may be
        return False


def _of_text(text: str, name: str, tokenizer: Tokenizer | str, most: int | None) -> Tokenised:
    if not text.strip():
        raise UsageError(f"{name!r} is empty: there is nothing to explain")
    if isinstance(tokenizer, str):
        raise UsageError(f"{name!r} are words, and {tokenizer}")
    read = tokenizer.read(text, most)
    if not len(read.ids):
        raise UsageError(f"{name!r} has no tokens: there is nothing to explain")
    return Tokenised(name, read.ids, read.types, text, read.pieces, tokenizer.notes(read), words=True)


def _of_ids(array: NDArray[Any], name: str, tokenizer: Tokenizer | str) -> Tokenised:
    ids = array[0] if array.ndim == 2 and len(array) == 1 else array
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise UsageError(
            f"a text is words, a file of them, or ids of tokens, whole numbers [T] or [1, T]; {name!r} is "
            f"{array.dtype} {list(array.shape)}"
        )
    if not len(ids):
        raise UsageError(f"{name!r} is empty: there is nothing to explain")
    ids = ids.astype(np.int64)
    own = None if isinstance(tokenizer, str) else tokenizer
    if own is None:
        text, pieces = written_out([str(i) for i in ids.tolist()], [False] * len(ids), Spelling.APART)
    else:
        text, pieces = own.written_out(ids.tolist())
    notes = () if own is None else own.notes_of_ids(ids)
    return Tokenised(name, ids, np.zeros_like(ids), text, pieces, notes)
