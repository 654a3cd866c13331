"""Do two models look at the same things? Agreement of their predictions and of their maps, picture by picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError
from onnxsal.experiments.base import predicted
from onnxsal.experiments.classes import same_class
from onnxsal.experiments.statistics import Estimate, mean, share
from onnxsal.explanation import Explanation
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.run import explain_image
from onnxsal.explanation.target import TargetSource, as_pair, opened_for, resolve_target
from onnxsal.kernels.resize import bilinear
from onnxsal.metrics.agreement import cosine, spearman, ssim
from onnxsal.model import Model
from onnxsal.tasks.labels import Labels

AGREEMENTS = ("cosine", "ssim", "rank")
PREDICTED = "what the first predicts"
"""Which class is explained, in the settings of a comparison without a target."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """One picture under two models.

    Attributes:
        first, second: both maps for one class, the target or what the first model predicts.
        predicted: what each of the models predicts, as a label, and how probable it is, NaN where it does not say.
        cosine, ssim, rank: agreement of the maps, 1 for equal ones; NaN where one is flat.
        probabilities: of the explained class.
    """

    image: str
    first: Explanation
    second: Explanation
    predicted: tuple[tuple[str, float], tuple[str, float]]
    same_class: bool
    cosine: float
    ssim: float
    rank: float

    @property
    def probabilities(self) -> tuple[float, float]:
        """How probable each model finds the explained class."""
        return self.first.score, self.second.score

    @property
    def told(self) -> tuple[str, str]:
        """What each predicts, as it is shown."""
        return _told(self.predicted[0], self.first), _told(self.predicted[1], self.second)

    @property
    def difference(self) -> Floats:
        """The second map minus the first, [H, W] of the first model, within -1 and 1."""
        return np.asarray(_onto(self.second, self.first) - _magnitude(self.first), np.float32)


def _told(predicted: tuple[str, float], explained: Explanation) -> str:
    """Return a prediction with how probable it is, or its number where that is known and no probability."""
    label, probability = predicted
    if not math.isnan(probability):
        return f"{label} {100 * probability:.0f} %"
    return f"{label} {explained.logit:.4g}" if explained.label == label else label


@dataclass(frozen=True)
class Drift:
    """What a comparison found: pictures by agreement, lowest first; what could not be read; what it depends on."""

    pairs: tuple[Pair, ...]
    failures: tuple[tuple[str, str], ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def agreement(self, name: str) -> Estimate:
        """Return the mean of an agreement over pictures, with its interval."""
        return mean([getattr(pair, name) for pair in self.pairs]).within(-1, 1)

    @property
    def same_class(self) -> Estimate:
        """The share of pictures that get one class from both."""
        return share(sum(pair.same_class for pair in self.pairs), len(self.pairs))

    @property
    def change(self) -> Estimate:
        """The mean change of the explained class's probability, second minus first."""
        return mean([pair.second.score - pair.first.score for pair in self.pairs]).within(-1, 1)


@dataclass(frozen=True)
class How:
    """How both models are explained."""

    method: str = "grad-cam++"
    options: dict[str, Any] = field(default_factory=dict)
    layers: tuple[str | None, str | None] = (None, None)
    target: TargetSource = None
    seed: int = 0


def compare(
    models: tuple[Model, Model],
    images: Sequence[str],
    how: How,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Drift:
    """Return how two models agree on pictures; one that cannot be compared is named and left out.

    That is one that cannot be read, or whose class, predicted by the first model, the second has not.
    Raises: UsageError: the target is no class of both models, or classes differ and have no labels. ImageError or
    UsageError: no picture is left.
    """
    models = opened(models[0], how.target), opened(models[1], how.target)
    if any(model.task.has_boxes for model in models):
        raise UsageError("detectors find several objects on a picture: compare_detectors compares two of them")
    how = replace(how, target=as_pair(models[0], how.target))
    _check_classes(models, how.target)
    requests = prepared(models, how)
    found: list[Pair] = []
    failures: list[tuple[str, ImageError | UsageError]] = []
    for at, image in enumerate(images):
        try:
            found.append(_pair(requests, image, how.target))
        except (ImageError, _NoSuchClassError) as error:
            failures.append((image, error))
        if progress is not None:
            progress(at + 1, len(images))
    if not found:
        nothing_left([error for _, error in failures])
    order = sorted(found, key=lambda pair: -2.0 if math.isnan(pair.cosine) else pair.cosine)
    left_out = tuple((image, str(error)) for image, error in failures)
    return Drift(tuple(order), left_out, settings_of(models, requests, how))


def opened(model: Model, target: TargetSource) -> Model:
    """Return what is compared: a model of images, opened for the output of which the target names elements.

    Raises: UnsupportedError: it takes no images. UsageError: it has no such output.
    """
    return opened_for(model.for_images("diff"), target)


class _NoSuchClassError(UsageError):
    """What the first model predicts for one picture is no class of the second."""


def _check_classes(models: tuple[Model, Model], target: TargetSource) -> None:
    """What is wrong with every picture is said before the first."""
    if target is not None:
        translated(models, target)
    elif models[0].task.labelled != models[1].task.labelled:
        _labels(models)


def nothing_left(errors: Sequence[ImageError | UsageError]) -> NoReturn:
    """Raise what is said where no picture is left."""
    if not errors:
        raise ImageError("there are no pictures to compare; name files, folders or patterns")
    kind = UsageError if isinstance(errors[0], UsageError) else ImageError
    raise kind(f"no picture can be compared: {errors[0]}")


def prepared(models: tuple[Model, Model], how: How) -> tuple[Request, Request]:
    """Return how either model is explained, checked before the first picture."""
    first, second = (_request(model, how, layer) for model, layer in zip(models, how.layers, strict=True))
    return first, second


def _request(model: Model, how: How, layer: str | None) -> Request:
    common, own = split_options(how.options)
    steps = plan(how.method, own)
    return prepare_request(model, steps, layer=layer, score=None, seed=how.seed, preprocess=None, common=common)


def _pair(requests: tuple[Request, Request], image: str, target: TargetSource) -> Pair:
    models = requests[0].model, requests[1].model
    fitted = [model.fitter(model, image) for model in models]
    seen = [predicted(each) for each in fitted]
    tops, told = [each.index for each in seen], [(each.label, each.probability) for each in seen]
    goal = tops[0] if target is None else target
    goal_b = _in_second(models, goal, image)
    first = explain_image(requests[0], image, [goal])[0]
    second = explain_image(requests[1], image, [goal_b])[0]
    named = all(model.task.labelled for model in models)  # others have columns, and no classes to find again
    same = (translated(models, tops[0], strict=False) if named else tops[0]) == tops[1]
    return Pair(image, first, second, (told[0], told[1]), same, *agreements(first, second))


def _in_second(models: tuple[Model, Model], goal: TargetSource, image: str) -> TargetSource:
    try:
        return translated(models, goal)
    except UsageError as error:
        raise _NoSuchClassError(f"{image!r}: {error}") from None


def translated(models: tuple[Model, Model], target: TargetSource, *, strict: bool = True) -> TargetSource:
    """Return what the first model's class is called in the second: the same index, or the class of the same name.

    Raises: UsageError: the models have different classes, and the second has none of that name, or several that nothing
    tells apart (not if not ``strict``, then None).
    """
    first, second = models
    if isinstance(target, tuple):
        return translated(models, target[0]), translated(models, target[1])  # type: ignore[return-value]
    nothing = {kind: np.zeros(first.task.labelled, np.float32) for kind in first.task.kinds if first.task.labelled}
    index = resolve_target(first, target, nothing).target
    if first.task.labelled == second.task.labelled or not isinstance(index, int):
        return index if isinstance(index, int) else target
    labels = _labels(models)
    try:
        found = same_class(index, *labels)
    except UsageError:
        if strict:
            raise
        return None
    if found is None and strict:
        raise UsageError(f"{second.name} has no class {first.label(index)!r}, which {first.name} explains")
    return found


def _labels(models: tuple[Model, Model]) -> tuple[Labels, Labels]:
    first, second = models
    if first.labels is None or second.labels is None:
        raise UsageError(
            f"{first.name} has {first.task.labelled} classes and {second.name} {second.task.labelled}: "
            "to know which are the same, both need labels"
        )
    return first.labels, second.labels


def _magnitude(explanation: Explanation) -> Floats:
    return np.abs(explanation.saliency)


def _onto(explanation: Explanation, other: Explanation) -> Floats:
    """A map's magnitude at another one's resolution."""
    size = other.saliency.shape
    found = _magnitude(explanation)
    return found if found.shape == size else np.asarray(bilinear(found, (size[0], size[1])), np.float32)


def agreements(first: Explanation, second: Explanation) -> tuple[float, float, float]:
    """Return cosine, SSIM and rank correlation of two maps' magnitudes, at the first one's resolution."""
    a, b = _magnitude(first), _onto(second, first)
    return cosine(a, b), ssim(a, b), spearman(a, b)


def settings_of(models: tuple[Model, Model], requests: Sequence[Request], how: How) -> dict[str, Any]:
    """Return what a comparison depends on."""
    from onnxsal.runtime.environment import onnxruntime

    layers = [each.layers[0].name if each.layers else None for each in requests]
    return {
        "models": [model.name for model in models], "sha256": [model.digest for model in models],
        "method": how.method, "options": requests[0].steps.described(), "layers": layers,
        "target": PREDICTED if how.target is None else how.target, "seed": how.seed,
        "preprocess": [None if m.preprocess is None else m.preprocess.name for m in models],
        "onnxruntime": onnxruntime().__version__,
    }  # fmt: skip


def says(drift: Drift) -> list[str]:
    """Return what a comparison found, in sentences."""
    same, count = drift.same_class, len(drift.pairs)
    lines = [
        f"{round(same.value * count)} of {count} pictures get the same class ({_range(same)})",
        f"maps agree by a cosine of {drift.agreement('cosine')}, SSIM {drift.agreement('ssim')}, rank correlation "
        f"{drift.agreement('rank')}",
    ]
    flat = sum(math.isnan(pair.cosine) for pair in drift.pairs)
    if flat:
        lines.append(f"in {flat} of {count} pictures a map is flat; cosine and rank are means over the others")
    apart = [pair for pair in drift.pairs if not pair.same_class]
    if apart and len(apart) < count:
        alike = [pair.cosine for pair in drift.pairs if pair.same_class]
        lines.append(
            f"the maps' cosine is {mean(alike).within(-1, 1)} where the classes are the same and "
            f"{mean([pair.cosine for pair in apart]).within(-1, 1)} where they are not"
        )
    return lines


def _range(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"


__all__ = [
    "AGREEMENTS", "Drift", "How", "Pair", "agreements", "compare", "nothing_left", "opened", "prepared", "says",
    "settings_of", "translated",
]  # fmt: skip
