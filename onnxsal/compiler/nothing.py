"""What stands for nothing in a file of texts: the vector of a token, in place of all that its tokenizer did not add."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.explanation.baselines import KNOWN
from onnxsal.graph import Tape
from onnxsal.modalities.tokens.tokenizer import baselines_of, beside
from onnxsal.model import Model
from onnxsal.model.texts import vector_of
from onnxsal.records import Record


@dataclass(frozen=True)
class Nothing:
    """A token that stands for nothing, and which ones stay where they are."""

    vector: NDArray[np.float32]
    """[C]."""
    kept: NDArray[np.int64]
    """The ids of tokens that the tokenizer adds."""

    def laid(self, op: Tape, x: ir.Value, *, ids: ir.Value) -> ir.Value:
        """Return the baseline of texts of these ids [B, T], whose vectors x are [B, C, 1, T]."""
        if not len(self.kept):
            return op.Expand(op.const(self.vector.reshape(-1, 1, 1)), op.Shape(x))
        same = op.Equal(op.Unsqueeze(op.Cast(ids, to=ir.DataType.INT64), [2]), op.const(self.kept))
        stays = op.ReduceMax(op.Cast(same, to=ir.DataType.INT32), [2], keepdims=0)
        stays = op.Cast(op.Unsqueeze(stays, [1, 2]), to=ir.DataType.BOOL)
        return op.Where(stays, x, op.const(self.vector.reshape(-1, 1, 1)))


def named(record: Record) -> str | None:
    """Return the name of a record's baseline that it does not know itself."""
    name = record.draws.baseline
    return name if isinstance(name, str) and name not in KNOWN else None


def nothing_of(model: Model, name: str) -> Nothing | None:
    """Return the token of a name that stands for nothing, None where the tokenizer beside a model has none such."""
    tokenizer = beside(model.name)
    number = baselines_of(tokenizer).get(name)
    if number is None or isinstance(tokenizer, str):
        return None
    vector = np.asarray(vector_of(model, number, *model.size), np.float32)
    return Nothing(vector, np.array([i for i in sorted(tokenizer.special) if tokenizer.is_added(i)], np.int64))
