"""Tokens as people read them: vocabularies write spaces, parts of words and bytes of characters each in a way of their
own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from itertools import accumulate
from typing import Any

from onnxsal.modalities.pieces import Piece

_SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Spelling(Enum):
    """How a vocabulary writes its tokens."""

    BYTES = "bytes"
    """A character for every byte, as GPT-2's."""
    SPACES = "spaces"
    """Spaces as ▁, bytes as <0xE2>, as SentencePiece's."""
    PARTS = "parts"
    """Parts that continue a word with ## in front, as BERT's."""
    APART = "apart"
    """As they are, one behind the other."""


def spelling_of(said: Mapping[str, Any]) -> Spelling:
    """Return how a tokenizer.json writes its tokens."""
    types = {*_types(said.get("decoder")), *_types(said.get("pre_tokenizer"))}
    if "ByteLevel" in types:
        return Spelling.BYTES
    if types & {"Metaspace", "ByteFallback"}:
        return Spelling.SPACES
    return Spelling.PARTS if (said.get("model") or {}).get("type") == "WordPiece" else Spelling.APART


def _types(said: Any) -> Iterator[str]:
    for value in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        yield from _types(value)
    if isinstance(said, dict) and isinstance(said.get("type"), str):
        yield said["type"]


@lru_cache(maxsize=4)
def _bytes() -> Mapping[str, int]:
    """Which byte each character of a byte-level vocabulary stands for: printable ones for themselves, the others for
    the characters from 256 on, in order."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in kept]
    return {chr(b): b for b in kept} | {chr(256 + n): b for n, b in enumerate(others)}


def raw(name: str, spelling: Spelling) -> bytes:
    """Return the bytes of text that a token of a vocabulary stands for."""
    if spelling is Spelling.BYTES and all(character in _bytes() for character in name):
        return bytes(_bytes()[c] for c in name)
    if spelling is Spelling.SPACES:
        byte = _BYTE.fullmatch(name)
        return bytes.fromhex(byte[1]) if byte else name.replace(_SPACE, " ").encode()
    return name.encode()


def as_read(name: str, spelling: Spelling) -> str:
    """Return a token of a vocabulary as people read it; bytes that are no character alone as ``<0xE2>``."""
    return "".join(character for character, _ in _characters(raw(name, spelling)))


def as_meant(text: str) -> tuple[str, ...]:
    """Return what text stands for that is written as a vocabulary writes a token, in whichever way."""
    return tuple(as_read(text, each) for each in (Spelling.BYTES, Spelling.SPACES))


def _characters(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield the characters of bytes and how many each takes; a byte that belongs to none by its number."""
    try:
        yield from ((character, len(character.encode())) for character in data.decode("utf-8"))
        return
    except UnicodeDecodeError:
        at = 0
    while at < len(data):
        for size in range(1, 5):
            try:
                yield data[at : at + size].decode("utf-8"), size
                break
            except UnicodeDecodeError:
                continue
        else:
            size = 1
            yield f"<0x{data[at]:02X}>", size
        at += size


def written_out(names: Sequence[str], added: Sequence[bool], spelling: Spelling) -> tuple[str, tuple[Piece, ...]]:
    """Return the text that tokens make, and where each lies in it; parts of one character share its place.

    Args: names: in the vocabulary. added: which are no part of a text: they stand as they are, with spaces round them.
    """
    parts = [_part(names, added, i, spelling) for i in range(len(names))]
    ends = list(accumulate(len(gap) + len(part) for gap, part in parts))
    text, first, last = "", [], []
    for character, size in _characters(b"".join(gap + part for gap, part in parts)):
        first += [len(text)] * size
        text += character
        last += [len(text)] * size
    pieces = []
    for name, own, (_, part), end in zip(names, added, parts, ends, strict=True):
        start, stop = (first[end - len(part)], last[end - 1]) if part else (len(text), len(text))
        pieces.append(Piece(name if own else text[start:stop], start, stop, own))
    return text, tuple(pieces)


def _part(names: Sequence[str], added: Sequence[bool], at: int, spelling: Spelling) -> tuple[bytes, bytes]:
    """Return what stands in front of a token, and the token."""
    name, follows = names[at], at > 0
    if added[at] or (follows and added[at - 1]):
        part = name.encode() if added[at] else raw(name, spelling)
        return b" " if follows and not part.startswith(b" ") else b"", part
    if spelling is Spelling.PARTS and name.startswith(_CONTINUES) and follows:
        return b"", name.removeprefix(_CONTINUES).encode()
    joined = spelling in (Spelling.BYTES, Spelling.SPACES)
    return b" " if follows and not joined else b"", raw(name, spelling)


_CONTINUES = "##"
