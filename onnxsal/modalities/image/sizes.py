"""Height and width of a model's pictures, where its file, a neighbour or a processor's configuration says them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxsal.files import beside, parse_json, read_text
from onnxsal.modalities.image.huggingface import is_huggingface
from onnxsal.modalities.image.mean_image import is_mean_image, mean_image
from onnxsal.modalities.image.processors import completed, facts_of, known_kind
from onnxsal.modalities.registry import StatedSize

_WORDS = ("onnxsal.preprocess", "imgsz", "input_size", "image_size", "img_size", "input_shape", "crop_size",
          "pretrained_cfg")  # fmt: skip
"""Keys of a file's metadata: Ultralytics has imgsz, timm input_size inside pretrained_cfg."""

_CHANNELS = (1, 3, 4)
_LARGEST = 1 << 15
_SIDES = re.compile(r"[\[(\s]*(\d+(?:\s*[,x×\s]\s*\d+){0,3})[\])\s]*")

Sides = tuple[int, int]


def stated_sizes(source: Any, path: str | os.PathLike[str], metadata: Mapping[str, str]) -> tuple[StatedSize, ...]:
    """Return who says the height and width of a model's pictures, the strongest kind of source alone.

    First what was handed over as preprocessing; then the file's metadata, ``<model's stem>.preprocess.json``,
    ``preprocessor_config.json`` and ``processor_config.json`` (transformers) and ``config.json`` (timm) beside it; then
    the ``image_size`` of a transformers ``config.json``. Sizes that vary with the picture are none.

    Raises: UsageError: a file beside it is not JSON.
    """
    for kind in (_given(source), _beside(Path(path), metadata), _of_architecture(Path(path))):
        found = tuple(StatedSize({"H": sides[0], "W": sides[1]}, where, note) for where, sides, note in kind)
        if found:
            return found
    return ()


def stated_stride(metadata: Mapping[str, str]) -> int:
    """Return of what number sides are multiples, by the file's metadata; 1 where it says nothing."""
    found = re.findall(r"\d+", metadata.get("stride", ""))
    strides = [int(text) for text in found if 0 < int(text) <= _LARGEST]
    return max(strides, default=1)


def sides_of(value: Any) -> Sides | None:
    """Return height and width of any spelling, or None where it is no fixed size.

    A number is a square; three numbers have channels first or last, four a batch in front of them; text is JSON or
    numbers between commas or crosses; an object has ``height`` and ``width``, or one edge, of which a square is made.
    """
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, Mapping):
        return _of_object(value)
    several = list(value) if isinstance(value, list | tuple) else [value]
    if not several or not all(isinstance(n, int) and not isinstance(n, bool) for n in several):
        return None
    return _of_numbers(several)


def _of_numbers(numbers: list[int]) -> Sides | None:
    if len(numbers) == 4:
        numbers = numbers[1:]
    if len(numbers) == 3:
        numbers = numbers[1:] if numbers[0] in _CHANNELS else numbers[:2] if numbers[2] in _CHANNELS else []
    if len(numbers) not in (1, 2) or not all(0 < n <= _LARGEST for n in numbers):
        return None
    return numbers[0], numbers[-1]


def _of_text(text: str) -> Sides | None:
    match = _SIDES.fullmatch(text)
    if match is not None:
        return _of_numbers([int(n) for n in re.findall(r"\d+", match[1])])
    found = _parsed(text)
    return None if isinstance(found, str) else sides_of(found)


def _of_object(size: Mapping[str, Any]) -> Sides | None:
    if {"height", "width"} <= set(size):
        return sides_of([size["height"], size["width"]])
    edges = [size[key] for key in ("shortest_edge", "longest_edge") if key in size]
    return sides_of(edges[0]) if len(edges) == 1 else None  # both: the sides follow from the picture's


Said = Iterator[tuple[str, Sides, str]]


def _given(source: Any) -> Said:
    if isinstance(source, Mapping):
        yield from _from(_of_processor(source) or _of_mean(source, Path()), "preprocess=", _edge(source))
    elif isinstance(source, str | os.PathLike) and str(source).endswith(".json"):
        yield from _in_file(Path(source), _of_processor)


def _beside(model: Path, metadata: Mapping[str, str]) -> Said:
    for word in _WORDS:
        if word in metadata:
            yield from _from(_of_word(metadata[word], model.parent), f"the file's metadata {word!r}")
    yield from _in_file(model.with_name(f"{model.stem}.preprocess.json"), _of_processor)
    for name, read in (("preprocessor_config.json", _of_processor), ("processor_config.json", _of_processor),
                       ("config.json", _of_timm)):  # fmt: skip
        for path in beside(model, name):
            yield from _in_file(path, read)


def _of_architecture(model: Path) -> Said:
    for path in beside(model, "config.json"):
        yield from _in_file(path, _of_transformers)


def _in_file(path: Path, read: Callable[[Mapping[str, Any]], Sides | None]) -> Said:
    if not path.is_file():
        return
    config = parse_json(read_text(path, "configuration"), str(path))
    if isinstance(config, Mapping):
        yield from _from(read(config) or _of_mean(config, path.parent), str(path), _edge(config))


def _from(sides: Sides | None, where: str, edge: str = "") -> Said:
    if sides is not None:
        yield where, sides, edge and f"{where} says {edge} alone, of which a square is made"


def _of_word(text: str, folder: Path) -> Sides | None:
    found = _parsed(text)
    if not isinstance(found, Mapping):
        return sides_of(text)
    return _of_processor(found) or sides_of(found) or _of_mean(found, folder)


def _of_mean(config: Mapping[str, Any], folder: Path) -> Sides | None:
    """Height and width of the mean picture that a preprocessing of ours takes off: the model's are the same."""
    given = config.get("mean")
    if not is_mean_image(given):
        return None
    array = mean_image(given, "preprocessing", folder).array
    return sides_of(list(array.shape))


def _parsed(text: str) -> Any:
    """What JSON text holds; what is none stays text: words of others are not ours to refuse."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _of_processor(config: Mapping[str, Any]) -> Sides | None:
    """Height and width of what a processor puts out, or of our own ``size``."""
    inner = config.get("image_processor")
    if isinstance(inner, Mapping):
        return _of_processor(inner)
    if "pretrained_cfg" in config or "input_size" in config:
        return _of_timm(config)
    if not is_huggingface(config):
        return sides_of(config.get("size"))
    config = completed(config)
    if config.get("do_center_crop") and "crop_size" in config and known_kind(config) != "Perceiver":
        return sides_of(config["crop_size"])  # Perceiver's crops first and resizes then
    if isinstance(config.get("pad_size"), Mapping):
        return sides_of(config["pad_size"])
    return _resized(config) if config.get("do_resize", True) else None


def _edge(config: Mapping[str, Any]) -> str:
    """The one edge that a processor resizes to where nothing crops or pads to a square: pictures keep their shape."""
    inner = config.get("image_processor")
    if isinstance(inner, Mapping):
        return _edge(inner)
    facts, config = facts_of(config), completed(config)
    size = config.get("size")
    padded, share = isinstance(config.get("pad_size"), Mapping), config.get("crop_pct")
    cut = config.get("do_center_crop") or share is not None or padded
    if isinstance(size, int) and not facts.square:
        size = {"shortest_edge": size}
    if cut or not is_huggingface(config) or not isinstance(size, Mapping):
        return ""
    return f"{next(iter(size))} {next(iter(size.values()))}" if len(size) == 1 and "edge" in next(iter(size)) else ""


def _resized(config: Mapping[str, Any]) -> Sides | None:
    size = config.get("size")
    if config.get("keep_aspect_ratio"):
        return None
    if isinstance(size, list) and known_kind(config) == "Donut":  # in its older files width comes first
        size = size[::-1]
    return sides_of(size)


def _of_timm(config: Mapping[str, Any]) -> Sides | None:
    """The size that timm's models are made for and its transforms give by default; ``test_input_size`` is its best."""
    inner = config.get("pretrained_cfg", config)
    return sides_of(inner.get("input_size")) if isinstance(inner, Mapping) else None


def _of_transformers(config: Mapping[str, Any]) -> Sides | None:
    vision = config.get("vision_config", config)
    return sides_of(vision.get("image_size")) if isinstance(vision, Mapping) else None
