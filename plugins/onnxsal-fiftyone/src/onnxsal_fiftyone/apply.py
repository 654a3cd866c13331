"""Explaining the samples of a data set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

import onnxsal
from onnxsal.errors import ImageError, NotSeenError, UsageError
from onnxsal_fiftyone.heatmaps import as_bytes, on_photo, range_of

# FiftyOne reports its use over the network unless this is set before it is imported.
os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")


ORIENTATION, _ON_ITS_SIDE = ExifTags.Base.Orientation, 5
"""The tag, and from which value on rows are columns."""


def apply_saliency(
    samples: Any,
    model: onnxsal.Model | str | os.PathLike[str],
    method: str = "grad-cam++",
    *,
    label_field: str = "saliency",
    target: Any = None,
    target_field: str | None = None,
    map_dir: str | os.PathLike[str] | None = None,
    progress: Any = None,
    detections_field: str | None = None,
    **options: Any,
) -> dict[str, str]:
    """Return what went wrong, by the path of the picture; every other sample has a heatmap of where the model looked.

    The heatmap's ``explained`` is the target's name, ``score`` its probability, ``method`` and ``model`` how it was
    made; ``error`` is the relative standard error where the method draws samples.

    Args:
        samples: a data set of FiftyOne, or a view into one.
        model: a Model, or the path of one.
        method, options: as ``onnxsal.explain`` has them.
        label_field: where the heatmap goes; one that is there is made anew.
        target: what is explained, as ``onnxsal.explain`` has it; by default what the model predicts.
        target_field: a field of classifications, each sample's own target: its label is explained.
        map_dir: a folder for the maps as grey pictures; by default they are kept in FiftyOne's database.
        progress: as FiftyOne has it.
        detections_field: a field of detections, each of which gets its own heatmap, of its label at its box, as an
            attribute called ``label_field``; that of the sample is the largest of them, place by place.
    Raises: UsageError, UnsupportedError: as ``onnxsal.explain``; a map with a sign is asked for in a folder.
    """
    import fiftyone

    loaded = model if isinstance(model, onnxsal.Model) else onnxsal.load(model)
    if map_dir is not None:
        Path(map_dir).mkdir(parents=True, exist_ok=True)
    failed = {}
    for sample in samples.iter_samples(autosave=True, progress=progress):
        goal = target if target_field is None else _label(sample, target_field)
        detections = [] if detections_field is None else _detections(sample, detections_field)
        try:
            goals = [goal] if detections_field is None else _boxes(sample.filepath, detections)
            found = onnxsal.explain(loaded, sample.filepath, method=method, target=goals, **options) if goals else []
        except (ImageError, NotSeenError) as error:
            failed[sample.filepath] = str(error)
            continue
        files = _files(map_dir, f"{sample.id}.{label_field}", len(detections))
        for at, (detection, explanation) in enumerate(zip(detections, found, strict=bool(detections))):
            detection[label_field] = fiftyone.Heatmap(**heatmap_of(explanation, files[at + 1]))
        if found:
            sample[label_field] = fiftyone.Heatmap(**heatmap_of_all(found, files[0]))
        elif sample.has_field(label_field):  # one of an earlier run; FiftyOne makes no field of None
            sample[label_field] = None
    return failed


def _files(folder: str | os.PathLike[str] | None, name: str, more: int) -> list[Path | None]:
    """Return where the maps of a sample and of its detections go, None for the database."""
    if folder is None:
        return [None] * (more + 1)
    return [Path(folder) / f"{name}{f'.{at}' if at else ''}.png" for at in range(more + 1)]


def _detections(sample: Any, name: str) -> list[Any]:
    found = sample[name]
    if found is None:
        return []
    if not hasattr(found, "detections"):
        raise UsageError(f"{sample.filepath!r} has no detections in the field {name!r}, of which to make maps")
    return list(found.detections)


def upright_size(path: str) -> tuple[int, int]:
    """Return width and height of a photograph as it is shown. Raises: ImageError: it cannot be read."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ORIENTATION, 1) >= _ON_ITS_SIDE
            return (image.height, image.width) if turned else (image.width, image.height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"cannot read the picture {path!r}: {error}") from None


def _boxes(path: str, detections: Sequence[Any]) -> list[onnxsal.Box]:
    """Return detections as targets: FiftyOne has left, top, width and height as shares of the upright photograph."""
    if not detections:
        return []
    size = upright_size(path)
    sides = [(x, y, x + width, y + height) for x, y, width, height in (each.bounding_box for each in detections)]
    pixels = [tuple(side * size[at % 2] for at, side in enumerate(box)) for box in sides]
    return [onnxsal.Box(str(each.label), box) for each, box in zip(detections, pixels, strict=True)]


def _label(sample: Any, name: str) -> str:
    found = sample[name]
    if found is None or not hasattr(found, "label"):
        raise UsageError(f"{sample.filepath!r} has no classification in the field {name!r}, which says what to explain")
    return str(found.label)


def heatmap_of(explanation: onnxsal.Explanation, file: Path | None = None) -> dict[str, Any]:
    """Return the attributes of an explanation's heatmap. Args: file: where the map goes, if not into the database.

    Raises: UsageError: a map with a sign is asked for in a file, whose grey values would have none.
    """
    return heatmap_of_all([explanation], file)


def heatmap_of_all(explanations: Sequence[onnxsal.Explanation], file: Path | None = None) -> dict[str, Any]:
    """Return the attributes of the heatmap of several explanations of a photograph: the value furthest from 0 of each
    place; what is said is of the first, and of all what is explained. Arguments and errors: as of ``heatmap_of``.
    """
    explanation, maps = explanations[0], np.stack([on_photo(each) for each in explanations])
    error = explanation.manifest.get("relative_error")
    about = {
        "explained": ", ".join(dict.fromkeys(each.label for each in explanations)), "score": float(explanation.score),
        "method": explanation.method, "model": explanation.manifest["model"],
        **({} if error is None else {"error": float(error)}),
    }  # fmt: skip
    heatmap = np.take_along_axis(maps, np.abs(maps).argmax(0)[None], 0)[0]
    ends = range_of(explanation.signed)
    if file is None:
        return {"map": heatmap, "range": ends, **about}
    if explanation.signed:
        raise UsageError("a map with a sign is no grey picture: leave map_dir out, or take sign=absolute")
    Image.fromarray(as_bytes(heatmap)).save(file)
    return {"map_path": str(file.resolve()), "range": [0.0, 255.0], **about}
