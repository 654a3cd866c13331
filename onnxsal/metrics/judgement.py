"""What a metric says of a map, and what it is given to say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Score: TypeAlias = Callable[[Floats], Doubles]
"""From pictures [N, C, H, W] of the model's preprocessed domain to the score of the explained class, [N]."""
Explain: TypeAlias = Callable[[Floats], NDArray[Any]]
"""From pictures [N, C, H, W] to their maps, [N, H, W]."""


@dataclass(frozen=True)
class Judgement:
    """What a metric says of one map.

    Args:
        value: NaN where it is not defined: a flat map, a picture without a mask.
        parameters: every option and seed that the value depends on; filled in when a Metric is called.
        curve: [steps + 1, 2], the share of pixels changed and the score there, for metrics that walk one.
        details: numbers and words on the way to the value: parts of a mean, what it was taken from.
    """

    value: float
    parameters: Mapping[str, Any] = field(default_factory=dict)
    curve: Doubles | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __float__(self) -> float:
        return self.value


UNDEFINED = Judgement(float("nan"))

Verdict: TypeAlias = Judgement | float
"""What a judge of one map returns; a plain number stands for a Judgement without a curve."""
Verdicts: TypeAlias = Sequence[Judgement] | Doubles
"""What a judge of all maps of a picture returns, one a map."""
