"""The method that is meant where none is named: what suits the thing a model takes, and applies to the model."""

from __future__ import annotations

from dataclasses import dataclass

from onnxsal.errors import UnsupportedError
from onnxsal.explanation.build import build, choose_layer, level_choice
from onnxsal.explanation.method_plan import MethodPlan, plan
from onnxsal.explanation.request import usual_of
from onnxsal.model import Model
from onnxsal.model.positions import check_positions

USUAL = "grad-cam++"
"""Where a model has a layer that lies as the thing does."""

_CHOICES = {"tokens": ("integrated-gradients", "occlusion"), "table": ("shapley",)}
"""What is tried in turn; of words and of rows first a method whose scores add up."""
_OTHERWISE = (USUAL, "gradient", "occlusion")


@dataclass(frozen=True)
class UsualMethod:
    """The method that is taken, and why those that would have gone before it are not."""

    name: str
    passed_over: tuple[tuple[str, str], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is told: nothing where the first choice is taken."""
        if not self.passed_over:
            return ()
        name, why = self.passed_over[0]
        why = why.partition("; ")[0]  # what to do instead is done
        return (f"explains with {self.name}, -m METHOD with another: {name} does not apply here ({why})",)


def usual_method(*models: Model, layer: bool = False) -> UsualMethod:
    """Return the first usual method that applies to all of some models. Args: layer: whether a layer is named for it.

    The last is taken whatever it says: then that is what is wrong.
    """
    if layer or any(model.question for model in models):  # which is answered first
        return UsualMethod(USUAL)
    choices = _CHOICES.get(models[0].modality.name, _OTHERWISE)
    passed: list[tuple[str, str]] = []
    for name in choices[:-1]:
        why = next((told for model in models if (told := _refused(model, name)) is not None), None)
        if why is None:
            return UsualMethod(name, tuple(passed))
        passed.append((name, why))
    return UsualMethod(choices[-1], tuple(passed))


def _refused(model: Model, name: str) -> str | None:
    """Return why a method does not apply to a model, None where it does."""
    steps = plan(name, {}).on_usual(usual_of(model))
    try:
        _check(model, steps)
    except UnsupportedError as error:
        return str(error)
    return None


def _check(model: Model, steps: MethodPlan) -> None:
    """Raise UnsupportedError where no layer fits a method that takes one, or no gradient comes back to what goes in."""
    if steps.needs_layer:
        for layer in level_choice(model, steps) or (choose_layer(model, steps, None),):
            check_positions(model, layer)
    else:
        build(model, steps, layer=None, score=model.score(model.task.kind(steps.score)))
