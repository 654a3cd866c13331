"""A file with its rounding taken out: the function of the straight-through gradient, for differences to judge.

A quantised file moves in steps, so that no difference of it tells a gradient. In the file that is made here each
quantiser gives way to x + (y0 - x0) inside its range and to y0 where it clipped, x0 and y0 being what it took and gave
in the deployed file at one input. What came out as the first or the last step counts as clipped, as onnxsal has it, or
with ``ends`` passes where it rounds to that, as torch.fake_quantize has it. Products of integers become those of the
numbers that they stand for, the LSTM of bytes the standard's, plus what they differ by there. So at that input every
value is the deployed file's own, and around it nothing rounds: steps of scales that follow the input
(DynamicQuantizeLinear) are held, as straight-through gradients hold them. Nothing of onnxsal is used but its way of
opening ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnxsal.runtime.environment import onnxruntime

Array = NDArray[Any]
_LSTM_OWN = {"activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget"}
_READ = {"DynamicQuantizeLinear", "QuantizeLinear", "DynamicQuantizeLSTM", "MatMulInteger", "ConvInteger"}


def opened(model: onnx.ModelProto, *, as_written: bool = False) -> Any:
    """Return the session of a model, all of whose warnings are its owner's.

    ``as_written``: what is read of the inside is what the file says. Optimised, a session whose values are read is
    another: a dequantised weight beside no other integer has what it meets rounded to int8.
    """
    options = onnxruntime().SessionOptions()
    options.log_severity_level = 4
    if as_written:
        options.graph_optimization_level = onnxruntime().GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime().InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def straight(model: onnx.ModelProto, feeds: Mapping[str, Array], *, ends: bool = False) -> onnx.ModelProto:
    """Return the model with its rounding at ``feeds`` held. Raises: KeyError: an operator on bytes is not known."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    twin = _Twin(out, _recorded(model, feeds), {name: node for node in model.graph.node for name in node.output}, ends)
    nodes = [made for node in model.graph.node for made in twin.instead(node)]
    del out.graph.node[:]
    out.graph.node.extend(nodes)
    del out.graph.value_info[:]
    return out


def _recorded(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the operators that round take and give, and every constant.

    Quantised values are those of the optimised session, whose kernels may saturate; all else follows from them.
    """
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer} | dict(feeds)
    wanted = {n: None for node in model.graph.node if node.op_type in _READ for n in (*node.input, *node.output) if n}
    quantised = [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    rounded = _values(model, feeds, quantised)
    left = onnx.ModelProto()
    left.CopyFrom(model)
    kept = [node for node in model.graph.node if node.op_type != "QuantizeLinear"]
    del left.graph.node[:]
    left.graph.node.extend(kept)
    left.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in rounded.items())
    held |= rounded
    return held | _values(left, feeds, [name for name in wanted if name not in held], as_written=True)


def _values(
    model: onnx.ModelProto, feeds: Mapping[str, Array], names: list[str], *, as_written: bool = False
) -> dict[str, Array]:
    if not names:
        return {}
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return dict(zip(names, opened(exposed, as_written=as_written).run(names, dict(feeds)), strict=True))


@dataclass(frozen=True)
class _Twin:
    """Writes nodes anew. ``at`` is every number known at the input, ``floats`` what were integers before."""

    model: onnx.ModelProto
    at: dict[str, Array]
    makers: dict[str, onnx.NodeProto]
    ends: bool
    floats: set[str] = field(default_factory=set)

    def instead(self, node: onnx.NodeProto) -> Iterable[onnx.NodeProto]:
        """Return what stands in place of a node."""
        if any(each.type == onnx.AttributeProto.GRAPH for each in node.attribute):
            bodies = [n.op_type for each in node.attribute for n in each.g.node if n.op_type in _WRITERS]
            if bodies:
                raise KeyError(f"{bodies[0]} in a branch of {node.name!r}")
        write = _WRITERS.get(node.op_type)
        return [node] if write is None else write(self, node)

    def constant(self, name: str, value: Array) -> str:
        """Return the name of a new number of the file."""
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, name: str, zero: str, wide: Callable[[Array], Array] = lambda each: each) -> Array:
        """Return the numbers that integers of the file stand for, before their scale."""
        value = self.at[name].astype(np.float32)
        return value - wide(self.at[zero].astype(np.float32)) if zero else value


def _shifted(twin: _Twin, x: str, y: str, moved: Array, kept: Array | None = None) -> list[onnx.NodeProto]:
    """Return nodes for y = kept x + moved."""
    if kept is not None and not kept.all():
        gate = helper.make_node("Mul", [x, twin.constant(f"{y}|kept", kept.astype(np.float32))], [f"{y}|inside"])
        return [gate, *_shifted(twin, f"{y}|inside", y, moved)]
    return [helper.make_node("Add", [x, twin.constant(f"{y}|moved", moved.astype(np.float32))], [y])]


def _dynamic(twin: _Twin, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The bytes become how many steps they count from the zero point, and the size of a step is held."""
    x, (q, scale, zero) = node.input[0], node.output
    step, gave = twin.at[scale], twin.at[q].astype(np.float32) - twin.at[zero].astype(np.float32)
    twin.constant(scale, step)
    twin.floats.add(q)
    counted = helper.make_node("Div", [x, scale], [f"{q}|counted"])
    return [counted, *_shifted(twin, f"{q}|counted", q, gave - twin.at[x] / step)]


def _along(node: onnx.NodeProto, value: Array, rank: int) -> Array:
    """Return a scale or a zero point so that it broadcasts over what it belongs to."""
    axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
    return value if value.size == 1 else value.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def _quantise(twin: _Twin, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """What is inside the range goes through; the bytes become their numbers."""
    x, y = twin.at[node.input[0]], node.output[0]
    q, info = twin.at[y], np.iinfo(twin.at[y].dtype)
    scale = _along(node, twin.at[node.input[1]], x.ndim).astype(np.float32)
    zero = _along(node, twin.at[node.input[2]], x.ndim).astype(np.float32) if len(node.input) > 2 else np.float32(0)
    steps = np.rint(x / scale) + zero
    kept = (steps >= info.min) & (steps <= info.max) if twin.ends else (q > info.min) & (q < info.max)
    gave = scale * (q.astype(np.float32) - zero)
    return _shifted(twin, node.input[0], f"{y}|real", gave - np.where(kept, x, 0), kept)


def _dequantise(twin: _Twin, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Behind a quantiser: its numbers. A constant becomes them, since ONNX Runtime rounds what meets one."""
    maker = twin.makers.get(node.input[0])
    if maker is None or maker.op_type not in ("QuantizeLinear", "DynamicQuantizeLinear"):
        return _constant(twin, node) if node.input[0] in twin.at else [node]
    if maker.op_type == "DynamicQuantizeLinear":
        return [helper.make_node("Mul", [node.input[0], maker.output[1]], [node.output[0]])]
    if not all(np.array_equal(twin.at[a], twin.at[b]) for a, b in zip(maker.input[1:], node.input[1:], strict=True)):
        raise KeyError(f"DequantizeLinear {node.name!r} of another scale than its quantiser's")
    return [helper.make_node("Identity", [f"{node.input[0]}|real"], [node.output[0]])]


def _constant(twin: _Twin, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    value = twin.at[node.input[0]].astype(np.float32)
    scale = _along(node, twin.at[node.input[1]], value.ndim)
    zero = _along(node, twin.at[node.input[2]], value.ndim).astype(np.float32) if len(node.input) > 2 else np.float32(0)
    held = twin.constant(f"{node.output[0]}|held", ((value - zero) * scale).astype(np.float32))
    return [helper.make_node("Identity", [held], [node.output[0]])]


def _operand(twin: _Twin, name: str, zero: str, wide: Callable[[Array], Array] = lambda each: each) -> str:
    """Return the float numbers of an integer operand: a constant's own, or what a quantiser gave way to."""
    weights = {each.name for each in twin.model.graph.initializer}
    if name not in weights:
        return name
    return twin.constant(f"{name}|number|{zero}", twin.number(name, zero, wide)) if name in twin.at else name


def _product(twin: _Twin, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    given = [*node.input, "", ""]
    right = _operand(twin, given[1], given[3])
    return _kernel(twin, node, helper.make_node("MatMul", [_operand(twin, given[0], given[2]), right], []))


def _convolution(twin: _Twin, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    given = [*node.input, "", ""]
    weight = _operand(twin, given[1], given[3], lambda zero: zero.reshape(-1, 1, 1, 1) if zero.ndim else zero)
    made = helper.make_node("Conv", [given[0], weight], [])
    made.attribute.extend(node.attribute)
    return _kernel(twin, node, made)


def _kernel(twin: _Twin, node: onnx.NodeProto, made: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A product of floats, and what the kernel gave more: on processors without VNNI sums of two products saturate."""
    y, given = node.output[0], [*node.input, "", ""]
    made.output.append(f"{y}|float")
    zeros = dict(zip(made.input, given[2:4], strict=True))
    weights = {each.name: numpy_helper.to_array(each) for each in twin.model.graph.initializer}
    feeds = {n: weights[n] if n in weights else twin.number(n, zeros[n]) for n in made.input}
    found = _alone(made, feeds, twin.model)[f"{y}|float"]
    twin.floats.add(y)
    return [made, *_shifted(twin, f"{y}|float", y, twin.at[y] - found)]


def _sum(twin: _Twin, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A bias in whole steps is added to products that are floats now."""
    if not twin.floats & set(node.input):
        return [node]
    twin.floats.add(node.output[0])
    casts = [helper.make_node("Cast", [name], [f"{name}|{node.output[0]}"], to=onnx.TensorProto.FLOAT)
             for name in node.input if name not in twin.floats]  # fmt: skip
    inputs = [name if name in twin.floats else f"{name}|{node.output[0]}" for name in node.input]
    return [*casts, helper.make_node("Add", inputs, list(node.output))]


def _lstm_weight(twin: _Twin, w: str, scale: str, zero: str) -> Array:
    """The standard's [directions, 4 hidden, inputs] of bytes [directions, inputs, 4 hidden]."""

    def wide(each: Array) -> Array:
        return each.reshape(1, 1, -1) if each.ndim == 0 else each[:, None] if each.ndim == 2 else each[:, None, None]

    number = twin.number(w, zero, wide) * wide(twin.at[scale])
    return np.ascontiguousarray(np.swapaxes(number, 1, 2), np.float32)


def _lstm(twin: _Twin, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The standard's LSTM, and what the deployed one gave more at the input."""
    given = [*node.input, *[""] * (12 - len(node.input))]
    weights = [twin.constant(f"{given[i]}|{node.output[0]}", _lstm_weight(twin, given[i], given[j], given[j + 1]))
               for i, j in ((1, 8), (2, 10))]  # fmt: skip
    inputs = [given[0], *weights, *given[3:8]]
    made = helper.make_node("LSTM", inputs, [name and f"{name}|float" for name in node.output])
    made.attribute.extend(each for each in node.attribute if each.name in _LSTM_OWN)
    numbers = {each.name: numpy_helper.to_array(each) for each in twin.model.graph.initializer if each.name in weights}
    floats = _alone(made, {name: {**twin.at, **numbers}[name] for name in inputs if name}, twin.model)
    shifts = [
        each
        for name in node.output
        if name
        for each in _shifted(twin, f"{name}|float", name, twin.at[name] - floats[f"{name}|float"])
    ]
    return [made, *shifts]


def _alone(node: onnx.NodeProto, feeds: Mapping[str, Array], model: onnx.ModelProto) -> dict[str, Array]:
    """Return what one node gives."""
    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
              for name, value in feeds.items()]  # fmt: skip
    names = [name for name in node.output if name]
    graph = helper.make_graph([node], "alone", inputs, [helper.make_empty_tensor_value_info(name) for name in names])
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return dict(zip(names, opened(alone).run(names, dict(feeds)), strict=True))


_WRITERS: dict[str, Callable[[_Twin, onnx.NodeProto], list[onnx.NodeProto]]] = {
    "Add": _sum,
    "DynamicQuantizeLinear": _dynamic,
    "QuantizeLinear": _quantise,
    "DequantizeLinear": _dequantise,
    "MatMulInteger": _product,
    "ConvInteger": _convolution,
    "DynamicQuantizeLSTM": _lstm,
}
