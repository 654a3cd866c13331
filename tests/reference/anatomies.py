"""The anatomy of a graph that no file holds: as ``onnxsal.load`` finds it, without opening a session."""

from __future__ import annotations

import onnx_ir as ir
from onnxsal.tasks.head import find_head

from onnxsal.anatomy import Anatomy, dissect
from onnxsal.modalities.registry import recognise


def dissected(model: ir.Model) -> Anatomy:
    """Return the anatomy of a model in normal form."""
    return dissect(model, recognise(model.graph)[1], find_head)
