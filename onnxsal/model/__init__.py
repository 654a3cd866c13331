"""A model as users hold it, from a file to its sessions."""

from onnxsal.model.model import Model, Prediction, Prepared, digest

__all__ = ["Model", "Prediction", "Prepared", "digest"]
