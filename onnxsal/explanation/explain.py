"""The short way: a model, a picture, a method; out comes the map."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any, TypeAlias, TypeVar, overload

from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.images import explain_read, images_at_once
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import prepare_request
from onnxsal.explanation.run import read_fitted, was_interrupted
from onnxsal.explanation.shapley.explain import Options
from onnxsal.explanation.tables import explain_table, is_of_rows, opened_for_rows, single_rows, steps_of
from onnxsal.explanation.target import TargetSource, looked_at, opened_for_all
from onnxsal.graph import load_ir
from onnxsal.graph.columns import is_table
from onnxsal.modalities.image import ImageSource, PreprocessSource
from onnxsal.modalities.image.images import decoded_bytes
from onnxsal.model import Model
from onnxsal.model.load import load
from onnxsal.model.recording import Recording
from onnxsal.model.roles import explained_among
from onnxsal.pipeline import Bounds, ahead, bounds

Thing: TypeAlias = ImageSource | NDArray[Any] | Mapping[str, Any] | Recording
"""What is explained, one of them; of a model of several inputs a thing for each by its name. What another modality
takes beside these belongs here too: ``object`` would leave no type checker able to tell one from a list."""

OneTarget = TypeVar("OneTarget", bound=TargetSource)
"""Lists are invariant: a list[int] is no list of everything that a target can be."""


@overload
def explain(
    model: Model | str | os.PathLike[str], image: list[Any], *, method: str = ...,
    target: TargetSource | list[OneTarget] = ..., layer: str | Sequence[str] | None = ..., score: str | None = ...,
    seed: int = ..., preprocess: PreprocessSource | None = ..., **options: Any,
) -> list[Explanation]: ...  # fmt: skip
@overload
def explain(
    model: Model | str | os.PathLike[str], image: Thing, *, method: str = ..., target: list[OneTarget],
    layer: str | Sequence[str] | None = ..., score: str | None = ..., seed: int = ...,
    preprocess: PreprocessSource | None = ..., **options: Any,
) -> list[Explanation]: ...  # fmt: skip
@overload
def explain(
    model: Model | str | os.PathLike[str], image: Thing, *, method: str = ...,
    target: TargetSource = ..., layer: str | Sequence[str] | None = ..., score: str | None = ..., seed: int = ...,
    preprocess: PreprocessSource | None = ..., **options: Any,
) -> Explanation: ...  # fmt: skip


def explain(
    model: Model | str | os.PathLike[str],
    image: Thing | list[Any],
    *,
    method: str = "grad-cam++",
    target: TargetSource | list[OneTarget] = None,
    layer: str | Sequence[str] | None = None,
    score: str | None = None,
    seed: int = 0,
    preprocess: PreprocessSource | None = None,
    **options: Any,
) -> Explanation | list[Explanation]:
    """Return the Explanation of a picture; a list of them for a list of images or of targets (image by image).

    Args:
        model: a Model, or the path of one.
        image: a path, a PIL image, a uint8 array [H, W, C], a picture file's bytes or the file open in binary mode,
            preprocessed as the model says; or a float array shaped like the model's input, taken as it is. Of a model
            of several inputs {name: thing}: what is explained, and what the others are held at. Of a model of one
            chunk that carries state an ``onnxsal.Recording``. Of a model of tables a row, {column: value} or an array,
            or several: a CSV file, a data frame, an array [rows, columns], a list; of several a list is given back.
        method: see ``onnxsal.methods()``; of tables ``shapley`` where none is named.
        target: class index or label, None for the predicted class, (a, b) or text ``"a minus b"`` for a difference; of
            an embedding what it is to be like (``onnxsal.Like``); an ``Element`` of any output or its text
            (``"boxes[0, 4, 17]"``, slices summed); or a Program from ``sal/x`` to ``score`` [B].
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
        raise UsageError("target=[]: expected at least one target, or None for what is predicted")
    if any(isinstance(each, Recording) for each in (image if isinstance(image, list) else [image])):
        shared = {"method": method, "target": target, "layer": layer, "score": score, "seed": seed,
                  "preprocess": preprocess, **options}  # fmt: skip
        return _of_recordings(model, image, shared)
    common, chosen = split_options(options)
    targets: list[Any] = target if isinstance(target, list) else [target]
    opened = opened_for_all(model if isinstance(model, Model) else _opened(model, image), targets)
    opened = opened_for_rows(opened, image)
    if is_of_rows(opened, method):
        if layer is not None or preprocess is not None:
            raise UsageError("a row of a table has no layers and takes no preprocessing: that is in the file")
        return explain_table(opened, image, target, Options(steps_of(method, chosen), common, score, seed))
    image = single_rows(opened, image)
    images = image if isinstance(image, list) else [image]
    request = prepare_request(
        opened,
        plan(method, chosen), layer=layer, score=score, seed=seed, preprocess=preprocess, common=common,
    )  # fmt: skip
    if not isinstance(target, list) and request.model.task.is_several(target, request.model.labels):
        raise UsageError(f"target={target!r} stands for several: target=[{target!r}] gives a list of explanations")
    targets = [looked_at(request.model, each) for each in targets]
    found: list[Explanation] = []
    count = images_at_once(request)
    with closing(ahead(images, partial(read_fitted, request), _within(images), _weight)) as coming:
        while reads := [read for _, read in islice(coming, count)]:
            try:
                several = explain_read([read() for read in reads], targets)
            except KeyboardInterrupt:
                if not (found and common.keep_partial):
                    raise
                break
            found += [one for own in several for one in own]
            if was_interrupted(several[-1], targets):
                break
    return found if isinstance(image, list) or isinstance(target, list) else found[0]


def _of_recordings(
    model: Model | str | os.PathLike[str], image: Any, shared: Mapping[str, Any]
) -> Explanation | list[Explanation]:
    """Return the explanation of a recording, or of each of a list: chunk by chunk, as it says."""
    from onnxsal.explanation.recording import explain_recording  # most things are none

    opened = model if isinstance(model, Model) else load(model)
    if isinstance(shared["target"], list):
        raise UsageError("a recording is explained for one target: call explain once for each")

    def one(model: Model, thing: Any) -> Explanation:
        found: Any = explain(model, thing, **shared)
        assert isinstance(found, Explanation)
        return found

    things = image if isinstance(image, list) else [image]
    found = [
        explain_recording(opened, each, one) if isinstance(each, Recording) else one(opened, each) for each in things
    ]
    return found if isinstance(image, list) else found[0]


def _within(images: Sequence[Any]) -> Bounds:
    """Return how far files are read ahead; what is at hand is taken where it is explained, in the caller's thread."""
    several = len(images) > 1 and all(isinstance(each, str | os.PathLike) for each in images)
    return bounds(most=1) if several else Bounds(workers=0, items=1)


def _weight(image: Any) -> int:
    return decoded_bytes(image) if isinstance(image, str | os.PathLike) else 0


def _opened(path: str | os.PathLike[str], image: Any) -> Model:
    """Return the model of a file, its other inputs held as the first thing says where that is of several inputs."""
    first = image[0] if isinstance(image, list) and image else image
    if not isinstance(first, Mapping) or is_table(load_ir(path).graph):
        return load(path)
    explained = explained_among(load_ir(path).graph, list(first))
    return load(path, explained=explained, inputs={name: each for name, each in first.items() if name != explained})
