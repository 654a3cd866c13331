"""From a method's plan to the program or record that a model runs for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxsal.anatomy import Layer, Score
from onnxsal.explanation.method_plan import MethodPlan
from onnxsal.methods.registry import Result
from onnxsal.model import Model


def build(model: Model, steps: MethodPlan, *, layer: Layer | None, score: Score) -> Result:
    """Return the program or record; made once for a model, a plan, a layer and a score."""
    own = (_Same(steps.method.build), repr(steps.described()), *_unnamed(steps))
    key: Any = ("built", own, layer and layer.name, score)
    return model.program(key, lambda: _build(model, steps, layer, score))  # type: ignore[no-any-return]


def _unnamed(steps: MethodPlan) -> tuple[_Same, ...]:
    """What its description does not tell apart: methods of one name, inner ones too, and objects among the options."""
    found = [_Same(v) for v in steps.options.values() if callable(v) or repr(v) == object.__repr__(v)]
    return tuple(found) if steps.inner is None else (*found, _Same(steps.inner.method.build), *_unnamed(steps.inner))


@dataclass(frozen=True, eq=False)
class _Same:
    """A key that is equal to that of the same object alone, and keeps it alive: the next could lie at its address."""

    thing: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _build(model: Model, steps: MethodPlan, layer: Layer | None, score: Score) -> Result:
    given: dict[str, Any] = {"layer": layer, "score": score}
    if steps.inner is not None:
        given["inner"] = build(model, steps.inner, layer=layer, score=score)
    return steps.method.build(*(given[name] for name in steps.method.needs), **steps.options)


def choose_layer(model: Model, steps: MethodPlan, name: str | None) -> Layer:
    """Return the layer that is named, else the method's own choice, else the automatic one."""
    chooser = steps.innermost.method.choose_layer
    if name is None and chooser is not None:
        return chooser(model.anatomy)
    return model.anatomy.layers.find(name)
