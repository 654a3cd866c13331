"""Maps of an ONNX model as heatmaps on the samples of a FiftyOne data set."""

from __future__ import annotations

from pathlib import Path

from onnxsal_fiftyone.apply import apply_saliency
from onnxsal_fiftyone.heatmaps import on_photo

PLUGIN = Path(__file__).parent / "plugin"
"""The folder that FiftyOne reads the operator from."""

__all__ = ["PLUGIN", "apply_saliency", "on_photo"]
