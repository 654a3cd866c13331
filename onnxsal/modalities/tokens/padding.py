"""What fills texts up: the token that does it, who says so, and the length where one is always meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsal.files import parse_json, read_text

SAYING = ("tokenizer_config.json", "special_tokens_map.json", "config.json")
"""What lies beside a tokenizer's own file and is asked behind it, in this order."""

_USUAL = ("[PAD]", "<pad>", "<|pad|>", "<|padding|>", "<PAD>")
"""What it is called, where nothing but its name tells."""

_SIGLIP = 64
"""Tokens of SigLIP's texts, where its config.json leaves them at what its authors chose: the last one is read."""


@dataclass(frozen=True)
class Padding:
    """The token that fills texts up, and who says so."""

    number: int | None = None
    where: str = ""
    length: int | None = None
    """Tokens to which whoever made the model fills every text, None where nobody says."""
    length_by: str = ""


def padding_of(folder: Path, own: Any, said: Mapping[str, Any]) -> Padding:
    """Return what a tokenizer fills texts up with. Args: own: it. said: what its file holds; the others lie beside it.

    Raises: UsageError: one of these is no JSON.
    """
    config = _beside(folder, "config.json")
    number, where = next(_numbers(folder, own, said, config), (None, ""))
    length, by = _length(said, config)
    return Padding(number, where, length, by)


def _numbers(folder: Path, own: Any, said: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield the ids of tokens that fill up, who says it first in front."""
    named = [((said.get("padding") or {}).get("pad_token"), "tokenizer.json")]
    named += [(_beside(folder, name).get("pad_token"), name) for name in SAYING[:2]]
    for token, where in named:
        word = token.get("content") if isinstance(token, Mapping) else token
        number = own.token_to_id(word) if isinstance(word, str) else None
        if number is not None:
            yield number, where
    for part in (config, config.get("text_config")):
        number = part.get("pad_token_id") if isinstance(part, Mapping) else None
        if isinstance(number, int) and 0 <= number < 1 << 32 and own.id_to_token(number) is not None:
            yield number, "config.json"
    yield from ((number, "its name") for word in _USUAL if (number := own.token_to_id(word)) is not None)


def _length(said: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[int | None, str]:
    strategy = (said.get("padding") or {}).get("strategy")
    fixed = strategy.get("Fixed") if isinstance(strategy, Mapping) else None
    if isinstance(fixed, int) and fixed > 0:
        return fixed, "tokenizer.json"
    if not str(config.get("model_type", "")).startswith("siglip"):
        return None, ""
    text = config.get("text_config")
    stated = (text if isinstance(text, Mapping) else config).get("max_position_embeddings", _SIGLIP)
    return (stated, "config.json") if isinstance(stated, int) else (None, "")


def _beside(folder: Path, name: str) -> Mapping[str, Any]:
    path = folder / name
    if not path.is_file():
        return {}
    found = parse_json(read_text(path, "tokenizer's"), repr(str(path)))
    return found if isinstance(found, dict) else {}
