"""What a Hugging Face ``preprocessor_config.json`` asks for, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.files import number, numbers
from onnxsal.modalities.image.fit import RESAMPLES
from onnxsal.modalities.image.preprocess import Preprocess

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
_LEVIT_FRACTION = 224 / 256


def is_huggingface(config: Mapping[str, Any]) -> bool:
    """Return whether a JSON object is a Hugging Face image processor's rather than ours."""
    return any(key in config for key in _MARKS)


def from_huggingface(config: Mapping[str, Any], name: str) -> Preprocess:
    """Return the preprocessing that an image processor's configuration describes.

    Keys that do not touch the pixels (``do_convert_rgb``, ``processor_class`` ...) are passed over. Where ``do_resize``
    is false a picture of another size than the model's is cropped as usual.

    Raises: UsageError: ``size`` or another value is of a form that is not known.
    """
    mean, std = _normalisation(config, name)
    offset = 1.0 if config.get("rescale_offset") else 0.0
    fit, fraction = _fit(config, name)
    return Preprocess(
        colour="BGR" if config.get("do_flip_channel_order") else "RGB",
        scale=number(config.get("rescale_factor", 1 / 255), "rescale_factor", name)
        if _on(config, "do_rescale")
        else 1.0,
        mean=tuple(value + offset for value in mean),
        std=std,
        fit=fit,
        crop_fraction=fraction,
        resample=_resample(config, name),
        name=name,
    )


def _on(config: Mapping[str, Any], key: str) -> bool:
    """Rescaling and resizing are on unless switched off, as in the image processors themselves."""
    return bool(config.get(key, True))


def _normalisation(config: Mapping[str, Any], name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not config.get("do_normalize", "image_mean" in config):
        return (0.0,), (1.0,)
    missing = [key for key in ("image_mean", "image_std") if key not in config]
    if missing:
        raise UsageError(f"{name}: do_normalize is true, but {' and '.join(missing)} is missing")
    mean, std = numbers(config["image_mean"], "image_mean", name), numbers(config["image_std"], "image_std", name)
    # EfficientNet's processor divides by std a second time for its classifier.
    return mean, tuple(value**2 for value in std) if config.get("include_top") else std


def _fit(config: Mapping[str, Any], name: str) -> tuple[Any, float | None]:
    """The fit and its crop fraction."""
    size = config.get("size")
    if size is None or not _on(config, "do_resize"):
        return "crop", None
    if isinstance(size, Mapping) and set(size) == {"longest_edge"}:
        return "pad", None
    side, crop = _side(size, name), bool(config.get("do_center_crop"))
    if config.get("crop_pct") is not None:
        return _convnext(side, number(config["crop_pct"], "crop_pct", name))
    if kind_of(config).startswith("Perceiver") and crop:
        return "crop", side / _side(config.get("crop_size", side), name)  # it crops that share first and resizes then
    if kind_of(config).startswith("Levit"):
        return "crop", _LEVIT_FRACTION
    # DeiT's processor takes a single number for both sides, and crops the square that it becomes.
    single = not crop or kind_of(config).startswith("DeiT")
    both_sides = {"height", "width"} <= set(size) if isinstance(size, Mapping) else single
    return "squash" if both_sides else "crop", _fraction(config, side, name) if crop else 1.0


def _convnext(side: float, crop_pct: float) -> tuple[str, float]:
    """ConvNeXt's processor crops small pictures and squashes large ones."""
    return ("crop", crop_pct) if side < _CONVNEXT_SQUASHES_FROM else ("squash", 1.0)


def kind_of(config: Mapping[str, Any]) -> str:
    """Return the class of an image processor, or an empty text."""
    return str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")


def _fraction(config: Mapping[str, Any], resized: float, name: str) -> float:
    cropped, size = config.get("crop_size", resized), config["size"]
    if isinstance(cropped, Mapping) and cropped.get("height") != cropped.get("width") and "height" not in size:
        raise UsageError(f"{name}: a crop of {cropped!r} behind the shorter edge of {size!r} is not known: no square")
    share = _side(cropped, name) / resized
    if share > 1:
        raise UsageError(
            f"{name}: crop_size is larger than size; the picture would have to be padded, which is not known"
        )
    return share


def _side(size: Any, name: str) -> float:
    """One side of a size: a number, a square, or the shortest edge."""
    if isinstance(size, Mapping):
        side = size.get("shortest_edge", size.get("height"))
    else:
        side = size[0] if isinstance(size, list) and size else size
    if isinstance(side, bool) or not isinstance(side, int | float) or side <= 0:
        raise UsageError(f"{name}: size is a number, {{shortest_edge}} or {{height, width}}; got {size!r}")
    return number(side, "size", name)


def _resample(config: Mapping[str, Any], name: str) -> Any:
    code = config.get("resample", RESAMPLES.index("bilinear"))
    if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code < len(RESAMPLES):
        raise UsageError(f"{name}: resample is one of Pillow's numbers 0 to {len(RESAMPLES) - 1}; got {code!r}")
    return RESAMPLES[code]
