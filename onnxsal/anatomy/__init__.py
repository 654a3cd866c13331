"""What a model is: its picture, its logit, its layers, and the programs cut from it."""

from onnxsal.anatomy.layers import Layers
from onnxsal.anatomy.parts import Entry, Head, Layer
from onnxsal.anatomy.score import Score
from onnxsal.anatomy.select import (
    OURS,
    SCORE,
    TARGET,
    VERSUS,
    Anatomy,
    X,
    body,
    dissect,
    select,
    stem,
)

__all__ = [
    "OURS",
    "SCORE",
    "TARGET",
    "VERSUS",
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
