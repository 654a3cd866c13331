"""Which draws a file can make of a seed that it is fed."""

from __future__ import annotations

from collections.abc import Iterable

from onnxsal.compiler.work import Result
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.records import CoarseMasks, Record


def check_seeds(method: str, parts: Iterable[Result]) -> None:
    """Raise where a seed that is fed could change nothing, or what it draws is made as a file is written.

    Raises: UsageError: the method draws nothing. UnsupportedError: it draws masks of cells.
    """
    records = [part for part in parts if isinstance(part, Record)]
    if any(isinstance(record.draws.masks, CoarseMasks) for record in records):
        raise UnsupportedError(
            f"seed=input: {method!r} draws the cells of its masks as the file is written, with the seed that is given "
            "there; write a file for each seed, or leave it out"
        )
    if not any(_draws(record) for record in records):
        raise UsageError(f"seed=input: {method!r} with these options draws nothing, so that no seed changes its map")


def _draws(record: Record) -> bool:
    return record.draws.noise is not None or record.draws.baseline == "uniform"
