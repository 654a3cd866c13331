"""What a report shows of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from onnxsal.evaluation.detections import Detections
from onnxsal.evaluation.journal import Journal
from onnxsal.evaluation.rows import Failure, Row
from onnxsal.evaluation.summary import Summary


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
