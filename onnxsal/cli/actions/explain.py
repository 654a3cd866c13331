"""What ``onnxsal explain`` does: checks first, then picture by picture, files whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onnxsal.cli.explanations import INTERRUPTED, Result, as_document, as_text
from onnxsal.cli.opening import Opening, notes_of, tell
from onnxsal.cli.outputs import Template, check_outputs, default_template, slug
from onnxsal.cli.planning import planned
from onnxsal.cli.progress import Progress
from onnxsal.cli.text import command_line
from onnxsal.errors import ImageError, UsageError
from onnxsal.explanation import Explanation
from onnxsal.explanation.figure import Kind, compare
from onnxsal.explanation.method_plan import MethodPlan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.run import explain_image, was_interrupted
from onnxsal.explanation.target import TargetSource, looked_at, opened_for_all
from onnxsal.modalities.image.images import read_image
from onnxsal.modalities.npy import opened as array_in
from onnxsal.tasks.detection.task import ALL
from onnxsal.tasks.embedding import files_in
from onnxsal.tasks.heads import THING
from onnxsal.viz.colour import colour_table
from onnxsal.viz.save import image_format, save_image


@dataclass(frozen=True)
class Asked:
    """The command line of ``onnxsal explain``."""

    model: str
    images: tuple[str, ...]
    methods: tuple[str, ...]
    targets: tuple[str, ...]
    layers: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    output: str | None
    npz: str | None
    kind: Kind
    colours: str | None
    score: str | None
    seed: int
    memory: int | None
    opening: Opening
    """What the model is opened with."""
    as_json: bool
    seen: tuple[TargetSource, ...] = ()
    """The targets, with the references in them as the model sees these."""

    @property
    def goals(self) -> tuple[str | None, ...]:
        """The targets as they were written; None is the predicted class."""
        return self.targets or (None,)

    @property
    def drawing(self) -> Template:
        """The names of the pictures."""
        return default_template(self.goals) if self.output is None else Template(self.output, "-o")

    @property
    def numbers(self) -> Template | None:
        """The names of the files of numbers."""
        return None if self.npz is None else Template(self.npz, "--npz")


def explain_all(asked: Asked) -> int:
    """Write and print the explanations of all pictures; return the exit status.

    A picture that cannot be read is reported, and the others are served.
    """
    _check_files(asked)
    _check_there(asked.images)
    requests = _requests(asked, planned(asked.methods, asked.settings))
    tell(notes_of(requests[0].model, asked.images))
    asked = replace(asked, seen=tuple(looked_at(requests[0].model, goal) for goal in asked.goals))
    results: list[Result] = []
    try:
        return _all_served(asked, requests, results)
    finally:
        if asked.as_json and (results or sys.exc_info()[0] is None):
            print(as_document(results))  # also of those before a failure: their files are there


def _check_there(paths: Sequence[str]) -> None:
    """Raise ImageError where nothing is there of all that is named, before the model is opened for it."""
    if not any(Path(path).exists() for path in paths):
        read_image(array_in(paths[0]))  # which says what is wrong, an address or a name that is nearly right


def _all_served(asked: Asked, requests: Sequence[Request], results: list[Result]) -> int:
    """Serve the pictures one by one, into ``results``; return the exit status."""
    failed = 0
    for image in asked.images:
        try:
            results += _served(asked, requests, image)
        except ImageError as error:
            if len(asked.images) == 1:
                raise
            print(f"onnxsal: {error}", file=sys.stderr)
            failed = 1
        except KeyboardInterrupt:
            if not (results and requests[0].common.keep_partial):
                raise
            results[-1] = replace(results[-1], interrupted=True)
        if results and results[-1].interrupted:
            print("onnxsal: interrupted; what there is so far is written", file=sys.stderr)
            return INTERRUPTED
    tell(requests[0].model.assumed if results else ())
    return failed


def _served(asked: Asked, requests: Sequence[Request], image: str) -> list[Result]:
    found = _serve(asked, requests, image)
    if not asked.as_json:
        print("\n".join(line for result in found for line in as_text(result)), flush=True)
    return found


def _check_files(asked: Asked) -> None:
    """Everything about output that can be known before the model is loaded."""
    joined, goals = "+".join(asked.methods), [slug(goal) for goal in asked.goals]
    paths = asked.drawing.fill_all(asked.images, [joined], goals)
    numbers = [] if asked.numbers is None else asked.numbers.fill_all(asked.images, asked.methods, goals)
    references = [file for goal in asked.goals for file in files_in(goal)]
    check_outputs([*paths, *numbers], [*asked.opening.files, *asked.images, *references])
    for path in paths:
        image_format(path)
    if asked.colours is not None:
        colour_table(asked.colours)


_KEPT = {"keep_partial": "true"}
"""On a command line nothing runs behind the map that Ctrl-C would have to end as well: it gives the map so far."""


def _requests(asked: Asked, plans: Sequence[tuple[MethodPlan, dict[str, str]]]) -> list[Request]:
    opened = asked.opening()
    named = replace(opened, question=opened.question.replace(f" {THING} ", f" {command_line(asked.images[:1])} "))
    model = opened_for_all(named, asked.goals)
    requests = []
    served = any(steps.needs_layer for steps, _ in plans)  # where none takes a layer, the first one refuses it
    for steps, common in plans:
        layers = asked.layers if steps.needs_layer or not served else ()
        request = prepare_request(
            model, steps, layer=_names(layers), score=asked.score, seed=asked.seed, preprocess=None,
            common=split_options(_KEPT | common)[0],
        )  # fmt: skip
        requests.append(request)
    return requests if asked.memory is None else [_bounded(request, asked.memory) for request in requests]


def _names(layers: Sequence[str]) -> str | list[str] | None:
    if not layers:
        return None
    return layers[0] if len(layers) == 1 else list(layers)


def _bounded(request: Request, memory: int) -> Request:
    from onnxsal.cli.memory import batch_size

    return replace(request, common=replace(request.common, batch_size=batch_size(request, memory)))


def _serve(asked: Asked, requests: Sequence[Request], image: str) -> list[Result]:
    """Explain one picture by every method for every target, then write; nothing is written if anything fails.

    Ctrl-C leaves fewer methods, and of the last one fewer targets.
    """
    maps, interrupted = _explained(requests, image, asked.seen)
    tell(_image_notes(requests[0], maps), Path(image).name)
    goals = _goals(asked.goals, len(maps[0]))
    if len(goals) > len(asked.goals) and "target" not in asked.drawing.fields:
        raise UsageError(f"-t {ALL} gives {len(goals)} pictures: tell them apart with {{target}} in -o")
    rows = [
        [(request, found[at]) for request, found in zip(requests, maps, strict=False) if at < len(found)]
        for at in range(len(maps[0]))
    ]
    made = [_write(asked, image, goal, row) for goal, row in zip(goals, rows, strict=False)]
    return [replace(result, interrupted=interrupted) for result in made]


def _goals(goals: Sequence[str | None], found: int) -> list[str | None]:
    """Return the target of each explanation; one that stands for several is numbered."""
    more = found - len(goals)
    several = [at for at, goal in enumerate(goals) if (goal or "").strip() == ALL]
    if not several:
        return list(goals)
    at = several[0]
    return [*goals[:at], *(f"{ALL}-{k}" for k in range(1, more + 2)), *goals[at + 1 :]]


def _explained(
    requests: Sequence[Request], image: str, targets: Sequence[TargetSource]
) -> tuple[list[list[Explanation]], bool]:
    """Return the explanations by method, and whether Ctrl-C ended them.

    Raises: KeyboardInterrupt: nothing can be shown yet, or what is unfinished is not wanted.
    """
    maps: list[list[Explanation]] = []
    for request in requests:
        try:
            maps.append(_explain(request, image, targets))
        except KeyboardInterrupt:
            if not (maps and request.common.keep_partial):
                raise
            return maps, True
        if was_interrupted(maps[-1], targets):
            return maps, True
    return maps, False


def _image_notes(request: Request, maps: Sequence[Sequence[Explanation]]) -> list[str]:
    notes = [note for row in maps for explanation in row for note in explanation.manifest["notes"]]
    return [note for note in dict.fromkeys(notes) if note not in request.model.notes]


def _explain(request: Request, image: str, targets: Sequence[TargetSource]) -> list[Explanation]:
    progress = Progress(f"{Path(image).name} · {request.steps.method.name}")
    shown = replace(request, common=replace(request.common, progress=progress))
    try:
        return explain_image(shown, image, targets)
    finally:
        progress.close()


def _write(asked: Asked, image: str, goal: str | None, made: Sequence[tuple[Request, Explanation]]) -> Result:
    explanations = [explanation for _, explanation in made]
    name = slug(goal if goal is not None else explanations[0].label)
    drawing = asked.drawing.fill(image, "+".join(asked.methods), name)
    numbers = []
    if asked.numbers is not None:
        numbers = [asked.numbers.fill(image, request.steps.method.name, name) for request, _ in made]
        for path, explanation in zip(numbers, explanations, strict=True):
            explanation.to_npz(path)
    if not explanations[0].is_drawn:
        numbers = numbers or _written(explanations, drawing)
        tell(
            [f"a map of {explanations[0].saliency.ndim} axes is no picture: it is written as numbers"], Path(image).name
        )
    else:
        _draw(asked, explanations, drawing)
    shown = drawing if explanations[0].is_drawn else numbers[0]
    return Result(image, str(shown), tuple(map(str, numbers)), tuple(made), automatic=not asked.layers)


def _written(explanations: Sequence[Explanation], drawing: Path) -> list[Path]:
    """Write the numbers of maps that are no pictures in place of these; return the files."""
    several = len(explanations) > 1
    paths = [drawing.with_suffix(f".{e.method}.npz" if several else ".npz") for e in explanations]
    for path, explanation in zip(paths, explanations, strict=True):
        explanation.to_npz(path)
    return paths


def _draw(asked: Asked, explanations: Sequence[Explanation], path: Path) -> None:
    if len(explanations) == 1:
        explanations[0].save(path, kind=asked.kind, colours=asked.colours)
        return
    save_image(np.asarray(compare(explanations, kind=asked.kind, colours=asked.colours)), path)
