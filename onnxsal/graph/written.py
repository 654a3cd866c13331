"""The last look at a graph before anybody gets it: valid in full, or not written at all.

Weights are stood in for by inputs, so that the check costs the same whatever they weigh, and wherever they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import onnx
import onnx.checker

from onnxsal.errors import InvalidGraphError
from onnxsal.graph.check import tensor_bytes

_SMALL = 4096
"""Shape inference reads targets, axes and pads of fewer bytes; what is larger is only asked for its shape."""

_NOBODY = "sal.check"

Source = Callable[[], onnx.ModelProto]
"""Makes the message of the model that a graph was built from."""


def check_written(proto: onnx.ModelProto, source: Source | None = None) -> None:
    """Check that a graph is one that any runtime must take: names over all scopes, operators, types and shapes.

    Args: source: the user's own model. What is wrong in there already is not held against the graph; names are.

    Raises: InvalidGraphError: it is not; the node at fault is named.
    """
    fault = _names(proto.graph, frozenset(), "the graph") or _fault(proto, source)
    if fault:
        raise InvalidGraphError(
            f"internal error: the graph that was built is not valid, and nothing is written: {fault}. "
            "Please report this, with the model if you may"
        )


def _fault(proto: onnx.ModelProto, source: Source | None) -> str:
    """Return what onnx's checker finds, also with strict inference of shapes; nothing where the source has it too."""
    bare = _stand_in(proto)
    if not (full := _checked(bare, full=True)):
        return ""
    basic = _checked(bare, full=False)
    if source is not None and _checked(_stand_in(source()), full=not basic):
        return ""
    return basic or full


def _checked(proto: onnx.ModelProto, *, full: bool) -> str:
    """Return what the checker says, in one line; nothing where it is content."""
    try:
        onnx.checker.check_model(proto, full_check=full)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        return " ".join(str(error).split())[:600].rstrip(".") or type(error).__name__
    return ""


def _names(graph: onnx.GraphProto, outer: frozenset[str], where: str) -> str:
    """Return which name stands for two values, in this graph or one around it, and at which node."""
    given = [v.name for v in graph.input]
    weights = [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
    twice = _twice(given) or _twice(weights)
    if twice:
        return f"{twice!r} is the name of two inputs or weights of {where}"
    known = {*given, *weights}
    for node in graph.node:
        made = [name for name in node.output if name]
        taken = _twice(made) or next((name for name in made if name in known or name in outer), None)
        if taken:
            return f"{_label(node)} in {where} computes {taken!r}, a name that another value has"
        fault = _inside(node, outer | known)
        if fault:
            return fault
        known.update(made)
    return ""


def _inside(node: onnx.NodeProto, known: frozenset[str]) -> str:
    faults = (_names(body, known, f"the {name} of {_label(node)}") for name, body in _bodies(node))
    return next(filter(None, faults), "")


def _bodies(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        yield from ((attribute.name, graph) for graph in attribute.graphs)


def _twice(names: Sequence[str]) -> str | None:
    return None if len(set(names)) == len(names) else next(name for name in names if names.count(name) > 1)


def _label(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"


def _stand_in(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with inputs in place of weights that are large or lie outside."""
    bare = onnx.ModelProto(ir_version=proto.ir_version)
    bare.opset_import.extend(proto.opset_import)
    bare.functions.extend(proto.functions)
    own, graph = proto.graph, bare.graph
    graph.name = own.name or "graph"
    graph.node.extend(own.node)
    graph.output.extend(v for v in own.output if not _rankless(v))
    graph.value_info.extend(own.value_info)
    graph.sparse_initializer.extend(own.sparse_initializer)
    graph.initializer.extend(t for t in own.initializer if not _heavy(t))
    heavy = [t for t in own.initializer if _heavy(t)]
    for body in _all_bodies(graph):
        heavy += _without_weights(body)
    _add_inputs(graph, [v for v in own.input if not _rankless(v)], heavy)
    _add_rankless(bare, [v for v in own.input if _rankless(v)])
    return bare


def _rankless(value: onnx.ValueInfoProto) -> bool:
    """The format has no word for a tensor of unknown rank, and forbids it at both ends of a graph; runtimes do not."""
    return value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape")


def _add_rankless(bare: onnx.ModelProto, inputs: Sequence[onnx.ValueInfoProto]) -> None:
    """An operator of nobody's gives what such an input does."""
    if not inputs:
        return
    bare.opset_import.append(onnx.helper.make_opsetid(_NOBODY, 1))
    nodes = [onnx.helper.make_node("Given", [], [v.name], domain=_NOBODY) for v in inputs]
    rest = list(bare.graph.node)
    del bare.graph.node[:]
    bare.graph.node.extend([*nodes, *rest])
    bare.graph.value_info.extend(inputs)


def _add_inputs(
    graph: onnx.GraphProto, values: Sequence[onnx.ValueInfoProto], tensors: Sequence[onnx.TensorProto]
) -> None:
    graph.input.extend(values)
    known = {v.name for v in values}
    for tensor in tensors:
        if tensor.name not in known:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
            known.add(tensor.name)


def _heavy(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL or tensor_bytes(tensor) > _SMALL


def _all_bodies(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        for _, body in _bodies(node):
            yield body
            yield from _all_bodies(body)


def _without_weights(body: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Take a body's heavy weights out, for inputs of the main graph to stand in for; return their descriptions."""
    taken = [t for t in body.initializer if _heavy(t)]
    kept = [t for t in body.initializer if not _heavy(t)]
    described = [onnx.TensorProto(name=t.name, data_type=t.data_type, dims=t.dims) for t in taken]
    if taken:
        del body.initializer[:]
        body.initializer.extend(kept)
    return described
