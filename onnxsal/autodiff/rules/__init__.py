"""The rules by operator family; importing this package registers them all."""

from onnxsal.autodiff.rules import (
    activations,
    convolution,
    declared,
    elementwise,
    functions,
    indexing,
    linear,
    movement,
    normalisation,
    pooling,
    quantised,
    reductions,
    resize,
    scattering,
    slicing,
)

__all__ = [
    "activations",
    "convolution",
    "declared",
    "elementwise",
    "functions",
    "indexing",
    "linear",
    "movement",
    "normalisation",
    "pooling",
    "quantised",
    "reductions",
    "resize",
    "scattering",
    "slicing",
]
