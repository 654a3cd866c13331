"""What fills texts up: who says it first, and how long the owners of a model make every text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onnxsal.errors import UsageError
from onnxsal.modalities.tokens.padding import Padding
from onnxsal.modalities.tokens.tokenizer import Tokenizer, beside

tokenizers = pytest.importorskip("tokenizers", reason="words need the extra text")

SAID = {
    "config.json": {"model_type": "siglip", "text_config": {"max_position_embeddings": 16, "pad_token_id": 1}},
    "special_tokens_map.json": {"pad_token": {"content": "c"}},
    "tokenizer_config.json": {"pad_token": "d"},
}
"""From the last that is asked to the first, but for the tokenizer's own file."""


def test_the_nearest_file_says_it(tmp_path: Path) -> None:
    """Each file that is written later is asked earlier; another state of any of them is seen."""
    words = ["[PAD]", "b", "c", "d", "e"]
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="b"))
    own.save(str(tmp_path / "tokenizer.json"))
    assert read(tmp_path) == Padding(0, "its name")
    for number, (name, said) in enumerate(SAID.items(), 1):
        (tmp_path / name).write_text(json.dumps(said))
        assert read(tmp_path) == Padding(number, name, 16, "config.json")
    own.enable_padding(pad_token="e", pad_id=4, length=9)
    own.save(str(tmp_path / "tokenizer.json"))
    assert read(tmp_path) == Padding(4, "tokenizer.json", 9, "tokenizer.json")
    (tmp_path / "special_tokens_map.json").write_text("{")
    with pytest.raises(UsageError, match=r"special_tokens_map.json' is not valid JSON"):
        read(tmp_path)


@pytest.mark.parametrize("number", [-1, 1 << 32, 10**400, True, 2.5, [1]])
def test_a_number_that_is_no_token_is_not_asked_for(tmp_path: Path, number: object) -> None:
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel({"b": 0, "[PAD]": 1}, unk_token="b"))
    own.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"pad_token_id": number}))
    assert read(tmp_path).number == 1


def read(folder: Path) -> Padding:
    found = beside(str(folder / "model.onnx"))
    assert isinstance(found, Tokenizer)
    return found.padding
