"""The streaming reader of records: Numba kernels fill a batch while ONNX Runtime runs the one before."""

from onnxsal.streaming.limits import Limits
from onnxsal.streaming.run import Settings, Streamed, Subject, stream

__all__ = ["Limits", "Settings", "Streamed", "Subject", "stream"]
