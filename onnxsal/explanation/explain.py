"""The short way: a model, a picture, a method; out comes the map."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxsal._version import __version__
from onnxsal.anatomy import Layer, X
from onnxsal.errors import ModelError, UsageError
from onnxsal.explanation.build import (
    BATCH,
    GPU_BATCH,
    Common,
    MethodPlan,
    build,
    choose_layer,
    plan,
    split_options,
)
from onnxsal.explanation.empty_maps import Case, unseen, why_empty
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.outcome import BEGUN, Outcome, few_maps, fused, noted, warnings_of
from onnxsal.explanation.target import TargetSource, resolve_target
from onnxsal.graph import Program
from onnxsal.kernels.placement import WHOLE_PICTURE
from onnxsal.modalities.image import PreprocessSource
from onnxsal.model import Model, Sample
from onnxsal.model.batch_check import MIXES, one_by_one
from onnxsal.model.load import load
from onnxsal.model.positions import check_positions, said
from onnxsal.records import Record
from onnxsal.runtime.nvidia import ON_GPU
from onnxsal.runtime.providers import full_name
from onnxsal.tasks import Numbers, Target
from onnxsal.viz.maps import Sign, cam_saliency, normalise, pixel_saliency

if TYPE_CHECKING:
    from onnxsal.streaming import Settings, Streamed

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """Everything about one kind of explanation that does not depend on the picture."""

    model: Model
    steps: MethodPlan
    layers: tuple[Layer, ...]
    score: str
    seed: int
    common: Common

    @property
    def batch_size(self) -> int:
        """Images a run: what was asked for, else what fits the provider."""
        return self.common.batch_size or (GPU_BATCH if full_name(self.model.provider) in ON_GPU else BATCH)


def explain(
    model: Model | str | os.PathLike[str],
    image: Any,
    *,
    method: str = "grad-cam++",
    target: TargetSource | list[TargetSource] = None,
    layer: str | Sequence[str] | None = None,
    score: str | None = None,
    seed: int = 0,
    preprocess: PreprocessSource | None = None,
    **options: Any,
) -> Any:
    """Return the Explanation of a picture; a list of them for a list of images or of targets (image by image).

    Args:
        model: a Model, or the path of one.
        image: a path, a PIL image, a uint8 array [H, W, C], a picture file's bytes or the file open in binary mode,
            preprocessed as the model says; or a float array shaped like the model's input, taken as it is.
        method: see ``onnxsal.methods()``.
        target: class index or label, None for the predicted class, (a, b) for a minus b, or a Program from ``sal/x`` to
            ``score`` [B], whose Explanation has neither target nor, being NaN, score and logit.
        layer: value name, node name, unique suffix or ``#n``; several are fused; None chooses by reachability.
        score: ``logit`` or ``probability``; by default logit for gradients, the preset's for score-based methods.
        seed: of whatever the method draws; the same seed gives the same map.
        preprocess: overrides the model's own.
        options: the method's; ``batch_size``, ``sign``, ``percentile``, ``fuse`` (mean or max of several layers),
            ``progress``; and for methods that run many times the limits ``forwards`` (of a map), ``seconds`` (of a
            picture: its targets and layers share them) and ``tolerance`` (relative standard error of the map).
            ``keep_partial`` makes Ctrl-C give the map so far, marked partial, with its error; by default it does not,
            so that Ctrl-C ends the loop of a script as well (the command line's default is that it does). What would
            have come behind it is missing in the list.
    Raises: UsageError: an argument is wrong. ImageError, ModelError: a file is. UnsupportedError: the model is valid,
    but has an operator or a head that this method cannot serve.
    """
    if isinstance(target, list) and not target:
        raise UsageError("target=[]: expected at least one class, or None for the predicted one")
    common, chosen = split_options(options)
    request = prepare_request(
        model if isinstance(model, Model) else load(model),
        plan(method, chosen), layer=layer, score=score, seed=seed, preprocess=preprocess, common=common,
    )  # fmt: skip
    images = image if isinstance(image, list) else [image]
    targets = target if isinstance(target, list) else [target]
    found: list[Explanation] = []
    for each in images:
        try:
            own = explain_image(request, each, targets)
        except KeyboardInterrupt:
            if not (found and common.keep_partial):
                raise
            break
        found += own
        if was_interrupted(own, targets):
            break
    return found if isinstance(image, list) or isinstance(target, list) else found[0]


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
    kind = model.task.kind(steps.score) if score is None else model.task.checked_kind(score)
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise UsageError(f"seed={seed!r}: expected a whole number from 0 to {2**32 - 1}")
    if common.sign is not None and steps.needs_layer:
        raise _no_sign(steps)
    if preprocess is not None:
        model = model.preprocessed(preprocess)
    names = _layer_names(layer)
    layers = tuple(choose_layer(model, steps, name) for name in names) if steps.needs_layer else ()
    for chosen in layers:
        check_positions(model, chosen)
    if not steps.needs_layer and layer is not None:
        raise UsageError(f"method {steps.method.name!r} works on the picture and takes no layer")
    return Request(model, steps, layers, kind, int(seed), common)


def _layer_names(layer: str | Sequence[str] | None) -> list[str | None]:
    if layer is None or isinstance(layer, str):
        return [layer]
    if isinstance(layer, Sequence) and layer and all(isinstance(name, str) for name in layer):
        return list(layer)
    number = f", for its number '#{layer}'" if isinstance(layer, int) else ""
    raise UsageError(f"layer={layer!r}: expected a name{number}, or several names")


def explain_image(request: Request, image: Any, targets: Sequence[TargetSource]) -> list[Explanation]:
    """Return one Explanation per target of one picture."""
    return explain_prepared(request, request.model.prepare(image), targets)


def explain_prepared(request: Request, prepared: Sample, targets: Sequence[TargetSource]) -> list[Explanation]:
    """Return one Explanation per target of a picture that was read and prepared before."""
    numbers = request.model.outputs(prepared.x)
    groups = _together(request, [resolve_target(request.model, target, numbers) for target in targets])
    started, found = time.perf_counter(), list[Explanation]()
    for at, goals in enumerate(groups):
        seconds = _seconds_left(request.common, len(groups) - at, since=started)
        within = replace(request, common=replace(request.common, seconds=seconds))
        try:
            found += _explain_goals(within, prepared, goals, numbers)
        except KeyboardInterrupt:  # before the first draw of this target; those before it are whole
            if not (found and request.common.keep_partial):
                raise
            break
        if found[-1].manifest.get("stopped") == "interrupted":
            break
    return found


def was_interrupted(found: Sequence[Explanation], targets: Sequence[TargetSource]) -> bool:
    """Return whether Ctrl-C ended the explanations of a picture: the last one is partial, or some are not there."""
    return len(found) < len(targets) or found[-1].manifest.get("stopped") == "interrupted"


def _together(request: Request, goals: Sequence[Target]) -> list[list[Target]]:
    """Return the targets in groups that the same runs serve; most methods need runs of their own for each."""
    alike = (
        len(goals) > 1
        and len({(goal.weighted, len(goal.indices)) for goal in goals}) == 1
        and not any(g.program for g in goals)
    )
    if not alike or request.steps.backward or request.steps.inner is not None:
        return [[goal] for goal in goals]
    built = _built(request, request.layers[0] if request.layers else None, goals[0])
    if not isinstance(built, Record):
        return [[goal] for goal in goals]
    from onnxsal.streaming import serves_several

    several = serves_several(built, _settings(request))
    return [list(goals)] if several else [[goal] for goal in goals]


def _explain_goals(request: Request, prepared: Sample, goals: Sequence[Target], numbers: Numbers) -> list[Explanation]:
    started = time.perf_counter()
    by_layer = _run_layers(request, prepared, goals) if request.layers else [_run(request, None, prepared, goals)]
    seconds = round(time.perf_counter() - started, 4)
    return [
        _explained(request, (prepared, numbers, seconds), goal, outcomes)
        for goal, *outcomes in zip(goals, *by_layer, strict=True)
    ]


def _run_layers(request: Request, prepared: Sample, goals: Sequence[Target]) -> list[list[Outcome]]:
    """Return the outcomes of every layer, of every target; an interruption that leaves a map leaves out the rest."""
    started, layers = time.perf_counter(), request.layers
    found: list[list[Outcome]] = []
    for at, layer in enumerate(layers):
        spent = sum(outcomes[0].forwards for outcomes in found)
        left = _shared(request.common, len(layers) - at, spent=spent, since=started)
        try:
            found.append(_run(replace(request, common=left), layer, prepared, goals))
        except UsageError as error:
            if len(layers) == 1 or left.forwards is None:
                raise
            share = f"its share of forwards={request.common.forwards} is {left.forwards}"
            raise UsageError(f"layer {layer.name!r} ({share}): {error}") from error
        except KeyboardInterrupt:  # before the first draw of this layer
            if not (found and "stopped" in found[-1][0].about and left.keep_partial):
                raise
            break
        if found[-1][0].about.get("stopped") == "interrupted":
            break
    return found


def _shared(common: Common, runs: int, *, spent: int, since: float) -> Common:
    """Return the options with an even share of what is left of the limits for each of the ``runs`` to go.

    Args: spent: forwards so far. since: the moment that ``seconds`` count from.
    """
    forwards = None if common.forwards is None else (common.forwards - spent) // runs
    return replace(common, forwards=forwards, seconds=_seconds_left(common, runs, since=since))


def _seconds_left(common: Common, runs: int, *, since: float) -> float | None:
    """Return an even share of what is left of ``seconds`` for each of the ``runs`` to go."""
    return None if common.seconds is None else max(common.seconds - (time.perf_counter() - since), 0.0) / runs


def _explained(
    request: Request, given: tuple[Sample, Numbers, float], goal: Target, outcomes: list[Outcome]
) -> Explanation:
    prepared, numbers, seconds = given
    seen = prepared.seen
    image, box, photo = (None, None, None) if seen is None else (seen.image, seen.box, seen.photo)
    score, logit = request.model.task.shown(goal, numbers)
    sign = _sign(request, outcomes[0].raw)
    maps = [
        _saliency(request, o.raw, sign, layer) for o, layer in zip(outcomes, request.layers or (None,), strict=False)
    ]
    several, names = len(request.layers) > 1, [layer.name for layer in request.layers]
    one = fused(outcomes, maps, names, request.common.fuse) if several else outcomes[0]
    saliency = normalise(one.raw) if several else maps[0]
    manifest = _manifest(request, one, goal, sign) | {"seconds": seconds}
    tests = [note for layer in request.layers for note in said(request.model, layer)]
    notes = [*request.model.notes, *request.model.placement, *tests, *prepared.notes, *one.notes]
    return Explanation(
        saliency=saliency, raw=one.raw, stderr=one.stderr, target=goal.target, label=goal.label,
        score=score, logit=logit, image=image, box=box,
        manifest={**manifest, "notes": notes}, photo=photo, name=prepared.name, sample=prepared,
        modality=request.model.modality.name, task=request.model.task.name,
    )  # fmt: skip


def _built(request: Request, layer: Layer | None, goal: Target) -> Program | Record:
    return build(request.model, request.steps, layer=layer, score=request.model.score(request.score, goal))


def _run(request: Request, layer: Layer | None, prepared: Sample, goals: Sequence[Target]) -> list[Outcome]:
    """Return the outcome of every target."""
    model, built = request.model, _built(request, layer, goals[0])
    if isinstance(built, Record):
        outcomes = _stream(request, (built, layer), prepared, goals)
    else:
        (goal,) = goals
        raw = model.session(built).run({X: prepared.x[None], **goal.feeds})["saliency"][0]
        backwards, notes = int(request.steps.backward), _unused_limits(request)
        outcomes = [Outcome(np.ascontiguousarray(raw, np.float32), None, {}, 1, backwards, notes=notes)]
    if not all(np.isfinite(outcome.raw).all() for outcome in outcomes):
        raise ModelError(f"the map of {request.steps.method.name!r} is not finite (NaN or infinity)")
    case = _case(request, layer, goals[0])
    return [
        noted(outcome, partial(why_empty, case, prepared.x, goal.feeds), unseen(case), rank=len(model.size))
        for goal, outcome in zip(goals, outcomes, strict=True)
    ]


def _case(request: Request, layer: Layer | None, goal: Target) -> Case:
    return Case(request.model, request.steps, request.model.score(request.score, goal), layer)


def _unused_limits(request: Request) -> tuple[str, ...]:
    limits = ("forwards", "seconds", "tolerance")
    given = [name for name in limits if getattr(request.common, name) is not None]
    return (f"{', '.join(given)}: no effect, {request.steps.method.name} runs the model once",) if given else ()


def _settings(request: Request, layer: Layer | None = None) -> Settings:
    from onnxsal.streaming import Limits, Settings  # numba: only methods that draw need it

    model, common = request.model, request.common
    limits = Limits(common.forwards, common.seconds, common.tolerance, common.keep_partial)
    several = len(request.layers) > 1  # they are fused by their saliency
    shown = (lambda raw: _saliency(request, raw, _sign(request, raw), layer)) if several else None
    return Settings(model.session, X, request.seed, request.batch_size, limits, common.progress, shown)


def _stream(
    request: Request, built: tuple[Record, Layer | None], prepared: Sample, goals: Sequence[Target]
) -> list[Outcome]:
    from onnxsal.streaming import Subject, stream_all

    record, layer = built
    why = one_by_one(request.model, prepared.x) if request.batch_size > 1 else None
    settings = _settings(request, layer)
    settings = settings if why is None else replace(settings, batch_size=1)
    subject = Subject(prepared.x, goals[0].feeds, request.model.black())
    results = stream_all(record, subject, [goal.feeds for goal in goals], settings)
    notes = () if (why or _mixed(request.model, record)) is None else (why or MIXES,)
    return [_streamed(request, record, result, len(goals), notes) for result in results]


def _mixed(model: Model, record: Record) -> str | None:
    """Return what is to be said where a program's own batch was found wrong, when it was first run."""
    if isinstance(record.body, Record):
        return _mixed(model, record.body)
    return MIXES if getattr(model.session(record.body), "verdict", None) in ("mixes", "draws") else None


def _streamed(request: Request, record: Record, result: Streamed, targets: int, notes: tuple[str, ...] = ()) -> Outcome:
    about: dict[str, Any] = {"variant": _variant(record), "stopped": result.stopped, "partial": result.partial}
    if targets > 1:
        about["targets_together"] = targets
    if result.batch_size != request.batch_size:
        about |= {"batch_size": result.batch_size, "batch_size_asked": request.batch_size}
    few = few_maps(result.masks) if record.draws.allocation == "neyman" else ()
    if result.partial and result.samples == 0 and record.draws.sampled:
        few = (*few, BEGUN)
    return Outcome(
        np.ascontiguousarray(result.saliency, np.float32), result.stderr, result.numbers, result.rows + result.heads,
        result.rows if request.steps.backward else 0, result.samples, about,
        (*notes, *warnings_of(result.numbers), *few),
        result.shown_stderr,
    )  # fmt: skip


def _sign(request: Request, raw: Floats) -> Sign | None:
    """Pixel maps have a sign to choose, maps of a layer do not; single-colour pictures show it, others do not."""
    if raw.ndim == len(request.model.size):
        if request.common.sign is not None:
            raise _no_sign(request.steps)
        return None
    return request.common.sign or ("signed" if raw.shape[0] == 1 else "absolute")


def _variant(record: Record) -> dict[str, Any]:
    """Return what a record says of itself, and what the one inside it does."""
    inner = _variant(record.body) if isinstance(record.body, Record) else {}
    return inner | dict(record.notes)


def _no_sign(steps: MethodPlan) -> UsageError:
    return UsageError(f"option sign is for maps of pixels; {steps.method.name!r} gives one of a layer")


def _saliency(request: Request, raw: Floats, sign: Sign | None, layer: Layer | None) -> Floats:
    if sign is None:
        return cam_saliency(raw, request.model.size, WHOLE_PICTURE if layer is None else layer.placement)
    return pixel_saliency(raw, sign, request.common.percentile)


def _manifest(request: Request, outcome: Outcome, goal: Target, sign: Sign | None) -> dict[str, Any]:
    from onnxsal.runtime.environment import onnxruntime
    from onnxsal.runtime.providers import described

    model = request.model
    return {
        "method": request.steps.method.name, "paper": request.steps.method.paper,
        "options": request.steps.described(), "model": model.name, "model_sha256": model.digest,
        "layer": _names(request.layers), "target": goal.target, "label": goal.label, "score": request.score,
        "seed": request.seed, "batch_size": request.batch_size, "sign": sign,
        "percentile": request.common.percentile if sign else None,
        "preprocess": None if model.preprocess is None else model.preprocess.described(), **described(model.provider),
        "versions": {"onnxsal": __version__, "onnxruntime": onnxruntime().__version__, "numpy": np.__version__},
        "samples": outcome.samples, "forwards": outcome.forwards, "backwards": outcome.backwards,
        **outcome.about, **outcome.numbers, **_asked(request), **({"repeatable": False} if model.drawn else {}),
    }  # fmt: skip


def _asked(request: Request) -> dict[str, Any]:
    """Return what else a map of several layers depends on, and the limits that end it at the same place again."""
    common = request.common
    limits = {"forwards": common.forwards, "tolerance": common.tolerance}
    given = {name: value for name, value in limits.items() if value is not None}
    asked: dict[str, Any] = {"limits": given} if given else {}
    if request.model.threads is not None:
        asked["threads"] = request.model.threads
    return asked | ({"fuse": common.fuse} if len(request.layers) > 1 else {})


def _names(layers: Sequence[Layer]) -> str | list[str] | None:
    if not layers:
        return None
    return layers[0].name if len(layers) == 1 else [layer.name for layer in layers]


__all__ = [
    "Common",
    "Request",
    "explain",
    "explain_image",
    "explain_prepared",
    "prepare_request",
    "split_options",
    "was_interrupted",
]
