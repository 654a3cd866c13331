"""Missing cells that reach trees: what becomes of them there is told where no node of the file says it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.by_rows import by_rows
from onnxsal.graph import attributes
from onnxsal.graph.names import node_title
from onnxsal.modalities.table_rows import TableRows
from onnxsal.model.model import Model
from onnxsal.trees import is_ensemble

_TRIED = 256
"""Rows with missing cells that are run to see whether these reach the trees."""

_NAMED = 4


def told_missing(model: Model, rows: TableRows) -> TableRows:
    """Return rows with what is to be said of missing cells that reach trees which were made without any."""
    return replace(rows, notes=(*rows.notes, *_missing(model, rows)))


def _missing(model: Model, rows: TableRows) -> tuple[str, ...]:
    gaps = np.isnan(rows.values)
    blind = [node for node in model.anatomy.model.graph if is_ensemble(node) and not _tells(node)]
    if not blind or not gaps.any():
        return ()
    tried = np.flatnonzero(gaps.any(axis=1))[:_TRIED]
    reached = _reached(model, blind, rows.values[tried])
    if not reached.any():
        return ()
    columns = [rows.columns[at] for at in np.flatnonzero(gaps[tried[reached]].any(axis=0))]
    named = ", ".join(map(repr, columns[:_NAMED])) + (f" and {len(columns) - _NAMED} more" * (len(columns) > _NAMED))
    return (
        f"cells of {named} are missing, and {node_title(blind[0])} does not say where its trees send missing values: "
        "every comparison with one is false there, which nobody may have meant",
    )


def _tells(node: ir.Node) -> bool:
    """Whether a node of an ensemble says where missing values go, as exporters do of models made with some."""
    return any(attributes(node).get("nodes_missing_value_tracks_true", ()))


def _reached(model: Model, nodes: list[ir.Node], rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return in which rows something that goes into ensembles is missing."""
    names = sorted({str(node.inputs[0].name) for node in nodes if node.inputs[0] is not None})
    inside = [name for name in names if name != model.anatomy.entry.input]
    own = np.full(len(rows), len(inside) < len(names)) & np.isnan(rows).any(axis=1)
    if not inside:
        return own
    program = model.program(("in front of trees", *inside), lambda: by_rows(model.anatomy, inside))
    found = model.run_rows(program, rows)
    for name in inside:
        own |= np.isnan(found[name].reshape(len(rows), -1)).any(axis=1)
    return own
