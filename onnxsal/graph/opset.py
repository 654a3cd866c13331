"""Raising a model to the opset that rules are written against, without touching its weights."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.version_converter
import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph.batched_scan import wrap_scans
from onnxsal.graph.check import model_errors
from onnxsal.graph.external import bring_in, external_values, places, put_back
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.label import lowest_format
from onnxsal.graph.tape import schema_of

TARGET = 21
"""Rules are written against this opset's form of each operator, or a newer one where the model has it."""

_RUNTIMES = "com.microsoft"

_SMALL = 256
"""The converter reads small constants (shapes, axes, scales); larger weights are stood in for by inputs."""

_WIDENED = frozenset({
    "Add", "AveragePool", "BatchNormalization", "Cast", "CastLike", "Constant", "ConstantOfShape", "CumSum",
    "DequantizeLinear", "Div", "Equal", "Flatten", "GreaterOrEqual", "Identity", "IsInf", "IsNaN", "LeakyRelu",
    "LessOrEqual", "Mul", "PRelu", "Pad", "Pow", "QLinearMatMul", "QuantizeLinear", "Relu", "Reshape",
    "Resize", "ScatterElements", "ScatterND", "Shape", "Size", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
"""Operators whose versions from opset 13 to ``TARGET`` differ in types and optional extras alone."""

_REDUCTIONS = frozenset({"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
                         "ReduceMin", "ReduceProd", "ReduceSumSquare"})  # fmt: skip
"""Their axes became an input in opset 18."""


def raise_opset(model: ir.Model, target: int = TARGET) -> ir.Model:
    """Return the model in ``target`` or its own opset if that is newer; one in an older opset is converted.

    Raises: UnsupportedError: the opset is below 7. ModelError: the converter refuses the model.
    """
    version = model.graph.opset_imports.get("", model.opset_imports.get("", TARGET))
    if version < 7:
        raise UnsupportedError(
            f"the model is in opset {version}; onnxsal serves 7 and newer: export it again in one of these"
        )
    model.graph.opset_imports.setdefault("", version)  # a model of ai.onnx.ml alone; what is added to it is standard
    if any(node.domain == _RUNTIMES for node in model.graph.all_nodes()):
        model.graph.opset_imports.setdefault(_RUNTIMES, 1)  # its optimiser may forget it; it runs so
    raised = model
    if version < target:
        raised = _relabel(model, target) if _can_relabel(model, version, target) else _convert(model, version, target)
    raised.ir_version = lowest_format(raised)
    return raised


def _can_relabel(model: ir.Model, version: int, target: int) -> bool:
    """Whether the nodes mean the same in the newer opset: nothing then goes through the converter's serialisation."""
    return (
        version >= 13 and target == TARGET and all(_means_the_same(n, version, target) for n in model.graph.all_nodes())
    )


def _means_the_same(node: ir.Node, version: int, target: int) -> bool:
    if node.domain or node.op_type in _WIDENED | _REDUCTIONS:
        return not (node.op_type == "BatchNormalization" and len(node.outputs) > 1)
    if node.op_type == "Split" and len(node.inputs) > 1 and node.inputs[1] is not None:
        return True
    if not onnx.defs.has(node.op_type, version):
        return False
    return schema_of(node.op_type, "", version).since_version == schema_of(node.op_type, "", target).since_version


def _relabel(model: ir.Model, target: int) -> ir.Model:
    for node in list(model.graph.all_nodes()):
        if node.op_type in _REDUCTIONS and not node.domain and "axes" in node.attributes:
            _axes_to_input(node)
    model.graph.opset_imports[""] = target
    return model


def _axes_to_input(node: ir.Node) -> None:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    tensor = ir.tensor(np.array(node.attributes.pop("axes").as_ints(), np.int64))
    node.resize_inputs(2)
    node.replace_input_with(1, add_initializer(graph, f"sal/axes/{node.outputs[0].name}", tensor))


def _convert(model: ir.Model, version: int, target: int) -> ir.Model:
    """Weights travel round the converter, which would serialise them: inputs stand in for them meanwhile."""
    graph = model.graph
    if version < 9:
        wrap_scans(graph)
    _set_aside(graph, version)
    bring_in(v for v in external_values(model) if v.const_value is not None and v.const_value.size <= _SMALL)
    outside = places(model.graphs())
    weights = {n: v.const_value for n, v in graph.initializers.items() if v.const_value is not None}
    large = {name: tensor for name, tensor in weights.items() if tensor.size > _SMALL}
    names = {v.name for v in graph.inputs}
    for name in large:
        value = graph.initializers.pop(name)
        if name not in names:
            graph.inputs.append(value)
    with model_errors(f"the model cannot be raised to opset {target}"):
        converted = ir.from_proto(onnx.version_converter.convert_version(ir.to_proto(model), target))
    _restore(converted.graph, large, names)
    put_back(converted, outside)
    _take_back(converted.graph)
    if version < 11:
        _resize_as_before(converted.graph)
    if version < 21 <= target:
        _per_channel(converted.graph)
    converted.metadata_props.update(model.metadata_props)
    return converted


_ASIDE = "sal.aside"
"""The domain of what onnx's converter must not see."""


def _set_aside(graph: ir.Graph, version: int) -> None:
    """The converter takes the batch off inputs of an old Scan, and stops at what runtimes added to the standard."""
    for node in graph.all_nodes():
        late = not onnx.defs.has(node.op_type, version)
        if not node.domain and (late or (node.op_type == "Scan" and version < 9)):
            node.domain = _ASIDE
            graph.opset_imports[_ASIDE] = 1


def _take_back(graph: ir.Graph) -> None:
    for node in graph.all_nodes():
        node.domain = "" if node.domain == _ASIDE else node.domain
    graph.opset_imports.pop(_ASIDE, None)


def _resize_as_before(graph: ir.Graph) -> None:
    """Upsample, and Resize before opset 11, had no half pixels; the converter leaves that to the newer default."""
    for node in graph:
        if node.op_type == "Resize" and not node.domain:
            node.attributes["coordinate_transformation_mode"] = ir.AttrString(
                "coordinate_transformation_mode", "asymmetric"
            )
            node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "floor")


def _per_channel(graph: ir.Graph) -> None:
    """GroupNormalization before opset 21 has one scale and bias a group; the converter leaves it at that."""
    for node in [n for n in graph.all_nodes() if n.op_type == "GroupNormalization" and not n.domain]:
        one, groups = _numbers(node, "one", 1), _numbers(node, "groups", node.attributes["num_groups"].as_int())
        column, flat = _numbers(node, "column", -1, 1), _numbers(node, "flat", -1)
        channels = _before(node, "channels", "Shape", node.inputs[0], start=1, end=2)
        shape = _before(node, "shape", "Concat", one, _before(node, "each", "Div", channels, groups), axis=0)
        for i, name in ((1, "scale"), (2, "bias")):
            tall = _before(node, f"{name}/column", "Reshape", node.inputs[i], column)
            wide = _before(node, f"{name}/wide", "Expand", tall, shape)
            node.replace_input_with(i, _before(node, name, "Reshape", wide, flat))


def _numbers(node: ir.Node, name: str, *held: int) -> ir.Value:
    """Return an initializer of whole numbers beside a node, named after it."""
    assert isinstance(node.graph, ir.Graph)
    return add_initializer(node.graph, f"sal/{name}/{node.outputs[0].name}", ir.tensor(np.array(held, np.int64)))


def _before(node: ir.Node, name: str, op_type: str, *inputs: ir.Value | None, **attributes: int) -> ir.Value:
    """Put a node in front of another, named after it, and return its output."""
    assert isinstance(node.graph, ir.Graph)
    made = ir.node(op_type, inputs, attributes, name=f"sal/{name}/{node.outputs[0].name}")
    made.outputs[0].name = made.name
    node.graph.insert_before(node, made)
    return made.outputs[0]


def _restore(graph: ir.Graph, large: dict[str, ir.TensorProtocol], names: set[str | None]) -> None:
    for value in [v for v in graph.inputs if v.name in large]:
        value.const_value = large[str(value.name)]
        if value.name not in names:
            graph.inputs.remove(value)
        graph.register_initializer(value)
