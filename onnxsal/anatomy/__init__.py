"""What a model is: its picture, its logit, its layers, and the programs cut from it."""

from onnxsal.anatomy.layers import Layers
from onnxsal.anatomy.parts import Entry, Head, Layer
from onnxsal.anatomy.score import Score
from onnxsal.anatomy.select import (
    COEFFICIENTS,
    OURS,
    SCORE,
    TARGET,
    Anatomy,
    X,
    body,
    dissect,
    select,
    stem,
)

__all__ = [
    "COEFFICIENTS",
    "OURS",
    "SCORE",
    "TARGET",
    "Anatomy",
    "Entry",
    "Head",
    "Layer",
    "Layers",
    "Score",
    "X",
    "body",
    "dissect",
    "select",
    "stem",
]
