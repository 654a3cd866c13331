"""Explaining the samples of a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PIL import Image

import onnxsal
from onnxsal.errors import ImageError, UsageError
from onnxsal_fiftyone.heatmaps import as_bytes, on_photo, range_of

# FiftyOne reports its use over the network unless this is set before it is imported.
os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")


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
    Raises: UsageError, UnsupportedError: as ``onnxsal.explain``; a map with a sign is asked for in a folder.
    """
    import fiftyone

    loaded = model if isinstance(model, onnxsal.Model) else onnxsal.load(model)
    if map_dir is not None:
        Path(map_dir).mkdir(parents=True, exist_ok=True)
    failed = {}
    for sample in samples.iter_samples(autosave=True, progress=progress):
        goal = target if target_field is None else _label(sample, target_field)
        try:
            explanation = onnxsal.explain(loaded, sample.filepath, method=method, target=goal, **options)
        except ImageError as error:
            failed[sample.filepath] = str(error)
            continue
        file = None if map_dir is None else Path(map_dir) / f"{sample.id}.{label_field}.png"
        sample[label_field] = fiftyone.Heatmap(**heatmap_of(explanation, file))
    return failed


def _label(sample: Any, name: str) -> str:
    found = sample[name]
    if found is None or not hasattr(found, "label"):
        raise UsageError(f"{sample.filepath!r} has no classification in the field {name!r}, which says what to explain")
    return str(found.label)


def heatmap_of(explanation: onnxsal.Explanation, file: Path | None = None) -> dict[str, Any]:
    """Return the attributes of an explanation's heatmap. Args: file: where the map goes, if not into the database.

    Raises: UsageError: a map with a sign is asked for in a file, whose grey values would have none.
    """
    error = explanation.manifest.get("relative_error")
    about = {
        "explained": explanation.label, "score": float(explanation.score), "method": explanation.method,
        "model": explanation.manifest["model"], **({} if error is None else {"error": float(error)}),
    }  # fmt: skip
    heatmap, ends = on_photo(explanation), range_of(explanation.signed)
    if file is None:
        return {"map": heatmap, "range": ends, **about}
    if explanation.signed:
        raise UsageError("a map with a sign is no grey picture: leave map_dir out, or take sign=absolute")
    Image.fromarray(as_bytes(heatmap)).save(file)
    return {"map_path": str(file.resolve()), "range": [0.0, 255.0], **about}
