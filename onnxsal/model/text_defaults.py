"""Stated defaults of what a model of token ids takes beside them: masks, types, positions, what came before."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from onnxsal.model.caches import before
from onnxsal.model.defaults import ALL_COUNT, NONE_OUT, Fill
from onnxsal.model.dimensions import Dim, Dimensions, declared
from onnxsal.model.mask_sense import left_out_by


def text_fill(value: ir.Value, known: Dimensions) -> Fill | None:
    """Return what an input beside token ids is held at, None where its name does not tell what it is.

    Args: known: of the input of ids.
    """
    name = str(value.name).lower()
    return next((make(value, known) for word, make in _KINDS if re.search(word, name)), None)


def is_beside_text(value: ir.Value) -> bool:
    """Return whether an input is held beside token ids by its name, and so is none that could be explained."""
    name = str(value.name).lower()
    return any(re.search(word, name) for word, _ in _KINDS)


def _mask(value: ir.Value, known: Dimensions) -> Fill | None:
    out = left_out_by(value)
    if out is None and "pad" in str(value.name).lower():  # its name says the contrary, and nothing proves either
        return None
    return _made(value, known, 0, NONE_OUT) if out == 1 else _made(value, known, 1, ALL_COUNT)


def _types(value: ir.Value, known: Dimensions) -> Fill | None:
    return _made(value, known, 0, ("0 everywhere", "types of tokens: one text is of one type"))


def _positions(value: ir.Value, known: Dimensions) -> Fill | None:
    shape = declared(value)
    at = None if shape is None else len(shape) - 1
    return _made(value, known, 1, ("0, 1, 2 ...", "positions of tokens, counted from 0"), counted=at)


def _without(value: ir.Value, known: Dimensions) -> Fill | None:
    if value.dtype != ir.DataType.BOOL:
        return None
    return _made(value, known, 0, ("false", "nothing came before"))


def _unknown(value: ir.Value, known: Dimensions) -> None:
    """Return None: what an encoder made of another text has no default."""
    return


_CACHES = r"past|cache_(key|value)|(key|value)_cache"
"""What keys and values of what came before are called."""


def is_cache(value: ir.Value) -> bool:
    """Return whether an input is keys or values by its name: zeros in them count as tokens, unlike those of a state."""
    name = str(value.name).lower()
    return all(re.search(word, name) for word in ("past|cache", r"key|value|kv|\b[kv]\b"))


_KINDS: Sequence[tuple[str, Callable[[ir.Value, Dimensions], Fill | None]]] = (
    (r"use_cache", _without),
    (_CACHES, before),
    (r"mask", _mask),
    (r"token_type|segment|type_ids|^types?$", _types),
    (r"position", _positions),
    (r"encoder_(hidden|out|last)|^memory$", _unknown),
)
"""What names tell, and what is held there."""


def _made(
    value: ir.Value, known: Dimensions, number: int, told: tuple[str, str], counted: int | None = None
) -> Fill | None:
    """Return one number everywhere: axes that the file leaves open are the batch's and the tokens'."""
    shape, dtype = declared(value), value.dtype
    if shape is None or dtype is None or len(shape) > len(known.source):
        return None
    follows = _follows(shape, known)
    sizes: list[Dim] = [1 if i in follows else known.size(d) for i, d in enumerate(shape)]
    if not all(isinstance(size, int) for size in sizes):
        return None
    array = np.full([size for size in sizes if isinstance(size, int)], number, dtype.numpy())
    return Fill(array, follows, *told, counted)


def _follows(shape: Sequence[Dim], known: Dimensions) -> dict[int, int]:
    """Return which axes are as long as which of the ids: the last of several, or the only one, is that of tokens.

    Of a decoder it has a name of its own, that of all that came before and the text: which is the text.
    """
    tokens = len(known.source) - 1
    found = {i: i for i, d in enumerate(shape[:-1]) if not isinstance(d, int)}
    last = len(shape) - 1
    if not isinstance(shape[last], int) and known.size(shape[last]) is None:
        found[last] = tokens
    return found
