"""Running programs: inference sessions of ONNX Runtime, and the same interface on onnx's reference evaluator.

The names are loaded when they are first used: ``import onnxsal`` only asks ``environment`` whether all is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxsal.runtime.picked import Picked
    from onnxsal.runtime.reference import ReferenceSession
    from onnxsal.runtime.session import Place, Session

_WHERE = {"Picked": "picked", "Place": "session", "ReferenceSession": "reference", "Session": "session"}

__all__ = ["Picked", "Place", "ReferenceSession", "Session"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
