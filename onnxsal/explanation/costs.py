"""What methods take on a model: images through it, seconds, memory; and why some do not apply."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onnxsal.anatomy import Layer
from onnxsal.errors import OnnxsalError
from onnxsal.explanation.build import build, choose_layer, level_choice
from onnxsal.explanation.empty_maps import Case, never
from onnxsal.explanation.method_plan import BATCH, MethodPlan, plan
from onnxsal.explanation.rates import Rates
from onnxsal.graph import Program
from onnxsal.graph.infer import kinds_of_one
from onnxsal.graph.memory import Footprint, footprint
from onnxsal.graph.shape_propagation import Memo
from onnxsal.methods import catalogue
from onnxsal.model import Model
from onnxsal.model.table import takes_rows
from onnxsal.records import Made, Record

BUFFERS = 2
"""Batches of masked pictures: one is filled while the other runs."""

Family = tuple[str, bool]
"""Methods that go back through a model by the same rules, to the pixels or to a layer, stand or fall together."""


@dataclass(frozen=True)
class Cost:
    """What one picture takes with a method's default options; ``reason`` says why where the method does not apply."""

    method: str
    reason: str | None
    forwards: int = 0
    backwards: int = 0
    seconds: float | None = None
    memory: int | None = None
    """Bytes that live at one time, of a batch of the default size, by the graph's shapes."""


@dataclass(frozen=True)
class _Found:
    """What is known of a model so far."""

    families: dict[Family, tuple[str | None, int | None]]
    """Why one does not apply, and its memory."""
    memo: Memo


def costs(model: Model, rates: Rates, names: Sequence[str] | None = None) -> list[Cost]:
    """Return what every method takes on a model, or those that are named, or why it does not apply."""
    found = _Found({}, {})
    return [_cost(model, name, rates, found) for name in (catalogue.names() if names is None else names)]


def _cost(model: Model, name: str, rates: Rates, found: _Found) -> Cost:
    try:
        steps = plan(name, {})
        model = model.with_layers() if steps.needs_layer else model  # as for a thing: layers have sizes
        chosen = choose_layer(model, steps, None) if steps.needs_layer else None
    except OnnxsalError as error:
        return Cost(name, str(error))
    if steps.method.of_rows:
        vector = ", and takes a vector for one where it is asked for" if takes_rows(model) else ""
        return Cost(name, None if model.modality.name == "table" else f"{name} is for rows of tables{vector}")
    layers = level_choice(model, steps) or (chosen,)
    family = (_family(steps), steps.needs_layer)
    if family not in found.families:
        found.families[family] = _of_all([_probed(model, steps, layer, found.memo) for layer in layers])
    reason, memory = found.families[family]
    if reason is not None:
        return Cost(name, reason)
    maps = [0 if layer is None else layer.channels for layer in layers]
    if all(steps.forwards(n) == 1 for n in maps):
        maps = maps[:1]  # one run makes the maps of all layers
    try:
        passes = [_passes(model, steps, layer, n) for layer, n in zip(layers, maps, strict=False)]
    except OnnxsalError as error:
        return Cost(name, str(error))
    forwards, backwards = (sum(counts) for counts in zip(*passes, strict=True))
    more = (rates.to_layer if steps.needs_layer else rates.to_pixels) or 0.0
    seconds = forwards * rates.forward + backwards * more
    return Cost(name, None, forwards, backwards, seconds, memory)


def _passes(model: Model, steps: MethodPlan, layer: Layer | None, maps: int) -> tuple[int, int]:
    """Return images that go forward and backward: of masks that are made for a size as many as the record has."""
    forwards, backwards = steps.forwards(maps), steps.backwards(maps) if steps.backward else 0
    built = build(model, steps, layer=layer, score=model.score(model.task.kind(steps.score)))
    masks = built.draws.masks if isinstance(built, Record) and isinstance(built.body, Program) else None
    if not (isinstance(built, Record) and isinstance(masks, Made)):
        return forwards, backwards
    own = masks.count * built.draws.samples
    beside = (built.head is not None) + built.draws.reference
    return own + beside, 0 if not backwards else own + (built.head is not None)


def _of_all(probed: list[tuple[str | None, int | None]]) -> tuple[str | None, int | None]:
    """Return what layers that run one after the other take: why one does not apply, and the most memory."""
    reason = next((reason for reason, _ in probed if reason is not None), None)
    return reason, max((memory for _, memory in probed if memory is not None), default=None)


def _family(steps: MethodPlan) -> str:
    """Methods without gradients, and those that choose their layer themselves, have their own conditions each."""
    innermost = steps.innermost.method
    own = innermost.rules is None or innermost.choose_layer is not None
    return f"own: {innermost.name}" if own else f"rules: {innermost.rules}"


def _probed(model: Model, steps: MethodPlan, layer: Layer | None, memo: Memo) -> tuple[str | None, int | None]:
    """Build the program of a method without running it."""
    try:
        score = model.score(model.task.kind(steps.score))
        built = build(model, steps, layer=layer, score=score)
    except OnnxsalError as error:
        return str(error), None
    if steps.backward and (nothing := never(Case(model, steps, score, layer))) is not None:
        return nothing, None
    return None, _footprint(model, built, memo).total(BATCH)


def _footprint(model: Model, built: Program | Record, memo: Memo) -> Footprint:
    parts = footprints(built, memo)
    image = 4 * model.anatomy.entry.channels * math.prod(model.size)
    return Footprint(max(p.fixed for p in parts), max(p.per_image for p in parts) + BUFFERS * image)


def footprints(built: Program | Record, memo: Memo | None = None) -> list[Footprint]:
    """Return what a method's programs take that run on pictures; tails take next to nothing.

    Args: memo: what was inferred of other programs of the model, which saves most of the work.
    """
    known = {} if memo is None else memo
    if isinstance(built, Program):
        return [_measured(built, known)]
    heads = [] if built.head is None else [_measured(built.head, known)]
    return [*heads, *footprints(built.body, known)]


def _measured(program: Program, memo: Memo) -> Footprint:
    return footprint(program.model, kinds_of_one(program.model.graph, memo))
