"""What a report shows of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from onnxsal.evaluation.detections import Detections
from onnxsal.evaluation.journal import Journal
from onnxsal.evaluation.rows import Failure, Row
from onnxsal.evaluation.summary import Summary
from onnxsal.modalities.nouns import Nouns, nouns_of, spoken


class Results(Protocol):
    """Rows, their summary and what belongs to them; ``Evaluation`` says what each is."""

    @property
    def rows(self) -> tuple[Row, ...]: ...
    @property
    def failures(self) -> tuple[Failure, ...]: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def left_out(self) -> Mapping[str, int]: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def summary(self) -> Summary: ...
    @property
    def detections(self) -> Detections | None: ...


def nouns_in(settings: Mapping[str, Any]) -> Nouns:
    """Return what the things that were judged are called."""
    return nouns_of(settings.get("modality", "image"))


def left_out(count: int, found: Results) -> str:
    """Return why a metric left out so many pictures or detections."""
    if found.detections is not None:
        return f"{count} {'detection is' if count == 1 else 'detections are'} on no true box of the label"
    pictures = "1 picture" if count == 1 else f"{count} pictures"
    said = f"the object of {pictures} is not in the model's view, or of another class"
    return spoken(said, nouns_in(found.settings))
