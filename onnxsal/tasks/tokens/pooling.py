"""How the vectors of tokens become one of the text, where a file leaves that to who uses it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.files import read_text
from onnxsal.graph import Tape

_FILES = ("1_Pooling/config.json", "../1_Pooling/config.json")
"""Where sentence-transformers say it: beside a model, and beside the folder ``onnx`` that it lies in."""

_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first", "pooling_mode_max_tokens": "max"}
"""What its words say, of those that are made here."""


@dataclass(frozen=True)
class Pooling:
    """How it is done (``mean``, ``first``, ``max``), and who says so; nobody where that is empty."""

    how: str
    where: str = ""

    def write(self, op: Tape, vectors: ir.Value) -> ir.Value:
        """Return one vector a text, [B, D], of those of its tokens, [B, T, D]; all of them count."""
        if self.how == "first":
            return op.Gather(vectors, op.const(0), axis=1)
        pooled: ir.Value = (op.ReduceMax if self.how == "max" else op.ReduceMean)(vectors, [1], keepdims=0)
        return pooled

    @property
    def told(self) -> str:
        """What it is, in words."""
        return {"mean": "the mean over all tokens", "first": "the vector of the first token",
                "max": "the maximum over all tokens"}[self.how]  # fmt: skip


def pooling_beside(path: str) -> Pooling | None:
    """Return how the files of sentence-transformers beside a model pool; None where there are none.

    Raises: UnsupportedError: they do it in a way that is not made here.
    """
    for name in _FILES if path else ():
        found = Path(path).parent / name
        if found.is_file():
            return _read(found)
    return None


def _read(path: Path) -> Pooling:
    try:
        said: Any = json.loads(read_text(path, "pooling"))
    except ValueError as error:
        raise UsageError(f"{str(path)!r} is not valid JSON: {error}") from None
    modes = [key for key, value in said.items() if key.startswith("pooling_mode") and value is True]
    if len(modes) != 1 or modes[0] not in _MODES:
        raise UnsupportedError(f"{str(path)!r} pools by {', '.join(modes) or 'nothing'}: {', '.join(_MODES)} are made")
    return Pooling(_MODES[modes[0]], str(path))
