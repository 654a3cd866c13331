"""What PaddleX writes beside a model, ``inference.yml``, in our words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.files import number, numbers, positive
from onnxsal.modalities.image.preprocess import PRESETS, Preprocess

_UNTOUCHED = frozenset({"ToCHWImage", "KeepKeys", "DetLabelEncode"})
_KNOWN = frozenset({"DecodeImage", "ResizeImage", "CropImage", "NormalizeImage", "DetResizeForTest"})
_FILTERS: Mapping[str, Any] = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic",
                               "bicubic": "bicubic", "area": "box", "lanczos": "lanczos"}  # fmt: skip


def is_paddle(config: Mapping[str, Any]) -> bool:
    """Return whether data are of a file that PaddleX writes."""
    return isinstance(config.get("PreProcess"), Mapping)


def from_paddle(config: Mapping[str, Any], name: str) -> Preprocess:
    """Return the steps that PaddleX 3.7.2 takes: RGB where nothing else is named, pixels times scale, less mean.

    Text detectors resize to sides that follow from the photograph; here it becomes the model's size.

    Raises: UsageError: a step is not known.
    """
    steps = _steps(config, name)
    if strange := sorted(set(steps) - _UNTOUCHED - _KNOWN):
        raise UsageError(f"{name}: the step {strange[0]!r} is not known")
    normal, imagenet = steps.get("NormalizeImage"), PRESETS["imagenet"]
    fit, share = _fit(steps, name)
    scaled: dict[str, Any] = {} if normal is None else {
        "scale": _scale(normal.get("scale", imagenet.scale), name),
        "mean": numbers(normal.get("mean", list(imagenet.mean)), "mean", name),
        "std": numbers(normal.get("std", list(imagenet.std)), "std", name),
    }  # fmt: skip
    return Preprocess(
        colour=steps.get("DecodeImage", {}).get("img_mode", "RGB"), fit=fit, crop_fraction=share, name=name,
        resample=_filter(steps.get("ResizeImage", {}), name), open_fit="DetResizeForTest" in steps, **scaled,
    )  # fmt: skip


def _steps(config: Mapping[str, Any], name: str) -> Mapping[str, Mapping[str, Any]]:
    listed = config["PreProcess"].get("transform_ops") or []
    if not isinstance(listed, list):
        raise UsageError(f"{name}: transform_ops is a list of steps; got {listed!r:.60}")
    found = {str(step): given or {} for each in listed if isinstance(each, Mapping) for step, given in each.items()}
    if strange := [step for step, given in found.items() if not isinstance(given, Mapping)]:
        raise UsageError(f"{name}: the step {strange[0]!r} has its settings by name; got {found[strange[0]]!r:.60}")
    return found


def _fit(steps: Mapping[str, Mapping[str, Any]], name: str) -> tuple[Any, float | None]:
    """The fit and its crop fraction."""
    short, crop = steps.get("ResizeImage", {}).get("resize_short"), steps.get("CropImage", {}).get("size")
    if short is None:
        return "squash", 1.0
    side = crop[0] if isinstance(crop, list) and crop else crop
    return "crop", 1.0 if side is None else number(side, "size", name) / positive(short, "resize_short", name)


def _scale(value: Any, name: str) -> float:
    """A number, or a quotient as text: ``1./255.``."""
    parts = re.fullmatch(r"(\d+\.?\d*)/(\d+\.?\d*)", value) if isinstance(value, str) else None
    return number(value, "scale", name) if parts is None else float(parts[1]) / positive(float(parts[2]), "scale", name)


def _filter(resize: Mapping[str, Any], name: str) -> Any:
    how = str(resize.get("interpolation") or "linear").lower()
    if how not in _FILTERS:
        raise UsageError(f"{name}: interpolation is one of {', '.join(_FILTERS)}; got {how!r}")
    return _FILTERS[how]
