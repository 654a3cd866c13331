"""The model that a file is compiled of: opened for what is asked of it, of lengths and a batch that it may promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onnxsal.compiler.asked import Asked, parts_of, request_of
from onnxsal.compiler.batch_of_one import UNASKED, alone_in_file, for_one
from onnxsal.compiler.by_row import one_at_once
from onnxsal.compiler.front import ONE, takes_one
from onnxsal.compiler.nothing import named, nothing_of
from onnxsal.compiler.padded import Mask, mask_of
from onnxsal.compiler.work import FileTarget
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.explanation.baselines import KNOWN
from onnxsal.explanation.target import TargetSource, opened_for
from onnxsal.folding import fits_any_length
from onnxsal.modalities.nouns import nouns_of, spoken
from onnxsal.model import Model
from onnxsal.model.any_length import of_any_length
from onnxsal.records import Record


def answering(model: Model, target: TargetSource) -> Model:
    """Return the model that a file is compiled of: opened for the output of which the target names elements.

    Raises: UsageError: there is no such output.
    """
    return model if model.task.as_inputs(target) is not None else opened_for(model, target)


def of_texts(model: Model, asked: Asked) -> Model:
    """Return the model of texts on its graph for all lengths, where a method takes no draws that know one; itself of
    other things.

    Raises: UsageError: the method shows a token in the place of others, which differs from text to text.
    """
    if model.modality.name != "tokens":
        return model
    request = request_of(model, asked)
    parts = parts_of(request, FileTarget(None))
    for part in parts:
        name = named(part) if isinstance(part, Record) else None
        if name is not None and nothing_of(model, name) is None:
            known = ", ".join(KNOWN)
            raise UsageError(f"baseline={name!r} is no token of a tokenizer beside the model: {known} or an array")
    free: Model | None = model.program("any length", lambda: of_any_length(model))
    unfit = [part for part in parts if isinstance(part, Record) and not fits_any_length(part)]
    if free is not None and not unfit and not any(request.layers) and asked.batch is None:
        return free
    (length,) = model.size
    knows = "the method's draws know" if unfit else "the maps of a layer know"
    knows = "its graph knows" if free is None else knows
    why = f"{knows} one length" if asked.batch is None else "batch fixes every shape"
    fixed = f"the file takes texts of {length} tokens and of no other number: {why}; --size N (size=) sets it"
    return replace(model, notes=(*model.notes, fixed))


def mask_input(model: Model, asked: Asked) -> Mask | None:
    """Return the mask of texts that becomes an input, where that is asked for. Raises: UsageError: there is none."""
    if not asked.mask_in:
        return None
    found = mask_of(model)
    if model.sized is None:
        raise UnsupportedError(
            f"mask_in: {model.notes[-1]}; texts of other lengths need a file each, and {found.name!r} stays as it is "
            "held: leave mask_in out"
        )
    return found


def batched_of(model: Model, parts: tuple[Any, ...], asked: Asked) -> Model:
    """Return the model with the batch that its file may promise: free, or one picture at a time."""
    try:
        why = alone_in_file(model, parts) or (ONE if takes_one(model) else None)
        why = why or (one_at_once(model) if asked.by_row else None)
    except UnsupportedError:
        if not asked.keep_custom:
            raise
        unasked = spoken(UNASKED, nouns_of(model.modality.name))
        return replace(model, notes=(*model.notes, unasked))  # a library that only the file's user has
    return model if why is None else for_one(model, why)
