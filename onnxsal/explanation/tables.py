"""Rows of tables as they are handed over: one, many, files of them; and which method explains them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.method_plan import MethodPlan, plan
from onnxsal.explanation.shapley.explain import Options, explain_rows
from onnxsal.methods import get
from onnxsal.modalities.csv_rows import is_rows_file
from onnxsal.modalities.table import Table
from onnxsal.modalities.table_rows import is_cell
from onnxsal.model import Model
from onnxsal.model.missing import told_missing
from onnxsal.model.table import as_table, table_in, takes_rows

USUAL = "shapley"
"""The method of rows of tables where none is named."""

_DEFAULT = "grad-cam++"
"""What ``explain`` is called with where no method is named: it needs feature maps with positions, which tables have
none of, so that who names it cannot mean it."""


def opened_for_rows(model: Model, thing: Any) -> Model:
    """Return the model, one of vectors of numbers as one of rows of a table where a thing is a file of such."""
    return as_table(model) if is_rows_file(thing) and takes_rows(model) else model


def is_of_rows(model: Model, method: str) -> bool:
    """Return whether a method explains rows by running the model on others; without a method's name tables have it."""
    return (isinstance(model.modality, Table) and method == _DEFAULT) or get(method).of_rows


def steps_of(method: str, options: Mapping[str, Any]) -> MethodPlan:
    """Return the plan of a method of rows. Raises: UsageError: it has no such option."""
    return plan(USUAL if method == _DEFAULT else method, options)


def explain_table(model: Model, thing: Any, target: Any, options: Options) -> Explanation | list[Explanation]:
    """Return the explanation of a row; a list of them for several rows, or a list of targets (row by row).

    Raises: UnsupportedError: the model takes no rows. Others as of ``explain``.
    """
    opened = as_table(model)
    rows = told_missing(opened, table_in(opened).rows(thing))
    found = explain_rows(opened, rows, target if isinstance(target, list) else [target], options)
    return found if _are_several(thing, len(rows)) or isinstance(target, list) else found[0]


def single_rows(model: Model, image: Any) -> Any:
    """Return the rows of a thing of several as a list of such, anything else as it is: other methods take one each."""
    if not isinstance(model.modality, Table):
        return image
    rows = told_missing(model, table_in(model).rows(image))
    each = [rows.row(number) for number in range(1, len(rows) + 1)]
    return each if _are_several(image, len(rows)) else each[0]


def _are_several(thing: Any, count: int) -> bool:
    """Whether a list is given back: of several rows, and of a list of things of one."""
    return count > 1 or (isinstance(thing, list) and not all(map(is_cell, thing)))
