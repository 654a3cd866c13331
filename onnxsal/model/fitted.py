"""A model opened for the very thing that is given: its other inputs, its size, what makes the explained value of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ImageError, UsageError, nearest
from onnxsal.graph import Program, dims
from onnxsal.graph.program import values_by_name
from onnxsal.modalities.csv_rows import is_rows_file
from onnxsal.modalities.npy import is_npy, read_array
from onnxsal.modalities.registry import Fronted, Sample
from onnxsal.modalities.table import Table
from onnxsal.modalities.tokens import Tokens
from onnxsal.model.constants import Constant, constants, fitting
from onnxsal.model.inner import front
from onnxsal.model.living import living
from onnxsal.model.model import Model
from onnxsal.model.other_side import Beside, read_held
from onnxsal.model.table import as_table, takes_rows
from onnxsal.model.texts import of_text


@dataclass(frozen=True)
class Fitted:
    """A model, and a thing that it is opened for."""

    model: Model
    thing: Any

    @property
    def sample(self) -> Sample:
        """The thing as the model takes it. Raises: as ``Model.prepare``."""
        return self.model.prepare(self.thing)


def fitted(model: Model, thing: Any) -> Fitted:
    """Return the model opened for a thing, itself where it is already.

    A mapping holds the other inputs, by their names; an array of another size than the model was opened for, where its
    file leaves that open, opens it for that; of a value inside, what it is computed from is run first.
    Raises: UsageError: there is no such input, nothing is given to explain, or as ``onnxsal.load``.
    """
    if isinstance(model.modality, Table):
        return Fitted(model, thing)
    if is_rows_file(thing) and takes_rows(model):
        return Fitted(as_table(model), thing)
    if isinstance(thing, Mapping):
        return _of_mapping(model, thing)
    if isinstance(model.modality, Tokens):
        return Fitted(*of_text(model, thing))
    if _inside(model) and (made := _computed(model, thing)) is not None:
        return made
    return _of_size(model, thing)


def _inside(model: Model) -> bool:
    return not any(each.role == "explained" for each in model.inputs)


def _of_mapping(model: Model, things: Mapping[str, Any]) -> Fitted:
    known = [each.name for each in model.inputs]
    for name in things:
        if name not in known:
            raise UsageError(f"the model has no input {name!r}{nearest(str(name), known)} (it has {', '.join(known)})")
    explained = {each.name for each in model.inputs if each.role in ("explained", "inside")}
    others = {name: thing for name, thing in things.items() if name not in explained}
    others = read_held(Beside(model.source.graph, model.name, model.metadata, model.asked.preprocess), others)
    opened = _reopened(model, inputs={**model.asked.held, **constants(others)}) if others else model
    own = [name for name in things if name in explained]
    if own and isinstance(model.modality, Tokens):
        return Fitted(*of_text(opened, things[own[0]], words=True))
    if len(own) == 1 and isinstance(opened.modality, Fronted) and (made := _computed(opened, things[own[0]])):
        return made
    if own and not _inside(model):
        return fitted(opened, things[own[0]])
    if not _inside(model):
        raise UsageError(
            f"nothing is given for {model.anatomy.entry.input!r}, which is explained: {{name: thing}} has to name it"
        )
    return _of_size(opened, _run(opened, {name: constants(things)[name] for name in own}))


def _computed(model: Model, thing: Any) -> Fitted | None:
    """Return the value inside that a thing gives, where that is for an input in front; None where it is the value."""
    array = _array(thing)
    if isinstance(model.modality, Fronted):
        return _heard(model, thing, model.modality)
    if array is None or _has_form(array, model):
        return None
    sources = [each.name for each in model.inputs if each.role == "inside"]
    if not sources:
        sources = _front_inputs(model)
        if len(sources) != 1:
            return None
        opened = _reopened(model, inputs={**model.asked.held, sources[0]: Constant.of(array, sources[0])})
        return _of_size(opened, _run(opened, {}))
    if len(sources) > 1:
        raise UsageError(
            f"{model.anatomy.entry.value!r} is computed from {', '.join(sources)}: give each, {{name: thing}}, or hold "
            "all but one"
        )
    return _of_size(model, _run(model, {sources[0]: Constant.of(array, sources[0])}))


def _heard(model: Model, thing: Any, modality: Fronted) -> Fitted | None:
    """Return the value inside that is computed of what a modality reads for the input in front; None where a thing is
    that value itself, or is for another input."""
    program: Program = model.program("front", lambda: front(model.source, model.asked))
    if modality.is_value(thing, model.anatomy.entry) or len(program.inputs) != 1:
        return None
    ((name, value),) = program.inputs.items()
    heard = modality.hear(thing, model.sound, dims(value) or ())
    computed = _run(model, {name: Constant.of(heard.fed, name)})
    return _of_size(model, modality.computed(computed, heard))


def _front_inputs(model: Model) -> list[str]:
    """Return the held inputs that the explained value is computed from."""
    graph = model.source.graph
    front_ = living(graph, None, ends=[values_by_name(graph)[str(model.asked.explained)]])
    return [str(v.name) for v in graph.inputs if v in front_ and v.name in model.asked.held]


def _run(model: Model, given: Mapping[str, Constant]) -> NDArray[Any]:
    """Return the value inside of what it is computed from."""
    program: Program = model.program("front", lambda: front(model.source, model.asked))
    missing = [name for name in program.inputs if name not in given]
    if missing:
        name, listed = model.asked.explained, ", ".join(missing)
        raise UsageError(f"{name!r} is computed from {listed}, and nothing is given for it: {{name: thing}}")
    feeds = {name: fitting(given[name], value) for name, value in program.inputs.items()}
    found: NDArray[Any] = model.session(program).run(feeds)[str(model.asked.explained)]
    return found


def _has_form(array: NDArray[Any], model: Model) -> bool:
    """Whether an array may be the explained value itself: floats of its axes, with the batch or without."""
    rank = len(model.anatomy.entry.value_axes)
    return array.dtype.kind == "f" and array.ndim in (rank, rank - 1)


def _of_size(model: Model, thing: Any) -> Fitted:
    return Fitted(model.fitting(thing), thing)


def _array(thing: Any) -> NDArray[Any] | None:
    """Return the array that a thing is, or that its ``.npy`` file holds, as far as it can be read."""
    if not isinstance(thing, np.ndarray) and not is_npy(thing):
        return None
    try:
        return read_array(thing, "an array").array
    except (ImageError, UsageError):  # whoever reads it for the model says what is wrong
        return None


def _reopened(model: Model, **changes: Any) -> Model:
    """Return the same file opened otherwise, as it was opened the last few times."""
    key = tuple(sorted((name, _key(value)) for name, value in changes.items()))
    made: Model = model.others(key, lambda: model.reopened(**changes))
    return replace(made, preprocess=model.preprocess, sound=model.sound)


def _key(value: Any) -> Any:
    return tuple(sorted((k, v.digest) for k, v in value.items())) if isinstance(value, Mapping) else value
