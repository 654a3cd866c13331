"""What tools write beside a model that they export, in our words: timm, MMDeploy, Lobe, Teachable Machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.files import number, numbers, positive
from onnxsal.modalities.image.fit import PILLOWS
from onnxsal.modalities.image.metadata import from_onnx_image, is_onnx_image
from onnxsal.modalities.image.paddle import from_paddle, is_paddle
from onnxsal.modalities.image.preprocess import PRESETS, Preprocess

Config = Mapping[str, Any]

_TIMM_FRACTION = 0.875
_TEACHABLE_SCALE = 1 / 127


def foreign_form(config: Config) -> Callable[[Config, str], Preprocess] | None:
    """Return what reads a JSON object that one of these tools wrote; None where none of them did."""
    return next((read for is_theirs, read in _FORMS if is_theirs(config)), None)


def _is_timm(config: Config) -> bool:
    return isinstance(config.get("pretrained_cfg"), Mapping) or ("architecture" in config and "mean" in config)


def _from_timm(config: Config, name: str) -> Preprocess:
    """As timm 1.0.31 resolves it where no test size is asked for; what is not stated is ImageNet's."""
    found = config.get("pretrained_cfg")
    own = found if isinstance(found, Mapping) else config
    imagenet, how = PRESETS["imagenet"], str(own.get("interpolation") or "bicubic")
    mean = numbers(own.get("mean") or list(imagenet.mean), "mean", name)
    fit, share = _timm_fit(own, name)
    colour: Any = "grey" if len(mean) == 1 else "RGB"
    return Preprocess(
        colour=colour, scale=1 / 255, mean=mean, std=numbers(own.get("std") or list(imagenet.std), "std", name),
        fit=fit, rounding="torchvision", crop_fraction=share, resample=_resample(how, name), name=name,
        pad_colour=_levels(mean) if fit == "pad" else (0, 0, 0),
    )  # fmt: skip


def _timm_fit(own: Config, name: str) -> tuple[Any, float]:
    """The fit and its crop fraction."""
    share, mode = number(own.get("crop_pct") or _TIMM_FRACTION, "crop_pct", name), own.get("crop_mode") or "center"
    fits = {"center": "crop", "squash": "squash", "border": "pad"}
    if not isinstance(mode, str) or mode not in fits:
        raise UsageError(f"{name}: crop_mode is one of {', '.join(fits)}; got {mode!r}")
    return fits[mode], share


def _levels(mean: Sequence[float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in (mean if len(mean) == 3 else [mean[0]] * 3))
    return red, green, blue


def _resample(how: str, name: str) -> Any:
    if how not in PILLOWS:
        raise UsageError(f"{name}: interpolation is one of {', '.join(PILLOWS)}; got {how!r}")
    return how


def _is_mmdeploy(config: Config) -> bool:
    return isinstance(config.get("pipeline"), Mapping) and bool(_transforms(config))


def _transforms(config: Config) -> Sequence[Config]:
    found = [t for t in _objects(config["pipeline"].get("tasks")) if t.get("module") == "Transform"]
    return _objects(found[0].get("transforms")) if found else ()


def _objects(listed: Any) -> list[Config]:
    return [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []


_UNTOUCHED = frozenset({"LoadImageFromFile", "ImageToTensor", "Collect", "PackInputs", "DefaultFormatBundle"})
_KNOWN = frozenset({"Resize", "CenterCrop", "Normalize", "Pad"})


def _from_mmdeploy(config: Config, name: str) -> Preprocess:
    """The transforms in MMDeploy's ``pipeline.json`` (1.3.1)."""
    steps = {str(step.get("type")): step for step in _transforms(config)}
    if strange := sorted(set(steps) - _UNTOUCHED - _KNOWN):
        raise UsageError(f"{name}: the transform {strange[0]!r} is not known")
    normal = steps.get("Normalize", {})
    fit, share = _mmdeploy_fit(steps, name)
    return Preprocess(
        colour="RGB" if normal.get("to_rgb") else "BGR", mean=numbers(normal.get("mean", [0]), "mean", name),
        std=numbers(normal.get("std", [1]), "std", name), fit=fit, crop_fraction=share,
        resample=_resample(str(steps.get("Resize", {}).get("interpolation", "bilinear")), name), name=name,
        pad_colour=_padding(steps.get("Pad", {}), name),
    )  # fmt: skip


def _mmdeploy_fit(steps: Config, name: str) -> tuple[Any, float | None]:
    """The fit and its crop fraction."""
    size, crop = steps.get("Resize", {}).get("size"), steps.get("CenterCrop", {}).get("crop_size")
    sides = [side for side in (size if isinstance(size, list) else [size]) if side not in (None, -1)]
    if not sides:
        return ("crop", 1.0) if crop else ("squash", 1.0)
    resized, cropped = positive(sides[0], "size", name), crop[0] if isinstance(crop, list) and crop else crop
    share = 1.0 if crop is None else number(cropped, "crop_size", name) / resized
    if len(sides) == 1 and isinstance(size, list):
        return "crop", share
    return ("pad", None) if "Pad" in steps and steps["Resize"].get("keep_ratio") else ("squash", share)


def _padding(pad: Config, name: str) -> tuple[int, int, int]:
    value = pad.get("pad_val", 0)
    levels = numbers(value.get("img", 0) if isinstance(value, Mapping) else value, "pad_val", name)
    red, green, blue = (int(level) for level in (levels if len(levels) == 3 else levels[:1] * 3))
    return red, green, blue


def _is_lobe(config: Config) -> bool:
    return {"inputs", "outputs", "classes"} <= set(config) and isinstance(config["classes"], Mapping)


def _from_lobe(config: Config, name: str) -> Preprocess:
    """The centre square, as lobe 0.6.2 resizes it by Pillow's default; 0 to 1."""
    return Preprocess(scale=1 / 255, fit="crop", crop_fraction=1.0, resample="bicubic", name=name)


def _is_teachable(config: Config) -> bool:
    return config.get("packageName") == "@teachablemachine/image" and "labels" in config


def _from_teachable(config: Config, name: str) -> Preprocess:
    """The centre square, divided by 127 (not 127.5) less 1, as @teachablemachine/image 0.8.5 does."""
    colour: Any = "grey" if config.get("grayscale") else "RGB"
    return Preprocess(colour=colour, scale=_TEACHABLE_SCALE, mean=(1.0,), fit="crop", crop_fraction=1.0, name=name)


_FORMS: tuple[tuple[Callable[[Config], bool], Callable[[Config, str], Preprocess]], ...] = (
    (_is_timm, _from_timm),
    (_is_mmdeploy, _from_mmdeploy),
    (_is_lobe, _from_lobe),
    (_is_teachable, _from_teachable),
    (is_paddle, from_paddle),
    (is_onnx_image, from_onnx_image),
)
