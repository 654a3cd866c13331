"""The rules by operator family; importing this package registers them all."""

from onnxsal.autodiff.rules import convolution, elementwise, linear, movement, normalisation, pooling, quantised

__all__ = ["convolution", "elementwise", "linear", "movement", "normalisation", "pooling", "quantised"]
