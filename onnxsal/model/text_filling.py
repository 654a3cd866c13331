"""A text with fewer tokens than go in: what fills it up, which the masks beside it leave out, and nothing explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.graph import Tape, dims
from onnxsal.graph.cut import feed, placed, uses_of
from onnxsal.modalities.tokens.text import Ids, Tokenised
from onnxsal.modalities.tokens.tokenizer import Tokenizer
from onnxsal.model.constants import Constant
from onnxsal.model.dimensions import declared
from onnxsal.model.mask_sense import left_out_by
from onnxsal.tasks.outputs import ACTIVATIONS, made_by, source


@dataclass(frozen=True)
class Filling:
    """A text that is filled up."""

    ids: Ids
    """[T], those that fill it up behind its own."""
    masks: Mapping[str, Constant]
    """What the masks beside it are held at."""
    note: str


def masks_beside(graph: ir.Graph, ids: ir.Value) -> list[ir.Value]:
    """Return the inputs that say by their name which tokens of as many as go in count."""
    length = (declared(ids) or (None,))[-1]
    named = [v for v in graph.inputs if v is not ids and "mask" in str(v.name).lower()]
    return [v for v in named if (declared(v) or (None,))[-1] in (length, None) or not isinstance(length, int)]


def whole_length(graph: ir.Graph, ids: ir.Value, tokenizer: Tokenizer | str) -> tuple[int | None, str]:
    """Return how many tokens go in where that is one number, and who says it; None where it is open.

    A file that takes no mask takes texts as whoever made it filled them, where that is known.
    """
    length = (declared(ids) or (None,))[-1]
    if isinstance(length, int):
        return length, "the file"
    if isinstance(tokenizer, str) or masks_beside(graph, ids):
        return None, ""
    return tokenizer.padding.length, tokenizer.padding.length_by


def filling_of(
    graph: ir.Graph, ids: ir.Value, tokens: Tokenised, tokenizer: Tokenizer | str, held: Mapping[str, Constant]
) -> Filling | None:
    """Return how a text is filled up, None where as many tokens go in as it has.

    Raises: UsageError: nothing says with what.
    """
    whole, by = whole_length(graph, ids, tokenizer if tokens.words else "ids go in as they are")
    count = len(tokens.ids)
    if whole is None or count >= whole:
        return None
    masks = masks_beside(graph, ids)
    pad = None if isinstance(tokenizer, str) else tokenizer.pad
    if pad is None and not masks:
        raise UsageError(
            f"{tokens.name!r} has {count} tokens, and {by} fixes them to {whole}: nothing says which token fills it "
            "up, and no mask would leave it out: fill or cut the ids"
        )
    word = 0 if pad is None or isinstance(tokenizer, str) else tokenizer.word(pad)
    note = f"the text's {count} tokens are filled up to {whole} with {word!r}, as {by} has it: " + (
        f"{', '.join(repr(v.name) for v in masks)} leaves these out" if masks else
        "the model takes no mask beside them and reads these too, and they get no score"
    )  # fmt: skip
    full = np.concatenate([tokens.ids, np.full(whole - count, pad or 0, np.int64)])
    return Filling(full, {str(v.name): _mask(v, count, whole) for v in masks if v.name not in held}, note)


def _mask(mask: ir.Value, count: int, whole: int) -> Constant:
    """Return what tells the text's own tokens, along the last axis, from those that fill it up."""
    out = 1 if left_out_by(mask) == 1 else 0
    shape = [d if isinstance(d, int) else 1 for d in declared(mask) or ()]
    array = np.full([*shape[:-1], whole], 1 - out, np.int64)
    array[..., count:] = out
    return Constant.read(array, f"{1 - out} at the text's {count} tokens", ())


def fill_up(graph: ir.Graph, vectors: ir.Value, pads: NDArray[Any]) -> ir.Value:
    """Return vectors of tokens [B, n, C] with those of others behind them, [k, C], and give the input its length."""
    shape, op = dims(vectors) or (), Tape(graph)
    vectors.shape = ir.Shape([shape[0], shape[1] - len(pads) if isinstance(shape[1], int) else None, *shape[2:]])
    with placed(graph):
        rows = op.Slice(op.Shape(vectors), [0], [1])
        more = op.Expand(op.const(pads[None].tolist(), vectors.dtype), op.Concat(rows, list(pads.shape), axis=0))
        return op.Concat(vectors, more, axis=1)


def cut_outputs(graph: ir.Graph, ids: ir.Value, more: int) -> None:
    """Leave what is put out of the tokens that fill a text up out of outputs that have a row for each token."""
    length = (dims(ids) or (None, None))[1]
    for output in [v for v in graph.outputs if _has_rows(v, length)]:
        made = output if made_by(output) in ACTIVATIONS and _is_of_rows(output) else None
        front = output if made is None else source(made)
        assert front is not None
        _shorten(graph, front, more)
        if made is not None:
            made.shape = ir.Shape([(dims(made) or ())[0], None, (dims(made) or ())[2]])


def _has_rows(value: ir.Value, length: Any) -> bool:
    shape = dims(value)
    return shape is not None and len(shape) == 3 and length is not None and shape[1] == length


def _is_of_rows(value: ir.Value) -> bool:
    """Whether what makes probabilities of scores does so for each token."""
    node = value.producer()
    axis = None if node is None else node.attributes.get("axis")
    return node is not None and (axis is None or axis.as_int() in (-1, 2))


def _shorten(graph: ir.Graph, value: ir.Value, more: int) -> None:
    op, uses, name = Tape(graph), uses_of(value), value.name
    with placed(graph, after=value.producer()):
        made = op.Slice(value, [0], [-more], [1])
    shape = dims(value) or ()
    made.type, made.shape = value.type, ir.Shape([shape[0], None, *shape[2:]])
    feed(uses, made)
    if value.is_graph_output():
        value.name, made.name = f"sal/was/{name}", name
        graph.outputs[list(graph.outputs).index(value)] = made
