"""Dense scores: one per class of every position, as in segmentation, text detection, matting, heat maps."""

from onnxsal.tasks.dense.region import Region
from onnxsal.tasks.dense.task import Dense, RegionPrediction

__all__ = ["Dense", "Region", "RegionPrediction"]
