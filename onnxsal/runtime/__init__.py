"""Running programs: inference sessions of ONNX Runtime, and the same interface on onnx's reference evaluator.

The names are loaded when they are first used: ``import onnxsal`` only asks ``environment`` whether all is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxsal.runtime.column_session import ColumnSession, PickedSession
    from onnxsal.runtime.reference import ReferenceSession
    from onnxsal.runtime.session import DeviceBuffer, Port, Session

_WHERE = {
    "ColumnSession": "column_session", "DeviceBuffer": "session", "PickedSession": "column_session", "Port": "session",
    "ReferenceSession": "reference", "Session": "session",
}  # fmt: skip

__all__ = ["ColumnSession", "DeviceBuffer", "PickedSession", "Port", "ReferenceSession", "Session"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
