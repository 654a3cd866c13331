"""Judging maps over many pictures: pictures with labels, boxes and masks in, rows, tables and reports out."""

from onnxsal.evaluation.evaluate import Options
from onnxsal.evaluation.evaluation import Evaluation
from onnxsal.evaluation.items import Item, gather
from onnxsal.evaluation.rows import About, Failure, Row
from onnxsal.evaluation.statistics import Difference, Mean, differences, means
from onnxsal.evaluation.summary import Summary, summarise

__all__ = [
    "About",
    "Difference",
    "Evaluation",
    "Failure",
    "Item",
    "Mean",
    "Options",
    "Row",
    "Summary",
    "differences",
    "gather",
    "means",
    "summarise",
]
