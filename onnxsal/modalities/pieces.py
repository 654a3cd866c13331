"""Pieces: the tokens of a text, as people read them and where they lie in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """A token: its text as people read it, its place [start, stop) in the text in characters, whether it was added."""

    text: str
    start: int
    stop: int
    added: bool = False
