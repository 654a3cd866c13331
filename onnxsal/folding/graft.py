"""Grafting: the nodes that a program adds to a model, put onto the model itself.

A program is built on a copy of the model that was cut at its picture. Values that the copy shares with the model are
found again by name, so that what is there already is not computed twice.

A graft goes into a branch or a loop, and reads the model's weights from outside. ONNX Runtime gives its fast layouts to
weights of the same graph alone, which costs up to 1.7 times the forward pass, and other roundings; products by weights
of 4 bits it does not even load. So float weights go through two negations on their way, quantised ones through a wider
type: exact, folded when the inference session loads, and what is left is a constant of the branch. The file holds them
once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx_ir as ir

from onnxsal.graph import Program, Tape, dims

_SMALL = 4096
"""Constants of fewer elements are shared by their contents."""

Values = Mapping[str, ir.Value]


def graft(
    op: Tape,
    program: Program,
    bound: Values,
    there: Values,
    *,
    outputs: Sequence[str] | None = None,
) -> dict[str, ir.Value]:
    """Return the program's outputs as values on ``op``, after appending the nodes that are not there yet.

    Args:
        bound: the program's inputs by name.
        there: the values of the model, which the program's own of the same name are replaced by; ``op`` may be a branch
            inside it.
        outputs: those that are wanted; all by default.
    """
    mapped = {value: bound[name] for name, value in program.inputs.items()}
    targets = {n: v for n, v in program.outputs.items() if outputs is None or n in outputs}
    wanted = _missing(program, there, targets.values())
    read = {v for node in wanted for v in _reads(node)} | set(targets.values())
    weights = [v for v in program.model.graph.initializers.values() if v in read and v.name in there]
    mapped.update({v: _weight(op, there[str(v.name)]) for v in weights})
    for node in program.model.graph:
        if node in wanted:
            copied(op, node, mapped)
        else:
            mapped.update({v: there[str(v.name)] for v in node.outputs if _is_there(v, there)})
    return {name: _known(mapped, value, op) for name, value in targets.items()}


def laid(op: Tape, program: Program, bound: Values, there: Values) -> dict[str, ir.Value]:
    """Return the values of a program by name, the weights in ``there`` as they are, after appending all its nodes.

    They keep the names of their nodes, so that what is grafted later finds them as the model's own.
    """
    mapped = {value: bound[name] for name, value in program.inputs.items()}
    weights = {v: there[str(v.name)] for v in program.model.graph.initializers.values() if v.name in there}
    mapped.update({v: _weight(op, weight) for v, weight in weights.items()})
    for node in program.model.graph:
        copied(op, node, mapped, name=node.name)
    own = {str(v.name): mapped[v] for node in program.model.graph for v in node.outputs if v.name}
    return {**bound, **own, **{str(v.name): weight for v, weight in weights.items()}}


_NARROW = {
    **dict.fromkeys(("INT2", "UINT2", "INT4", "UINT4", "INT8", "UINT8", "INT16", "UINT16"), ir.DataType.INT32),
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), ir.DataType.FLOAT),
}
"""Types of quantised weights, with one that holds all their numbers; shapes and indices are never of these."""


def _weight(op: Tape, weight: ir.Value) -> ir.Value:
    tensor = weight.const_value
    if tensor is None:
        return weight
    if (wide := _NARROW.get(tensor.dtype.name)) is not None:
        return op.Cast(op.Cast(weight, to=wide), to=tensor.dtype)
    if not tensor.dtype.is_floating_point() or not (len(tensor.shape) or _is_step(weight)):
        return weight
    return op.Neg(op.Neg(weight))


def _is_step(number: ir.Value) -> bool:
    return any(node.op_type == "DequantizeLinear" for node in number.consumers())


def elements_read(program: Program, there: Values, outputs: Sequence[str] | None = None) -> int:
    """Return how many numbers of one picture's values in ``there`` a graft would read; weights do not count."""
    targets = {n: v for n, v in program.outputs.items() if outputs is None or n in outputs}
    wanted = _missing(program, there, targets.values())
    sources = {v for node in wanted for v in _reads(node)} | set(targets.values())
    read = {v for v in sources if v.const_value is None and _is_there(v, there)}
    return sum(math.prod(d if isinstance(d, int) else 1 for d in dims(v) or ()) for v in read)


def _is_there(value: ir.Value, there: Values) -> bool:
    """Whether a value is the model's own: the name alone may be one that the program gave to an output of its own."""
    other = there.get(str(value.name))
    if other is None:
        return False
    ours, theirs = value.producer(), other.producer()
    return ours is not None and theirs is not None and (ours.name, ours.op_type) == (theirs.name, theirs.op_type)


def _missing(program: Program, there: Values, targets: Iterable[ir.Value]) -> set[ir.Node]:
    """Return the nodes that the outputs need and the graph does not have."""
    needed: set[ir.Value] = set(targets)
    wanted: set[ir.Node] = set()
    for node in reversed(list(program.model.graph)):
        asked = [v for v in node.outputs if v in needed]
        if asked and not all(_is_there(v, there) for v in asked):
            wanted.add(node)
            needed.update(_reads(node))
    return wanted


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what a node reads, in its bodies too."""
    yield from (v for v in node.inputs if v is not None)
    for graph in _bodies(node):
        own = {*graph.inputs, *graph.initializers.values(), *(v for inner in graph for v in inner.outputs)}
        yield from (v for inner in graph for v in _reads(inner) if v not in own)
        yield from (v for v in graph.outputs if v not in own)


def _bodies(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()


def copied(op: Tape, node: ir.Node, mapped: dict[ir.Value, ir.Value], name: str | None = None) -> None:
    """Append a copy of a node that reads what its values are mapped to, and map its outputs."""
    inputs = [_known(mapped, v, op) if v is not None else None for v in node.inputs]
    for value in _reads(node):
        _known(mapped, value, op)
    attributes = [_attribute(op, each, mapped) for each in node.attributes.values()]
    stem = op.unique(node.op_type)
    outputs = [ir.Value(name=stem if i == 0 else f"{stem}:{i}") for i in range(len(node.outputs))]
    for old, new in zip(node.outputs, outputs, strict=True):
        mapped[old] = new
        new.type, new.shape, new.name = old.type, _free(old), new.name if old.name else ""
    op.graph.append(ir.Node(node.domain, node.op_type, inputs, attributes, outputs=outputs, name=name or stem))


def _free(value: ir.Value) -> ir.Shape | None:
    """Two copies of a model may take different numbers of pictures: what its symbols are called would tie them."""
    shape = dims(value)
    return None if shape is None else ir.Shape([d if isinstance(d, int) else None for d in shape])


def _attribute(op: Tape, attribute: ir.Attr, mapped: dict[ir.Value, ir.Value]) -> ir.Attr:
    if attribute.type != ir.AttributeType.GRAPH:
        return attribute
    return ir.AttrGraph(attribute.name, _body(op, attribute.as_graph(), dict(mapped)))


def _body(op: Tape, graph: ir.Graph, mapped: dict[ir.Value, ir.Value]) -> ir.Graph:
    """Copy a node's body under new names, because a second copy of it may stand beside it."""
    made = ir.Graph([], [], nodes=[], opset_imports=dict(graph.opset_imports), name=op.unique("body"))
    inner = Tape(made)
    inner._numbers = op._numbers
    for value in graph.inputs:
        mapped[value] = ir.Value(name=op.unique("in"), type=value.type, shape=value.shape)
        made.inputs.append(mapped[value])
    for node in graph:
        copied(inner, node, mapped)
    made.outputs.extend(_known(mapped, value, inner) for value in graph.outputs)
    return made


def _known(mapped: dict[ir.Value, ir.Value], value: ir.Value, op: Tape) -> ir.Value:
    found = mapped.get(value)
    if found is None and value.const_value is not None:
        tensor = value.const_value
        found = op.const(tensor.numpy(), value.dtype) if tensor.size < _SMALL else op.weight(tensor)
        mapped[value] = found
    assert found is not None, f"value {value.name!r} has no counterpart in the model"
    return found
