"""Tree ensembles as arrays: read from ONNX nodes, evaluated as the file evaluates them, and explained exactly."""

from onnxsal.trees.combined import added, mapped, over
from onnxsal.trees.ensemble import Ensemble
from onnxsal.trees.read import ensemble_of, is_ensemble
from onnxsal.trees.shapley import interventional, path_dependent

__all__ = ["Ensemble", "added", "ensemble_of", "interventional", "is_ensemble", "mapped", "over", "path_dependent"]
