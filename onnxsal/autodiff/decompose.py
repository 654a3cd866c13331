"""Gradients of operators by what they are made of: the function that the standard defines, or one built on a tape.

The forward node stays as the user has it, so that the runtime's own kernel runs it. Its parts are put beside it, in
terms of the same inputs, and only what the gradient reads of them is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import onnx.inliner
import onnx_ir as ir

from onnxsal.autodiff.registry import PLAIN, Call, Gradient, Rule, register
from onnxsal.autodiff.walk import backward
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Tape, normalise
from onnxsal.graph.external import bring_in, places, put_back
from onnxsal.graph.names import node_title
from onnxsal.graph.program import empty
from onnxsal.graph.scopes import rename_inside
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import schema_of

Build = Callable[..., "ir.Value | Sequence[ir.Value | None]"]
_SMALL = 4096


def made_of(op_type: str, build: Build, *, domain: str = "", slots: Sequence[bool] | None = None) -> Rule:
    """Register ``build(op, node, *inputs) -> outputs`` as what an operator is made of, and return its rule."""

    return register(
        Rule(op_type, domain, lambda call: by_parts(call, build), None if slots is None else tuple(slots), "decomposed")
    )


def by_parts(call: Call, build: Build) -> list[Gradient]:
    """Return the gradients of a node's inputs by ``build(op, node, *inputs) -> outputs``, what it is made of."""
    return through(call, built(call, build))


def by_its_function(op_type: str, domain: str = "") -> Rule:
    """Register an operator that the standard defines by a function of others, and return its rule."""
    return register(Rule(op_type, domain, by_function, kind="decomposed"))


def by_function(call: Call) -> list[Gradient]:
    """Return the gradients of a node's inputs by the function that the standard defines its operator by."""
    return through(call, _inlined(call))


def through(call: Call, parts: ir.Model) -> list[Gradient]:
    """Put the parts onto the tape and walk back through them alone; an input that is fed twice is counted once."""
    outer = [v for v in call.node.inputs if v is not None]
    given = {f"x{i}": v for i, v in enumerate(call.node.inputs) if v is not None}
    values, nodes = graft(call.op, parts.graph, {v: given[str(v.name)] for v in parts.graph.inputs})
    outputs = [values[v] for v in parts.graph.outputs]
    seeds = {}
    for value, node_output in zip(outputs, _used(call), strict=True):
        seeds[value] = node_output
    wanted = [
        v
        for v in dict.fromkeys(outer)
        if any(n and v is x for n, x in zip(call.needed, call.node.inputs, strict=False))
    ]
    rules = call.rules if call.rules is not None and call.rules.inside else PLAIN
    grads = dict(zip(wanted, backward(call.op, seeds, wanted, rules, nodes), strict=True))
    return [grads.pop(v, None) if v is not None else None for v in call.node.inputs]


def _used(call: Call) -> list[ir.Value]:
    """The gradients of those outputs that have one."""
    return [g for g in call.grads if g is not None]


def _declare(call: Call) -> tuple[list[ir.Value | None], list[ir.Value], list[ir.Value]]:
    """Return stand-ins for a node's inputs, then those that are graph inputs, then those that are constants."""
    stand_ins: list[ir.Value | None] = []
    inputs, constants = [], []
    for i, value in enumerate(call.node.inputs):
        if value is None:
            stand_ins.append(None)
            continue
        copy = ir.Value(
            name=f"x{i}", type=value.type, shape=None if value.shape is None else ir.Shape(dims(value) or ())
        )
        if value.const_value is not None and value.const_value.size <= _SMALL and not call.needed[i]:
            copy.const_value = value.const_value
            constants.append(copy)
        else:
            inputs.append(copy)
        stand_ins.append(copy)
    bring_in(constants)
    return stand_ins, inputs, constants


def _inlined(call: Call) -> ir.Model:
    """Return the operator's function applied to stand-ins for its inputs, in the normal form."""
    stand_ins, inputs, constants = _declare(call)
    node = call.node
    outputs = [ir.Value(name=f"y{i}" if v.name else "") for i, v in enumerate(node.outputs)]
    wanted = [y for y, g in zip(outputs, call.grads, strict=True) if g is not None]
    copy = ir.Node(node.domain, node.op_type, stand_ins, list(node.attributes.values()), outputs=outputs)
    opsets = dict(call.op.graph.opset_imports)
    graph = ir.Graph(inputs, wanted, nodes=[copy], initializers=constants, opset_imports=opsets, name="parts")
    for y, v in zip(outputs, node.outputs, strict=True):
        y.type, y.shape = v.type, v.shape
    proto = ir.to_proto(ir.Model(graph, ir_version=11))
    function = _function(call, proto.graph.node[0])
    main = proto.graph.node[0]
    main.op_type, main.domain = function.name, function.domain
    known = {a.name for a in main.attribute}
    main.attribute.extend(
        onnx.helper.make_attribute(k, v)
        for k, v in call.attributes.items()
        if k in function.attribute and k not in known
    )
    proto.functions.append(function)
    proto.opset_import.append(onnx.helper.make_opsetid(function.domain, 1))
    return normalise(ir.from_proto(onnx.inliner.inline_local_functions(proto, convert_version=True)))


def _function(call: Call, node: onnx.NodeProto) -> onnx.FunctionProto:
    """Return the function that defines an operator, for the types of its inputs where it depends on them."""
    version = call.op.graph.opset_imports.get(node.domain, call.op.opset)
    schema: Any = schema_of(node.op_type, node.domain, version)  # onnx's type stubs lack what is asked of it here
    plain = [v for v in schema.function_opset_versions if v <= version]
    typed = [v for v in schema.context_dependent_function_opset_versions if v <= version]
    types = [onnx.TypeProto() if v is None else _type(v) for v in call.node.inputs]
    function = onnx.FunctionProto()
    if typed:
        given = node.SerializeToString(), [t.SerializeToString() for t in types]
        function.ParseFromString(schema.get_context_dependent_function_with_opset_version(typed[-1], *given))
    elif plain:
        function.ParseFromString(schema.get_function_with_opset_version(plain[-1]))
    else:
        raise UnsupportedError(f"operator {node_title(call.node)} has no function in opset {version} and no rule")
    function.name, function.domain = node.op_type, "sal"
    return function


def _type(value: ir.Value) -> onnx.TypeProto:
    dtype = (value.dtype or ir.DataType.FLOAT).value
    return onnx.helper.make_tensor_type_proto(dtype, dims(value))


def built(call: Call, build: Build) -> ir.Model:
    """Return a graph of what ``build`` makes a node of, on stand-ins for its inputs."""
    trace = empty(call.op.opset)
    stand_ins, inputs, constants = _declare(call)
    trace.graph.inputs.extend(inputs)
    for constant in constants:
        trace.graph.register_initializer(constant)
    results = build(trace, call, *stand_ins)
    outputs = [results] if isinstance(results, ir.Value) else list(results)
    for i, (value, g) in enumerate(zip(outputs, call.grads, strict=False)):
        if g is not None and value is not None:
            out = trace.Identity(value) if value.producer() is None else value
            out.name = f"y{i}"
            trace.graph.outputs.append(out)
    return normalise(trace.model)


def graft(op: Tape, graph: ir.Graph, given: dict[ir.Value, ir.Value]) -> tuple[dict[ir.Value, ir.Value], list[ir.Node]]:
    """Append a graph's nodes to the tape with its inputs replaced; return what became of its values, and the nodes."""
    values: dict[ir.Value | None, ir.Value | None] = {None: None}
    for inner, outer in given.items():
        values[inner] = outer
    for constant in graph.initializers.values():
        if constant not in values and constant.const_value is not None:
            values[constant] = _held(op, constant.const_value)
    nodes: list[ir.Node] = []
    for node in graph:
        made = _copy(op, node, values)
        nodes += [n for n in [made[0].producer()] if n is not None]
        for old, new in zip(node.outputs, made, strict=True):
            new.type, new.shape = old.type or new.type, new.shape or old.shape
            values[old] = new
    return {k: v for k, v in values.items() if k is not None and v is not None}, list(dict.fromkeys(nodes))


def _held(op: Tape, tensor: ir.TensorProtocol) -> ir.Value:
    """Return a constant on the tape; one whose numbers lie in a file stays there."""
    return op.weight(tensor) if isinstance(tensor, ir.ExternalTensor) else op.const(tensor.numpy(), tensor.dtype)


def _copy(op: Tape, node: ir.Node, values: dict[ir.Value | None, ir.Value | None]) -> tuple[ir.Value, ...]:
    attributes = {
        name: _rewired(op, attr.as_graph(), values) if attr.type == ir.AttributeType.GRAPH else attr.value
        for name, attr in node.attributes.items()
    }
    inputs = [values.get(v, v) for v in node.inputs]
    return op.emit(node.op_type, *inputs, outputs=len(node.outputs), domain=node.domain, **attributes)


def _rewired(op: Tape, graph: ir.Graph, values: Mapping[ir.Value | None, ir.Value | None]) -> ir.Graph:
    """Return a copy of a body, under new names, that refers to what became of the outer values."""
    copy = graph.clone(allow_outer_scope_values=True)
    rename_inside(copy, op.unique)
    _rewire(copy, values)
    return copy


def _rewire(graph: ir.Graph, values: Mapping[ir.Value | None, ir.Value | None]) -> None:
    for node in graph:
        for i, value in enumerate(node.inputs):
            if value in values:
                node.replace_input_with(i, values[value])
        for attr in node.attributes.values():
            if attr.type == ir.AttributeType.GRAPH:
                _rewire(attr.as_graph(), values)
    for i, value in enumerate(graph.outputs):
        if value in values:
            graph.outputs[i] = values[value]  # type: ignore[assignment]


def standing_alone(
    body: ir.Graph, inputs: Sequence[ir.Value], outer: Sequence[ir.Value], imports: Mapping[str, int] | None = None
) -> ir.Model:
    """Return a body as a model in the normal form: its own inputs typed like ``inputs``, then what it captures.

    Args: imports: the opsets of the model around it; without them shapes inside are not inferred.
    """
    proto = onnx.GraphProto()
    proto.CopyFrom(ir.to_proto(body))
    del proto.input[:]
    for own, like in zip(body.inputs, inputs, strict=True):
        proto.input.append(ir.to_proto(ir.Value(name=own.name, type=like.type, shape=like.shape)))
    for value in outer:
        if value.const_value is not None and value.const_value.size <= _SMALL:
            tensor = ir.to_proto(ir.tensor(value.const_value.numpy(), dtype=value.dtype))
            tensor.name = str(value.name)
            proto.initializer.append(tensor)
        else:
            proto.input.append(ir.to_proto(ir.Value(name=value.name, type=value.type, shape=value.shape)))
    opsets = [onnx.helper.make_opsetid(d, v) for d, v in (imports or body.opset_imports).items()]
    model = ir.from_proto(onnx.helper.make_model(proto, opset_imports=opsets, ir_version=11))
    return normalise(put_back(model, places([body, *body.subgraphs()])))
