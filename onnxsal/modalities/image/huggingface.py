"""What a Hugging Face ``preprocessor_config.json`` asks for, in our words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.files import number, numbers, positive
from onnxsal.modalities.image.fit import PILLOWS
from onnxsal.modalities.image.preprocess import Preprocess
from onnxsal.modalities.image.processors import completed, facts_of, kind_of, known_kind

_MARKS = (
    "image_mean",
    "image_processor_type",
    "feature_extractor_type",
    "do_normalize",
    "do_rescale",
    "do_resize",
    "rescale_factor",
)
_CONVNEXT_SQUASHES_FROM = 384
_LEVIT = (256, 224)

Config = Mapping[str, Any]


class OwnWaysError(UsageError):
    """A class of image processors does what cannot be said in our words."""


def is_huggingface(config: Config) -> bool:
    """Return whether a JSON object is a Hugging Face image processor's rather than ours."""
    return any(key in config for key in _MARKS)


def from_huggingface(config: Config, name: str) -> Preprocess:
    """Return the preprocessing that an image processor's configuration describes.

    What it leaves out is as its class has it, where transformers has that class. Keys that do not touch the pixels of a
    photograph (``do_convert_rgb``, ``processor_class`` ...) are passed over.

    Raises: UsageError: ``size`` or another value is of a form that is not known, or its class has ways of its own.
    """
    _check_kind(config, name)
    config = completed(config)
    mean, std = _normalisation(config, name)
    offset = 1.0 if config.get("rescale_offset") else 0.0
    return Preprocess(
        colour="BGR" if config.get("do_flip_channel_order") else "RGB",
        scale=number(config.get("rescale_factor", 1 / 255), "rescale_factor", name)
        if _on(config, "do_rescale")
        else 1.0,
        mean=tuple(value + offset for value in mean),
        std=std,
        resample=_resample(config, name),
        name=name,
        rounding=facts_of(config).rounding,
        **_fit(config, name),
    )


def _check_kind(config: Config, name: str) -> None:
    facts = facts_of(config)
    turned = [
        key for key in facts.odd if bool(config.get(key, facts.defaults.get(key))) != bool(facts.defaults.get(key))
    ]
    why = facts.own or ", ".join(f"{key} {json.dumps(config[key])}" for key in turned)
    if why:
        raise OwnWaysError(
            f"{name}: {kind_of(config)!r} of transformers prepares pictures in a way of its own ({why}), which is not "
            "known here: say how with --preprocess (preprocess=...), or hand over the array that it makes"
        )


def _on(config: Config, key: str) -> bool:
    """Rescaling and resizing are on unless switched off, as in the image processors themselves."""
    return bool(config.get(key, True))


def _normalisation(config: Config, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    is_normal, divides = config.get("do_normalize", "image_mean" in config), config.get("include_top")
    if not is_normal and not divides:
        return (0.0,), (1.0,)
    missing = [key for key in ("image_mean", "image_std") if key not in config]
    if missing:
        raise UsageError(f"{name}: do_normalize is true, but {' and '.join(missing)} is missing")
    mean, std = numbers(config["image_mean"], "image_mean", name), numbers(config["image_std"], "image_std", name)
    # EfficientNet's processor divides by std for its classifier, whether it did so before or not.
    return (mean, tuple(value**2 for value in std) if divides else std) if is_normal else ((0.0,), std)


def _fit(config: Config, name: str) -> dict[str, Any]:
    """How a photograph is fitted, in the words of ``Preprocess``."""
    crops = bool(config.get("do_center_crop"))
    if config.get("do_pad") and isinstance(config.get("pad_size"), Mapping):
        raise UsageError(f"{name}: pad_size {config['pad_size']!r} pads behind the normalisation, which is not known")
    if not _on(config, "do_resize"):
        return {"fit": "cut"} if crops else _varies("it does not resize photographs (do_resize is false)", "cut", None)
    size = config.get("size")
    if size is None:
        return {"fit": "crop"}
    if _edges(size) == {"longest_edge"}:
        return _varies(f"it keeps a photograph's shape (size {size!r})", "pad", None)
    if config.get("crop_pct") is not None:
        return _convnext(_side(size, name), positive(config["crop_pct"], "crop_pct", name))
    is_square = facts_of(config).square
    return _cropped(config, name, is_square=is_square) if crops else _resized(size, name, is_square=is_square)


def _resized(size: Any, name: str, *, is_square: bool) -> dict[str, Any]:
    """What is resized alone: to both sides, or to one, which leaves the other to the photograph."""
    _side(size, name)
    if not _edges(size) and (isinstance(size, Mapping) or is_square):
        return {"fit": "squash", "crop_fraction": 1.0}
    return _varies(f"it keeps a photograph's shape (size {size!r})", "crop", 1.0)


def _varies(why: str, fit: str, fraction: float | None) -> dict[str, Any]:
    taken = {"crop": "the largest centre part is taken", "pad": "it is padded", "cut": "the centre is cut out"}[fit]
    said = f"{why}; where that is not of the model's size, {taken}"
    return {"fit": fit, "crop_fraction": fraction, "said": said}


def _cropped(config: Config, name: str, *, is_square: bool) -> dict[str, Any]:
    """What is resized and cropped then."""
    size, kind = config["size"], known_kind(config)
    side = _side(size, name)
    if kind == "Levit":
        return {"fit": "crop", "edge": int(side * _LEVIT[0] / _LEVIT[1])}
    if isinstance(size, Mapping) and size.get("height") != size.get("width"):
        raise UsageError(f"{name}: a crop behind a size of {size!r} is not known: no square")
    # A single number is both sides of some, whose square is cropped then.
    squash = {"height", "width"} <= set(size) if isinstance(size, Mapping) else is_square and bool(kind)
    return {"fit": "squash" if squash else "crop", "edge": int(side)}


def _convnext(side: float, crop_pct: float) -> dict[str, Any]:
    """ConvNeXt's processor crops small pictures and squashes large ones."""
    if side < _CONVNEXT_SQUASHES_FROM:
        return {"fit": "crop", "edge": int(side / crop_pct)}
    return {"fit": "squash", "crop_fraction": 1.0}


def _edges(size: Any) -> set[str]:
    return set(size) & {"shortest_edge", "longest_edge"} if isinstance(size, Mapping) else set()


def _side(size: Any, name: str) -> float:
    """One side of a size: a number, a square, or the shortest edge."""
    if isinstance(size, Mapping):
        side = size.get("shortest_edge", size.get("height"))
    else:
        side = size[0] if isinstance(size, list) and size else size
    if isinstance(side, bool) or not isinstance(side, int | float) or side <= 0:
        raise UsageError(f"{name}: size is a number, {{shortest_edge}} or {{height, width}}; got {size!r}")
    return number(side, "size", name)


def _resample(config: Config, name: str) -> Any:
    code = config.get("resample", PILLOWS.index("bilinear"))
    if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code < len(PILLOWS):
        raise UsageError(f"{name}: resample is one of Pillow's numbers 0 to {len(PILLOWS) - 1}; got {code!r}")
    return PILLOWS[code]
