"""Runs compiled models in stock ONNX Runtime: no onnxsal here. ``--plain`` leaves out all optimisations."""

import sys
from pathlib import Path

import onnxruntime as ort
from job import Arrays, each

sys.modules["onnxsal"] = None  # type: ignore[assignment]  # importing it fails, even where it is installed


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    options = ort.SessionOptions()
    if "--plain" in sys.argv:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, dict(feeds)), strict=True))


each(f"onnxruntime {ort.__version__}", run)
