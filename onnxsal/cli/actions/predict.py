"""What ``onnxsal predict`` does: top classes as bars, or the presets side by side where none is known."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from onnxsal.cli.actions.sizes import Size, shown, tried_sizes
from onnxsal.cli.images import short
from onnxsal.cli.opening import Opening, tell
from onnxsal.cli.outputs import Template, check_outputs
from onnxsal.cli.text import bar, command_line, percent, table, width, wrapped
from onnxsal.errors import ImageError, OnnxsalError, UsageError
from onnxsal.explanation.explanation import finite
from onnxsal.explanation.target import placed_in
from onnxsal.modalities.frame import Frame
from onnxsal.modalities.image import try_presets
from onnxsal.modalities.image.modality import known
from onnxsal.model import Model, Prediction, Sample
from onnxsal.model.input_size import is_assumed
from onnxsal.tasks.dense import RegionPrediction
from onnxsal.tasks.detection import BoxPrediction
from onnxsal.tasks.task import Floats, Numbers
from onnxsal.viz.boxes import DrawnBox, draw_boxes
from onnxsal.viz.regions import Drawn, Mask, draw_regions
from onnxsal.viz.save import image_format, save_image

Found = TypeVar("Found")
Tried = dict[str, list[Prediction]]

_NO_SIZE = "Nor does it say their size: with --preprocess named, this command shows what it sees at the likely ones."

_SIDE_BY_SIDE = 3
"""Classes shown of each preset, one less on a narrow terminal."""

_ROOMY = 100


def drawings(output: str | None, images: Sequence[str], opening: Opening) -> dict[str, Path]:
    """Return the picture to write of each image, checked before anything is loaded; none where none is asked for."""
    if output is None:
        return {}
    template = Template(output, "-o")
    for field in ("method", "target"):
        if field in template.fields:
            raise UsageError(f"-o {output!r}: predict fills in {{stem}} and {{folder}}; {{{field}}} is of explain")
    paths = template.fill_all(images, [""], [""])
    check_outputs(paths, [*opening.files, *images])
    for path in paths:
        image_format(path)
    return dict(zip(images, paths, strict=True))


def predict_all(
    model: Model, images: Sequence[str], top: int | None, *, as_json: bool, pictures: Mapping[str, Path] | None = None
) -> int:
    """Print what the model sees in every picture, such as the most probable classes; return the exit status.

    Args: pictures: where to draw it, by image.
    """
    if pictures and not (model.task.has_regions or model.task.has_boxes):
        raise UsageError(
            f"-o draws regions and boxes, and {Path(model.name).name} is of the task {model.task.name!r}, which has "
            "none: leave it out, or see where the model looked with onnxsal explain"
        )
    found, status = _each(images, lambda image: _seen(model, image, top))
    drawn = {
        image: str(_draw(seen, path, boxes=model.task.has_boxes))
        for image, seen in found
        if (path := (pictures or {}).get(image))
    }
    tell(model.assumed if found else ())
    alike = model.task.compared([seen.numbers for _, seen in found]) if len(found) > 1 else None
    if as_json:
        results = [
            {"image": i, **_listed(seen, model)}
            | ({"picture": drawn[i]} if i in drawn else {})
            | _plain_sizes(seen.sizes)
            for i, seen in found
        ]
        more = {} if alike is None else {"alike": alike.tolist()}
        print(_document(model, results, **more))
        return status
    heading = ""
    for image, seen in found:
        if seen.heading != heading:  # which tells shapes, and those of a longer sound are others
            heading = seen.heading
            print("\n".join(wrapped(heading, 0)))
        written = [f"  {drawn[image]}"] if image in drawn else []
        tell(seen.sample.notes if seen.sample.text is not None else (), short(image))  # that it was cut, or is unknown
        print("\n".join([short(image), *(bars_of(seen.classes) or [f"  {seen.why}"]), *written]))
        if seen.sizes:
            print("\n".join(_sizes(model, seen.sizes)))
    if alike is not None:
        print("\n".join(_alike([image for image, _ in found], alike)))
    tell([model.task.how] if model.task.how else [])
    return status


@dataclass(frozen=True)
class _Seen:
    """What the model sees in a picture, and why where that is nothing."""

    heading: str
    sample: Sample
    numbers: Numbers
    classes: list[Prediction]
    why: str
    nearest: Prediction | None
    """What comes nearest to being seen where nothing is."""
    sizes: Mapping[Size, list[Prediction]]
    """What it sees at the likely sizes, where nothing says its own."""
    frame: Frame | None
    """Where the positions of the output lie in the picture."""

    def drawn(self, mask: Mask) -> Mask:
        """Return positions as they are drawn over the model's picture."""
        assert self.frame is not None
        return mask if self.frame.is_even else self.frame.onto(mask, self.sample.x.shape[1:])


def _listed(seen: _Seen, model: Model) -> dict[str, Any]:
    """Return what is seen as JSON holds it: detections of a detector, classes of others; and why where it is nothing,
    with a detector's best candidate, null where there is none."""
    why = {} if seen.classes else {"why": seen.why}
    if not model.task.has_boxes:
        return {"classes": [_facts(p) for p in seen.classes]} | why
    found = [p.facts() for p in seen.classes if isinstance(p, BoxPrediction)]
    best = seen.nearest.facts() if isinstance(seen.nearest, BoxPrediction) else None
    return {"detections": found} | ({**why, "best": best} if why else {})


def _seen(model: Model, image: str, top: int | None) -> _Seen:
    fitted = model.fitter(model, image)
    model, sample = fitted.model, fitted.model.prepare(fitted.thing)
    numbers = model.numbers(sample)
    classes = model.seen(sample, numbers, top)
    why, near = ("", None) if classes else (model.task.nothing(numbers, model.labels), _nearest(model, sample, numbers))
    frame = None if sample.seen is None else placed_in(model, sample.seen.frame)
    sizes = tried_sizes(model, image, min(top or _SIDE_BY_SIDE, _SIDE_BY_SIDE))
    return _Seen(model.task.heading, sample, numbers, classes, why, near, sizes, frame)


def _nearest(model: Model, sample: Sample, numbers: Numbers) -> Prediction | None:
    found = model.task.nearest(numbers, model.labels)
    frame = None if sample.seen is None else sample.seen.frame
    return None if found is None else model.task.onto_photo([found], frame)[0]


def _sizes(model: Model, sizes: Mapping[Size, list[Prediction]]) -> list[str]:
    """Return the lines that show what is seen at the likely sizes."""
    intro = (
        f"{Path(model.name).name} does not say the size of its pictures. This is what it sees at the likely ones; keep "
        "the one that names what you see yourself with --size H W:"
    )
    tried = {f"--size {height} {across}": seen for (height, across), seen in sizes.items()}
    return ["", *wrapped(intro, 0), *_side_by_side(tried, list(tried)), ""]


def _plain_sizes(sizes: Mapping[Size, list[Prediction]]) -> dict[str, Any]:
    return {"sizes": {shown(size): [_facts(p) for p in seen] for size, seen in sizes.items()}} if sizes else {}


def _draw(seen: _Seen, path: Path, *, boxes: bool) -> Path:
    canvas = seen.sample.image()
    if boxes:
        detected = [p for p in seen.classes if isinstance(p, BoxPrediction)]
        drawn = [
            DrawnBox(
                p.box, p.label, percent(p.probability), p.corners, p.keypoints or (), p.skeleton,
                None if p.mask is None else p.mask.window(),
            )
            for p in detected
        ]  # fmt: skip
        save_image(draw_boxes(canvas.photo, drawn), path)
        return path
    found = [p for p in seen.classes if isinstance(p, RegionPrediction)]
    regions = [Drawn(seen.drawn(p.mask), p.name, f"{100 * p.share:.3g} %") for p in found]
    save_image(draw_regions(canvas.photo, regions, canvas.box), path)
    return path


def _facts(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON holds it, without its pixels."""
    return {each.name: getattr(prediction, each.name) for each in fields(prediction) if each.name != "mask"}


def _alike(images: Sequence[str], cosines: Floats) -> list[str]:
    """Return the lines of a table of how like each other pictures are."""
    head = ["", "cosine", *(str(at) for at in range(1, len(images) + 1))]
    rows = [
        [f"  {at}", Path(image).name, *(f"{cosine:.3f}" for cosine in row)]
        for at, (image, row) in enumerate(zip(images, cosines, strict=True), 1)
    ]
    return table([head, *rows], right=frozenset(range(2, 2 + len(images))))


def _each(images: Sequence[str], serve: Callable[[str], Found]) -> tuple[list[tuple[str, Found]], int]:
    """Serve every picture; one of several that cannot be read is reported and left out."""
    found, status = [], 0
    for image in images:
        try:
            found.append((image, serve(image)))
        except ImageError as error:
            if len(images) == 1:
                raise
            print(f"onnxsal: {error}", file=sys.stderr)
            status = 1
    return found, status


def bars_of(predictions: Sequence[Prediction]) -> list[str]:
    """Return a line for each class or value: its probability, a bar, what it is called."""
    size = max(10, min(30, width() - 50))
    rows = [(f"  {share_of(p)}", _bar(p, size), p.told) for p in predictions]
    return table(rows, right=frozenset({0}))


def share_of(prediction: Prediction) -> str:
    """Return the probability, or the value where the task has none."""
    return percent(prediction.probability) or f"{prediction.logit:.4g}"


def _bar(prediction: Prediction, size: int) -> str:
    return "" if math.isnan(prediction.probability) else bar(prediction.probability, size)


def are_taken(model: Model, images: Sequence[str]) -> bool:
    """Return whether all are arrays of the model's own input, which are taken as they are: no preset changes them."""
    try:
        for image in images:
            fitted = model.fitter(model, image)
            fitted.model.prepare(fitted.thing)
    except OnnxsalError:
        return False
    return True


def try_all(model: Model, opening: Opening, images: Sequence[str], *, as_json: bool, drawn: bool = False) -> int:
    """Print what the model makes of the pictures under each preset, the surest first, each with its command.

    Args: drawn: whether a picture of it was asked for, which needs one preset.
    """
    if drawn:
        known(model.preprocess, images[0], opening.model)
    presets = {name: _with(model, name) for name in try_presets()}
    found, status = _each(images, lambda image: _tried(presets, image))
    tell(model.assumed if found else ())
    order = _surest_first([tried for _, tried in found])
    if as_json:
        print(_document(model, [_plain(image, tried, order) for image, tried in found]))
        return status
    if found:
        print("\n".join(_page(opening, images, found, order)))
    if found and is_assumed(model.decided):
        print("\n".join(["", *wrapped(_NO_SIZE, 0)]))
    return status


def _with(model: Model, preset: str) -> Model:
    return model.preprocessed(preset)


def _tried(presets: dict[str, Model], image: str) -> Tried:
    return {name: model.predict(image, top=_SIDE_BY_SIDE) for name, model in presets.items()}


def _surest_first(tried: Sequence[Tried]) -> list[str]:
    """The mean probability of the first class: higher for the right preset, on average and never for certain."""
    return sorted(try_presets(), key=lambda name: -sum(_sureness(each[name]) for each in tried))


def _sureness(predictions: Sequence[Prediction]) -> float:
    """Return the probability of the first class; 0 where there is none, so that presets keep their order."""
    return 0.0 if not predictions or math.isnan(predictions[0].probability) else predictions[0].probability


def _page(opening: Opening, images: Sequence[str], found: Sequence[tuple[str, Tried]], order: list[str]) -> list[str]:
    name = Path(opening.model).name
    intro = (
        f"{name} does not say how it wants its pictures prepared. This is what it sees under each preset; "
        "the right one names what you see yourself."
    )
    lines = wrapped(intro, 0)
    for image, tried in found:
        lines += ["", Path(image).name, *_side_by_side(tried, order)]
    hint = "Copy the line of the right one. The surest is first, which is a hint and no proof" + (
        ":" if len(images) > 1 else "; more pictures at once tell more:"
    )
    lines += ["", *wrapped(hint, 0), *(f"  {_copy(opening, images, preset)}" for preset in order)]
    keep = f'To keep one, write {{"preset": "NAME"}} into {Path(opening.model).stem}.preprocess.json beside the model.'
    return [*lines, "", *wrapped(keep, 0)]


def _side_by_side(tried: Tried, order: Sequence[str]) -> list[str]:
    shown = _SIDE_BY_SIDE if width() >= _ROOMY else _SIDE_BY_SIDE - 1
    room = (width() - 24) // shown - 11
    rows = [[f"  {name}", *_line(tried[name][:shown], room)] for name in order]
    return table(_even(rows), right=frozenset(range(2, 2 + 2 * shown, 2)))


def _line(predictions: Sequence[Prediction], room: int) -> list[str]:
    return [_bar(predictions[0], 10), *_cells(predictions, room)] if predictions else ["", "", "nothing is seen"]


def _cells(predictions: Sequence[Prediction], room: int) -> list[str]:
    return [cell for p in predictions for cell in (share_of(p), _cut(p.label, room))]


def _even(rows: list[list[str]]) -> list[list[str]]:
    longest = max(map(len, rows))
    return [[*row, *[""] * (longest - len(row))] for row in rows]


def _cut(label: str, room: int) -> str:
    return label if len(label) <= room else label[: room - 1] + "…"


def _copy(opening: Opening, images: Sequence[str], preset: str) -> str:
    more = [part for option in ("labels", "provider", "task", "threads") if (value := getattr(opening, option))
            for part in (f"--{option}", str(value))]  # fmt: skip
    more += [] if opening.explained is None else ["--explained", opening.explained]
    more += [part for name, said in opening.inputs for part in ("--input", f"{name}={said}")]
    libraries = [part for library in opening.custom_ops for part in ("--custom-ops", library)]
    return command_line(["onnxsal", "explain", opening.model, *images, "--preprocess", preset, *more, *libraries])


def _plain(image: str, tried: Tried, order: Sequence[str]) -> dict[str, Any]:
    return {"image": image, "presets": {name: [_facts(p) for p in tried[name]] for name in order}}


def _document(model: Model, results: list[dict[str, Any]], **more: Any) -> str:
    preprocess = None if model.preprocess is None else model.preprocess.name
    return json.dumps({"model": model.name, "preprocess": preprocess, "results": finite(results), **more}, indent=2)
