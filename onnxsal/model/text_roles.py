"""What the inputs of a file of token ids are: which are explained, where these become vectors, and what is beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph.shapes import is_float
from onnxsal.modalities.tokens.embedding import Embedding, embeddings_of, is_ids, told
from onnxsal.modalities.tokens.modality import Tokens
from onnxsal.modalities.tokens.past import Past
from onnxsal.model.asked import Asked
from onnxsal.model.dimensions import declared
from onnxsal.model.text_defaults import is_beside_text
from onnxsal.model.text_past import past_of


@dataclass(frozen=True)
class Text:
    """The ids that are explained, and what is known of them."""

    embedding: Embedding
    past: Past
    """What is read of them past the vectors that they become."""


def text_of(graph: ir.Graph, asked: Asked, free: Sequence[ir.Value]) -> Text | None:
    """Return the ids that a file is explained by, None where it takes something else, or several are looked up."""
    left = [v for v in free if str(v.name) not in asked.held]
    ids = [v for v in left if is_ids(v)]
    if not ids:
        return None
    named = asked.explained is not None and asked.explained not in [str(v.name) for v in ids]
    if named:
        return _of_value(graph, asked, ids)
    if asked.explained is None and _others(left):
        return None
    own = [v for v in ids if v.name == asked.explained] or [v for v in ids if not is_beside_text(v)]
    searches = [(v, embeddings_of(graph, v)) for v in own]
    found = [each for _, search in searches for each in search.found]
    return Text(found[0], past_of(graph, asked, found[0])) if len(found) == 1 else None


def _others(left: Sequence[ir.Value]) -> bool:
    """Whether anything else could be explained: floats that are no mask and nothing that came before."""
    return any(is_float(v) and not is_beside_text(v) for v in left)


def _of_value(graph: ir.Graph, asked: Asked, ids: Sequence[ir.Value]) -> Text | None:
    """Return the ids that a value, which was named, is looked up by; None of any other value."""
    found = [each for v in ids for each in embeddings_of(graph, v).found if each.value == asked.explained]
    return Text(found[0], past_of(graph, asked, found[0])) if len(found) == 1 else None


def read_ids(text: Text, ids: ir.Value, asked: Asked) -> NDArray[np.int64] | None:
    """Return what is read of the ids past their vectors, [1, T], and give the input that length; None for how many they
    are, and where any ids stand for them.

    As long as no text is given these are any ids: a text opens the file again.
    """
    if asked.ids is None and not text.past.own:
        return None
    rows, length = declared(ids) or (None, None)
    if asked.ids is None:
        size = length if isinstance(length, int) else _USUAL
        array = np.arange(2, 2 + size)[None] % (text.embedding.rows or 2)
    else:
        array = asked.ids.array.reshape(1, -1).astype(np.int64)
    ids.shape = ir.Shape([rows, array.shape[1]])
    return array


_USUAL = Tokens.default_size["T"]


def looked_at(graph: ir.Graph, free: Sequence[ir.Value]) -> str:
    """Return what was looked at behind inputs of ids, where nothing was found; nothing where there are none."""
    searches = [(v, embeddings_of(graph, v)) for v in free if is_ids(v) and not is_beside_text(v)]
    return told(searches) if searches else ""


def vectors_among(graph: ir.Graph, free: Sequence[ir.Value]) -> dict[str, list[str]]:
    """Return the inputs of ids that become vectors, each with the values that these are."""
    searches = {str(v.name): embeddings_of(graph, v) for v in free if is_ids(v) and not is_beside_text(v)}
    return {name: [each.value for each in search.found] for name, search in searches.items() if search.found}


__all__ = ["Text", "looked_at", "read_ids", "text_of", "vectors_among"]
