"""Runs compiled models in tract."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import tract
from job import Arrays, each


def bind(model: tract.Model, fact: str, array: np.ndarray) -> None:
    """Give open sides, which a fact names, the sizes of what is fed."""
    sides = dict(zip(fact.split(","), array.shape, strict=False))
    if named := {side: size for side, size in sides.items() if side.isidentifier()}:
        model.transform(tract.SetSymbols(named))


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    model = tract.onnx().load(path)
    names = [model.input_name(i) for i in range(model.input_count())]
    typed = model.into_model()
    for i, name in enumerate(names):
        bind(typed, str(typed.input_fact(i)), feeds[name])
    found = typed.into_runnable().run([np.ascontiguousarray(feeds[name]) for name in names])
    return dict(zip(outputs, (one.to_numpy() for one in found), strict=True))


each(f"tract {version('tract')}", run)
