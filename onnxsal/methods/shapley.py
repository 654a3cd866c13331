"""Shapley values of the columns of a table: what a row's score owes to each, against background rows."""

from __future__ import annotations

from typing import Any

from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program
from onnxsal.methods.registry import Cost, Result, Samples, method


@method(
    "shapley",
    paper="Shapley 1953; Strumbelj, Kononenko 2014, doi:10.1007/s10115-013-0679-x; Lundberg, Lee 2017, "
    "arXiv:1705.07874, interventional",
    when="rows of tables: shares of columns that add up to the score, exact for trees and linear models",
    rules=None,
    adds_up=True,
    of_rows=True,
    cost=Cost(lambda o, k: int(o["samples"]), lambda o, k: 0),
)
def shapley(score: Program, *, background: Any = None, samples: Samples = 64) -> Result:
    """How far each column moves the score of a row away from its mean over background rows; [columns], signed.

    It runs the model on rows that are mixed of both (``explanation/shapley``): there is no program for one row.

    Args:
        background: rows that a column is replaced from: a CSV file, an array, a data frame, a list of rows. By default,
            where several rows are explained, these rows. ``covers``: path-dependent values, of files of trees that have
            them.
        samples: orders in which columns are replaced, half of them the reverse of the others; only where neither a
            closed form nor all coalitions are run.
    """
    raise UnsupportedError(
        "shapley is for rows of tables, which are explained by running the model on others (onnxsal.explain); there is "
        "no program of it that could be built, composed with another method or compiled"
    )
