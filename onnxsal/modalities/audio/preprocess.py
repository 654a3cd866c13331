"""How a model wants its sound: at which rate, as which numbers; and what may be done to a file that is otherwise."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxsal.errors import UsageError, nearest
from onnxsal.files import beside, number, parse_json, read_text

METADATA_KEY = "onnxsal.preprocess"

RATES = ("sampling_rate", "sample_rate", "samplerate", "sr")
"""What metadata, configurations and inputs call the rate."""

SAY_RATE = "say it, --rate HZ (preprocess={'sampling_rate': HZ})"
"""What messages end in."""

_CONFIGS = ("preprocessor_config.json", "processor_config.json", "config.json")
_SWITCHES = ("normalise", "resample", "mono")
_KEYS = ("sampling_rate", "scale", *_SWITCHES, "start")
_FORM = ("scale", "normalise", "feature_extractor_type")
"""Keys that say as which numbers samples go in."""
_FOREIGN = frozenset({*RATES, "normalise", "mono", "start"})
"""Keys that say that a JSON file is of sound: the others are of pictures too."""
_LEAST, _MOST = 100, 10_000_000
"""Hertz between which a number is taken for a rate."""


@dataclass(frozen=True)
class SoundPreprocess:
    """How a model's sound is prepared, and what is done to a file that is otherwise."""

    sampling_rate: int | None = None
    """Samples a second; None where nobody says it."""
    scale: float = 1.0
    """What the loudest sample, 1, becomes: 32768 where a model takes the numbers of 16 bits."""
    normalise: bool = False
    """Whether a sound is brought to mean 0 and variance 1, as wav2vec 2.0 and its kin take theirs."""
    resample: bool = False
    """Whether a file of another rate is brought to the model's, and not refused."""
    mono: bool = False
    """Whether the channels of a file are averaged, and not refused."""
    start: float = 0.0
    """Seconds of a file that are left out in front."""
    where: str = ""
    """Who says the rate."""

    def described(self) -> dict[str, Any]:
        """Return it as JSON holds it, what is as usual left out."""
        usual = SoundPreprocess()
        return {key: value for key in _KEYS if (value := getattr(self, key)) != getattr(usual, key)}


def as_sound_preprocess(source: Any) -> SoundPreprocess:
    """Return what a dict or a JSON file says of how a model wants its sound.

    Keys: ``sampling_rate``, ``scale``, ``normalise``, ``resample``, ``mono``, ``start``; or a feature extractor's of
    transformers (``sampling_rate``, ``do_normalize``).
    Raises: UsageError: there is no such file, or a key or value is wrong.
    """
    return source if isinstance(source, SoundPreprocess) else _of_config(_config_of(source), _named(source))


def find_sound_preprocess(
    source: Any, path: str, metadata: Mapping[str, str], held: Mapping[str, float]
) -> SoundPreprocess | None:
    """Return how a model wants its sound: as given, with what else is said of it; None where nobody says anything.

    Args: held: numbers that further inputs are held at.
    Raises: UsageError: it is wrong, or two say another rate.
    """
    given, stated = None if source is None else as_sound_preprocess(source), list(_stated(path, metadata, held))
    if given is None or given.sampling_rate is None:
        _check_agreement(stated)
    if given is None or not stated:
        return given or next(iter(stated), None)
    said = stated[0]
    whole = isinstance(source, SoundPreprocess) or any(key in _config_of(source) for key in _FORM)
    form, says = given if whole else said, given if given.sampling_rate is not None else said
    return replace(
        given, sampling_rate=says.sampling_rate, where=says.where, scale=form.scale, normalise=form.normalise
    )


def sound_source(source: str | None, given: Mapping[str, Any]) -> Any:
    """Return what a command line says of sound: a JSON file's keys and those that are options of their own; None where
    it says nothing. Raises: UsageError: the file is none of sound, and there are options for it."""
    of_sound = _is_json(source) and Path(str(source)).is_file() and not _FOREIGN.isdisjoint(_config_of(source))
    if not given:
        return source if of_sound else None
    return {**({} if source is None else _config_of(source)), **given}


def says_rate(source: Any, path: str, metadata: Mapping[str, str], held: Mapping[str, float]) -> bool:
    """Return whether somebody says at which rate a model takes its sound, and so that it takes sound."""
    if isinstance(source, SoundPreprocess) and source.sampling_rate is not None:
        return True
    readable = isinstance(source, Mapping) or (_is_json(source) and Path(source).is_file())
    if readable and any(key in _config_of(source) for key in RATES):
        return True
    return any(True for _ in _stated(path, metadata, held))


def _is_json(source: Any) -> bool:
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == ".json"


def _named(source: Any) -> str:
    return "preprocess" if isinstance(source, Mapping) else os.fspath(source)


def _config_of(source: Any) -> Mapping[str, Any]:
    """Return what a dict is, or a JSON file holds. Raises: UsageError: it is neither."""
    if isinstance(source, Mapping):
        return source
    if not _is_json(source):
        raise UsageError(
            f"preprocess={source!r}: the model takes sound, whose preprocessing is a JSON file or a dict of "
            f"{', '.join(_KEYS)}"
        )
    config = parse_json(read_text(source, "preprocessing"), str(source))
    if not isinstance(config, dict):
        raise UsageError(f"{os.fspath(source)}: a JSON object is expected; got {type(config).__name__}")
    return config


def _check_agreement(stated: Sequence[SoundPreprocess]) -> None:
    for other in stated[1:]:
        if other.sampling_rate != stated[0].sampling_rate:
            raise UsageError(
                f"{stated[0].where} says a rate of {stated[0].sampling_rate} Hz, and {other.where} "
                f"{other.sampling_rate} Hz: {SAY_RATE}"
            )


def _stated(path: str, metadata: Mapping[str, str], held: Mapping[str, float]) -> Iterator[SoundPreprocess]:
    """Yield what is said of a model, who comes first first: its own metadata, an input that is held, its neighbours."""
    if METADATA_KEY in metadata:
        config = parse_json(metadata[METADATA_KEY], f"the model's metadata {METADATA_KEY!r}")
        if isinstance(config, dict) and any(key in config for key in RATES):
            yield _of_config(config, f"the model's metadata ({METADATA_KEY})")
    for key in RATES[:-1]:  # two letters may be anything in metadata
        if (rate := _rate_in(metadata.get(key))) is not None:
            yield SoundPreprocess(rate, where=f"the model's metadata ({key})")
    for key in RATES:
        if (rate := _rate_in(held.get(key))) is not None:
            yield SoundPreprocess(rate, where=f"the input {key!r}")
    if path:
        yield from _beside(Path(path))


def _beside(model: Path) -> Iterator[SoundPreprocess]:
    own = model.with_name(f"{model.stem}.preprocess.json")
    for file in (*(each for name in _CONFIGS for each in beside(model, name)), own):
        if not file.is_file():
            continue
        try:
            config = parse_json(read_text(file, "preprocessing"), str(file))
        except UsageError:  # pictures' own reader tells of files that cannot be read
            continue
        inner = config.get("feature_extractor", config) if isinstance(config, dict) else {}
        if isinstance(inner, dict) and (rate := _rate_in(inner.get("sampling_rate"))) is not None:
            yield SoundPreprocess(rate, normalise=_normalises(inner), where=str(file))


def _rate_in(value: Any) -> int | None:
    """Return a rate in whole hertz, None where a value is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return int(found) if _LEAST <= found <= _MOST and found == int(found) else None


def _normalises(config: Mapping[str, Any]) -> bool:
    """Whether a feature extractor of waveforms brings them to mean 0 and variance 1: those of spectrograms do not."""
    waves = str(config.get("feature_extractor_type", "")) == "Wav2Vec2FeatureExtractor"
    return waves and config.get("do_normalize", True) is True


def _of_config(config: Mapping[str, Any], where: str) -> SoundPreprocess:
    if "feature_extractor_type" in config:
        wanted = _checked_rate(config.get("sampling_rate"), where)
        return SoundPreprocess(wanted, normalise=_normalises(config), where=where)
    known = {("sampling_rate" if key in RATES else key): value for key, value in config.items()}
    for key in known:
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown key {key!r}{nearest(key, _KEYS)}; sound has {', '.join(_KEYS)}")
    for key in _SWITCHES:
        if not isinstance(known.get(key, False), bool):
            raise UsageError(f"{where}: {key} is true or false; got {json.dumps(known[key], default=str)}")
    rate = _checked_rate(known["sampling_rate"], where) if "sampling_rate" in known else None
    scale, start = number(known.get("scale", 1), "scale", where), number(known.get("start", 0), "start", where)
    if scale <= 0 or start < 0:
        raise UsageError(f"{where}: scale is above 0 and start from 0 on; got {scale:g} and {start:g}")
    switches = {key: bool(known.get(key, False)) for key in _SWITCHES}
    return SoundPreprocess(rate, scale, **switches, start=start, where=where if rate is not None else "")


def _checked_rate(value: Any, where: str) -> int:
    rate = None if isinstance(value, bool) else _rate_in(value)
    if rate is None:
        raise UsageError(f"{where}: sampling_rate is whole hertz from {_LEAST} to {_MOST}; got {value!r}")
    return rate
