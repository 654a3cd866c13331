"""A model opened for a text: its tokens, the vectors that they become, and the file as it is for so many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import ImageError, ModelError, UsageError
from onnxsal.graph import Program, dims
from onnxsal.modalities.npy import is_npy, read_array
from onnxsal.modalities.said import Said
from onnxsal.modalities.tokens.embedding import Embedding
from onnxsal.modalities.tokens.modality import Tokens
from onnxsal.modalities.tokens.text import Ids, Tokenised, Words, tokenised
from onnxsal.modalities.tokens.tokenizer import Tokenizer, baselines_of, beside
from onnxsal.model.any_length import of_any_length
from onnxsal.model.constants import Constant, fitting
from onnxsal.model.held import held
from onnxsal.model.inner import front
from onnxsal.model.model import Model
from onnxsal.model.text_filling import Filling, filling_of, whole_length
from onnxsal.model.text_length import Lengths, runs


def of_text(model: Model, thing: Any, *, words: bool = False) -> tuple[Model, Words]:
    """Return the model opened for a text, and the text as it takes it.

    Args: words: text is words even where it looks like a file's name.
    Raises: UsageError: the text does not fit the model. ImageError: its file cannot be read. As ``onnxsal.load``.
    """
    if isinstance(thing, Words):
        return model, thing
    array = _floats(thing)
    if array is not None:
        given = Words(Path(thing).name if is_npy(thing) else "array", array)
        _check_vectors(model, given)
        opened = model.fitting(given)
        return opened, replace(given, nothing=_nothing(model, beside(model.name), array.shape[-2]))
    tokenizer = beside(model.name)
    tokens = tokenised(thing, tokenizer, words=words)
    _check_held(model, tokens)
    most = _most(model, tokens.ids, tokenizer)
    if most is not None:
        tokens = _cut(tokens, most, lambda: tokenised(thing, tokenizer, words=words, most=most))
    filling = filling_of(model.source.graph, _ids(model), tokens, tokenizer, model.asked.held)
    ids = tokens.ids if filling is None else filling.ids
    _check(model, tokens.name, ids)
    nothing = _nothing(model, tokenizer, len(ids))
    vectors, count = _vectors(model, ids), len(tokens.ids)
    if filling is None:
        return _opened(model, tokens), Words(tokens.name, vectors, tokens, nothing)
    tokens = replace(tokens, notes=(*tokens.notes, filling.note))
    return _filled(model, filling, vectors[0, count:], count), Words(tokens.name, vectors[:, :count], tokens, nothing)


def _check_held(model: Model, tokens: Tokenised) -> None:
    """Raises: UsageError: somebody holds another input at a number for each token of a text of another length."""
    (length,), count = model.size, len(tokens.ids)
    if model.open_sizes != (False,) or count == length or _fixes_length(model):
        return
    for name, constant in model.asked.held.items():
        array = constant.array
        if array.dtype.kind in "iub" and array.ndim in (1, 2) and array.shape[-1] == length > 1:
            raise UsageError(
                f"{tokens.name!r} has {count} tokens, and {name!r} is held at numbers for {length}: hold it at as many "
                "as the text has tokens, those among them that the tokenizer adds"
            )


def _nothing(model: Model, tokenizer: Tokenizer | str, count: int) -> dict[str, NDArray[Any]]:
    """Return the vectors of tokens that stand for nothing in a text of so many, by name."""
    return {name: vector_of(model, number, count) for name, number in baselines_of(tokenizer).items()}


def _most(model: Model, ids: Ids, tokenizer: Tokenizer | str) -> int | None:
    """Return how many tokens a model takes at most, None where it takes so many."""
    count, fixed = len(ids), whole_length(model.source.graph, _ids(model), tokenizer)[0]
    if fixed is not None:
        return fixed if count > fixed else None
    lengths: Lengths = model.program("lengths", Lengths)
    free = _free(model)
    return lengths.most(count, (lambda n: runs(free, n)) if free is not None else lambda n: _file_runs(model, ids, n))


def _ids(model: Model) -> ir.Value:
    """Return the input of the file that takes the ids."""
    return next(v for v in model.source.graph.inputs if v.name == _embedding(model).ids)


def _file_runs(model: Model, ids: Ids, count: int) -> bool:
    """Whether the file itself runs with so many ids, those of a text: it is opened anew for each number of them."""
    program: Program = model.program("file", lambda: _file(model))
    ((name, value),) = program.inputs.items()
    try:
        model.session(program).run({name: fitting(Constant.of(np.resize(ids, (1, count)), name), value)})
    except ModelError:
        return False
    return True


def _file(model: Model) -> Program:
    """Return the program of the file itself, its other inputs held, of any length."""
    work = held(model.source, model.asked).model
    shapes = {v.name: v.shape for v in model.source.graph.inputs}
    for value in work.graph.inputs:
        value.shape = shapes[value.name]
    return Program(work)


def _cut(tokens: Tokenised, most: int, again: Callable[[], Tokenised]) -> Tokenised:
    """Return a text with so many tokens; ids are not cut, for nothing says which of them may go."""
    if not tokens.words:
        raise UsageError(f"{tokens.name!r} has {len(tokens.ids)} ids, and the model takes {most} at most: cut them")
    return again()


def _free(model: Model) -> Model | None:
    """Return the model that takes any length, None where there is none."""
    found: Model | None = model.program("any length", lambda: of_any_length(model))
    return found


def _modality(model: Model) -> Tokens:
    assert isinstance(model.modality, Tokens)
    return model.modality


def _floats(thing: Any) -> NDArray[Any] | None:
    """Return vectors that are given in place of a text."""
    if isinstance(thing, Said) or (not isinstance(thing, np.ndarray) and not is_npy(thing)):
        return None
    try:
        array = read_array(thing, "an array").array
    except (ImageError, UsageError):  # whoever reads it as a text says what is wrong
        return None
    return array if array.dtype.kind == "f" else None


def _check_vectors(model: Model, words: Words) -> None:
    """Raises: UsageError: floats are no vectors of tokens; where they may be ids, what ids are is said."""
    shape, channels = words.vectors.shape, model.anatomy.entry.channels
    if len(shape) not in (2, 3) or shape[-1] != channels:
        raise UsageError(
            f"{words.name!r} is {words.vectors.dtype} {list(shape)}: ids of tokens are whole numbers, [T] or [1, T] "
            f"(array.astype('int64')); floats are taken for the tokens' vectors, [T, {channels}]"
        )


def _check(model: Model, name: str, ids: Ids) -> None:
    """Raises: UsageError: an id is of no row of the table."""
    rows = _embedding(model).rows
    wrong = [i for i in ids.tolist() if i < 0 or (rows is not None and i >= rows)]
    if wrong:
        known = "from 0 on" if rows is None else f"from 0 to {rows - 1}"
        raise UsageError(
            f"{name!r} holds the id {wrong[0]}, and the model knows ids {known}: the tokenizer, or whoever made "
            "the ids, is of another model"
        )


def _fixes_length(model: Model) -> bool:
    """Whether the file itself says how many ids it takes."""
    (value,) = _front(model).inputs.values()
    shape = dims(value)
    return shape is not None and isinstance(shape[-1], int)


def vector_of(model: Model, number: int, count: int) -> NDArray[Any]:
    """Return the vector of one id; run as often as a text has tokens, since a file may fix their number."""
    made: NDArray[Any] = model.program(
        ("vector", number), lambda: _vectors(model, np.full(count, number, np.int64))[0, 0]
    )
    return made


def _vectors(model: Model, ids: Ids) -> NDArray[Any]:
    program = _front(model)
    ((name, value),) = program.inputs.items()
    given = fitting(Constant.of(ids[None], name), value)
    found: NDArray[Any] = model.session(program).run({name: given})[_embedding(model).value]
    return found


def _front(model: Model) -> Program:
    """Return what makes vectors of ids."""
    made: Program = model.program("front", lambda: front(model.source, model.asked))
    return made


def _embedding(model: Model) -> Embedding:
    embedding = _modality(model).embedding
    assert embedding is not None
    return embedding


def _opened(model: Model, tokens: Tokenised) -> Model:
    """Return the model for so many tokens, or for these where the graph reads them themselves."""
    read = _modality(model).past.read(tokens.ids)
    if read is not None:
        made: Model = model.others(("ids", read.tobytes()), lambda: model.reopened(ids=Constant.of(read[None], "ids")))
        return replace(made, preprocess=model.preprocess)
    size = (len(tokens.ids),)
    if size == model.size:
        return model
    free = _free(model)
    if free is not None:
        entry = replace(free.anatomy.entry, size=size)
        return replace(free, anatomy=replace(free.anatomy, entry=entry), preprocess=model.preprocess)
    return model.at_size(size)


def _filled(model: Model, filling: Filling, pads: NDArray[Any], count: int) -> Model:
    """Return the model for so many tokens, with those behind them that fill it up."""
    read = _modality(model).past.read(filling.ids)
    held = {**model.asked.held, **filling.masks}
    ids = None if read is None else Constant.of(read[None], "ids")
    filled = Constant.of(pads, "pads")
    size = model.asked.size if model.open_sizes == (False,) else count
    made: Model = model.others(
        ("filled", count, filled.digest, b"" if read is None else read.tobytes()),
        lambda: model.reopened(filled=filled, inputs=held, ids=ids, size=size),
    )
    return replace(made, preprocess=model.preprocess)
