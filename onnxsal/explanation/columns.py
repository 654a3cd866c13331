"""Explanations of rows of a table: what each column counts for, as numbers and as pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError
from onnxsal.modalities.registry import Sample
from onnxsal.viz.caption import Caption, with_caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.columns.attribution import Attribution, Part, Swarm

Doubles = NDArray[np.float64]

LETTERS = 20
"""Of a caption below columns, which are read and not seen from afar. Units: pixels."""


class OfRow(Protocol):
    """What is read of an explanation; ``Explanation`` says what each is."""

    @property
    def saliency(self) -> NDArray[np.float32]: ...
    @property
    def raw(self) -> NDArray[np.float32]: ...
    @property
    def stderr(self) -> NDArray[np.float32] | None: ...
    @property
    def target(self) -> int | tuple[int, int] | str | None: ...
    @property
    def label(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def logit(self) -> float: ...
    @property
    def sample(self) -> Sample | None: ...
    @property
    def name(self) -> str: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def values(self) -> Doubles | None: ...
    @property
    def base_value(self) -> float | None: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def features(self) -> tuple[str, ...]: ...


def is_of_row(explanation: Any) -> TypeGuard[OfRow]:
    """Return whether what was explained is a row of a table, whose columns have names."""
    sample = getattr(explanation, "sample", None)
    return sample is not None and sample.row is not None


def attribution_of(explanation: Any) -> Attribution:
    """Return what each column of a row counts for. Raises: UnsupportedError: no row was explained."""
    _check(explanation)
    values, errors = values_of(explanation), explanation.stderr
    known = [None] * len(values) if errors is None or errors.shape != values.shape else errors.tolist()
    missing = np.isnan(explanation.sample.row).tolist()
    parts = [
        Part(*part)
        for part in zip(names_of(explanation), values.tolist(), cells_of(explanation), known, missing, strict=True)
    ]
    base = explanation.base_value
    return Attribution(
        parts, base, None if base is None else explained_score(explanation), title_of_axis([explanation])
    )


def _check(explanation: Any) -> None:
    if not is_of_row(explanation):
        raise UnsupportedError(
            f"columns are of rows of a table, and {explanation.name!r} is {explanation.modality}: take the numbers, "
            "Explanation.raw and saliency"
        )


def values_of(explanation: OfRow) -> Doubles:
    """Return a value for each column, [F]: what the method computed where that is one number a column, else the map."""
    if explanation.values is not None:
        return explanation.values
    own = explanation.raw if explanation.raw.size == explanation.saliency.size else explanation.saliency
    return own.astype(np.float64).ravel()


def names_of(explanation: OfRow) -> tuple[str, ...]:
    """Return what the columns are called."""
    return explanation.names or (() if explanation.sample is None else explanation.sample.columns)


def cells_of(explanation: OfRow) -> tuple[str, ...]:
    """Return what stands in the columns, as their file has it."""
    return explanation.features or (() if explanation.sample is None else explanation.sample.cells)


def explained_score(explanation: OfRow) -> float:
    """Return the score that the values are parts of: in front of softmax or sigmoid, or the probability."""
    if explanation.manifest.get("score") != "probability":
        return explanation.logit
    if isinstance(explanation.target, tuple) and explanation.values is not None and explanation.base_value is not None:
        return explanation.base_value + math.fsum(explanation.values.tolist())  # score is the first class's alone
    return explanation.score


def title_of_axis(explanations: Sequence[OfRow]) -> str:
    """Return what the numbers are of: a class's margin or probability, a value; of rows with several classes so."""
    first, several = explanations[0], len({each.label for each in explanations}) > 1
    label = "the class that each row is predicted" if several else first.label
    if math.isnan(first.score) or not isinstance(first.target, int):
        return label
    return f"{'probability' if first.manifest.get('score') == 'probability' else 'margin'} of {label}"


def swarm_of(explanations: Sequence[Any]) -> Swarm:
    """Return what the columns of many rows count for. Raises: UnsupportedError: one is of something else."""
    for each in explanations:
        _check(each)
    values = np.array([values_of(each) for each in explanations])
    cells = np.array([each.sample.row for each in explanations], np.float64)
    shown = np.array([cells_of(each) for each in explanations], object)
    shown[np.isnan(cells)] = ""  # whatever the file writes there; of a word the code is a number
    texts = [not all(map(_is_number, column)) for column in shown.T]
    cells[:, texts] = np.nan  # their numbers are codes, which have no order
    return Swarm(names_of(explanations[0]), values, cells, title_of_axis(explanations))


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().replace(",", ".") or "nan")
    except ValueError:
        return cell.strip().lower() in ("true", "false")
    return True


def drawn_bars(explanation: Any, colours: str | None = None) -> Pixels:
    """Return the bars of a row."""
    from onnxsal.viz.columns.bars import bars

    return bars(attribution_of(explanation), colours=colours)


def drawn_swarm(explanations: Sequence[Any], colours: str | None = None) -> Pixels:
    """Return the beeswarm of many rows, and below it what was explained and how.

    Raises: UnsupportedError: something else than a row was explained.
    """
    from onnxsal.viz.columns.beeswarm import beeswarm

    shown, first = swarm_of(explanations), explanations[0]
    own = {each.name.rpartition("#")[0] or each.name for each in explanations}
    detail = " · ".join([*(own if len(own) == 1 else ()), first.method])
    return with_caption(beeswarm(shown, colours=colours), Caption(shown.title, "", detail), size=LETTERS)
