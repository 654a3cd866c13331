"""What ``onnxsal explain`` does: checks first, then picture by picture, files whole or not at all (``cli.stages``)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onnxsal.cli.asked_maps import Asked
from onnxsal.cli.drawings import Drawings
from onnxsal.cli.existing import Outputs
from onnxsal.cli.explanations import INTERRUPTED, Telling
from onnxsal.cli.images import each_once, ids_of, in_folders
from onnxsal.cli.kept import Kept
from onnxsal.cli.opening import notes_of, tell
from onnxsal.cli.outputs import check_outputs, slug
from onnxsal.cli.planning import layers_for, planned
from onnxsal.cli.stages import Stages, Writer, serve
from onnxsal.cli.tables import as_table_of, opened_first, option_of_rows
from onnxsal.cli.text import command_line, many
from onnxsal.cli.words import is_page
from onnxsal.errors import UsageError
from onnxsal.evaluation.journal import key
from onnxsal.explanation.identity import request_identity
from onnxsal.explanation.images import images_at_once
from onnxsal.explanation.method_plan import MethodPlan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.target import looked_at, opened_for_all
from onnxsal.explanation.usual import usual_method
from onnxsal.maps.begun import Begun, begun_in
from onnxsal.maps.write import FolderOfMaps, check_maps, is_parquet, map_writer
from onnxsal.modalities.audio.files import check_sound_file
from onnxsal.modalities.image.images import read_image
from onnxsal.modalities.npy import opened as array_in
from onnxsal.modalities.registry import some_writes, writer_of
from onnxsal.modalities.said import Said
from onnxsal.model import Model
from onnxsal.model.model import digest
from onnxsal.pipeline import ROOM, Bounds, bounds
from onnxsal.tasks.embedding import files_in
from onnxsal.tasks.heads import THING
from onnxsal.viz.colour import colour_table
from onnxsal.viz.save import encoding, is_picture


def explain_all(asked: Asked) -> int:
    """Write and print the explanations of all pictures; return the exit status.

    A picture that cannot be read is reported, and the others are served.
    """
    opened = None if asked.chunks else opened_first(asked)
    if opened is not None and (of_rows := as_table_of(opened, asked.images, asked=option_of_rows(asked))) is not None:
        from onnxsal.cli.actions.explain_rows import explain_rows

        return explain_rows(replace(asked, methods=()) if asked.is_usual else asked, of_rows)
    named = asked.images
    asked = _checked(replace(asked, images=_meant(named)))
    telling = Telling(as_json=asked.as_json)
    if not asked.images:
        telling.close(failed=False)
        return 0
    _check_there(asked.images)
    if asked.ray is not None:
        if asked.chunks:
            raise UsageError("recordings are explained on this machine: leave --ray out")
        from onnxsal.cli.actions.explain_on_cluster import explain_on_cluster

        return explain_on_cluster(asked, asked.ray, ids_of(named, asked.images))
    if asked.actors is not None:
        raise UsageError("--actors says how many workers of a cluster explain: say which cluster (--ray local)")
    recording = asked.chunks.recording(asked.opening.rate) if asked.chunks else None
    plans = None if asked.is_usual else planned(asked.methods, asked.settings)  # what is wrong is said first
    model = _opened(asked, opened)
    asked = _of_usual_method(asked, model)
    if not asked.images:
        telling.close(failed=False)
        return 0
    requests = _requests(asked, model, plans or planned(asked.methods, asked.settings))
    _check_kind(asked, model)
    together = max(map(images_at_once, requests))
    if asked.memory is not None:  # which makes batches smaller, and is no wish for any
        requests = [_bounded(request, asked.memory) for request in requests]
        together = min(together, *(request.batch_size for request in requests))
    tell(notes_of(requests[0].model, () if recording else asked.images))
    targets = tuple(looked_at(requests[0].model, goal) for goal in asked.goals)
    within = _within(asked, requests)
    asked, writer = _writing(asked, requests, ids_of(named, asked.images))
    stages = Stages(
        requests, asked.goals, targets, writer, asked.strict, 1 if recording else together, recording
    )  # fmt: skip
    try:
        return _served(stages, asked, within, telling)
    finally:
        telling.close(failed=sys.exc_info()[0] is not None)


def _meant(named: Sequence[str]) -> tuple[str, ...]:
    """Return the pictures, each once, and tell where some are named more often."""
    several = in_folders(named)
    found = each_once(several)
    if len(found) < len(several):
        tell([f"{many(len(several) - len(found), 'thing')} named more than once: explained once"])
    return found


def _served(stages: Stages, asked: Asked, within: Bounds, telling: Telling) -> int:
    """Serve the pictures; return the exit status."""
    try:
        serve(stages, asked.images, within, telling)
    except KeyboardInterrupt:
        if not (telling.told and stages.requests[0].common.keep_partial):
            raise
        telling.interrupted = True
    if telling.interrupted:
        print("onnxsal: interrupted; what there is so far is written", file=sys.stderr)
        return INTERRUPTED
    tell(stages.requests[0].model.assumed if telling.told else ())
    if isinstance(stages.writer, Kept) and not asked.as_json:
        print(f"{stages.writer.path}\n  {many(stages.writer.maps.rows, 'map')}")
    return int(telling.failed)


def _within(asked: Asked, requests: Sequence[Request]) -> Bounds:
    """Return how much may go on beside the picture that is explained; half of it before, half behind."""
    if len(asked.images) == 1:
        return Bounds(workers=0, items=1)
    if asked.memory is None:
        return bounds()
    from onnxsal.cli.memory import left_beside

    return bounds(room=min(ROOM, *(left_beside(request, asked.memory) // 2 for request in requests)))


def _writing(asked: Asked, requests: Sequence[Request], ids: Mapping[str, str]) -> tuple[Asked, Writer]:
    """Return what is left to do, and what writes it. Args: ids: what data calls the pictures."""
    drawings = Drawings(
        asked.drawing, asked.numbers, asked.methods, asked.kind, asked.colours, asked.effort,
        automatic=not asked.layers, named=asked.output is not None, sounds=asked.sounds,
    )  # fmt: skip
    if asked.out is None:
        return asked, drawings
    dtype = asked.dtype or "float16"
    if is_parquet(asked.out):
        return asked, Kept(map_writer(asked.out, dtype=dtype), asked.out, ids, drawings)
    request = key([request_identity(each) for each in requests], asked.goals, _references(asked))
    begun = begun_in(Path(asked.out), request, dtype) if asked.skip_existing else None
    left = asked if begun is None else _left(asked, begun, ids)
    return left, Kept(FolderOfMaps(asked.out, dtype, request, begun), asked.out, ids, drawings)


def _references(asked: Asked) -> list[str]:
    """Return the hashes of the files that targets name."""
    return [digest(file) for goal in asked.goals for file in files_in(goal) if Path(file).is_file()]


def _left(asked: Asked, begun: Begun, ids: Mapping[str, str]) -> Asked:
    """Return what is left to do where maps are there; those of pictures that are done again are taken away."""
    drawn = _outputs(asked)
    left = tuple(
        image for image in asked.images
        if not (drawn.is_done(image) and begun.is_done(ids[image], asked.goals, asked.methods))
    )  # fmt: skip
    begun.take_away([ids[image] for image in left])
    return _told_left(asked, left)


def _outputs(asked: Asked) -> Outputs:
    return Outputs(asked.drawing, asked.numbers, asked.methods, asked.goals, asked.sounds)


def _told_left(asked: Asked, left: tuple[str, ...]) -> Asked:
    if len(left) < len(asked.images):
        tell([f"--skip-existing: {len(asked.images) - len(left)} of {len(asked.images)} are done already"])
    return replace(asked, images=left)


def _check_there(paths: Sequence[str]) -> None:
    """Raise ImageError where nothing is there of all that is named, before the model is opened for it.

    A bare word may be one of a text.
    """
    if not any(isinstance(path, Said) or not Path(path).suffix or Path(path).exists() for path in paths):
        read_image(array_in(paths[0]))  # which says what is wrong, an address or a name that is nearly right


def _checked(asked: Asked) -> Asked:
    """Return it with the pictures that are to be served, all being well that can be known before the model is loaded.

    Raises: UsageError, OutputError: it is not.
    """
    if not asked.skip_existing:
        _check_files(asked)
        return asked
    if asked.out is not None and is_parquet(asked.out):
        raise UsageError(
            "--skip-existing goes on in a folder of maps (--out FOLDER/); a Parquet file has its name once it is "
            f"whole, and is written anew: {asked.out!r}"
        )
    outputs = _outputs(asked)
    asked = replace(asked, images=outputs.without_own(asked.images))
    _check_files(asked)  # of all pictures: two of one name would be taken for done by each other's file
    return asked if asked.out is not None else _told_left(asked, outputs.left(asked.images))


def _check_files(asked: Asked) -> None:
    """Everything about output that can be known before the model is loaded."""
    joined, goals = "+".join(asked.methods), [slug(goal) for goal in asked.goals]
    paths = [] if asked.drawing is None else asked.drawing.fill_all(asked.images, [joined], goals)
    numbers = [] if asked.numbers is None else asked.numbers.fill_all(asked.images, asked.methods, goals)
    sounds = [] if asked.sounds is None else asked.sounds.fill_all(asked.images, asked.methods, goals)
    references = [file for goal in asked.goals for file in files_in(goal)]
    data = [] if asked.out is None or not is_parquet(asked.out) else [Path(asked.out)]
    check_outputs([*paths, *numbers, *sounds, *data], [*asked.opening.files, *asked.images, *references])
    for path in paths:
        if not is_page(path):
            _check_picture(path, asked)
    for path in sounds:
        check_sound_file(path)
    if asked.out is not None:
        check_maps(asked.out, again=asked.skip_existing)
    elif asked.dtype is not None:
        raise UsageError("--dtype says what maps are kept in as data: name a file for them (--out maps.parquet)")
    if asked.colours is not None:
        colour_table(asked.colours)


def _check_picture(path: Path, asked: Asked) -> None:
    """Raise UsageError unless a picture is written so, or some modality writes a map so, which is one."""
    try:
        encoding(path, asked.effort)
    except UsageError:
        if is_picture(path) or not some_writes(path):
            raise
        if len(asked.methods) > 1:
            raise UsageError(f"{str(path)!r} holds one map: of several methods name a picture, or --npz") from None


def _check_kind(asked: Asked, model: Model) -> None:
    """Raise UsageError where maps are to be written as files that the modality of the model does not write."""
    name = "" if asked.drawing is None else asked.drawing.text
    if name and not is_picture(name) and not is_page(Path(name)) and writer_of(model.modality.name, name) is None:
        encoding(name)


def _kept(asked: Asked) -> dict[str, str]:
    """On a command line nothing runs behind the map that Ctrl-C would have to end as well: it gives the map so far.

    Unless it would be taken for a whole one that is done already.
    """
    return {"keep_partial": "false" if asked.skip_existing else "true"}


def _opened(asked: Asked, opened: Model | None) -> Model:
    steps = asked.chunks.chunk if asked.chunks.axis is None else None  # what has several axes has none of its own
    if opened is None:
        opened = (asked.opening if steps is None else asked.opening.of_length(steps))()
    named = replace(opened, question=opened.question.replace(f" {THING} ", f" {command_line(asked.images[:1])} "))
    return opened_for_all(named, asked.goals)


def _of_usual_method(asked: Asked, model: Model) -> Asked:
    """Return it with the method that is usual for the model where none was named, which names of files may tell."""
    if not asked.is_usual:
        return asked
    usual = usual_method(model, layer=bool(asked.layers))
    tell(usual.notes)
    return asked if asked.methods == (usual.name,) else _checked(replace(asked, methods=(usual.name,)))


def _requests(asked: Asked, model: Model, plans: Sequence[tuple[MethodPlan, dict[str, str]]]) -> list[Request]:
    layers = layers_for(asked.layers, [steps for steps, _ in plans])
    requests = [
        prepare_request(
            model, steps, layer=layer, score=asked.score, seed=asked.seed, preprocess=None,
            common=split_options(_kept(asked) | common)[0],
        )
        for (steps, common), layer in zip(plans, layers, strict=True)
    ]  # fmt: skip
    return requests


def _bounded(request: Request, memory: int) -> Request:
    from onnxsal.cli.memory import batch_size

    return replace(request, common=replace(request.common, batch_size=batch_size(request, memory)))
