"""Lowering: a model in an older opset, where all of its operators have an older form that means the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnx_ir as ir

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.label import lowest_format
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import schema_of

LOWEST = 17

_REDUCTIONS = frozenset({"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
                         "ReduceMin", "ReduceProd", "ReduceSumSquare"})  # fmt: skip
_MODES = {"linear": "bilinear", "cubic": "bicubic"}
"""What GridSample calls its modes before opset 20."""


def lower_opset(model: ir.Model, target: int) -> None:
    """Bring a model down to an older opset, in place, and its file format with it.

    Raises: UsageError: the opset is below 17 or above the model's. UnsupportedError: operators or forms of them that
    the older opset does not have, all of them named.
    """
    version = model.graph.opset_imports.get("", 0)
    if isinstance(target, bool) or not isinstance(target, int) or not LOWEST <= target <= version:
        raise UsageError(f"opset={target!r}: expected {LOWEST} to {version}")
    graphs = [model.graph, *model.graph.subgraphs()]
    nodes = [node for graph in graphs for node in graph if node.domain == ""]
    for node in nodes:
        change = _CHANGES.get(node.op_type)
        if change is not None and target < change[0]:
            change[1](node)
    wrong = sorted({reason for node in nodes for reason in _misfits(node, target)})
    if wrong:
        raise UnsupportedError(f"the model cannot be brought down to opset {target}: " + "; ".join(wrong))
    for graph in graphs:
        graph.opset_imports[""] = target
    model.ir_version = lowest_format(model)


def _misfits(node: ir.Node, target: int) -> Iterator[str]:
    """Yield why a node does not fit the older opset."""
    if node.op_type == "GroupNormalization" and target < 21:
        # the older form would load and give other numbers; the standard has taken it back
        yield "GroupNormalization has one scale and bias a group there, not one a channel (from opset 21 on)"
    if not onnx.defs.has(node.op_type, target, ""):
        yield f"it has no {node.op_type} ({_since(node.op_type)})"
        return
    schema = schema_of(node.op_type, "", target)
    extra = sorted(set(node.attributes) - set(schema.attributes))
    if extra:
        yield f"{node.op_type} has no {', '.join(extra)} there"
    if len(node.inputs) > schema.max_input:
        yield f"{node.op_type} has no input number {len(node.inputs)} there"
        return
    for index, value in enumerate(node.inputs):
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]
        kind = None if value is None or value.dtype is None else f"tensor({value.dtype.name.lower()})"
        if kind is not None and kind not in formal.types:
            yield f"{node.op_type} takes no {kind[7:-1]} there"


def _one_a_group(node: ir.Node) -> bool:
    """Whether a group is a channel: both forms of GroupNormalization are then the same."""
    groups = node.attributes["num_groups"].as_int()
    shapes = [None if v is None else dims(v) for v in node.inputs[1:3]]
    return all(shape is not None and shape == (groups,) for shape in shapes)


def _since(op_type: str) -> str:
    versions = [s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op_type]
    return f"from opset {min(versions)} on" if versions else "unknown"


def _axes_to_attribute(node: ir.Node) -> None:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    noop = node.attributes.pop("noop_with_empty_axes", None)
    if axes is None or axes.const_value is None or (noop is not None and noop.as_int()):
        return
    node.resize_inputs(1)
    node.attributes["axes"] = ir.AttrInt64s("axes", axes.const_value.numpy().astype(np.int64).ravel().tolist())


def _pad_axes(node: ir.Node) -> None:
    """Pads of some axes become pads of all."""
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    pads, shape = node.inputs[1], dims(node.inputs[0]) if node.inputs[0] is not None else None
    graph = node.graph
    if axes is None or axes.const_value is None or pads is None or pads.const_value is None or shape is None:
        return
    assert isinstance(graph, ir.Graph)
    chosen, given = axes.const_value.numpy().ravel(), pads.const_value.numpy().reshape(2, -1)
    full = np.zeros((2, len(shape)), np.int64)
    full[:, chosen] = given
    value = add_initializer(graph, f"sal/pads/{node.outputs[0].name}", ir.tensor(full.ravel()))
    node.replace_input_with(1, value)
    node.resize_inputs(3)


def _split_by_sizes(node: ir.Node) -> None:
    """Equal parts are what Split gives without sizes, where they are equal."""
    shape = dims(node.inputs[0]) if node.inputs[0] is not None else None
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    whole = shape[axis] if shape is not None else None
    if len(node.inputs) > 1 or (isinstance(whole, int) and whole % len(node.outputs) == 0):
        node.attributes.pop("num_outputs", None)


def _grid_mode(node: ir.Node) -> None:
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "linear"
    node.attributes["mode"] = ir.AttrString("mode", _MODES.get(mode, mode))


def _plain_dilations(node: ir.Node) -> None:
    if "dilations" in node.attributes and set(node.attributes["dilations"].as_ints()) == {1}:
        node.attributes.pop("dilations")


def _instances(node: ir.Node) -> None:
    """Of one channel a group it is what InstanceNormalization is."""
    if not _one_a_group(node):
        return
    node.op_type = "InstanceNormalization"
    node.attributes.pop("num_groups")
    _without(("stash_type", 1))(node)


def _without(*defaults: tuple[str, int]) -> Callable[[ir.Node], None]:
    """Leave out attributes that say what is so anyway."""

    def change(node: ir.Node) -> None:
        for name, value in defaults:
            if name in node.attributes and node.attributes[name].value == value:
                node.attributes.pop(name)

    return change


_CHANGES: dict[str, tuple[int, Callable[[ir.Node], None]]] = {
    **dict.fromkeys(_REDUCTIONS, (18, _axes_to_attribute)),
    "Pad": (18, _pad_axes),
    "Split": (18, _split_by_sizes),
    "GridSample": (20, _grid_mode),
    "Resize": (18, _without(("antialias", 0))),
    "Cast": (19, _without(("saturate", 1))),
    "CastLike": (19, _without(("saturate", 1))),
    "QuantizeLinear": (21, _without(("block_size", 0), ("output_dtype", 0), ("saturate", 1))),
    "DequantizeLinear": (21, _without(("block_size", 0))),
    "GroupNormalization": (21, _instances),
    "AveragePool": (19, _plain_dilations),
}
"""From which opset on an operator has the form that we write, and how it becomes the older one."""
