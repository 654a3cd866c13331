"""One forward of a picture: what the model puts out for it, and what the map of any target is made of afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import TARGET, Score, X
from onnxsal.errors import OnnxsalError
from onnxsal.explanation.at_once import CHOSEN, at_once, column_of
from onnxsal.explanation.build import build_layers, layers_key, map_of
from onnxsal.explanation.request import Request
from onnxsal.explanation.target import TargetSource
from onnxsal.graph import Program
from onnxsal.graph.split import Halves, split
from onnxsal.model import Model, Sample
from onnxsal.model.batch_check import one_by_one
from onnxsal.runtime import Session
from onnxsal.tasks import Numbers, Target

Floats = NDArray[np.float32]
Column = NDArray[np.int64]


@dataclass(frozen=True)
class AtOnce:
    """A run that gave the map of a target too."""

    program: Program
    column: Column
    """The target's, [1]."""
    maps: list[Floats]

    def of(self, request: Request, sample: Sample, column: Column) -> list[Floats]:
        """Return the maps of a target's column; of another one than was run with they are made now."""
        if np.array_equal(column, self.column):
            return self.maps
        names = _names(request)
        found = _session(request.model, self.program).run({X: sample.x[None], TARGET: column}, names)
        return [found[name] for name in names]


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
    made: Sequence[tuple[Target, list[Floats], float]] = ()
    """Maps of targets that were made together with those of other pictures, and a picture's share of the seconds."""
    seconds: float = 0.0
    """That the run took, or a picture's share of it; every map is made of it and takes them."""
    at_once: AtOnce | None = None
    """The map too, where one run made both."""

    def serves(self, model: Model, kind: str, goal: Target) -> bool:
        """Return whether the map of a target comes from this forward."""
        given = (self.halves is not None or self.at_once is not None) and goal.program is None
        return given and model.score_form(kind, goal) == model.score_form(kind)

    def score(self, model: Model, kind: str, goal: Target) -> Score:
        """Return what the method explains of a target."""
        return model.score(kind, goal, keep=self.serves(model, kind, goal))

    def took(self, goal: Target) -> float:
        """Return the seconds of the runs that were made for a target's map before it was asked for."""
        return self.seconds + sum(seconds for target, _, seconds in self.made if target is goal)

    def maps(self, request: Request, goal: Target) -> list[Floats]:
        """Return the map [1, ...] of every layer, of a target that it serves; of the pixels where there are none."""
        for target, maps, _ in self.made:
            if target is goal:
                return maps
        if self.at_once is not None:
            return self.at_once.of(request, self.sample, goal.feeds[TARGET])
        assert self.halves is not None and self.found is not None
        found = dict(self.found)
        if self.halves.rest is not None:
            session = _session(request.model, self.halves.rest)
            feeds = {X: self.sample.x[None], **goal.feeds}
            found |= session.run_passing(feeds, session.outputs, taken=self.passed)[0]
        return [found[name] for name in _names(request)]


def forward(
    request: Request, sample: Sample, known: Numbers | None = None, targets: Sequence[TargetSource] = ()
) -> Forward:
    """Return what one run of the model gives for a picture, and a second one where the first is not to be believed.

    The numbers of the method's own run are taken where they were found to be those of the deployed file, bit for bit,
    on the first picture: what stands beside a model may change how a runtime rounds it.

    Args: known: what the deployed file puts out, where it was run before. targets: what is asked of it, as far as that
    is known: of one column the same run makes the map.
    Raises: as ``Model.outputs``.
    """
    column = column_of(request.model, targets)
    whole = None if column is None else _whole(request)
    if column is not None and whole is not None:
        return _run_whole(request, whole, sample, column, known)
    halves = _halved(request)
    if halves is None:
        return Forward(request.model.numbers(sample) if known is None else known, sample)
    return _run(request, halves, [sample], known)[0]


def forwards(request: Request, samples: Sequence[Sample]) -> list[Forward] | None:
    """Return what one run of several pictures of one size gives each; ``together`` makes their maps.

    None where the method runs by itself, or where running pictures together was found to change what one gives.
    """
    model, halves = request.model, _halved(request)
    if halves is None or one_by_one(model, samples[0].x) is not None:
        return None
    return None if _session(model, halves.first).single else _run(request, halves, samples)


def _run_whole(request: Request, program: Program, sample: Sample, column: Column, known: Numbers | None) -> Forward:
    """Return what one run of the program that chooses its target gives. Args: column: that it is fed."""
    own, names, started = list(_kinds(request.model).values()), _names(request), time.perf_counter()
    session = _session(request.model, program)
    found = session.run({X: sample.x[None], TARGET: column}, [*own, *names, CHOSEN])
    seconds = time.perf_counter() - started
    numbers = _believed(request, [sample], [found], "whole")[0] if known is None else known
    made = AtOnce(program, found[CHOSEN], [found[name] for name in names])
    return Forward(numbers, sample, seconds=seconds, at_once=made)


def _believed(
    request: Request, samples: Sequence[Sample], rows: Sequence[Mapping[str, NDArray[Any]]], how: str
) -> list[Numbers]:
    """Return the numbers of pictures from a method's own run, or from the deployed file's where they are not those.

    Args: how: it was run; the first pictures that are run so show whether it is to be believed.
    """
    model, pairs = request.model, list(zip(samples, rows, strict=True))

    def equal() -> bool:
        return all(_is_own(model, sample, row) for sample, row in pairs)

    believed = model.program(("numbers of", how, len(samples), *key_of(request)), equal)
    return [model.checked(row) if believed else model.numbers(sample) for sample, row in pairs]


def _run(request: Request, halves: Halves, samples: Sequence[Sample], known: Numbers | None = None) -> list[Forward]:
    """Return what one run gives each of some pictures of one size. Args: known: of the one that there is."""
    model, own = request.model, list(_kinds(request.model).values())
    maps = [name for name in halves.first.outputs if name in _names(request)]
    alone = samples[0].x[None]
    x, started = np.stack([sample.x for sample in samples]) if len(samples) > 1 else alone, time.perf_counter()
    found, passed = _session(model, halves.first).run_passing({X: x}, [*own, *maps], halves.passed)
    seconds = (time.perf_counter() - started) / len(samples)
    rows = [{name: found[name][i : i + 1] for name in (*own, *maps)} for i in range(len(samples))]
    numbers = _believed(request, samples, rows, "halves") if known is None else [known]
    return [
        Forward(each, sample, halves, {name: row[name] for name in maps}, passed, seconds=seconds)
        for each, sample, row in zip(numbers, samples, rows, strict=True)
    ]


def together(request: Request, seen: Sequence[Forward], goals: Sequence[Target]) -> list[Forward]:
    """Return the same with the map of one target each, of pictures that ``forwards`` ran together."""
    halves = seen[0].halves
    assert halves is not None
    if halves.rest is None:
        return list(seen)
    session = _session(request.model, halves.rest)
    feeds = {name: np.concatenate([goal.feeds[name] for goal in goals]) for name in goals[0].feeds}
    feeds[X] = np.stack([each.sample.x for each in seen])
    started = time.perf_counter()
    found, _ = session.run_passing(feeds, session.outputs, taken=seen[0].passed)
    seconds = (time.perf_counter() - started) / len(seen)
    maps = [{**(each.found or {}), **{n: a[i : i + 1] for n, a in found.items()}} for i, each in enumerate(seen)]
    return [
        replace(each, made=(*each.made, (goal, [row[name] for name in _names(request)], seconds)))
        for each, goal, row in zip(seen, goals, maps, strict=True)
    ]


def _is_own(model: Model, sample: Sample, found: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether numbers are those that the deployed file puts out for a picture, bit for bit."""
    numbers = model.numbers(sample)
    return all(_same_bits(numbers[kind], found[name][0]) for kind, name in _kinds(model).items())


def _halved(request: Request) -> Halves | None:
    """Return the method's program in two, of the form that most targets have; None where it runs by itself."""
    if not runs_once(request):
        return None
    return cast("Halves | None", request.model.program(("halves", *key_of(request)), lambda: _parted(request)))


def _whole(request: Request) -> Program | None:
    """Return the method's program that chooses its target itself; None where there is none, or it runs by itself."""
    if not runs_once(request):
        return None
    return cast("Program | None", request.model.program(("whole", *key_of(request)), lambda: _choosing(request)))


def runs_once(request: Request) -> bool:
    """Return whether a method takes one run of the model a picture."""
    maps = [layer.channels for layer in request.layers] or [0]
    return request.steps.inner is None and all(request.steps.forwards(n) == 1 for n in maps)


def _parted(request: Request) -> Halves | None:
    made = _made(request)
    if made is None:
        return None
    halves = split(made, [name for name in made.inputs if name != X])
    return None if halves is None or not set(_kinds(request.model).values()).issubset(halves.first.outputs) else halves


def _choosing(request: Request) -> Program | None:
    made = _made(request)
    return None if made is None else at_once(request.model, made, _kinds(request.model))


def _made(request: Request) -> Program | None:
    """Return the method's program, which puts out what the task speaks of too; None where it does not."""
    model = request.model
    try:
        kept = model.score(request.score, keep=True)
        program = build_layers(model, request.steps, layers=request.layers, score=kept)
    except OnnxsalError:  # said when the target is known, which may be wrong as well
        return None
    own = set(kept.kept)
    if program is None or not own.issuperset(_kinds(model).values()) or not own.issubset(program.outputs):
        return None
    return program


def key_of(request: Request) -> tuple[Any, ...]:
    """Return what tells a method's program from others of the same model."""
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
