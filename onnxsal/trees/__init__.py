"""Tree ensembles as arrays: read from ONNX nodes, evaluated as the file evaluates them, and explained exactly."""

from onnxsal.trees.ensemble import Ensemble
from onnxsal.trees.read import ensemble_of, is_ensemble

__all__ = ["Ensemble", "ensemble_of", "is_ensemble"]
