"""What one worker is: a share of a machine, and the model opened for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.model import Model
from onnxsal.options import is_count
from onnxsal.runtime.nvidia import CUDA
from onnxsal.runtime.providers import full_name


@dataclass(frozen=True)
class Share:
    """What each worker gets.

    Attributes:
        actors: how many there are; (least, most) grows and shrinks with the work.
        cpus: processors of each, and so the threads of each run of the model.
        gpus: of each: 1, or a half where two share one; 0 runs on the processor.
        rows: that it takes at a time.
        remote: what else Ray is to be told of it, such as ``memory`` or ``resources``.
    """

    actors: int | tuple[int, int] = 1
    cpus: int = 1
    gpus: float = 0
    rows: int = 8
    remote: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        several = self.actors if isinstance(self.actors, tuple) else (self.actors,)
        if not all(map(is_count, several)) or len(several) > 2 or sorted(several) != list(several):
            raise UsageError(f"actors={self.actors!r}: expected a whole number from 1 on, or (least, most)")
        for name in ("cpus", "rows"):
            if not is_count(getattr(self, name)):
                raise UsageError(f"{name}={getattr(self, name)!r}: expected a whole number from 1 on")
        if isinstance(self.gpus, bool) or not isinstance(self.gpus, int | float) or not self.gpus >= 0:
            raise UsageError(f"gpus={self.gpus!r}: expected how many GPUs each worker has, 0 for none")

    def opened(self, model: Model) -> Model:
        """Return a model on the processors and the GPU of this worker. Raises: UnsupportedError: it has no such GPU.

        The file is opened again where the GPU takes the processor's place: they compute integers differently, and what
        is written of them differs.
        """
        model = replace(model, threads=self.cpus)
        if not self.gpus or full_name(model.provider) == CUDA:
            return model
        return model.reopener(replace(model, provider="cuda"), model.asked)
