"""What lies in front of an explained value inside a model: in a compiled file it is computed, as in the model's own."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.folding import graft
from onnxsal.graph import Program, dims
from onnxsal.graph.cut import cut
from onnxsal.graph.program import Trace
from onnxsal.modalities.tokens import Tokens
from onnxsal.model import Model
from onnxsal.model.inner import STAND_IN, front
from onnxsal.model.text_past import past_of

ONE = "what lies in front of the explained value takes one thing at a time: the compiled file does too (batch 1)"


PAST = (
    "the file reads ids past the vectors that they become, and for its one size that is written with those of one text "
    "inside, so that a compiled file would be another one for each text; export it with batch and length left open"
)


def front_of(model: Model) -> Program | None:
    """Return what makes the explained value of the inputs that nobody holds; None where that is an input itself."""
    if not any(each.role == "inside" for each in model.inputs):
        return None
    program: Program = model.program("front", lambda: front(model.source, model.asked))
    return program


def takes_one(model: Model) -> bool:
    """Whether what lies in front of the explained value has not as many rows as that, as far as its shapes tell."""
    program = front_of(model)
    if program is None:
        return False
    (made,) = program.outputs.values()
    rows = {(dims(value) or (None,))[0] for value in (made, *program.inputs.values())}
    return len(rows) > 1 or not isinstance(next(iter(rows)), str)


def laid_in_front(trace: Trace, model: Model) -> dict[str, ir.Value]:
    """Compute the explained value from the model's own inputs, which the graph takes in its place from here on.

    Returns: these, by name; nothing where the explained value is an input.
    """
    program = front_of(model)
    if program is None:
        return {}
    name = model.anatomy.entry.input
    old = trace[name]
    inputs = {own: _input(own, value, old) for own, value in program.inputs.items()}
    if model.modality.name == "tokens" and model.sized is None:  # behind the vectors the graph has one length
        for each in inputs.values():
            each.shape = ir.Shape([*list(dims(each) or ())[:-1], model.size[0]])

    def made() -> ir.Value:
        return graft(trace, program, inputs, {})[name]

    value = cut(trace, old, made)
    value.type, value.shape = old.type, old.shape
    at = list(trace.graph.inputs).index(old)
    trace.graph.inputs.remove(old)
    for number, each in enumerate(inputs.values()):
        trace.graph.inputs.insert(at + number, each)
    trace.rename(name, old, value)
    return inputs


def stands_in(name: str) -> bool:
    """Return whether a value of this name stands in the place of ids that are read past their vectors."""
    return name.startswith(STAND_IN)


def read_past(trace: Trace, model: Model, ids: ir.Value) -> dict[str, ir.Value]:
    """Let what reads ids past their vectors read those that go in, of which the graph holds others.

    Returns: these, by the name of what they stand in for, so that what is put beside the graph reads them too.
    Raises: UnsupportedError: an output reads them, and the graph was written for those that it holds.
    """
    stands = trace.graph.initializers.get(f"{STAND_IN}{ids.name}")
    if stands is not None and stands.uses():
        stands.replace_all_uses_with(ids)
        return {str(stands.name): ids}
    if _reads_past(model):
        raise UnsupportedError(PAST)
    return {}


def _reads_past(model: Model) -> bool:
    """Whether any output reads ids past the vectors that they become, for more than how many they are."""
    modality = model.modality
    if not isinstance(modality, Tokens) or modality.embedding is None:
        return False
    past = past_of(model.source.graph, replace(model.asked, head=None), modality.embedding)
    return past.own or bool(past.told)


def check_read(graph: ir.Graph) -> None:
    """Raises: UnsupportedError: something reads ids past their vectors that are not those that go in."""
    if any(v is not None and stands_in(str(v.name)) for node in graph.all_nodes() for v in node.inputs):
        raise UnsupportedError(PAST)


def _input(name: str, like: ir.Value, explained: ir.Value) -> ir.Value:
    """Return an input of the file: of as many rows as the explained value has."""
    shape, rows = list(dims(like) or ()), (dims(explained) or (None,))[0]
    shape = [rows, *shape[1:]] if shape and not isinstance(shape[0], int) else shape
    return ir.Value(name=name, type=like.type, shape=ir.Shape(shape))
