"""From a method's plan to the program or record that a model runs for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onnxsal.anatomy import SCORE, Layer, Score
from onnxsal.anatomy.levels import level_layers
from onnxsal.errors import UnsupportedError
from onnxsal.explanation.baselines import on_baseline
from onnxsal.explanation.method_plan import MethodPlan
from onnxsal.graph import Program
from onnxsal.graph.operands import computed_from
from onnxsal.graph.program import Keeping, values_by_name
from onnxsal.graph.scopes import PREFIX
from onnxsal.methods.registry import Result
from onnxsal.modalities.nouns import nouns_of, speaking
from onnxsal.model import Model
from onnxsal.model.blame import blaming
from onnxsal.records import Record


def build(model: Model, steps: MethodPlan, *, layer: Layer | None, score: Score) -> Result:
    """Return the program or record; made once for a model, a plan, a layer and a score."""
    size = model.size if steps.innermost.method.sized else None
    key: Any = ("built", _own(steps), layer and layer.name, score, size)
    with speaking(nouns_of(model.modality.name)), blaming(model.source, model.custom_ops):
        return model.program(key, lambda: _build(model, steps, layer, score))  # type: ignore[no-any-return]


def build_layers(model: Model, steps: MethodPlan, *, layers: Sequence[Layer], score: Score) -> Program | None:
    """Return one program with the maps of several layers, named by ``map_of``: one run for all of them.

    With one layer, or none, as ``build``. None where the method draws samples, or asks for something else than a layer
    and a score.
    """
    first = build(model, steps, layer=layers[0] if layers else None, score=score)
    if not isinstance(first, Program):
        return None
    if len(layers) < 2:
        return first
    if sorted(steps.method.needs) != ["layer", "score"]:
        return None
    key: Any = ("layers", *layers_key(steps, layers, score))
    return model.program(key, lambda: _joined(steps, layers, score))  # type: ignore[no-any-return]


def layers_key(steps: MethodPlan, layers: Sequence[Layer], score: Any) -> tuple[Any, ...]:
    """Return what tells the maps of some layers from others on the same model."""
    return (*_own(steps), tuple(layer.name for layer in layers), score)


def map_of(layer: int) -> str:
    """Return the name of the map of one of several layers, by its place among them."""
    return f"{PREFIX}map/{layer}"


def _joined(steps: MethodPlan, layers: Sequence[Layer], score: Score) -> Program:
    """Return the maps one after the other on the same graph; the runtime computes once what they have in common."""
    read, maps = (*score.kept, "score", *(layer.name for layer in layers)), list[str]()
    program: Keeping = Keeping(score.model, read)
    for layer in layers:
        given: dict[str, Any] = {"layer": layer, "score": program}
        made = steps.method.build(*(given[name] for name in steps.method.needs), **steps.options)
        assert isinstance(made, Program)
        op = made.extend()
        maps.append(map_of(len(maps)))
        names = (*read, *maps[:-1])
        whole = op.finish_with({**{name: op[name] for name in names}, maps[-1]: op["saliency"]})
        program = Keeping(whole.model, (*names, maps[-1]))
    op = Program(program.model).extend()
    return op.finish_with({name: op[name] for name in (*score.kept, *maps)})


def _own(steps: MethodPlan) -> tuple[Any, ...]:
    return _Same(steps.method.build), repr(steps.described()), steps.baseline, *_unnamed(steps)


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
    if layer in model.anatomy.layers.beside and steps.backward and not _hangs_on(score, layer):
        raise UnsupportedError(
            f"the score does not depend on layer {layer.name!r}: ask for what does, such as a side of a box "
            "(-t '#1 left'), or name another layer (`onnxsal layers MODEL`)"
        )
    given: dict[str, Any] = {"layer": layer, "score": score}
    if steps.inner is not None:
        given["inner"] = build(model, steps.inner, layer=layer, score=score)
    made = steps.method.build(*(given[name] for name in steps.method.needs), **steps.options)
    return on_baseline(made, steps.baseline) if isinstance(made, Record) and steps.baseline is not None else made


def _hangs_on(score: Score, layer: Layer) -> bool:
    """Whether the score is computed from a layer."""
    graph = score.model.graph
    values = values_by_name(graph)
    return layer.name in values and values[SCORE] in computed_from(graph, [values[layer.name]])


def choose_layer(model: Model, steps: MethodPlan, name: str | None) -> Layer:
    """Return the layer that is named, else the method's own choice, else the automatic one."""
    chooser = steps.innermost.method.choose_layer
    with speaking(nouns_of(model.modality.name)):
        return chooser(model.anatomy) if name is None and chooser is not None else model.anatomy.layers.find(name)


def level_choice(model: Model, steps: MethodPlan) -> tuple[Layer, ...]:
    """Return the layers of all levels of a pyramid, where a method takes layers and chooses none itself; where none is
    named they are the ones."""
    if not steps.needs_layer or steps.innermost.method.choose_layer is not None:
        return ()
    found: tuple[Layer, ...] = model.program("levels", lambda: level_layers(model.anatomy))
    return found
