"""What an experiment is run on, what comes of it, and how one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError
from onnxsal.experiments.statistics import Estimate
from onnxsal.explanation import Explanation
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.run import explain_image
from onnxsal.explanation.target import TargetSource, opened_for
from onnxsal.model import Model, Prediction
from onnxsal.model.fitted import Fitted
from onnxsal.options import Parameter, check_options, options_of
from onnxsal.viz.colour import Pixels

Cell = str | int | float | Estimate
Progress = Callable[[int, int], None]


def predicted(fitted: Fitted) -> Prediction:
    """Return the first of what a model shows of a thing, such as the most probable class.

    Raises: UsageError: it shows nothing. As ``Model.outputs``.
    """
    model: Model = fitted.model
    numbers = model.numbers(fitted.sample)
    for found in model.task.predict(numbers, model.labels, 1):
        return found
    raise UsageError(f"nothing is predicted: {model.task.nothing(numbers, model.labels)}")


@dataclass(frozen=True)
class Case:
    """What an experiment is run on: a model by path, how paths are opened, pictures or a folder of scenes."""

    path: str
    images: tuple[str, ...]
    opened: Callable[[str], Model]
    target: TargetSource = None
    layer: str | None = None
    seed: int = 0
    progress: Progress | None = field(default=None, compare=False)

    @cached_property
    def model(self) -> Model:
        """The model, opened when it is first asked for, for the output of which the target names elements."""
        return opened_for(self.opened(self.path).for_images("an experiment"), self.target)

    def of_classes(self, what: str) -> None:
        """Raise UsageError where the model names no class of a whole picture: which object is meant is not known."""
        if self.model.task.has_boxes:
            raise UsageError(
                f"{what} asks for the class of a whole picture, and {self.model.name} is a detector, whose targets are "
                "single objects: onnxsal evaluate --boxes (-t all) judges whether the map of each lies on it"
            )

    def fitted(self, image: Any) -> Fitted:
        """Return a picture and the model opened for it, as explaining does it."""
        found: Fitted = self.model.fitter(self.model, image)
        return found

    def count(self, total: int) -> Callable[[], None]:
        """Return what to call after each of ``total`` steps."""
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if self.progress is not None:
                self.progress(done, total)

        return step

    def check_layer(self, *methods: str) -> None:
        """Raise UsageError where a layer is named, and none of the methods has one: it would be without effect."""
        if self.layer is None or any(plan(name, {}).needs_layer for name in methods):
            return
        listed = ", ".join(methods)
        who = f"method {methods[0]!r} works" if len(methods) == 1 else f"methods {listed} work"
        raise UsageError(f"layer={self.layer!r}: {who} on the picture and take{'s' * (len(methods) == 1)} no layer")

    def explainer(self, method: str, *, model: Model | None = None, seed: int | None = None, **options: Any) -> Explain:
        """Return what makes maps by one method, every option checked before the first picture."""
        common, own = split_options(options)
        steps = plan(method, own)
        request = prepare_request(
            model or self.model, steps, layer=self.layer if steps.needs_layer else None, score=None,
            seed=self.seed if seed is None else seed, preprocess=None, common=common,
        )  # fmt: skip
        return Explain(request)


@dataclass(frozen=True)
class Explain:
    """A method with its options on a model: from a picture and a target to the map."""

    request: Request

    def __call__(self, image: Any, target: TargetSource = None) -> Explanation:
        """Return the map. Raises: UsageError: the target stands for several, of which there would be one each."""
        model = self.request.model
        if model.task.is_several(target, model.labels):
            raise UsageError(f"target={target!r}: one detection is shown here; name it: a label, or '#2'")
        return explain_image(self.request, image, [target])[0]

    def seeded(self, seed: int) -> Explain:
        """Return the same with other random draws."""
        return Explain(replace(self.request, seed=seed))


@dataclass(frozen=True)
class Table:
    """The numbers of an experiment: names of columns, and rows of text, numbers and estimates."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """What an experiment found: its table, what follows from it in sentences, and its picture."""

    table: Table
    says: tuple[str, ...]
    image: Pixels
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the numbers depend on beside the options: pictures, method, thresholds."""


@dataclass(frozen=True)
class Experiment:
    """An experiment: its name, its function of a Case and of options, where it comes from, what it takes.

    ``targeted`` is false where what is explained are the classes of a picture's objects, whatever the case's target.
    """

    name: str
    run: Callable[..., Outcome]
    paper: str
    shows: str
    takes: str = "pictures"
    targeted: bool = True

    @property
    def options(self) -> dict[str, Parameter]:
        """Its options by name."""
        return options_of(self.run)

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, converted, with defaults. Raises: UsageError: unknown, wrong type, out of range."""
        return check_options(f"experiment {self.name!r}", self.options, options)


def experiment(
    name: str, *, paper: str, shows: str, takes: str = "pictures", targeted: bool = True
) -> Callable[[Callable[..., Outcome]], Experiment]:
    """Return a decorator that makes an Experiment of a function of a Case; its keyword-only parameters are options."""
    return lambda run: Experiment(name, run, paper, shows, takes, targeted)


def single(case: Case) -> str:
    """Return the one picture of an experiment that shows one. Raises: UsageError: there are several."""
    if len(case.images) != 1:
        raise UsageError(f"this experiment is about one picture; got {len(case.images)}")
    return case.images[0]


def ascending(name: str, values: Sequence[float]) -> None:
    """Raise UsageError unless values are at least one, and each is above the one before."""
    if not values or any(b <= a for a, b in pairwise(values)):
        shown = ", ".join(f"{v:g}" for v in values)
        raise UsageError(f"option {name}={shown}: expected one or more numbers, each above the one before")


Floats = NDArray[np.float32]
