"""The streaming reader of records: Numba kernels fill a batch while ONNX Runtime runs the one before."""

from onnxsal.streaming.limits import Limits
from onnxsal.streaming.run import serves_several, stream, stream_all, targets_at_once
from onnxsal.streaming.work import Settings, Streamed, Subject

__all__ = ["Limits", "Settings", "Streamed", "Subject", "serves_several", "stream", "stream_all", "targets_at_once"]
