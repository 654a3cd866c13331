"""Runs compiled models in PyTorch, converted by onnx2torch."""

from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import torch
from job import Arrays, each

# torchvision, which onnx2torch imports, comes built for another torch; no model here has its operators.
for kind in ("nms", "qnms"):
    torch.library.define(f"torchvision::{kind}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
convert = import_module("onnx2torch").convert


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    with torch.no_grad():
        found = convert(path).eval()(*(torch.from_numpy(array) for array in feeds.values()))
    found = [found] if isinstance(found, torch.Tensor) else list(found)
    return dict(zip(outputs, (one.numpy() for one in found), strict=True))


each(f"onnx2torch {version('onnx2torch')}, torch {torch.__version__.split('+')[0]}", run)
