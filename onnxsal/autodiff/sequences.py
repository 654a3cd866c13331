"""Sequences of tensors, as exporters write them: followed through the graph, so that only their tensors remain."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx_ir as ir

from onnxsal.autodiff.contrib import replace_outputs
from onnxsal.autodiff.decompose import graft
from onnxsal.errors import UnsupportedError
from onnxsal.graph.attributes import attributes
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

_MAKERS = frozenset({"SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SplitToSequence"})
_READERS = frozenset({"SequenceAt", "ConcatFromSequence", "SequenceLength"})
_OPTIONAL = frozenset({"Optional", "OptionalGetElement", "OptionalHasElement"})
FOLLOWED = _MAKERS | _READERS | {"SequenceMap"}

Tensors = list[ir.Value]


@dataclass
class _Followed:
    """What sequences and optional values are known to hold."""

    sequences: dict[ir.Value, Tensors] = field(default_factory=dict)
    optionals: dict[ir.Value, ir.Value | None] = field(default_factory=dict)
    """None where nothing is in it."""


def lower_sequences(graph: ir.Graph) -> bool:
    """Replace what is read from sequences and optional values by the tensors, in place; return whether any were.

    A sequence is followed where its places and sizes are constants; another is left as it is, and has no gradient.
    Bodies that read what was made outside of them are followed too.
    """
    whole, known, changed = Tape(graph), _Followed(), list[ir.Graph]()
    for node in [n for n in graph.all_nodes() if not n.domain and n.op_type in FOLLOWED | _OPTIONAL | {"Identity"}]:
        assert isinstance(node.graph, ir.Graph)
        own = whole if node.graph is graph else whole.within(node.graph)
        if _follow(own, node, known):
            changed.append(own.graph)
    for each in dict.fromkeys(changed):
        each.sort()
    return bool(changed)


def _follow(op: Tape, node: ir.Node, known: _Followed) -> bool:
    """Take note of what a node makes, or replace what it reads; return whether the graph was changed."""
    source = node.inputs[0] if node.inputs else None
    if node.op_type in _OPTIONAL:
        return _optional(op, node, known)
    if node.op_type == "SequenceMap":
        return _map(op, node, known.sequences)
    if node.op_type in _MAKERS:
        made = _made(op, node, known.sequences)
        if made is not None:
            known.sequences[node.outputs[0]] = made
        return False
    return source in known.sequences and _read(op, node, known.sequences)


def _optional(op: Tape, node: ir.Node, known: _Followed) -> bool:
    source = node.inputs[0] if node.inputs else None
    if node.op_type == "Optional":
        known.optionals[node.outputs[0]] = source
        return False
    plain = source is not None and isinstance(source.type, ir.TensorType) and source not in known.optionals
    if source is None or not (plain or source in known.optionals):
        return False
    held = source if plain else known.optionals[source]
    if node.op_type == "OptionalHasElement":
        replace_outputs(node, [op.Identity(op.const(held is not None, ir.DataType.BOOL))])
    elif held is None:
        return False  # the runtime says so, where it is run
    elif held in known.sequences:
        known.sequences[node.outputs[0]] = known.sequences[held]
        return False
    else:
        replace_outputs(node, [op.Identity(held)])
    op.graph.remove(node, safe=True)
    return True


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
    parts = list(op.emit("Split", x, sizes, axis=own["axis"], outputs=len(sizes)))
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
