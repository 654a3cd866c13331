"""Runs compiled models in tract."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import tract
from job import Arrays, each


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    model = tract.onnx().load(path)
    names = [model.input_name(i) for i in range(model.input_count())]
    found = model.into_model().into_runnable().run([np.ascontiguousarray(feeds[name]) for name in names])
    return dict(zip(outputs, (one.to_numpy() for one in found), strict=True))


each(f"tract {version('tract')}", run)
