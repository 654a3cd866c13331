"""Opening a model for a command: named files checked first, notes on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxsal.errors import OnnxsalError, UsageError

if TYPE_CHECKING:
    from onnxsal.explanation.target import TargetSource
    from onnxsal.model import Model


@dataclass(frozen=True)
class Opening:
    """What a model is opened with."""

    model: str
    preprocess: str | None = None
    labels: str | None = None
    provider: str | None = None
    custom_ops: Sequence[str] = ()
    task: str | None = None
    threads: int | None = None
    size: tuple[int, ...] | None = None
    head: str | None = None
    activation: str | None = None
    explained: str | None = None
    inputs: Sequence[tuple[str, str]] = ()
    threshold: float | None = None
    iou: float | None = None
    rate: int | None = None
    resample: bool = False
    mono: bool = False
    start: float | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """What is read, and must not be written over; a preset's name among them does no harm."""
        return tuple(each for each in (self.model, self.preprocess, self.labels, *self.custom_ops) if each)

    def __call__(self) -> Model:
        """Return the model, after the cheap checks."""
        from onnxsal.model.load import load

        return load(self.model, **self.how())

    def how(self) -> dict[str, Any]:
        """Return what ``onnxsal.load`` is told beside the file. Raises: UsageError: a cheap check failed."""
        for library in self.custom_ops:
            if not Path(library).is_file():
                raise UsageError(f"there is no library of custom operators {library!r}")
        from onnxsal.modalities.audio.preprocess import sound_source
        from onnxsal.modalities.image import as_preprocess
        from onnxsal.modalities.scans import axes_in

        preprocess = sound_source(self.preprocess, self._of_sound())
        if preprocess is None and self.preprocess is not None:
            preprocess = axes_in(self.preprocess) or as_preprocess(self.preprocess)
        return {
            "preprocess": preprocess, "labels": self.labels, "provider": self.provider, "custom_ops": self.custom_ops,
            "task": self.task, "threads": self.threads, "size": self.size, "head": self.head,
            "activation": self.activation, "explained": self.explained, "inputs": dict(self.inputs),
            "threshold": self.threshold, "iou": self.iou,
        }  # fmt: skip

    def of_length(self, steps: int) -> Opening:
        """Return the same opened for so many steps at once, unless it is said how large things are."""
        return self if self.size is not None else replace(self, size=(steps,))

    def _of_sound(self) -> dict[str, Any]:
        """Return what was said of sound files, by the keys of their preprocessing."""
        given = {"sampling_rate": self.rate, "resample": self.resample, "mono": self.mono, "start": self.start}
        return {key: value for key, value in given.items() if value not in (None, False)}


def tell(notes: Iterable[str], about: str = "") -> None:
    """Write notes to stderr, one a line."""
    for note in notes:
        print(f"note: {about}{': ' if about else ''}{note}", file=sys.stderr)


def notes_of(model: Model, things: Sequence[str], target: TargetSource = None) -> tuple[str, ...]:
    """Return what is told of a model before anything is served: as opened for the first thing that can be read.

    Args: target: where it names elements of an output, what is told is of that one.
    Raises: UsageError: there is no such output.
    """
    from onnxsal.explanation.target import opened_for

    model = opened_for(model, target)
    for thing in things:
        with suppress(OnnxsalError):  # what cannot be read is reported in its turn
            return model.fitting(thing).notes
    return model.notes
