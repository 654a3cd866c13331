"""The normal form: the one shape of graph that rules, anatomy and methods are written against.

1. functions inlined; 2. opset raised, the runtime's own quantisers made the standard's; 3. constants lifted to
initializers, initializers out of the inputs; 4. what ONNX Runtime runs otherwise than the standard says written as it
runs it; 5. shapes studied, decided branches settled; 6. shape arithmetic folded, Reshape targets settled; 7. dead nodes
removed; 8. what the file measures and quantises goes on to be run as it was.
Attributes are filled in where they are read (``graph.attributes``), so that the user's nodes stay as they were.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import PassBase
from onnx_ir.passes.common import (
    InlinePass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedNodesPass,
)

from onnxsal.errors import ModelError
from onnxsal.graph.adopt import adopt_quantisers
from onnxsal.graph.as_run import write_as_run
from onnxsal.graph.branches import settle_branches, settle_impossible
from onnxsal.graph.check import model_errors
from onnxsal.graph.fold import fold_constants
from onnxsal.graph.infer import BATCH, Study, study, write_shapes
from onnxsal.graph.initializers import lift_constants
from onnxsal.graph.limits import check_limits
from onnxsal.graph.measured import keep_measured, measured
from onnxsal.graph.opset import TARGET, raise_opset
from onnxsal.graph.scopes import separate_names
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape
from onnxsal.graph.training import write_out_training
from onnxsal.graph.unpooled import write_ranks


def normalise(model: ir.Model, *, opset: int = TARGET, keep: frozenset[str] = frozenset()) -> ir.Model:
    """Return the normal form of a model; the model given is left as it was, and its weights are shared, not copied.

    Args: keep: names of values that must stay values of the graph: nothing that they feed is folded.

    Raises: ModelError: its shapes contradict each other. UnsupportedError: its opset is below
    7, or one of its values is larger than this machine's memory.
    """
    with model_errors("the model is not valid"):
        work = model.clone()
    work = _run(work, InlinePass())
    _separate(work.graph)
    write_ranks(work)
    work = raise_opset(work, opset)
    adopt_quantisers(work)
    lift_constants(work.graph)
    _run(work, RemoveInitializersFromInputsPass())
    write_as_run(work.graph)
    known = _study(work.graph, keep)
    while settle_branches(work.graph, known) or settle_impossible(work, known):
        lift_constants(work.graph)
        known = _study(work.graph, keep)
    if write_out_training(work.graph, known):
        known = _study(work.graph, keep)
    watched = measured(work.graph, known)
    fold_constants(work.graph, known)
    write_shapes(work.graph, known)
    work = _run(work, RemoveUnusedNodesPass())
    keep_measured(work.graph, watched)
    _separate(work.graph)
    check_limits(work.graph)
    return work


def _run(model: ir.Model, *passes: PassBase) -> ir.Model:
    for each in passes:
        with model_errors("the model is not valid"):
            model = each(model).model
    return model


def _separate(graph: ir.Graph) -> None:
    """Bodies of the file, functions written out twice and what is laid in here may call different values alike."""
    separate_names(graph, Tape(graph).unique)


def _study(graph: ir.Graph, keep: frozenset[str]) -> Study:
    """Study the graph with a free batch, or with one of 1 where that is all it can take, whatever its file declares."""
    _name_batch(graph)
    try:
        return study(graph, keep)
    except ModelError:
        free = [v for v in graph.inputs if (shape := dims(v)) and isinstance(shape[0], str)]
        if not free:
            raise
    for value in free:
        value.shape = ir.Shape([1, *(dims(value) or ())[1:]])
    return study(graph, keep)


def _name_batch(graph: ir.Graph) -> None:
    """A leading axis that the file leaves open without a name is called batch; old exports write -1 or 0 for open."""
    for value in graph.inputs:
        shape = dims(value)
        if shape and any(d is None or (isinstance(d, int) and d <= 0) for d in shape):
            rest = [None if isinstance(d, int) and d <= 0 else d for d in shape]
            value.shape = ir.Shape([BATCH if rest[0] is None else rest[0], *rest[1:]])
