"""Models of tables: what is asked of them by rows."""

from __future__ import annotations

from dataclasses import replace

from onnxsal.errors import UnsupportedError
from onnxsal.modalities.table import Table, table_of
from onnxsal.model.model import Model


def as_table(model: Model) -> Model:
    """Return the model as one of rows of a table: itself, or one of vectors [rows, columns] by numbers of columns.

    Raises: UnsupportedError: it takes something else.
    """
    if isinstance(model.modality, Table):
        return model
    if not takes_rows(model):
        raise UnsupportedError(
            "this is for models of rows of a table, [rows, columns] of numbers; this model takes "
            f"{model.modality.name} {list(model.size)}"
        )
    made: Model = model.others("table", lambda: replace(model, modality=table_of(model.size[0])))
    return made


def takes_rows(model: Model) -> bool:
    """Return whether a model takes rows of a table, or vectors that may be such."""
    return isinstance(model.modality, Table) or (
        model.modality.name == "array" and model.anatomy.entry.input_axes == "NW"
        and model.anatomy.entry.value == model.anatomy.entry.input
    )  # fmt: skip


def table_in(model: Model) -> Table:
    """Return the modality of a model of tables."""
    assert isinstance(model.modality, Table)
    return model.modality
