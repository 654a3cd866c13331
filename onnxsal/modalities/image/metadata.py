"""What a file's own metadata say of its pictures, in the words of ONNX, Ultralytics and OpenVINO's Model API."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.files import number
from onnxsal.modalities.image.preprocess import Preprocess
from onnxsal.modalities.image.sizes import sides_of

_FORMAT, _GAMMA, _RANGE = "Image.BitmapPixelFormat", "Image.ColorSpaceGamma", "Image.NominalPixelRange"
_COLOURS: Mapping[str, Any] = {"Gray8": "grey", "Rgb8": "RGB", "Bgr8": "BGR"}
_RANGES = {
    "NominalRange_0_255": (0.0, 255.0),
    "Normalized_0_1": (0.0, 1.0),
    "Normalized_1_1": (-1.0, 1.0),
    "NominalRange_16_235": (16.0, 235.0),
}
_CUSTOM_VISION = "CustomVision.Preprocess."
_LETTERBOX = (114, 114, 114)
"""The grey that Ultralytics pads with."""

_RESIZES: Mapping[str, Any] = {
    "standard": "squash",
    "fit_to_window": "pad",
    "fit_to_window_letterbox": "pad",
    "crop": "crop",
}


def metadata_preprocess(metadata: Mapping[str, str], where: str) -> Iterator[Preprocess]:
    """Yield what each vocabulary that metadata use says.

    Raises: UsageError: one asks for something that is not known.
    """
    for is_theirs, read in _VOCABULARIES:
        if is_theirs(metadata):
            yield read(metadata, where)


def is_onnx_image(metadata: Mapping[str, Any]) -> bool:
    """Return whether data have the words that ONNX gives images, which Azure Custom Vision writes beside models too."""
    return _FORMAT in metadata


def from_onnx_image(metadata: Mapping[str, Any], where: str) -> Preprocess:
    """Return the preprocessing that ONNX's words for images name: colour order and range; 0 to 255 where none is named.

    They do not say how a photograph is fitted; Azure Custom Vision's own words beside them do.

    Source: ONNX, docs/MetadataProps.md. Raises: UsageError: a word is not known, or light is to be linear.
    """
    colour = _word(metadata, _FORMAT, _COLOURS, where)
    low, high = _word(metadata, _RANGE, _RANGES, where) if _RANGE in metadata else _RANGES["NominalRange_0_255"]
    if metadata.get(_GAMMA) == "Linear":
        raise UsageError(f"{where}: {_GAMMA} is Linear, and pictures are not made linear: hand over a float array")
    squash = metadata.get(f"{_CUSTOM_VISION}ResizeMethod") == "Stretch"
    return Preprocess(
        colour=colour, scale=(high - low) / 255, mean=(0.0 - low,), fit="squash" if squash else "crop",
        crop_fraction=1.0, name=f"{where} {_FORMAT!r}", open_fit=not squash,
    )  # fmt: skip


def _word(metadata: Mapping[str, Any], key: str, known: Mapping[str, Any], where: str) -> Any:
    word = metadata[key]
    if not isinstance(word, str) or word not in known:
        raise UsageError(f"{where}: {key} is one of {', '.join(known)}; got {word!r}")
    return known[word]


def _is_ultralytics(metadata: Mapping[str, str]) -> bool:
    """YOLOv5 writes names and stride alone, and wants its pictures otherwise."""
    return "task" in metadata and "names" in metadata and "stride" in metadata


def _from_ultralytics(metadata: Mapping[str, str], where: str) -> Preprocess:
    """Classifiers take the centre square, RT-DETR and depth all of it stretched, others all of it on grey; of 0 to 1.

    Classifiers are fitted as torchvision does it, and by Pillow; others by OpenCV, with half a pixel of padding behind.

    Source: the predictors of ultralytics 8.4.190.
    """
    colour: Any = "grey" if metadata.get("channels") == "1" else "RGB"
    told: dict[str, Any] = {"colour": colour, "scale": 1 / 255, "name": f"{where} 'task' (Ultralytics)"}
    if metadata["task"] == "classify":
        height, width = sides_of(metadata.get("imgsz")) or (1, 1)
        # Its crop is of square models alone: for others the photograph is resized to their two sides.
        fit: Any = "crop" if height == width else "squash"
        return Preprocess(**told, fit=fit, crop_fraction=1.0, rounding="torchvision")
    told["resample"] = "opencv-linear"
    if metadata["task"] == "depth" or metadata.get("head") == "RTDETRDecoder":
        return Preprocess(**told, fit="squash")
    return Preprocess(**told, fit="pad", pad_colour=_LETTERBOX, rounding="inwards")


_OPENVINO = "model_info "


def _is_openvino(metadata: Mapping[str, str]) -> bool:
    return f"{_OPENVINO}mean_values" in metadata or f"{_OPENVINO}resize_type" in metadata


def _from_openvino(metadata: Mapping[str, str], where: str) -> Preprocess:
    """Pixels of 0 to 255, less mean_values, over scale_values; RGB.

    Source: model_api 0.4.7, which leaves it to its callers in which order pictures come; OTX trains in RGB.
    """
    said = {key.removeprefix(_OPENVINO): value for key, value in metadata.items() if key.startswith(_OPENVINO)}
    if said.get("intensity_mode", "none") != "none" or said.get("embedded_processing") in ("True", "YES"):
        raise UsageError(f"{where}: model_info asks for intensity_mode or embedded_processing, which is not known")
    resize = said.get("resize_type", "standard")
    if resize not in _RESIZES:
        raise UsageError(f"{where}: model_info resize_type is one of {', '.join(_RESIZES)}; got {resize!r}")
    level = int(number(_numbers(said.get("pad_value", "0"), where)[0], "pad_value", where))
    return Preprocess(
        mean=_numbers(said.get("mean_values", ""), where) or (0.0,),
        std=_numbers(said.get("scale_values", ""), where) or (1.0,),
        fit=_RESIZES[resize], crop_fraction=None if _RESIZES[resize] == "pad" else 1.0, pad_colour=(level,) * 3,
        name=f"{where} 'model_info' (OpenVINO Model API)",
    )  # fmt: skip


def _numbers(text: str, where: str) -> tuple[float, ...]:
    try:
        found = tuple(map(float, text.replace(",", " ").replace("[", " ").replace("]", " ").split()))
    except ValueError:
        found = (math.nan,)
    if text == "None":
        return ()
    if not all(map(math.isfinite, found)):
        raise UsageError(f"{where}: expected numbers between spaces; got {text!r}")
    return found


_VOCABULARIES: tuple[
    tuple[Callable[[Mapping[str, str]], bool], Callable[[Mapping[str, str], str], Preprocess]], ...
] = (
    (_is_ultralytics, _from_ultralytics),
    (_is_openvino, _from_openvino),
    (is_onnx_image, from_onnx_image),
)
