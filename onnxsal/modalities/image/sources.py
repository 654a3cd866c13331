"""Preprocessing from wherever it is written down: a preset's name, a file, a dict, the model, or a file beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from onnxsal.errors import UsageError, nearest
from onnxsal.files import beside, number, numbers, parse_json, read_text
from onnxsal.modalities.image.exports import foreign_form
from onnxsal.modalities.image.huggingface import OwnWaysError, from_huggingface, is_huggingface
from onnxsal.modalities.image.mean_image import is_mean_image, mean_image
from onnxsal.modalities.image.metadata import metadata_preprocess
from onnxsal.modalities.image.preprocess import PRESETS, Preprocess
from onnxsal.modalities.image.sizes import sides_of
from onnxsal.plain_yaml import parse_yaml

PreprocessSource: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Preprocess

METADATA_KEY = "onnxsal.preprocess"
_EXPORTED = (
    "processor_config.json",  # Hugging Face: a processor of images among others
    "config.json",  # timm: pretrained_cfg
    "pipeline.json",  # MMDeploy
    "metadata_properties.json",  # Azure Custom Vision
    "signature.json",  # Lobe
    "metadata.json",  # Teachable Machine
    "inference.yml",  # PaddleX
)
_PASSED = "preprocessing passed over: {}"
_FIELDS = tuple(part.name for part in fields(Preprocess) if part.compare and part.name != "mean_image")
_KEYS = (*_FIELDS, "preset", "range", "size")


def as_preprocess(source: PreprocessSource) -> Preprocess:
    """Return the preprocessing that a preset's name, a JSON file, a dict or a ``Preprocess`` stands for.

    A JSON object of ours has any of the keys ``preset`` (what the others start from, otherwise ``raw``), ``colour``,
    ``scale`` or ``range`` ([low, high] that black and white become before mean and std), ``mean`` (numbers, or an
    ``.npy`` file of a mean picture, named from the folder of the JSON file on), ``std``, ``fit``, ``crop_fraction`` or
    ``edge``, ``rounding``, ``resample``, ``pad_colour``, and ``size`` (height and width, for a model whose file leaves
    them open, which takes no part in the result); or it is a Hugging Face ``preprocessor_config.json``.

    Raises: UsageError: there is no such preset or file, or a key or value is wrong.
    """
    if isinstance(source, Preprocess):
        return source
    if isinstance(source, Mapping):
        return _from_dict(source, "dict", Path())
    if isinstance(source, str) and source in PRESETS:
        return PRESETS[source]
    if not isinstance(source, str | os.PathLike):
        raise UsageError(f"preprocessing is a preset, a path, a dict or a Preprocess; got {type(source).__name__}")
    if isinstance(source, str) and not _is_path(source):
        raise UsageError(
            f"no preprocessing {source!r}{nearest(source, PRESETS)}: "
            f"a preset ({', '.join(PRESETS)}) or the path of a JSON file is expected"
        )
    return _from_file(Path(source))


@dataclass(frozen=True)
class Gathered:
    """What comes with a model about its pictures: what is taken of it, and what is to be told."""

    preprocess: Preprocess | None
    notes: tuple[str, ...] = ()


def find_preprocess(model_path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Preprocess | None:
    """Return the preprocessing that comes with a model, or None; as ``gather_preprocess``."""
    return gather_preprocess(model_path, metadata).preprocess


def gather_preprocess(
    model_path: str | os.PathLike[str], metadata: Mapping[str, str], channels: int | None = None
) -> Gathered:
    """Return the preprocessing that comes with a model, and what is to be told of it.

    Looked for in its metadata (key ``onnxsal.preprocess``), in a ``preprocessor_config.json`` beside it (or above it,
    where the model lies in a folder named ``onnx``), and in ``<model's stem>.preprocess.json``, in this order; then in
    its metadata in others' words, and in the files that tools export with a model. Where others of these want other
    pixels, a note says so.

    Args: channels: of the model's input, where they are known.
    Raises: UsageError: the first of the first three is wrong; of what else cannot be read a note tells, and so it does
        of a processor that has ways of its own.
    """
    where, model = "the model's metadata", Path(model_path)
    ours = (
        [partial(_from_json, metadata[METADATA_KEY], f"{where} {METADATA_KEY!r}", model.parent)]
        if METADATA_KEY in metadata
        else []
    )
    ours += [partial(_from_file, path) for path in _candidates(model) if path.is_file()]
    exported = [partial(_exported, p) for name in _EXPORTED for p in beside(model, name) if p.is_file()]
    others: list[Callable[[], Iterable[Preprocess]]] = [partial(_listed, read) for read in ours[1:]]
    others += [partial(metadata_preprocess, metadata, where), *exported]
    try:
        first, notes = [read() for read in ours[:1]], []
    except OwnWaysError as error:
        first, notes = [], [_PASSED.format(error)]
    return _gathered(first, others, channels, notes)


def _candidates(model: Path) -> tuple[Path, ...]:
    return (*beside(model, "preprocessor_config.json"), model.with_name(f"{model.stem}.preprocess.json"))


def _exported(path: Path) -> list[Preprocess]:
    """Return what a file that tools export with a model says of pictures; nothing where it is another's of its name."""
    config = _data_in(path)
    if not isinstance(config, dict):
        return []
    inner = config.get("image_processor")  # Hugging Face's processors of several things
    if isinstance(inner, dict) and is_huggingface(inner):
        return [from_huggingface(inner, str(path))]
    read = foreign_form(config)
    return [] if read is None else [read(config, str(path))]


def _listed(read: Callable[[], Preprocess]) -> list[Preprocess]:
    return [read()]


def _gathered(
    found: list[Preprocess],
    others: Sequence[Callable[[], Iterable[Preprocess]]],
    channels: int | None,
    notes: list[str],
) -> Gathered:
    """Return the first that is there, with notes on what cannot be read and on what wants other pixels."""
    for read in others:
        try:
            found += [each if channels is None else each.for_channels(channels) for each in read()]
        except UsageError as error:
            notes.append(_PASSED.format(error))
    other = next((each for each in found[1:] if not found[0].agrees(each)), None)
    if other is not None:
        said = f"{found[0].name} is taken, and {other.name} wants other pixels"
        notes.append(f"preprocessing disagrees: {said}; --preprocess (preprocess=...) settles it")
    return Gathered(found[0] if found else None, tuple(notes))


def _is_path(source: str) -> bool:
    return source.endswith((".json", ".yml")) or os.sep in source or os.path.exists(source)


def _from_file(path: Path) -> Preprocess:
    return _from_config(_data_in(path), str(path), path.parent)


def _data_in(path: Path) -> Any:
    parse = parse_yaml if path.suffix == ".yml" else parse_json
    return parse(read_text(path, "preprocessing"), str(path))


def _from_json(text: str, where: str, folder: Path) -> Preprocess:
    return _from_config(parse_json(text, where), where, folder)


def _from_config(config: Any, where: str, folder: Path) -> Preprocess:
    if not isinstance(config, dict):
        raise UsageError(f"{where}: a JSON object is expected; got {type(config).__name__}")
    return _from_dict(config, where, folder)


def _from_dict(config: Mapping[str, Any], where: str, folder: Path) -> Preprocess:
    if is_huggingface(config):
        return from_huggingface(config, where)
    if (read := foreign_form(config)) is not None:
        return read(config, where)
    _check_keys(config, where)
    base = _preset(config.get("preset", "raw"), where)
    given = {key: config[key] for key in _FIELDS if key in config}
    picture: dict[str, Any] = {}
    if is_mean_image(given.get("mean")):
        picture = {"mean": (0.0,), "mean_image": mean_image(given.pop("mean"), where, folder)}
    stated = replace(base, **_typed(given, where), **picture, name=where)
    return _ranged(stated, config["range"], where) if "range" in config else stated


def _preset(name: Any, where: str) -> Preprocess:
    if not isinstance(name, str) or name not in PRESETS:
        hint = nearest(str(name), PRESETS)
        raise UsageError(f"{where}: preset is one of {', '.join(PRESETS)}; got {name!r}{hint}")
    return PRESETS[name]


def _check_keys(config: Mapping[str, Any], where: str) -> None:
    unknown = [key for key in config if key not in _KEYS]
    if unknown:
        said = ", ".join(f"{key!r}{nearest(str(key), _KEYS)}" for key in unknown)
        raise UsageError(f"{where}: unknown key {said}; known are {', '.join(_KEYS)}")
    if "size" in config and sides_of(config["size"]) is None:
        raise UsageError(f"{where}: size is height and width, or a side; got {config['size']!r}")
    if "scale" in config and "range" in config:
        raise UsageError(f"{where}: give scale or range, not both; range [low, high] is scale (high - low) / 255")


def _typed(given: dict[str, Any], where: str) -> dict[str, Any]:
    typed = dict(given)
    for key in {"scale", "crop_fraction"} & given.keys():
        typed[key] = number(given[key], key, where)
    for key in {"mean", "std"} & given.keys():
        typed[key] = numbers(given[key], key, where)
    if "pad_colour" in given:
        typed["pad_colour"] = tuple(int(level) for level in numbers(given["pad_colour"], "pad_colour", where))
    return typed


def _ranged(stated: Preprocess, ends: Any, where: str) -> Preprocess:
    """``range`` as scale and mean: (p * scale + low - mean) / std is (p * scale - (mean - low)) / std."""
    pair = numbers(ends, "range", where)
    if len(pair) != 2:
        raise UsageError(f"{where}: range is [low, high]; got {ends!r}")
    scale = (pair[1] - pair[0]) / 255
    if stated.mean_image is not None:
        return replace(stated, scale=scale, mean_image=stated.mean_image.less(pair[0]))
    return replace(stated, scale=scale, mean=tuple(value - pair[0] for value in stated.mean))
