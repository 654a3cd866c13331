"""onnxsal shows what an exported ONNX model looked at, on ONNX Runtime alone."""

__version__ = "0.1.0"
