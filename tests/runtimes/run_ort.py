"""Runs compiled models in stock ONNX Runtime: no onnxsal here."""

import sys
from pathlib import Path

import onnxruntime as ort
from job import Arrays, each

sys.modules["onnxsal"] = None  # type: ignore[assignment]  # importing it fails, even where it is installed


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, dict(feeds)), strict=True))


each(f"onnxruntime {ort.__version__}", run)
