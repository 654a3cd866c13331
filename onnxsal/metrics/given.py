"""What metrics may be given, by name, and whether it fits together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError

Given: TypeAlias = Mapping[str, Any]

GIVEN: Mapping[str, str] = {
    "score": "callable, pictures [N, C, H, W] -> probability of the explained class [N]",
    "logit": "the same on the logit",
    "x": "the explained input, [C, H, W], in the model's preprocessed domain",
    "saliency": "the map, [H, W]; [M, H, W] for several of one picture",
    "raw": "the attribution as the method computed it, [C, H, W] or [H, W]",
    "baseline": "the model's black, [C, H, W] or one value a channel, [C]",
    "mask": "the object, bool [H, W], or None",
    "boxes": "its boxes, [K, 4]: left, top, right, bottom in pixels of the model's input, right and bottom outside; "
    "or None",
    "region": "where the score that is explained is taken, bool [H, W]: of models of regions",
    "cell": "where a mosaic shows the explained class, bool [H, W]",
    "randomised": "the maps of one method as the model's weights are drawn anew from the output down, [K, H, W]",
    "explain": "callable, pictures [N, C, H, W] -> their maps [N, H, W]",
    "seed": "a whole number; what is drawn depends on nothing else",
}
"""What a judge's positional parameters may be called, and what they hold."""

PER_MAP = ("saliency", "raw", "explain", "randomised")
"""What differs between maps of one picture; the rest is the picture's."""


def check_given(metric: str, values: Given) -> tuple[int | None, dict[str, Any]]:
    """Return how many maps there are (None for a single one without an axis for it), and the values as arrays.

    Arrays of one map come back with the axis M in front. Raises: UsageError: a shape does not fit, or is not finite.
    """
    found = {name: _CHECKS[name](values[name]) if name in _CHECKS else values[name] for name in values}
    several = _count(metric, values)
    found.update({name: _stacked(found[name], several) for name in PER_MAP if name in found})
    _check_sizes(metric, found)
    return several, found


def one_map(values: Given, index: int) -> dict[str, Any]:
    """Return what belongs to one map of a picture."""
    return {name: value[index] if name in PER_MAP else value for name, value in values.items()}


def _count(metric: str, values: Given) -> int | None:
    counts = set()
    if "saliency" in values:
        counts.add(len(values["saliency"]) if np.ndim(values["saliency"]) == 3 else None)
    if "raw" in values and "saliency" not in values:
        counts.add(None if isinstance(values["raw"], np.ndarray) else len(values["raw"]))
    if "randomised" in values:
        counts.add(None if np.ndim(values["randomised"][0]) == 2 else len(values["randomised"]))
    if "explain" in values:
        counts.add(None if callable(values["explain"]) else len(values["explain"]))
    if len(counts) > 1:
        raise UsageError(
            f"{metric}: there are {' and '.join(str(c or 1) for c in counts)} maps; give one of each a map"
        )
    return counts.pop() if counts else None


def _stacked(value: Any, several: int | None) -> Any:
    if several is not None:
        return value
    return value[None] if isinstance(value, np.ndarray) else [value]


def _map(value: Any) -> NDArray[np.float64]:
    found = _finite("the map", value)
    if found.ndim not in (2, 3) or not found.size:
        raise UsageError(f"the map must be [H, W], or [M, H, W] for several of one picture; got {list(found.shape)}")
    return found


def _raw(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _finite("the raw map", value)
    return [_finite("the raw map", each) for each in value]


def _image(value: Any) -> NDArray[np.float32]:
    found = np.asarray(_finite("the picture", value), np.float32)
    if found.ndim != 3:
        raise UsageError(f"the picture must be [C, H, W], got {list(found.shape)}")
    return found


def _black(value: Any) -> NDArray[np.float32]:
    found = np.asarray(_finite("the baseline", value), np.float32)
    if found.ndim not in (1, 3):
        raise UsageError(f"the baseline must be [C, H, W] or [C], got {list(found.shape)}")
    return found[:, None, None] if found.ndim == 1 else found


def _mask(value: Any) -> NDArray[np.bool_] | None:
    return None if value is None else np.asarray(value) > 0


def _boxes(value: Any) -> NDArray[np.float64] | None:
    if value is None:
        return None
    found = _finite("the boxes", value).reshape(-1, np.shape(value)[-1] if np.size(value) else 4)
    if found.shape[-1] != 4 or (found[:, :2] >= found[:, 2:]).any():
        raise UsageError(f"boxes are (left, top, right, bottom) with left < right and top < bottom; got {value}")
    return found


def _finite(what: str, value: Any) -> NDArray[np.float64]:
    found = np.asarray(value, np.float64)
    wrong = found.size - int(np.isfinite(found).sum())
    if wrong:
        raise UsageError(f"{what} is not finite: {wrong} of {found.size} values are NaN or infinite")
    return found


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "saliency": _map, "raw": _raw, "x": _image, "baseline": _black, "mask": _mask, "cell": _mask, "boxes": _boxes,
    "region": _mask, "randomised": _raw,
}  # fmt: skip


def _check_sizes(metric: str, values: Given) -> None:
    sizes = {name: tuple(np.shape(values[name])[-2:]) for name in _sized(values)}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name} {height} x {width}" for name, (height, width) in sizes.items())
        raise UsageError(f"metric {metric!r}: sizes differ: {shown}; all are [.., H, W] of the model's input")


def _sized(values: Given) -> Sequence[str]:
    names = [n for n in ("x", "saliency", "mask", "region", "cell") if values.get(n) is not None]
    base = values.get("baseline")
    return names if base is None or base.shape[1:] == (1, 1) else [*names, "baseline"]
