"""Running a request on a picture: its targets in groups, each over its layers, and what comes out as Explanations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import Layer, X
from onnxsal.errors import ModelError, UsageError
from onnxsal.explanation.baselines import of_sample
from onnxsal.explanation.build import build, build_layers, map_of
from onnxsal.explanation.empty_maps import Case, unseen, why_empty
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.forward import Forward, forward
from onnxsal.explanation.limits import seconds_left, share_of_limits, unused_limits
from onnxsal.explanation.manifest import manifest_of, variant_of
from onnxsal.explanation.method_plan import FUSE
from onnxsal.explanation.outcome import BEGUN, Outcome, few_maps, fused, noted, warnings_of
from onnxsal.explanation.request import Request, no_sign, request_for
from onnxsal.explanation.target import TargetSource, resolve_target
from onnxsal.graph import Program
from onnxsal.kernels.placement import WHOLE_IMAGE
from onnxsal.modalities.nouns import nouns_of, spoken
from onnxsal.model import Model, Sample
from onnxsal.model.batch_check import MIXES, one_by_one
from onnxsal.model.positions import said
from onnxsal.model.rounded import rounded_notes
from onnxsal.records import Record
from onnxsal.tasks import Numbers, Target
from onnxsal.viz.maps import Sign, cam_saliency, normalise, pixel_saliency

if TYPE_CHECKING:
    from onnxsal.streaming import Settings, Streamed

Floats = NDArray[np.float32]

_Group = tuple[Request, list[Target], Forward]
"""Targets that the same runs serve, the request on the model that answers them, and what that gave for the picture."""


def explain_image(request: Request, image: Any, targets: Sequence[TargetSource]) -> list[Explanation]:
    """Return one Explanation per target of one picture."""
    own, prepared = read_fitted(request, image)
    return explain_prepared(own, prepared, targets)


def read_fitted(request: Request, image: Any) -> tuple[Request, Sample]:
    """Return the request on the model that takes a picture, and the picture as that takes it."""
    fitting = request.fitting(image)
    return fitting.request, fitting.request.model.prepare(fitting.thing)


class Clean(NamedTuple):
    """What a model put out for a value x that it was run on before."""

    model: Model
    x: Floats
    numbers: Numbers

    def of(self, model: Model, x: Floats) -> Numbers | None:
        """Return it where it is of this model and this value, by identity; else None."""
        return self.numbers if model is self.model and x is self.x else None


def explain_prepared(
    request: Request, prepared: Sample, targets: Sequence[TargetSource], clean: Clean | None = None
) -> list[Explanation]:
    """Return one Explanation per target of a picture that was read and prepared before.

    Args: clean: a run of the picture as it is; where there is none, or it is of another model, it is run here.
    """
    groups = _grouped(request, prepared, targets, clean)
    started, found = time.perf_counter(), list[Explanation]()
    for at, (own, goals, seen) in enumerate(groups):
        seconds = seconds_left(request.common, len(groups) - at, since=started)
        within = replace(own, common=replace(request.common, seconds=seconds))
        try:
            found += explain_goals(within, prepared, goals, seen)
        except KeyboardInterrupt:  # before the first draw of this target; those before it are whole
            if not (found and request.common.keep_partial):
                raise
            break
        if found[-1].manifest.get("stopped") == "interrupted":
            break
    return found


def goals_of(request: Request, seen: Forward, targets: Sequence[TargetSource]) -> list[Target]:
    """Return what targets mean for a picture."""
    task, labels = request.model.task, request.model.labels
    each = [one for target in targets for one in task.several(target, seen.numbers, labels)]
    return [task.aimed(resolve_target(request.model, one, seen.numbers, seen.sample), request.score) for one in each]


def was_interrupted(found: Sequence[Explanation], targets: Sequence[TargetSource]) -> bool:
    """Return whether Ctrl-C ended the explanations of a picture: the last one is partial, or some are not there."""
    return len(found) < len(targets) or found[-1].manifest.get("stopped") == "interrupted"


def serves_all(request: Request, prepared: Sample, targets: Sequence[TargetSource]) -> bool:
    """Return whether the same runs make the maps of all of several targets, one each."""
    if len(targets) < 2 or _need_own_runs(request):
        return False
    groups = _grouped(request, prepared, targets)
    return len(groups) == 1 and len(groups[0][1]) == len(targets)


def _need_own_runs(request: Request) -> bool:
    """Return whether a method needs runs for each target, whatever the targets are."""
    return request.steps.backward or request.steps.inner is not None


def _grouped(
    request: Request, prepared: Sample, targets: Sequence[TargetSource], clean: Clean | None = None
) -> list[_Group]:
    """Return the targets in groups that the same runs serve, each with the request on the model that answers it."""
    found = list[_Group]()
    for own, several in by_request(request, targets):
        seen = forward(own, prepared, None if clean is None else clean.of(own.model, prepared.x), several)
        found += [(own, group, seen) for group in _together(own, goals_of(own, seen, several))]
    return found


def by_request(request: Request, targets: Sequence[TargetSource]) -> list[tuple[Request, list[TargetSource]]]:
    """Return neighbours that the same model answers together."""
    found = list[tuple[Request, list[TargetSource]]]()
    for target in targets:
        own = request_for(request, target)
        if found and found[-1][0].model.anatomy is own.model.anatomy:
            found[-1][1].append(target)
        else:
            found.append((own, [target]))
    return found


def _together(request: Request, goals: Sequence[Target]) -> list[list[Target]]:
    """Return the targets in groups that the same runs serve; most methods need runs of their own for each."""
    alike = (
        len(goals) > 1
        and len({(goal.weighted, len(goal.indices), goal.kind) for goal in goals}) == 1
        and not any(g.program for g in goals)
    )
    if not alike or _need_own_runs(request):
        return [[goal] for goal in goals]
    built = _built(request, request.layers[0] if request.layers else None, goals[0])
    if not isinstance(built, Record):
        return [[goal] for goal in goals]
    from onnxsal.streaming import serves_several, targets_at_once

    most = targets_at_once(built, request.model.size) if serves_several(built, _settings(request)) else 1
    return [list(goals[at : at + most]) for at in range(0, len(goals), most)]


@dataclass(frozen=True)
class _Explained:
    """What the explanations of a group of targets have in common."""

    sample: Sample
    numbers: Numbers
    """What the model puts out for the sample."""
    seconds: float
    """That the group took."""


def explain_goals(request: Request, prepared: Sample, goals: Sequence[Target], seen: Forward) -> list[Explanation]:
    started = time.perf_counter()
    if seen.serves(request.model, request.score, goals[0]):
        by_layer = _of_forward(request, seen, goals)
        started -= seen.took(goals[0])
    elif request.layers:
        by_layer = _run_layers(request, prepared, goals)
    else:
        by_layer = [_run(request, None, prepared, goals)]
    group = _Explained(prepared, seen.numbers, round(time.perf_counter() - started, 4))
    return [_explained(request, group, goal, outcomes) for goal, *outcomes in zip(goals, *by_layer, strict=True)]


def _of_forward(request: Request, seen: Forward, goals: Sequence[Target]) -> list[list[Outcome]]:
    """Return the outcome of every layer, or of the pixels alone, from the forward that predicted."""
    (goal,) = goals
    maps = seen.maps(request, goal)
    outcomes = [_whole(request, raw[0], counted=at == 0) for at, raw in enumerate(maps)]
    layers, score = request.layers or (None,), seen.score(request.model, request.score, goal)
    cases = [Case(request.model, request.steps, score, layer) for layer in layers]
    return _all_noted(request, cases, seen.sample, goal, outcomes)


def _run_layers(request: Request, prepared: Sample, goals: Sequence[Target]) -> list[list[Outcome]]:
    """Return the outcomes of every layer, of every target; an interruption that leaves a map leaves out the rest."""
    together = _run_at_once(request, prepared, goals) if len(request.layers) > 1 else None
    if together is not None:
        return together
    started, layers = time.perf_counter(), request.layers
    found: list[list[Outcome]] = []
    for at, layer in enumerate(layers):
        spent = sum(outcomes[0].forwards for outcomes in found)
        left = share_of_limits(request.common, len(layers) - at, spent=spent, since=started)
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


def _explained(request: Request, group: _Explained, goal: Target, outcomes: list[Outcome]) -> Explanation:
    """Return the explanation of one target. Args: outcomes: of its layers, or of the pixels alone."""
    prepared, seen = group.sample, group.sample.seen
    image, box, photo = (None, None, None) if seen is None else (seen.image, seen.box, seen.photo)
    score, logit = _scored(request, group, goal)
    sign = sign_of(request, outcomes[0].raw)
    maps = [
        saliency_of(request, o.raw, sign, layer) for o, layer in zip(outcomes, request.layers or (None,), strict=False)
    ]
    several, names = len(request.layers) > 1, [layer.name for layer in request.layers]
    one = fused(outcomes, maps, names, request.common.fuse or FUSE) if several else outcomes[0]
    saliency = normalise(one.raw) if several else maps[0]
    manifest = manifest_of(request, one, goal, sign) | {"seconds": group.seconds}
    tests = [note for layer in request.layers for note in said(request.model, layer)]
    through = () if prepared.row is None else rounded_notes(request.model.anatomy)
    notes = [*request.model.notes, *request.model.placement, *tests, *prepared.notes, *through, *_assumed(goal),
             *goal.notes, *_not_told_apart(request, group, goal), *one.notes]  # fmt: skip
    return Explanation(
        saliency=saliency, raw=one.raw, stderr=one.stderr, target=goal.target, label=goal.label,
        score=score, logit=logit, image=image, box=box,
        manifest={**manifest, "notes": notes}, photo=photo, name=prepared.name, sample=prepared,
        modality=request.model.modality.name, task=request.model.task.name, detection=goal.about.get("detection"),
        placement=request.layers[0].placement if len(request.layers) == 1 else WHOLE_IMAGE,
    )  # fmt: skip


def _not_told_apart(request: Request, group: _Explained, goal: Target) -> list[str]:
    """Return what is to be said of a method that hardly tells one object from another of its label."""
    method = request.steps.innermost.method
    others = request.model.task.alike(goal, group.numbers) if method.pools else 0
    if not others:
        return []
    return [
        f"{method.name!r} weighs each feature map as a whole, so that its map of one {goal.label!r} shows others too, "
        f"and {others} more {'is' if others == 1 else 'are'} detected: layercam, hirescam, occlusion and gradients "
        "tell them apart"
    ]


def _assumed(goal: Target) -> list[str]:
    """Return what was assumed of where a target is asked for."""
    region = goal.about.get("region", [])
    places = region if isinstance(region, list) else [region]
    return list(dict.fromkeys(each["assumed"] for each in places if "assumed" in each))


def _scored(request: Request, group: _Explained, goal: Target) -> tuple[float, float]:
    """Return what an Explanation calls score and logit; of a program both are what it gives."""
    if goal.program is None:
        return request.model.task.shown(goal, group.numbers)
    value = float(request.model.session(goal.program).run({X: group.sample.x[None]})["score"][0])
    return value, value


def _built(request: Request, layer: Layer | None, goal: Target) -> Program | Record:
    return build(request.model, request.steps, layer=layer, score=request.model.score(request.score, goal))


def _run(request: Request, layer: Layer | None, prepared: Sample, goals: Sequence[Target]) -> list[Outcome]:
    """Return the outcome of every target."""
    model, built = request.model, _built(request, layer, goals[0])
    if isinstance(built, Record):
        outcomes = _stream(request, built, layer, prepared, goals)
    else:
        (goal,) = goals
        raw = model.session(built).run({X: prepared.x[None], **goal.feeds})["saliency"][0]
        outcomes = [_whole(request, raw)]
    return _noted(_case(request, layer, goals[0]), prepared, goals, outcomes)


def _run_at_once(request: Request, prepared: Sample, goals: Sequence[Target]) -> list[list[Outcome]] | None:
    """Return the outcome of every layer from one run of the model; None where the method draws samples."""
    model, layers = request.model, request.layers
    score = model.score(request.score, goals[0])
    built = build_layers(model, request.steps, layers=layers, score=score)
    if built is None:
        return None
    (goal,) = goals
    maps = model.session(built).run({X: prepared.x[None], **goal.feeds})
    outcomes = [_whole(request, maps[map_of(at)][0], counted=at == 0) for at in range(len(layers))]
    cases = [_case(request, layer, goal) for layer in layers]
    return _all_noted(request, cases, prepared, goal, outcomes)


def _whole(request: Request, raw: Floats, *, counted: bool = True) -> Outcome:
    """Return the outcome of a method that runs once; counted with the first of its layers."""
    forwards, backwards = int(counted), int(counted and request.steps.backward)
    raw = np.ascontiguousarray(raw, np.float32)
    return Outcome(raw, None, {}, forwards, backwards, notes=unused_limits(request))


def _all_noted(
    request: Request, cases: Sequence[Case], prepared: Sample, goal: Target, outcomes: Sequence[Outcome]
) -> list[list[Outcome]]:
    """Return the outcomes of several layers, noted; a level of a pyramid that has no share is not asked why."""
    others = request.common.fuse == "max" and any((each.raw > 0).any() for each in outcomes)
    return [
        [each] if others and not each.raw.any() else _noted(case, prepared, [goal], [each])
        for case, each in zip(cases, outcomes, strict=True)
    ]


def _noted(case: Case, prepared: Sample, goals: Sequence[Target], outcomes: list[Outcome]) -> list[Outcome]:
    """Return outcomes with what is to be said of empty maps. Raises: ModelError: one is not finite."""
    if not all(np.isfinite(outcome.raw).all() for outcome in outcomes):
        raise ModelError(f"the map of {case.steps.method.name!r} is not finite (NaN or infinity)")
    return [
        noted(
            outcome,
            partial(why_empty, case, prepared.x, goal.feeds),
            unseen(case),
            rank=len(case.model.size),
            of_layer=case.layer is not None,
        )
        for goal, outcome in zip(goals, outcomes, strict=True)
    ]


def _case(request: Request, layer: Layer | None, goal: Target) -> Case:
    return Case(request.model, request.steps, request.model.score(request.score, goal), layer)


def _settings(request: Request, layer: Layer | None = None) -> Settings:
    from onnxsal.streaming import Limits, Settings  # numba: only methods that draw need it

    model, common = request.model, request.common
    limits = Limits(common.forwards, common.seconds, common.tolerance, common.keep_partial)
    several = len(request.layers) > 1  # they are fused by their saliency
    shown = (lambda raw: saliency_of(request, raw, sign_of(request, raw), layer)) if several else None
    return Settings(model.session, X, request.seed, request.batch_size, limits, common.progress, shown)


def _stream(
    request: Request, record: Record, layer: Layer | None, prepared: Sample, goals: Sequence[Target]
) -> list[Outcome]:
    """Return the outcome of a record's draws for every target."""
    from onnxsal.streaming import Subject, stream_all

    record = of_sample(record, prepared)
    why = one_by_one(request.model, prepared.x) if request.batch_size > 1 else None
    settings = _settings(request, layer)
    settings = settings if why is None else replace(settings, batch_size=1)
    subject = Subject(prepared.x, goals[0].feeds, request.model.black())
    results = stream_all(record, subject, [goal.feeds for goal in goals], settings)
    mixed = why or _mixed(request.model, record)
    notes = () if mixed is None else (spoken(mixed, nouns_of(request.model.modality.name)),)
    return [_streamed(request, record, result, len(goals), notes) for result in results]


def _mixed(model: Model, record: Record) -> str | None:
    """Return what is to be said where a program's own batch was found wrong, when it was first run."""
    if isinstance(record.body, Record):
        return _mixed(model, record.body)
    return MIXES if getattr(model.session(record.body), "verdict", None) in ("mixes", "draws") else None


def _streamed(request: Request, record: Record, result: Streamed, targets: int, notes: tuple[str, ...] = ()) -> Outcome:
    about: dict[str, Any] = {"variant": variant_of(record), "stopped": result.stopped, "partial": result.partial}
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


def sign_of(request: Request, raw: Floats) -> Sign | None:
    """Pixel maps have a sign to choose, maps of a layer do not; single-colour pictures show it, others do not."""
    if raw.ndim == len(request.model.size):
        if request.common.sign is not None:
            raise no_sign(request.steps, request.model)
        return None
    return request.pixel_sign(raw.shape[0])


def saliency_of(request: Request, raw: Floats, sign: Sign | None, layer: Layer | None) -> Floats:
    if sign is None:
        return cam_saliency(raw, request.model.size, WHOLE_IMAGE if layer is None else layer.placement)
    return pixel_saliency(raw, sign, request.common.percentile)
