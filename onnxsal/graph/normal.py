"""The normal form: the one shape of graph that rules, anatomy and methods are written against.

1. functions inlined; 2. opset raised; 3. constants lifted to initializers, initializers out of the inputs; 4. sorted;
5. shapes inferred; 6. shape arithmetic folded; 7. dead nodes removed. Attributes are filled in where they are read
(``graph.attributes``), so that the user's nodes stay as they were.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import PassBase
from onnx_ir.passes.common import (
    InlinePass,
    LiftConstantsToInitializersPass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedNodesPass,
    TopologicalSortPass,
)

from onnxsal.errors import ModelError
from onnxsal.graph.fold import fold_constants
from onnxsal.graph.infer import study, write_shapes
from onnxsal.graph.opset import TARGET, raise_opset


def normalise(model: ir.Model, *, opset: int = TARGET, keep: frozenset[str] = frozenset()) -> ir.Model:
    """Return the normal form of a model; the model given is left as it was, and its weights are shared, not copied.

    Args: keep: names of values that must stay values of the graph: nothing that they feed is folded.

    Raises: ModelError: the graph is cyclic, refers to values that do not exist, or its shapes contradict each other.
    """
    work = raise_opset(_run(model.clone(), InlinePass()), opset)
    _run(work, LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0))
    _run(work, RemoveInitializersFromInputsPass(), TopologicalSortPass())
    _check_sources(work.graph)
    known = study(work.graph, keep)
    write_shapes(work.graph, known)
    fold_constants(work.graph, known)
    return _run(work, RemoveUnusedNodesPass())


def _run(model: ir.Model, *passes: PassBase) -> ir.Model:
    for each in passes:
        try:
            model = each(model).model
        except (ValueError, RuntimeError, KeyError, AssertionError) as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            cause = "the graph is cyclic" if isinstance(each, TopologicalSortPass) else type(each).__name__
            raise ModelError(f"the model is not valid: {cause} ({reason})") from error
    return model


def _check_sources(graph: ir.Graph) -> None:
    """Report every value that nothing computes; ``onnx_ir`` keeps such names as values without a producer."""
    given = {id(v) for v in graph.inputs} | {id(v) for v in graph.initializers.values()}
    lost = {
        f"{v.name!r} (read by {node.op_type} {node.name or node.outputs[0].name!r})"
        for node in graph
        for v in node.inputs
        if v is not None and v.producer() is None and id(v) not in given
    }
    if lost:
        raise ModelError(f"the model is not valid: nothing computes {', '.join(sorted(lost)[:5])}")
