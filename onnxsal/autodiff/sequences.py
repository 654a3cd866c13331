"""Sequences of tensors, as exporters write them: followed through the graph, so that only their tensors remain."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff.contrib import replace_outputs
from onnxsal.autodiff.decompose import graft
from onnxsal.errors import UnsupportedError
from onnxsal.graph.attributes import attributes
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

_MAKERS = frozenset({"SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SplitToSequence"})
_READERS = frozenset({"SequenceAt", "ConcatFromSequence", "SequenceLength"})
FOLLOWED = _MAKERS | _READERS | {"SequenceMap"}

Tensors = list[ir.Value]


def lower_sequences(graph: ir.Graph) -> bool:
    """Replace what is read from sequences by the tensors themselves, in place; return whether there were any.

    A sequence is followed where its places and sizes are constants; another is left as it is, and has no gradient.
    """
    op, known = Tape(graph), dict[ir.Value, Tensors]()
    nodes = [n for n in graph if not n.domain and n.op_type in FOLLOWED | {"Identity"}]
    found = False
    for node in nodes:
        inputs = [v for v in node.inputs if v is not None]
        if node.op_type == "SequenceMap":
            found |= _map(op, node, known)
        elif node.op_type in _MAKERS:
            made = _made(op, node, known)
            if made is not None:
                known[node.outputs[0]] = made
        elif inputs and inputs[0] in known:
            found |= _read(op, node, known)
    if found:
        graph.sort()
    return found


def _made(op: Tape, node: ir.Node, known: dict[ir.Value, Tensors]) -> Tensors | None:
    inputs = list(node.inputs)
    if node.op_type == "SequenceConstruct":
        return [v for v in inputs if v is not None]
    if node.op_type == "SequenceEmpty":
        return []
    if node.op_type == "SplitToSequence":
        return _split(op, node)
    source = known.get(inputs[0]) if inputs[0] is not None else None
    if source is None:
        return None
    return _inserted(node, source) if node.op_type == "SequenceInsert" else _erased(node, source)


def _map(op: Tape, node: ir.Node, known: dict[ir.Value, Tensors]) -> bool:
    """Lay the body out once for every tensor of the first sequence; return whether that is known."""
    inputs = [v for v in node.inputs if v is not None]
    first = known.get(inputs[0])
    if first is None or any(isinstance(v.type, ir.SequenceType) and v not in known for v in inputs):
        return False
    results: list[Tensors] = [[] for _ in node.outputs]
    body = node.attributes["body"].as_graph()
    for i in range(len(first)):
        given = [known[v][i] if v in known else v for v in inputs]
        values, _ = graft(op, body, dict(zip(body.inputs, given, strict=True)))
        for made, output in zip(results, body.outputs, strict=True):
            made.append(values.get(output, output))
    known.update(zip(node.outputs, results, strict=True))
    return True


def _inserted(node: ir.Node, source: Tensors) -> Tensors | None:
    tensor, place = node.inputs[1], _place(node, 2, len(source))
    if tensor is None or place is None:
        return None
    return [*source[:place], tensor, *source[place:]]


def _erased(node: ir.Node, source: Tensors) -> Tensors | None:
    place = _place(node, 1, len(source) - 1)
    return None if place is None else source[:place] + source[place + 1 :]


def _place(node: ir.Node, index: int, last: int) -> int | None:
    """Return a constant place, ``last`` where none is given, None where it is known only at run time."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return last
    if value.const_value is None:
        return None
    place = int(value.const_value.numpy().reshape(-1)[0])
    return place if place >= 0 else place + last + 1


def _split(op: Tape, node: ir.Node) -> Tensors | None:
    x, own = node.inputs[0], attributes(node)
    given = node.inputs[1] if len(node.inputs) > 1 else None
    shape = None if x is None else dims(x)
    size = None if shape is None else shape[own["axis"]]
    if not isinstance(size, int) or (given is not None and given.const_value is None):
        return None
    sizes = [1] * size
    if given is not None and given.const_value is not None:
        wanted = given.const_value.numpy()
        step = int(wanted.reshape(-1)[0])
        sizes = [int(n) for n in wanted] if wanted.ndim else [min(step, size - k) for k in range(0, size, step)]
    made = op.Split(x, sizes, axis=own["axis"], outputs=len(sizes))
    parts = [made] if isinstance(made, ir.Value) else list(made)
    return [op.Squeeze(p, [own["axis"]]) for p in parts] if given is None and not own["keepdims"] else parts


def _read(op: Tape, node: ir.Node, known: dict[ir.Value, Tensors]) -> bool:
    tensors = known[node.inputs[0]]  # type: ignore[index]
    if node.op_type == "Identity":
        known[node.outputs[0]] = tensors
        return False
    if node.op_type == "SequenceLength":
        replace_outputs(node, [op.Identity(op.const(len(tensors), ir.DataType.INT64))])
    elif node.op_type == "ConcatFromSequence":
        own = attributes(node)
        parts = [op.Unsqueeze(t, [own["axis"]]) for t in tensors] if own["new_axis"] else tensors
        replace_outputs(node, [op.Concat(*parts, axis=own["axis"])])
    else:
        place = _place(node, 1, len(tensors) - 1)
        if place is None:
            return False
        if not 0 <= place < len(tensors):
            raise UnsupportedError(f"SequenceAt {node.name!r} reads place {place} of a sequence of {len(tensors)}")
        replace_outputs(node, [op.Identity(tensors[place])])
    node.graph.remove(node, safe=True)  # type: ignore[union-attr]
    return True
