"""Where maps come from: a method of onnxsal, or files that something else wrote."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError
from onnxsal.evaluation.cascade import Cascade
from onnxsal.evaluation.items import Item
from onnxsal.evaluation.match import files_below, matched
from onnxsal.evaluation.named import Named
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.method_plan import Common, MethodPlan, plan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.run import Clean, explain_prepared, serves_all
from onnxsal.explanation.target import TargetSource
from onnxsal.modalities.npy import read_file
from onnxsal.model import Model, Sample

Floats = NDArray[np.float32]
Maps = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Subject:
    """A picture on its way through a run: as the model sees it, and what of it is explained."""

    prepared: Sample
    name: str
    target: TargetSource
    model: Model
    """Opened for the picture."""
    again: TargetSource = None
    """What is explained of changed pictures, where that is asked for otherwise; None where it is not."""
    clean: Clean | None = None
    """What the model put out for it, so that no method has to run it again."""


@dataclass(frozen=True)
class Found:
    """A map: ``saliency`` [H, W], ``raw`` as it was computed, and what it cost."""

    saliency: Floats
    raw: Floats | None
    seconds: float
    forwards: int
    backwards: int
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """Where one column of maps comes from."""

    @property
    def label(self) -> str:
        """How results call it."""

    @property
    def cost(self) -> int:
        """Images through the model for one map, roughly."""

    @property
    def computed(self) -> bool:
        """Whether it can make the map of any picture, and knows what was computed before scaling."""

    def identity(self) -> Any:
        """Return everything that its maps depend on beside model, picture and target."""

    def map(self, subject: Subject) -> Found:
        """Return the map of a picture."""

    def together(self, subject: Subject, targets: Sequence[TargetSource]) -> list[Found] | None:
        """Return the map of each target of a picture; None where one run does not serve them all."""

    def maps(self, subject: Subject) -> Maps | None:
        """Return the function from pictures [N, C, H, W] to maps of the same class; None where there is none."""

    def randomised(self, subject: Subject) -> Floats | None:
        """Return the maps [K, H, W] as the model's weights are drawn anew from the output down; None without."""


@dataclass(frozen=True)
class Explained:
    """Maps by a method of onnxsal."""

    label: str
    request: Request
    cascade: Cascade
    computed = True

    @property
    def cost(self) -> int:
        """Images forward and, counted twice, backward."""
        layers, steps = self.request.layers, self.request.steps
        width = layers[0].channels if layers else 1
        return max(1, len(layers)) * (steps.forwards(width) + 2 * steps.backwards(width))

    def identity(self) -> Any:
        """Return method and who brought it, options, layer, score, seed and what else a map depends on."""
        request, common = self.request, self.request.common
        return {
            "method": request.steps.method.name, "origins": request.steps.origins(),
            "options": request.steps.described(), "score": request.score,
            "layers": [layer.name for layer in request.layers], "seed": request.seed, "sign": common.sign,
            "percentile": common.percentile, "fuse": common.fuse, "batch_size": request.batch_size,
            "limits": [common.forwards, common.seconds, common.tolerance],
        }  # fmt: skip

    def map(self, subject: Subject) -> Found:
        """Return the map of a picture."""
        return self._of(self.request.on(subject.model), subject)

    def together(self, subject: Subject, targets: Sequence[TargetSource]) -> list[Found] | None:
        """Return the map of each target, as it is alone; None where each needs runs of its own, or limits are
        set: how much is drawn would hang on how many there are."""
        request, common = self.request.on(subject.model), self.request.common
        limited = (common.forwards, common.seconds, common.tolerance) != (None, None, None)
        if limited or not serves_all(request, subject.prepared, targets):
            return None
        made = explain_prepared(request, subject.prepared, targets, subject.clean)
        return [self._found(request, subject, each) for each in made]

    def _of(self, request: Request, subject: Subject) -> Found:
        (made,) = explain_prepared(request, subject.prepared, [subject.target], subject.clean)
        return self._found(request, subject, made)

    def _found(self, request: Request, subject: Subject, made: Explanation) -> Found:
        manifest = made.manifest
        notes = tuple(n for n in manifest["notes"] if n not in (*request.model.notes, *subject.prepared.notes))
        return Found(made.saliency, made.raw, manifest["seconds"], manifest["forwards"], manifest["backwards"], notes)

    def maps(self, subject: Subject) -> Maps:
        """Return the function from pictures to maps of the same class."""

        target = subject.target if subject.again is None else subject.again

        def explained(images: Floats) -> Floats:
            each = (replace(subject, target=target, prepared=replace(subject.prepared, x=x)) for x in images)
            return np.stack([self.map(one).saliency for one in each])

        return explained

    def randomised(self, subject: Subject) -> Floats:
        """Return the maps of the same class by models of ever fewer learnt weights, [K, H, W]."""
        request = self.request.on(subject.model)
        models = self.cascade.on(subject.model).models()
        return np.stack([self._of(replace(request, model=model), subject).saliency for model in models])


@dataclass(frozen=True)
class Stored:
    """Maps made elsewhere: a ``.npy`` file a picture, named like it; ``files`` says which by the picture's name."""

    label: str
    folder: Path
    files: Mapping[str, Path]

    cost = 1
    computed = False

    def identity(self) -> Any:
        """Return the folder; what a map holds goes into its results' keys where it is read."""
        return {"maps": str(self.folder.resolve())}

    def map(self, subject: Subject) -> Found:
        """Return the map of a picture.

        Raises: ImageError: there is none, or it has another shape, or NaN in it.
        """
        started = time.perf_counter()
        path = self.path(subject.name)
        found = _checked(read_file(path, "the map"), path, subject.prepared.x.shape[1:])
        return Found(found, None, time.perf_counter() - started, 0, 0)

    def together(self, subject: Subject, targets: Sequence[TargetSource]) -> None:
        """A file is read for each."""

    def path(self, name: str) -> Path:
        """Return where the map of a picture lies, or would."""
        return self.files.get(name, self.folder / f"{Path(name).stem}.npy")

    def maps(self, subject: Subject) -> None:
        """Files have no map for another picture."""

    def randomised(self, subject: Subject) -> None:
        """Files have no map by another model."""


def _checked(values: NDArray[Any], path: Path, size: tuple[int, ...]) -> Floats:
    shape = list(values.shape)
    squeezed = values[0] if values.ndim == 1 + len(size) and len(values) == 1 else values
    if squeezed.shape != size:
        raise ImageError(
            f"the map {str(path)!r} has the shape {shape}; expected {list(size)}, the size of the model's "
            "input: resize it, and leave no channels in it"
        )
    if squeezed.dtype.kind not in "fiub":
        raise ImageError(f"the map {str(path)!r} holds {values.dtype}, which are no numbers")
    with np.errstate(over="ignore"):
        found = np.asarray(squeezed, np.float32)
    wrong = found.size - int(np.isfinite(found).sum())
    if wrong:
        raise ImageError(
            f"the map {str(path)!r} is not finite: {wrong} of {found.size} values are NaN, infinite, or beyond float32"
        )
    return found


@dataclass(frozen=True)
class Making:
    """What all methods of a run share."""

    layer: str | Sequence[str] | None
    score: str | None
    seed: int
    stages: int
    options: dict[str, Any]
    of_rows: Callable[[str, MethodPlan, Common], Source] | None = None
    """What makes the source of a method of rows of a table; None of a model that takes something else."""


def sources(
    model: Model, methods: Sequence[Named], maps: Sequence[Named], making: Making, images: Sequence[Item] = ()
) -> tuple[Source, ...]:
    """Return where the maps of a run come from.

    Raises: UsageError: an unknown method or option, a folder of maps that is not there, nothing at all, or a layer that
    nothing takes.
    """
    cascade = Cascade(model, making.stages, making.seed)
    planned = [_planned(each, making) for each in methods]
    if not methods and not maps:
        raise UsageError("nothing to judge: name methods (-m), or a folder of maps (--maps)")
    if making.layer is not None and not any(steps.needs_layer for steps, _ in planned):
        who = f"methods: {', '.join(each.label for each in methods)}" if methods else "maps made elsewhere alone"
        raise UsageError(f"layer={making.layer!r}: nothing here takes a layer ({who})")
    found: list[Source] = [
        _of_rows(each.label, *of, making) if of[0].method.of_rows else _explained(cascade, each.label, *of, making)
        for each, of in zip(methods, planned, strict=True)
    ]
    found += [_stored(Path(each.name), images) for each in maps]
    return tuple(found)


def _stored(folder: Path, images: Sequence[Item]) -> Stored:
    if not folder.is_dir():
        raise UsageError(f"maps are read from a folder of .npy files; there is no folder {str(folder)!r}")
    paths = matched(images, files_below(folder, (".npy",)), f"the folder {str(folder)!r}")
    files = {each.name: path for each, path in zip(images, paths, strict=True) if path is not None}
    return Stored(f"maps in {folder}", folder, files)


def _planned(each: Named, making: Making) -> tuple[MethodPlan, Common]:
    common, own = split_options({**making.options, **each.options})
    return plan(each.name, own), common


def _of_rows(label: str, steps: MethodPlan, common: Common, making: Making) -> Source:
    if making.of_rows is None:
        raise UsageError(f"method {label!r} is for rows of a table, and this model takes something else")
    return making.of_rows(label, steps, common)


def _explained(cascade: Cascade, label: str, steps: MethodPlan, common: Common, making: Making) -> Explained:
    layer = making.layer if steps.needs_layer else None
    request = prepare_request(
        cascade.model, steps, layer=layer, score=making.score, seed=making.seed, preprocess=None, common=common
    )
    return Explained(label, request, cascade)


def file_identity(source: Source, name: str) -> Any:
    """Return what tells the contents of a picture's stored map; nothing for maps that are computed."""
    if not isinstance(source, Stored):
        return None
    path = source.path(name)
    return Item(path, path.name).digest() if path.is_file() else None
