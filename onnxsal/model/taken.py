"""What a model takes, its other inputs held: its normal form, and the modality of what is explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from onnxsal.anatomy import Entry
from onnxsal.autodiff import standardised
from onnxsal.errors import UnsupportedError
from onnxsal.graph.columns import columns_of, keep_marks
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.registry import Modality, Told, recognise
from onnxsal.modalities.table import Table
from onnxsal.modalities.tokens import Tokens
from onnxsal.model.asked import Asked
from onnxsal.model.constants import Constant
from onnxsal.model.held import Held
from onnxsal.model.inner import Ids, cut_at
from onnxsal.model.roles import float_values_behind
from onnxsal.model.text_roles import looked_at
from onnxsal.tasks.integer import open_heads


def normal_form(holding: Held, filled: Constant | None = None) -> ir.Model:
    """Return the normal form of a file, cut at the value inside that is explained where it is one.

    Args: filled: vectors that fill a text up, behind its own.
    """
    roles = holding.roles
    kept = frozenset({str(roles.explained)}) if roles.inner else frozenset[str]()
    normal = open_heads(standardised(holding.model, keep=kept))
    keep_marks(holding.model.graph, normal.graph)
    return cut_at(normal, str(roles.explained), ids=ids_of(holding, filled)) if roles.inner else normal


def ids_of(holding: Held, filled: Constant | None = None) -> Ids | None:
    """Return the ids that a graph reads past what they become, None where no ids are explained."""
    text = holding.roles.text
    if text is None:
        return None
    return Ids(
        text.embedding.ids, holding.ids, text.embedding.rows, text.past.other, None if filled is None else filled.array
    )


def told_of(asked: Asked, path: str, metadata: Mapping[str, str]) -> Told:
    """Return what is said of a file beside its graph."""
    numbers = {name: float(each.array.reshape(())) for name, each in asked.held.items()
               if each.array.size == 1 and each.array.dtype.kind in "iuf"}  # fmt: skip
    return Told(asked.preprocess, path, metadata, numbers)


def recognised(normal: ir.Model, holding: Held, told: Told | None = None) -> tuple[Modality, Entry]:
    """Return what the model takes. Raises: UnsupportedError: nothing that is explained; of integers what can be."""
    try:
        modality, entry = recognise(normal.graph, told)
        text = holding.roles.text
        if text is not None and isinstance(modality, Tokens):
            modality = replace(modality, embedding=text.embedding, past=text.past)
        if isinstance(modality, Table):
            modality = replace(modality, columns=columns_of(normal.graph))
        return modality, entry
    except UnsupportedError as error:
        source = next((v for v in normal.graph.inputs if v.name == holding.roles.explained), None)
        if source is None or is_float(source):
            raise
        behind = float_values_behind(normal.graph, source)
        looked = looked_at(normal.graph, [source])
        said = f"{error}. Where ids of tokens become vectors was not found ({looked})" if looked else str(error)
        one = f"--explained {behind[0]!r}" if behind else "--explained NAME"
        raise UnsupportedError(
            f"{said}. Integers have no gradient: what is explained is a float value behind {source.name!r}, {one} "
            f"(explained=){f' or another of {behind}' if len(behind) > 1 else ''}"
        ) from error
