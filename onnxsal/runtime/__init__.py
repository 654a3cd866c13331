"""Running programs: inference sessions of ONNX Runtime, and the same interface on onnx's reference evaluator."""

from onnxsal.runtime.providers import providers
from onnxsal.runtime.reference import ReferenceSession
from onnxsal.runtime.session import Session

__all__ = ["ReferenceSession", "Session", "providers"]
