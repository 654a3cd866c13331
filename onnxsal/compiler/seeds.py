"""Which draws a file can make of a seed that it is fed."""

from __future__ import annotations

from collections.abc import Iterable

from onnxsal.compiler.work import Result
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.records import CoarseMasks, Record


def check_seeds(method: str, parts: Iterable[Result]) -> None:
    """Raise where a seed that is fed could change nothing, or no graph can draw what it stands for.

    Raises: UsageError: the method draws nothing. UnsupportedError: it draws masks in a way of its own.
    """
    records = [part for part in parts if isinstance(part, Record)]
    masks = [record.draws.masks for record in records]
    if any(isinstance(each, CoarseMasks) and each.drawn is None for each in masks):
        raise UnsupportedError(
            f"seed=input: {method!r} does not say how it draws the cells of its masks (CoarseMasks.drawn), so that "
            "they are drawn as the file is written; write a file for each seed"
        )
    if not any(_draws(record) for record in records):
        raise UsageError(f"seed=input: {method!r} with these options draws nothing, so that no seed changes its map")


def said_of_seeds(parts: Iterable[Result]) -> tuple[str, ...]:
    """Return what users are told of a file that is fed a seed: what computes its draws otherwise."""
    cells = any(isinstance(part, Record) and isinstance(part.draws.masks, CoarseMasks) for part in parts)
    return (_WORDS,) if cells else ()


_WORDS = (
    "masks are drawn of the seed that is fed in unsigned words of 64 bits, which OpenVINO (2026.4.1) computes "
    "otherwise: its masks are others, and so is its map"
)


def draws_noise(parts: Iterable[Result]) -> bool:
    """Return whether noise is drawn, or baselines are; cells and shifts of masks lie in a file of one seed anyway."""
    return any(isinstance(part, Record) and _is_noisy(part) for part in parts)


def _draws(record: Record) -> bool:
    return _is_noisy(record) or isinstance(record.draws.masks, CoarseMasks)


def _is_noisy(record: Record) -> bool:
    return record.draws.noise is not None or record.draws.baseline == "uniform"
