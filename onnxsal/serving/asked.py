"""Parameters from afar as a request on a model: as ``explain`` has them, none of which names a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxsal.errors import UsageError, nearest
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.shapley.background import COVERS
from onnxsal.explanation.shapley.explain import Options
from onnxsal.explanation.tables import is_of_rows, steps_of
from onnxsal.explanation.target import as_pair, looked_at, opened_for_all
from onnxsal.modalities.said import Said
from onnxsal.modalities.tokens import Tokens
from onnxsal.model import Model
from onnxsal.serving.answers import Drawing

_ASKED: Mapping[str, Any] = {"method": "grad-cam++", "target": None, "layer": None, "score": None, "seed": 0}
"""What is asked beside the options, and what stands where it is not: as of ``explain``."""

_STYLE = ("drawing", "format", "colours", "opacity", "caption")
_FORMATS = {"png": ".png", "webp": ".webp"}

_NOT_HERE = {
    "progress": "it is for one explanation at a time",
    "keep_partial": "a limit (seconds, forwards, tolerance) gives the map so far",
    "preprocess": "it is said where the model is served",
}


@dataclass(frozen=True)
class Asked:
    """What is asked of every thing: a request, or for rows of tables by a method of theirs its options."""

    model: Model
    request: Request | None
    rows: Options | None
    targets: list[Any] = field(default_factory=list)


def prepared(model: Model, parameters: Mapping[str, Any]) -> Asked:
    """Return what is asked of a model, every check done that needs no thing.

    Raises: UsageError: a parameter is unknown, wrong, or names a file. UnsupportedError: the model cannot serve it.
    """
    own = {name: parameters.get(name, default) for name, default in _ASKED.items()}
    options = {n: v for n, v in parameters.items() if n not in _ASKED and n not in _STYLE}
    for name in options.keys() & _NOT_HERE.keys():
        raise UsageError(f"parameter {name!r} is not taken from afar: {_NOT_HERE[name]}")
    if isinstance(options.get("background"), str) and options["background"] != COVERS:
        raise UsageError(f"background={options['background']!r}: give the rows themselves, or {COVERS!r}")
    method, layer = _text("method", own["method"]), own["layer"]
    target = _target(model, own["target"])
    common, chosen = split_options(options)
    opened = opened_for_all(model, [target])
    if is_of_rows(opened, method):
        if layer is not None:
            raise UsageError("a row of a table has no layers")
        return Asked(opened, None, Options(steps_of(method, chosen), common, own["score"], own["seed"]), [target])
    request = prepare_request(
        opened, plan(method, chosen), layer=layer, score=own["score"], seed=own["seed"], preprocess=None, common=common
    )
    if request.model.task.is_several(target, request.model.labels):
        raise UsageError(f"target={target!r} stands for several: ask for one at a time")
    return Asked(opened, request, None, [looked_at(request.model, target)])


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name}={value!r}: expected text")
    return value


def _target(model: Model, target: Any) -> Any:
    """Return a target from afar: a number, text, a list of two for a minus b. Raises: UsageError: it names a file."""
    if isinstance(target, list):
        if len(target) != 2:
            raise UsageError(f"target={target!r}: a list of two is a minus b; ask for several one at a time")
        return tuple(_target(model, each) for each in target)
    if target is not None and (isinstance(target, bool) or not isinstance(target, int | str)):
        raise UsageError(f"target={target!r}: expected a number, text, or a list of two of them")
    return _without_files(model, target) if isinstance(target, str) else target


def _without_files(model: Model, target: str) -> Any:
    from onnxsal.tasks.dense.region import Region, region_in
    from onnxsal.tasks.embedding import Like, files_in, is_like

    if is_like(target):
        if not isinstance(model.modality, Tokens):
            raise UsageError(f"target={target!r}: a reference by its file's name is not taken from afar")
        likes = [Like(Said(words)) for words in files_in(target.strip())]
        return likes[0] if len(likes) == 1 else tuple(likes)
    pair = as_pair(model, target)
    for each in pair if isinstance(pair, tuple) else (pair,):
        found = region_in(each, model.labels) if model.task.has_regions and isinstance(each, str) else None
        if isinstance(found, Region) and isinstance(found.mask, str):
            raise UsageError(
                f"target={target!r}: a mask by its file's name is not taken from afar, a box or a point is"
            )
    return target


def drawing_of(parameters: Mapping[str, Any]) -> Drawing | None:
    """Return how a map is drawn, None where no picture is asked for. Raises: UsageError: there is no such style."""
    from onnxsal.explanation.figure import KINDS
    from onnxsal.viz.colour import colour_table

    given = {name: parameters[name] for name in _STYLE if parameters.get(name) is not None}
    if "drawing" not in given:
        for name in given:
            raise UsageError(f"parameter {name!r} is of a picture: ask for one with drawing, {', '.join(KINDS)}")
        return None
    kind, suffix = _text("drawing", given["drawing"]), _FORMATS.get(_text("format", given.get("format", "png")))
    if kind not in KINDS:
        raise UsageError(f"drawing={kind!r}{nearest(kind, KINDS)}: expected {', '.join(KINDS)}")
    if suffix is None:
        raise UsageError(f"format={given['format']!r}: expected {' or '.join(_FORMATS)}")
    opacity, caption, colours = given.get("opacity", 0.65), given.get("caption", True), given.get("colours")
    if isinstance(opacity, bool) or not isinstance(opacity, int | float) or not 0 <= opacity <= 1:
        raise UsageError(f"opacity={opacity!r}: expected a number from 0 to 1")
    if not isinstance(caption, bool):
        raise UsageError(f"caption={caption!r}: expected true or false")
    if colours is not None:
        colour_table(_text("colours", colours))
    return Drawing(kind, suffix, colours, float(opacity), caption)
