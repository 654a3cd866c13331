"""Detection: boxes with classes, as YOLO, SSD, DETR, Faster R-CNN and their kin put them out."""

from onnxsal.tasks.detection.task import Box, BoxPrediction, Detection

__all__ = ["Box", "BoxPrediction", "Detection"]
