"""What the image processors of transformers do where their configurations do not say it, a class each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

_SUFFIXES = ("Fast", "Pil", "ImageProcessor", "FeatureExtractor")


@dataclass(frozen=True)
class Facts:
    """What a class does.

    Args:
        defaults: what a configuration says where it says nothing.
        square: whether a size of one number is both sides, rather than the shorter one.
        ignored: switches that it passes over.
        odd: switches that, turned from where they are by default, make it do what cannot be said in our words.
        rounding: how odd margins are halved, in the words of ``Preprocess``.
        own: what it does in any case that cannot be said in our words; nothing of most.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    square: bool = True
    ignored: Sequence[str] = ()
    odd: Sequence[str] = ()
    rounding: Literal["inwards"] | None = None
    own: str = ""


def kind_of(config: Mapping[str, Any]) -> str:
    """Return the class of an image processor as a configuration names it, or an empty text."""
    return str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")


def known_kind(config: Mapping[str, Any]) -> str:
    """Return the class without what tells that it is one of image processors: ``CLIP``."""
    kind = kind_of(config)
    for suffix in _SUFFIXES:
        kind = kind.removesuffix(suffix)
    return kind


def facts_of(config: Mapping[str, Any]) -> Facts:
    """Return what is known of a configuration's class; of one that transformers has not, what most do."""
    return Facts(**table().get(known_kind(config), {}))


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with what its class adds to it; what is null is the class' own too."""
    facts = facts_of(config)
    stated = {key: value for key, value in config.items() if value is not None and key not in facts.ignored}
    return {**facts.defaults, **stated}


@cache
def table() -> dict[str, dict[str, Any]]:
    """Return the keywords of ``Facts`` for each class, as benchmarks/processors.py writes them from transformers."""
    text = resources.files("onnxsal.modalities.image").joinpath("processors.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found
