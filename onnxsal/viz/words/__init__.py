"""Texts with scores: tokens joined to words, and these coloured in a terminal, on a page and in a picture."""

from onnxsal.viz.words.joined import Token, Word, joined, strongest

__all__ = ["Token", "Word", "joined", "strongest"]
