"""Token ids: what is explained are the vectors that a model turns them into, [B, C, T]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.anatomy.entry import FED, shown
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import dims
from onnxsal.modalities.finite import check_finite
from onnxsal.modalities.npy import is_npy, read_array
from onnxsal.modalities.registry import Reader, Sample, modality
from onnxsal.modalities.tokens.embedding import Embedding
from onnxsal.modalities.tokens.past import Past
from onnxsal.modalities.tokens.text import Words
from onnxsal.modalities.tokens.tokenizer import baselines_of, beside

Floats = NDArray[np.float32]

MARK = "onnxsal.tokens"
"""Mark of a value that ids were turned into, where a graph takes it as an input."""

ROWS = "onnxsal.tokens.rows"
"""Mark of how many ids there are, where the table that they are looked up in says it."""


_NOTHING = Past()


@modality("tokens")
@dataclass(frozen=True)
class Tokens:
    """Models of token ids [B, T], cut where these have become vectors [B, T, C]."""

    name: ClassVar[str]
    default_size: ClassVar[Mapping[str, int]] = {"T": 8}
    preprocessed: ClassVar[bool] = False
    says_size: ClassVar[bool] = False

    embedding: Embedding | None = None
    """Where ids become vectors; None of the modality itself, which no model is opened with yet."""
    past: Past = _NOTHING
    """What the graph reads of ids past these."""

    def find_entry(self, graph: ir.Graph) -> Entry:
        """Return where a model takes vectors of tokens. Raises: UnsupportedError: it takes something else."""
        marked = [v for v in graph.inputs if MARK in v.metadata_props]
        if len(marked) != 1 or len(graph.inputs) != 1:
            raise UnsupportedError("the model takes no token ids whose vectors were found")
        (source,) = marked
        shape = dims(source)
        channels = None if shape is None or len(shape) != 3 else shape[2]
        if source.dtype not in FED or shape is None or not isinstance(channels, int):
            raise UnsupportedError(
                f"what token ids become, {source.name!r}, is {shown(source)}: expected floats [N, T, C] of one width"
            )
        length = shape[1]
        return Entry(
            str(source.name), str(source.name), source.dtype or ir.DataType.FLOAT, "NTC", "NTC", channels,
            (length,) if isinstance(length, int) else None, spatial="T",
        )  # fmt: skip

    def find_preprocess(self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry) -> None:
        """Return None: texts are read by a tokenizer. Raises: UsageError: preprocessing was asked for."""
        if source is not None:
            raise UsageError("preprocessing is for images; a text is read by the tokenizer.json beside the model")

    def own_size(self, thing: Any, entry: Entry, *, any_size: bool) -> Mapping[str, int] | None:
        """Return how many tokens a text has, that was read, None of anything else."""
        if isinstance(thing, str) and not is_npy(thing):  # words that nobody read yet
            return None
        array = thing.vectors if isinstance(thing, Words) else read_array(thing, _WANTED).array
        rows = array if array.ndim == 2 else array[0] if array.ndim == 3 else None
        return None if rows is None else {"T": len(rows)}

    def read(self, thing: Any, reader: Reader) -> Sample:
        """Return a text that was read, or vectors [T, C] in place of it, as the model takes it.

        Raises: UsageError: it is of another shape or type, or not finite.
        """
        words = thing if isinstance(thing, Words) else Words("array", read_array(thing, _WANTED).array)
        vectors, entry = words.vectors, reader.entry
        whole = vectors[None] if vectors.ndim == 2 else vectors
        expected = (1, reader.size[0], entry.channels)
        if whole.shape != expected or whole.dtype.kind != "f":
            raise UsageError(
                f"{words.name!r} is {whole.dtype} {list(vectors.shape)}, and the model takes {list(expected[1:])}"
            )
        x = reader.enter(whole.astype(entry.dtype.numpy()))
        check_finite(x, repr(words.name), batch=False)
        tokens = words.tokens
        added = [False] * x.shape[-1] if tokens is None else [piece.added for piece in tokens.pieces]
        baselines = {
            name: np.where(added, x, vector.reshape(-1, 1)).astype(np.float32) for name, vector in words.nothing.items()
        }
        if tokens is None:
            return Sample(x, words.name, baselines=baselines)
        return Sample(
            x, words.name, notes=tokens.notes, text=tokens.text, pieces=tokens.pieces, ids=tokens.ids,
            baselines=baselines,
        )  # fmt: skip

    def usual(self, path: str, size: tuple[int, ...]) -> Mapping[str, Any]:
        """Return a token at a time of what covers, a cell each of what masks, and what stands for nothing."""
        names = list(baselines_of(beside(path)))
        return {"patch": 1, "stride": 1, "grid": min(max(size[0], 2), _CELLS), "sign": "signed",
                "baseline": names[0] if names else "zero"}  # fmt: skip

    def blank(self, reader: Reader) -> Floats:
        """Return zero: nothing is known of the text, [C]."""
        return np.zeros(reader.entry.channels, np.float32)


_CELLS = 64
"""The most cells that masks are drawn on."""

_WANTED = "what is explained of a text are floats [T, C]"
