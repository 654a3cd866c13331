"""How a model wants its sound: who says the rate, who goes first, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxsal.errors import UsageError
from onnxsal.modalities.audio.preprocess import SoundPreprocess, find_sound_preprocess, says_rate, sound_source

WAV2VEC = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": True, "sampling_rate": 16_000}
WHISPER = {"feature_extractor_type": "WhisperFeatureExtractor", "sampling_rate": 16_000, "feature_size": 80}


def found(source: Any = None, path: str = "", metadata: dict[str, str] | None = None, **held: float) -> Any:
    return find_sound_preprocess(source, path, metadata or {}, held)


@pytest.mark.parametrize(
    ("config", "normalised"), [(WAV2VEC, True), (WAV2VEC | {"do_normalize": False}, False), (WHISPER, False)]
)
def test_what_lies_beside_the_model_says_it(tmp_path: Path, config: dict[str, Any], normalised: bool) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    model = str(tmp_path / "model.onnx")
    own = found(path=model)
    assert (own.sampling_rate, own.normalise) == (16_000, normalised)
    given = found({"resample": True, "mono": True}, path=model)  # what is done to files changes nothing of the model
    assert (given.sampling_rate, given.normalise, given.resample, given.mono) == (16_000, normalised, True, True)
    assert found({"normalise": False, "scale": 2.0}, path=model).normalise is False
    assert found({"sampling_rate": 8_000}, path=model).sampling_rate == 8_000


def test_metadata_and_held_inputs_say_it_and_two_that_disagree_are_refused() -> None:
    assert found(metadata={"sample_rate": "22050"}).sampling_rate == 22_050
    assert found(sr=8_000.0).where == "the input 'sr'"
    with pytest.raises(UsageError, match=r"metadata \(sample_rate\) says a rate of 16000 Hz, and the input 'sr' 8000"):
        found(metadata={"sample_rate": "16000"}, sr=8_000.0)
    assert found({"sampling_rate": 16_000}, metadata={"sample_rate": "16000"}, sr=8_000.0).sampling_rate == 16_000
    assert found() is None and not says_rate(None, "", {"sample_rate": "many"}, {"threshold": 0.5})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"sampling_rate": 0}, "whole hertz"),
        ({"sampling_rate": 16_000.5}, "whole hertz"),
        ({"sampling_rat": 1}, "did you mean 'sampling_rate'"),
        ({"mono": 1}, "true or false"),
        ({"start": -1}, "from 0 on"),
        ("imagenet", "a JSON file or a dict"),
    ],
)
def test_what_is_wrong_is_refused(given: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        found(given)


def test_the_command_line_adds_its_options_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sound.json"
    path.write_text(json.dumps({"sampling_rate": 16_000, "scale": 32768}))
    whole = find_sound_preprocess(sound_source(str(path), {"mono": True}), "", {}, {})
    assert whole == SoundPreprocess(16_000, 32768.0, mono=True, where="preprocess")
    assert sound_source(str(path), {}) == str(path) and sound_source("imagenet", {}) is None
