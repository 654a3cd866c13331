"""onnxsal shows what an exported ONNX model looked at, on ONNX Runtime alone."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onnxsal._version import __version__
from onnxsal.importing import uncollected

if TYPE_CHECKING:
    from onnxsal.autodiff import defvjp, vjp
    from onnxsal.cluster.evaluate import evaluate_dataset
    from onnxsal.cluster.explain import explain_dataset
    from onnxsal.compiler.compile import compile
    from onnxsal.compiler.repository import save_repository
    from onnxsal.evaluation import Evaluation
    from onnxsal.evaluation.evaluate import evaluate
    from onnxsal.explanation import Explanation
    from onnxsal.explanation.explain import explain
    from onnxsal.maps.read import read_maps
    from onnxsal.methods.registry import Method, method
    from onnxsal.metrics.registry import metric
    from onnxsal.modalities.registry import modality
    from onnxsal.model import Model
    from onnxsal.model.export import gradient, methods, save
    from onnxsal.model.load import load
    from onnxsal.model.recording import Recording
    from onnxsal.tasks.dense import Region
    from onnxsal.tasks.detection import Box
    from onnxsal.tasks.embedding import Like
    from onnxsal.tasks.indexed import Element
    from onnxsal.tasks.registry import task

_PUBLIC = {
    "Box": "onnxsal.tasks.detection",
    "Element": "onnxsal.tasks.indexed",
    "Evaluation": "onnxsal.evaluation",
    "Explanation": "onnxsal.explanation",
    "Like": "onnxsal.tasks.embedding",
    "Method": "onnxsal.methods.registry",
    "Model": "onnxsal.model",
    "Recording": "onnxsal.model.recording",
    "Region": "onnxsal.tasks.dense",
    "compile": "onnxsal.compiler.compile",
    "defvjp": "onnxsal.autodiff",
    "evaluate": "onnxsal.evaluation.evaluate",
    "evaluate_dataset": "onnxsal.cluster.evaluate",
    "explain": "onnxsal.explanation.explain",
    "explain_dataset": "onnxsal.cluster.explain",
    "gradient": "onnxsal.model.export",
    "load": "onnxsal.model.load",
    "method": "onnxsal.methods.registry",
    "methods": "onnxsal.model.export",
    "metric": "onnxsal.metrics.registry",
    "modality": "onnxsal.modalities.registry",
    "read_maps": "onnxsal.maps.read",
    "save": "onnxsal.model.export",
    "save_repository": "onnxsal.compiler.repository",
    "task": "onnxsal.tasks.registry",
    "vjp": "onnxsal.autodiff",
}

__all__ = [
    "Box",
    "Element",
    "Evaluation",
    "Explanation",
    "Like",
    "Method",
    "Model",
    "Recording",
    "Region",
    "__version__",
    "compile",
    "defvjp",
    "evaluate",
    "evaluate_dataset",
    "explain",
    "explain_dataset",
    "gradient",
    "load",
    "method",
    "methods",
    "metric",
    "modality",
    "read_maps",
    "save",
    "save_repository",
    "task",
    "vjp",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: ``import onnxsal`` itself stays light."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'onnxsal' has no attribute {name!r}")
    with uncollected():
        found = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = found
    return found


class _Package(ModuleType):
    """``onnxsal.methods``, ``explain`` and ``compile`` are functions; modules of those names stay importable.

    Importing a submodule sets it as an attribute of its package, which would hide the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name, as modules of Python's own class are where functions that name them are sent elsewhere."""
        return importlib.import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _check_environment() -> None:
    from onnxsal.runtime.environment import warn_importer

    warn_importer()


_check_environment()
