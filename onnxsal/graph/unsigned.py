"""int8 between layers written as uint8, where ONNX Runtime does that itself and then computes in integers.

Its kernels for x86 and WebAssembly take activations of bytes. A QuantizeLinear to int8 that one DequantizeLinear reads
is rewritten with a zero point higher by 128, which changes no value. A second reader, as a gradient or a map is, would
keep the runtime from it: the layer would be computed in floats. Arm has kernels for int8, and there all stays as it is.
So do weights: the runtime folds their quantisers first, and leaves what that gives as it is. Its kernels for signed
weights are others than those for unsigned ones, and on some processors saturate.
"""

from __future__ import annotations

import platform
from collections import Counter

import numpy as np
import onnx_ir as ir

from onnxsal.graph.tape import Tape

SIGNED_KERNELS = ("arm", "aarch64", "ppc", "powerpc")
SHIFT = 128


def write_unsigned(graph: ir.Graph, machine: str | None = None) -> None:
    """Rewrite pairs of int8 as pairs of uint8 in place, where ``machine`` (this one) has no kernels for int8."""
    if (platform.machine() if machine is None else machine).lower().startswith(SIGNED_KERNELS):
        return
    op, moving = Tape(graph), _moving(graph)
    pairs = [(q, dq) for q in graph if q.inputs and q.inputs[0] in moving and (dq := _only_reader(q)) is not None]
    equal = Counter(_what(q) for q in graph if q.op_type == "QuantizeLinear")
    for q, dq in pairs:
        if equal[_what(q)] == 1:
            _rewrite(op, q, dq)


def _moving(graph: ir.Graph) -> set[ir.Value | None]:
    """Return the values that depend on the graph's inputs; the runtime folds all others."""
    found: set[ir.Value | None] = set(graph.inputs)
    for node in graph:
        if any(v in found for v in node.inputs) or any(
            a.type == ir.AttributeType.GRAPH for a in node.attributes.values()
        ):
            found.update(node.outputs)
    return found


def _what(q: ir.Node) -> tuple[object, ...]:
    """What a quantiser computes: the runtime makes equal ones one, which then has the readers of all."""
    constants = [None if v is None else v.const_value for v in q.inputs[1:]]
    held = (v if c is None else (c.dtype, c.tobytes()) for v, c in zip(q.inputs[1:], constants, strict=True))
    return (q.inputs[0], *held)


def _only_reader(q: ir.Node) -> ir.Node | None:
    """Return the DequantizeLinear behind an int8 QuantizeLinear, where each has one reader and all is constant."""
    if q.op_type != "QuantizeLinear" or q.domain or _readers(q.outputs[0]) != 1 or zero_of(q) is None:
        return None
    dq = next(iter(q.outputs[0].consumers()), None)
    if dq is None or dq.op_type != "DequantizeLinear" or dq.domain or _readers(dq.outputs[0]) != 1:
        return None
    return dq if zero_of(dq) == zero_of(q) else None


def _readers(value: ir.Value) -> int:
    return len(value.uses()) + value.is_graph_output()


def zero_of(node: ir.Node) -> int | None:
    """Return the constant zero point of a quantiser to or from int8, where there is one for all, else None."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    tensor = None if value is None or value.is_graph_input() else value.const_value
    if tensor is None or tensor.dtype != ir.DataType.INT8 or tensor.size != 1:
        return None
    return int(tensor.numpy().reshape(-1)[0])


def _rewrite(op: Tape, q: ir.Node, dq: ir.Node) -> None:
    for node in (q, dq):
        zero = node.inputs[2].const_value  # type: ignore[union-attr]
        assert zero is not None
        node.replace_input_with(2, op.const((zero.numpy().astype(np.int16) + SHIFT).astype(np.uint8)))
    if "output_dtype" in q.attributes:
        q.attributes["output_dtype"] = ir.AttrInt64("output_dtype", int(ir.DataType.UINT8))
    q.outputs[0].type = ir.TensorType(ir.DataType.UINT8)  # a clone shares its type with the original
