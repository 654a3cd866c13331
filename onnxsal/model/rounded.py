"""What the explained value, float32, cannot tell of a file's own numbers."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.anatomy import Anatomy

_TREES = frozenset({"TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"})


def rounded_notes(anatomy: Anatomy) -> tuple[str, ...]:
    """Return what is to be said of a file that takes doubles and compares them with thresholds: rows may cross one."""
    trees = [node for node in anatomy.model.graph if node.op_type in _TREES and _of_doubles(node.inputs[0])]
    if anatomy.entry.dtype != ir.DataType.DOUBLE or not trees:
        return ()
    return (
        f"{anatomy.entry.input!r} holds doubles, and they are rounded to float32: one within 1e-7 of its size from "
        f"a threshold of {trees[0].op_type} may take another leaf than in the file itself",
    )


def _of_doubles(value: ir.Value | None) -> bool:
    return value is not None and value.dtype in (ir.DataType.DOUBLE, None)
