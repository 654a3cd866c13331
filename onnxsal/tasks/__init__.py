"""Tasks: what a model's outputs mean."""

from onnxsal.tasks.registry import Wanted, dissect, task
from onnxsal.tasks.target import Target, difference, one
from onnxsal.tasks.task import Numbers, Prediction, Task, task_of

__all__ = ["Numbers", "Prediction", "Target", "Task", "Wanted", "difference", "dissect", "one", "task", "task_of"]
