"""What may be known of a file beside its graph when its task is recognised: its name, what lies beside it, metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """A file's path, empty where it has none, and its metadata."""

    path: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    activation: str | None = None
    """What a user says that makes probabilities."""
    fits: Callable[[int], bool] = field(default=lambda classes: False, compare=False)
    """Whether so many labels are known of it."""


NOTHING = Words()
