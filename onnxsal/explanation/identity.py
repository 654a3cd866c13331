"""What results are told apart by where they are kept: everything that they depend on but the thing and the target."""

from __future__ import annotations

from typing import Any

from onnxsal._version import __version__
from onnxsal.explanation.request import Request
from onnxsal.fingerprint import fingerprint
from onnxsal.model import Model
from onnxsal.tasks.detection.task import Detection

_OF_WHO_WAITS = ("progress", "keep_partial")
"""Options that no whole map depends on."""


def model_identity(model: Model) -> list[Any]:
    """Return what every result of a model depends on: its file, what was said of it, what runs it."""
    from onnxsal.runtime.environment import onnxruntime
    from onnxsal.runtime.providers import full_name

    preprocess = None if model.preprocess is None else model.preprocess.to_json(inside=False)
    runtime = [full_name(model.provider), onnxruntime().__version__]
    held = [[name, constant.digest] for name, constant in sorted(model.asked.held.items())]
    asked = model.asked
    explained = [] if asked.explained is None else [asked.explained]
    said = {name: getattr(asked, name) for name in ("task", "head", "activation", "size")}
    opened = {name: fingerprint(value) for name, value in said.items() if value is not None}
    if isinstance(model.task, Detection):  # what a JSON beside the file says is not in its hash
        opened["detection"] = fingerprint([model.task.candidates, model.task.rule])
    return [__version__, runtime, model.digest, preprocess, *held, *explained, *([opened] if opened else [])]


def request_identity(request: Request) -> list[Any]:
    """Return what every map of a request depends on."""
    steps, layers = request.steps, [layer.name for layer in request.layers]
    method = [steps.method.name, steps.origins(), steps.described()]
    common = {name: value for name, value in vars(request.common).items() if name not in _OF_WHO_WAITS}
    return [model_identity(request.model), method, layers, request.score, request.seed, common]
