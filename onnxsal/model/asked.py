"""What a user said of a file when it was opened, beside the file itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxsal.modalities.image import PreprocessSource
from onnxsal.model.constants import Constant, constants
from onnxsal.tasks.labels import LabelSource
from onnxsal.tasks.registry import Wanted


@dataclass(frozen=True)
class Asked:
    """The arguments of ``load`` that say what a file is; None and empty where it speaks for itself."""

    preprocess: PreprocessSource | None = None
    labels: LabelSource | None = None
    size: int | Sequence[int] | None = None
    task: str | None = None
    head: str | None = None
    activation: str | None = None
    explained: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """What other inputs are held at: given as ``load`` takes it, read here, ``held`` by their names."""
    threshold: float | None = None
    """The score from which on something is detected."""
    iou: float | None = None
    """How far two detections of a class may overlap."""
    ids: Constant | None = None
    """The text that it is opened for, of a file that reads ids past what they become."""
    filled: Constant | None = None
    """The vectors of tokens that fill a text up, [k, C]."""

    found: str | None = None
    """A value inside that is explained though nobody named it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", constants(self.inputs))

    @property
    def held(self) -> Mapping[str, Constant]:
        """What other inputs are held at."""
        return self.inputs

    @property
    def wanted(self) -> Wanted:
        """What was said of the outputs."""
        return Wanted(self.task, self.head, self.activation)
