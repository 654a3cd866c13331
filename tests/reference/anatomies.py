"""The anatomy of a graph that no file holds: as ``onnxsal.load`` finds it, without opening a session."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.anatomy import Anatomy
from onnxsal.modalities import registry as modalities
from onnxsal.tasks.registry import dissect


def dissected(model: ir.Model) -> Anatomy:
    """Return the anatomy of a model in normal form."""
    return dissect(model, modalities.recognise(model.graph)[1])
