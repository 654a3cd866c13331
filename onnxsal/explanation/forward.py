"""One forward of a picture: what the model puts out for it, and what the map of any target is made of afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import Score, X
from onnxsal.errors import OnnxsalError
from onnxsal.explanation.build import build_layers, layers_key, map_of
from onnxsal.explanation.request import Request
from onnxsal.graph import Program
from onnxsal.graph.split import Halves, split
from onnxsal.model import Model, Sample
from onnxsal.runtime import Session
from onnxsal.tasks import Numbers, Target

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Forward:
    """What one picture gave."""

    numbers: Numbers
    """As the deployed file puts them out."""
    sample: Sample
    halves: Halves | None = None
    """The method's program before and after a target is known; None where the method runs by itself."""
    found: Mapping[str, NDArray[Any]] | None = None
    """Maps that depend on no target."""
    passed: Mapping[str, Any] | None = None
    """What the second half takes."""

    def serves(self, model: Model, kind: str, goal: Target) -> bool:
        """Return whether the map of a target comes from this forward."""
        given = self.halves is not None and goal.program is None
        return given and model.score_form(kind, goal) == model.score_form(kind)

    def score(self, model: Model, kind: str, goal: Target) -> Score:
        """Return what the method explains of a target."""
        return model.score(kind, goal, keep=self.serves(model, kind, goal))

    def maps(self, request: Request, goal: Target) -> list[Floats]:
        """Return the map [1, ...] of every layer, of a target that it serves; of the pixels where there are none."""
        assert self.halves is not None and self.found is not None
        found = dict(self.found)
        if self.halves.rest is not None:
            session = _session(request.model, self.halves.rest)
            feeds = {X: self.sample.x[None], **goal.feeds}
            found |= session.run_passing(feeds, session.outputs, taken=self.passed)[0]
        return [found[name] for name in _names(request)]


def forward(request: Request, sample: Sample) -> Forward:
    """Return what one run of the model gives for a picture, and a second one where the first is not to be believed.

    The numbers of the method's own run are taken where they were found to be those of the deployed file, bit for bit,
    on the first picture: what stands beside a model may change how a runtime rounds it. Raises: as ``Model.outputs``.
    """
    model = request.model
    halves = _halved(request)
    if halves is None:
        return Forward(model.outputs(sample.x), sample)
    session = _session(model, halves.first)
    maps = [name for name in halves.first.outputs if name in _names(request)]
    own = [*model.task.kinds.values(), *model.task.beside.values()]
    found, passed = session.run_passing({X: sample.x[None]}, [*own, *maps], halves.passed)

    def equal() -> bool:
        numbers = model.outputs(sample.x)
        return all(_same_bits(numbers[kind], found[name][0]) for kind, name in _kinds(model).items())

    believed = model.program(("numbers of", *_key(request)), equal)
    numbers = model.checked({name: found[name] for name in own}) if believed else model.outputs(sample.x)
    return Forward(numbers, sample, halves, {name: found[name] for name in maps}, passed)


def _halved(request: Request) -> Halves | None:
    """Return the method's program in two, of the form that most targets have; None where it runs by itself."""
    steps, model = request.steps, request.model
    maps = [layer.channels for layer in request.layers] or [0]
    if steps.inner is not None or any(steps.forwards(n) != 1 for n in maps):
        return None
    return cast("Halves | None", model.program(("halves", *_key(request)), lambda: _made(request)))


def _made(request: Request) -> Halves | None:
    model = request.model
    try:
        kept = model.score(request.score, keep=True)
        program = build_layers(model, request.steps, layers=request.layers, score=kept)
    except OnnxsalError:  # said when the target is known, which may be wrong as well
        return None
    own = set(kept.kept)
    if program is None or not own.issuperset(_kinds(model).values()) or not own.issubset(program.outputs):
        return None
    halves = split(program, [name for name in program.inputs if name != X])
    return None if halves is None or not own.issubset(halves.first.outputs) else halves


def _key(request: Request) -> tuple[Any, ...]:
    return layers_key(request.steps, request.layers, request.score)


def _names(request: Request) -> list[str]:
    several = len(request.layers) > 1
    return [map_of(at) for at in range(len(request.layers))] if several else ["saliency"]


def _kinds(model: Model) -> Mapping[str, str]:
    return {**model.task.kinds, **model.task.beside}


def _session(model: Model, program: Program) -> Session:
    session = model.session(program)
    assert isinstance(session, Session)
    return session


def _same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
