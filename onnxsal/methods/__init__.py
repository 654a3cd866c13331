"""The methods: programs and records, one file a family; none of them ever sees an inference session."""

from onnxsal.methods.catalogue import get, names
from onnxsal.methods.registry import Cost, Level, Method, Range, Samples, method

__all__ = ["Cost", "Level", "Method", "Range", "Samples", "get", "method", "names"]
