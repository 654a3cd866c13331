"""A model as users hold it, from a file to its sessions."""

from onnxsal.model.model import Model, Prediction, Sample, Warmed, digest

__all__ = ["Model", "Prediction", "Sample", "Warmed", "digest"]
