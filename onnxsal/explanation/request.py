"""A request: everything about an explanation that does not depend on the picture, checked before there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxsal.anatomy import Layer
from onnxsal.errors import UsageError
from onnxsal.explanation.build import choose_layer, level_choice
from onnxsal.explanation.method_plan import BATCH, FUSE, GPU_BATCH, Common, MethodPlan, Sign
from onnxsal.explanation.target import TargetSource, opened_for
from onnxsal.modalities.image import PreprocessSource
from onnxsal.modalities.nouns import nouns_of
from onnxsal.modalities.registry import Usual
from onnxsal.model import Model
from onnxsal.model.positions import check_positions
from onnxsal.runtime.nvidia import ON_GPU
from onnxsal.runtime.providers import full_name


@dataclass(frozen=True)
class Request:
    """Everything about one kind of explanation that does not depend on the picture."""

    model: Model
    steps: MethodPlan
    layers: tuple[Layer, ...]
    score: str
    seed: int
    common: Common
    asked: tuple[str | Sequence[str] | None, str | None] = (None, None)
    """The layers and the kind of score as they were asked for; None where they were chosen."""

    @property
    def batch_size(self) -> int:
        """Images a run: what was asked for, else what fits the provider."""
        return self.common.batch_size or (GPU_BATCH if full_name(self.model.provider) in ON_GPU else BATCH)

    def fitting(self, thing: Any) -> Fitting:
        """Return the request with its model opened for a thing: its other inputs, its size; mostly itself.

        Raises: as ``onnxsal.load`` of what is given; UsageError: a layer is not there at that size.
        """
        found = self.model.fitter(self.model, thing)
        model = found.model.with_layers() if self.layers else found.model
        return Fitting(self.on(model), found.thing)

    def on(self, model: Model) -> Request:
        """Return the request on the same file opened otherwise, with its layers there; itself on its own model.

        Raises: UsageError: a layer is not there.
        """
        if model is self.model:
            return self
        steps = self.steps.on_usual(usual_of(model))
        layers = tuple(choose_layer(model, steps, layer.name) for layer in self.layers)
        for layer in layers:
            check_positions(model, layer)
        return replace(self, model=model, layers=layers, steps=steps)

    def again(self, model: Model) -> Request:
        """Return what was asked of a model asked of another one. Raises: as ``prepare_request``."""
        layer, score = self.asked
        return prepare_request(
            model, self.steps, layer=layer, score=score, seed=self.seed, preprocess=None, common=self.common
        )

    def pixel_sign(self, channels: int) -> Sign:
        """Return the sign of a map of pixels: what was asked for; else one channel shows it, and several do not.

        Where sums over channels are usual, as over the vectors of tokens, these are of shares of the score; the sum of
        slopes along the axes of a vector says nothing, so that gradients have their length.
        """
        usual: Sign = usual_of(self.model).get("sign", "absolute")
        usual = "norm" if usual == "signed" and not self.steps.innermost.method.adds_up else usual
        return self.common.sign or ("signed" if channels == 1 else usual)


@dataclass(frozen=True)
class Fitting:
    """A request for a model that is opened for a thing, and that."""

    request: Request
    thing: Any


def prepare_request(
    model: Model,
    steps: MethodPlan,
    *,
    layer: str | Sequence[str] | None,
    score: str | None,
    seed: int,
    preprocess: PreprocessSource | None,
    common: Common,
) -> Request:
    """Return the request after every check that needs no picture."""
    if model.question:
        raise UsageError(model.question)
    kind = model.task.kind(steps.score) if score is None else model.task.checked_kind(score)
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise UsageError(f"seed={seed!r}: expected a whole number from 0 to {2**32 - 1}")
    if common.sign is not None and steps.needs_layer:
        raise no_sign(steps, model)
    if preprocess is not None:
        model = model.preprocessed(preprocess)
    steps = steps.on_usual(usual_of(model))
    names = _layer_names(layer)
    levels = level_choice(model, steps) if layer is None else ()
    layers = levels or (tuple(choose_layer(model, steps, name) for name in names) if steps.needs_layer else ())
    common = common if common.fuse is not None else replace(common, fuse="max" if levels else FUSE)
    for chosen in layers:
        check_positions(model, chosen)
    if not steps.needs_layer and layer is not None:
        thing = nouns_of(model.modality.name).thing
        raise UsageError(f"method {steps.method.name!r} works on the {thing} and takes no layer")
    return Request(model, steps, layers, kind, int(seed), common, (layer, score))


def request_for(request: Request, target: TargetSource) -> Request:
    """Return the request on the model that answers a target: its layers are those in front of what that asks for."""
    model = opened_for(request.model, target)
    return request if model is request.model else request.again(model)


def usual_of(model: Model) -> Mapping[str, Any]:
    """Return what is usual for what a model takes: options of methods, and the sign of a map."""
    return model.modality.usual(model.name, model.size) if isinstance(model.modality, Usual) else {}


def _layer_names(layer: str | Sequence[str] | None) -> list[str | None]:
    if layer is None or isinstance(layer, str):
        return [layer]
    if isinstance(layer, Sequence) and layer and all(isinstance(name, str) for name in layer):
        return list(layer)
    number = f", for its number '#{layer}'" if isinstance(layer, int) else ""
    raise UsageError(f"layer={layer!r}: expected a name{number}, or several names")


def no_sign(steps: MethodPlan, model: Model) -> UsageError:
    positions = nouns_of(model.modality.name, model.anatomy.entry.spatial).positions
    return UsageError(f"option sign is for maps of {positions}; {steps.method.name!r} gives one of a layer")
