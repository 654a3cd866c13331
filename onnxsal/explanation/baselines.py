"""What stands for nothing in place of a thing that has some of its own: a text's pad token, special tokens kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast, get_args

from onnxsal.errors import UsageError
from onnxsal.modalities.registry import Sample
from onnxsal.records import Baseline, Record

KNOWN = get_args(get_args(Baseline)[0])
"""The names that records know by themselves."""


def on_baseline(record: Record, name: str) -> Record:
    """Return a record that shows a baseline of that name where it masks, which has no option for one."""
    if record.draws.masks is None:
        return record
    return replace(
        record, draws=replace(record.draws, baseline=cast(Any, name)), notes=(*record.notes, ("baseline", name))
    )


def of_sample(record: Record, sample: Sample) -> Record:
    """Return a record with the numbers that a thing has for the names of baselines in it.

    Raises: UsageError: it has none of that name.
    """
    inner = of_sample(record.body, sample) if isinstance(record.body, Record) else record.body
    name = record.draws.baseline
    if not isinstance(name, str) or (name in KNOWN and name not in sample.baselines):
        return record if inner is record.body else replace(record, body=inner)
    if name not in sample.baselines:
        known = ", ".join((*sample.baselines, *KNOWN))
        raise UsageError(f"option baseline={name!r}: of {sample.name!r} there are {known} and arrays")
    return replace(record, body=inner, draws=replace(record.draws, baseline=cast(Any, sample.baselines[name])))
