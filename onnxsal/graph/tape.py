"""The tape: ``op.Relu(x)`` appends one node to a graph and returns its value."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, overload

import numpy as np
import onnx
import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.scopes import PREFIX, first_free
from onnxsal.graph.shapes import dims, static

STRAIGHT_THROUGH = "sal.straight_through"
"""Metadata of a QuantizeLinear that passes every gradient: the explained picture's re-entry, the logit's own."""

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)

Operand = ir.Value | float | int | bool | Sequence[int] | Sequence[float] | np.ndarray[Any, Any] | None


class Operator(Protocol):
    """What ``op.Relu`` is: a call appends one node and returns its value."""

    def __call__(self, *operands: Operand, **attributes: Any) -> ir.Value: ...


class Tape:
    """Appends standard operators to a graph.

    CamelCase methods are exactly one node each; Python numbers among their operands become constants of the type that
    the operator's schema ties them to (the neighbour's type, or int64 for axes and indices). Equal nodes are shared.
    A node of several values is ``op.emit("Split", x, outputs=2)``.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.opset = graph.opset_imports.get("", 21)
        self._numbers = itertools.count(first_free(graph))
        self._memo: dict[Any, tuple[ir.Value, ...]] = {}

    def __getattr__(self, op_type: str) -> Operator:
        if not op_type[:1].isupper():
            raise AttributeError(f"the tape has no {op_type!r}")
        return functools.partial(self.emit, op_type)

    @overload
    def emit(
        self, op_type: str, *operands: Operand, outputs: None = None, domain: str = "", **attributes: Any
    ) -> ir.Value: ...

    @overload
    def emit(
        self, op_type: str, *operands: Operand, outputs: int, domain: str = "", **attributes: Any
    ) -> tuple[ir.Value, ...]: ...

    def emit(
        self, op_type: str, *operands: Operand, outputs: int | None = None, domain: str = "", **attributes: Any
    ) -> ir.Value | tuple[ir.Value, ...]:
        """Append one node and return its value (a tuple of ``outputs`` values where that is given, of one too)."""
        schema = schema_of(op_type, domain, self.graph.opset_imports.get(domain, self.opset))
        inputs = [self._lift(schema, i, operand, operands) for i, operand in enumerate(operands)]
        while inputs and inputs[-1] is None:
            inputs.pop()
        given = {k: v for k, v in attributes.items() if v is not None}
        key = (op_type, domain, outputs or 1, tuple(map(id, inputs)), _key(given))
        if key not in self._memo or key[-1] is None or op_type in RANDOM:
            self._memo[key] = self._append(schema, inputs, given, outputs or 1)
        values = self._memo[key]
        return values[0] if outputs is None else values

    def remove(self, node: ir.Node) -> None:
        """Take an emitted node that nothing reads out of the graph, and out of what equal ones are shared with."""
        for key in [key for key, values in self._memo.items() if values[0].producer() is node]:
            del self._memo[key]
        self.graph.remove(node, safe=True)

    def _append(
        self, schema: onnx.defs.OpSchema, inputs: list[ir.Value | None], attributes: dict[str, Any], outputs: int
    ) -> tuple[ir.Value, ...]:
        stem = f"{PREFIX}{schema.name}_{next(self._numbers)}"
        values = [ir.Value(name=stem if i == 0 else f"{stem}:{i}") for i in range(outputs)]
        node = ir.node(schema.name, inputs, attributes, domain=schema.domain, outputs=values, name=stem)
        for i, value in enumerate(values):
            dtype = _output_dtype(schema, i, inputs, attributes)
            value.type = None if dtype is None else ir.TensorType(dtype)
        self.graph.append(node)
        return tuple(values)

    def _lift(
        self, schema: onnx.defs.OpSchema, index: int, operand: Operand, operands: Sequence[Operand]
    ) -> ir.Value | None:
        if operand is None or isinstance(operand, ir.Value):
            return operand
        if isinstance(operand, np.ndarray):
            return self.const(operand)
        return self.const(operand, _operand_dtype(schema, index, operands))

    def const(self, value: Any, dtype: ir.DataType | None = None) -> ir.Value:
        """Return an initializer that holds ``value``, the same one for equal contents."""
        array = np.asarray(value, dtype=None if dtype is None else dtype.numpy())
        tensor = ir.tensor(array) if dtype is None else ir.tensor(array, dtype=dtype)
        key = ("const", tensor.dtype, array.shape, array.tobytes())
        if key not in self._memo:
            self._memo[key] = (self.weight(tensor),)
        return self._memo[key][0]

    def body(self) -> Tape:
        """Return a tape over a new graph that becomes a node's body: it may refer to values of this one."""
        name = f"{PREFIX}body_{next(self._numbers)}"
        inner = Tape(ir.Graph([], [], nodes=[], opset_imports=dict(self.graph.opset_imports), name=name))
        inner._numbers = self._numbers
        return inner

    def within(self, graph: ir.Graph) -> Tape:
        """Return a tape over a graph that is there already, which shares the names given here and no nodes."""
        inner = Tape(graph)
        inner.opset = self.opset
        inner._numbers = self._numbers
        return inner

    def argument(self, like: ir.Value, shape: Iterable[Any] | None = None) -> ir.Value:
        """Return a new input of a body, of the type of ``like`` and of its shape unless one is given."""
        chosen = like.shape if shape is None else shape
        return self.input(f"{PREFIX}in_{next(self._numbers)}", like.dtype or ir.DataType.FLOAT, chosen)

    def give(self, *values: ir.Value) -> ir.Graph:
        """Return the body with these results, each a value of its own."""
        for value in values:
            self.graph.outputs.append(self.copy(value))
        return self.graph

    def copy(self, value: ir.Value) -> ir.Value:
        """Return the value under a name of its own, not shared with other copies."""
        return self._append(schema_of("Identity", "", self.opset), [value], {}, 1)[0]

    def weight(self, tensor: ir.TensorProtocol) -> ir.Value:
        """Return a new initializer for a tensor, which may be external."""
        return add_initializer(self.graph, f"{PREFIX}const_{next(self._numbers)}", tensor)

    def input(self, name: str, dtype: ir.DataType, shape: Iterable[Any] | None) -> ir.Value:
        """Return a new graph input; of unknown rank where ``shape`` is None."""
        value = ir.Value(name=name, type=ir.TensorType(dtype), shape=None if shape is None else ir.Shape(shape))
        self.graph.inputs.append(value)
        return value

    def unique(self, stem: str) -> str:
        """Return a name that nothing in the graph has yet."""
        return f"{PREFIX}{stem}_{next(self._numbers)}"

    def cast(self, x: ir.Value, dtype: ir.DataType | None) -> ir.Value:
        """Return ``x`` in another type; ``x`` itself where it has it already.

        Raises: UnsupportedError: the type is not known. Left as it is, ``x`` could make an invalid graph.
        """
        if dtype is None:
            raise UnsupportedError(f"{x.name!r} would be cast to a type that is not known: nothing infers it")
        if x.dtype == dtype:
            return x
        return self.Cast(x, to=dtype)

    def shape_of(self, x: ir.Value) -> ir.Value:
        """Return the shape of ``x`` as an int64 vector: a constant where it is known, else measured at run time."""
        known = static(x)
        if known is not None:
            return self.const(known, ir.DataType.INT64)
        return self.Shape(x)

    def zeros_like(self, x: ir.Value, dtype: ir.DataType | None = None) -> ir.Value:
        """Return zeros of the shape of ``x``."""
        return self.full_like(x, 0, dtype)

    def full_like(self, x: ir.Value, value: float, dtype: ir.DataType | None = None) -> ir.Value:
        """Return a constant in the shape of ``x``, in its type unless one is given."""
        chosen = dtype or x.dtype or ir.DataType.FLOAT
        return self.ConstantOfShape(self.shape_of(x), value=ir.tensor(np.array([value], chosen.numpy()), dtype=chosen))

    def gate(self, g: ir.Value, mask: ir.Value) -> ir.Value:
        """Return ``g`` where the boolean ``mask`` holds, else 0."""
        return self.Where(mask, g, 0.0)

    def reshape_like(self, g: ir.Value, x: ir.Value) -> ir.Value:
        """Return ``g`` in the shape of ``x``; one unknown dimension is left to Reshape itself."""
        shape = dims(x)
        if shape is None or sum(not isinstance(d, int) for d in shape) > 1 or 0 in shape:
            return self.Reshape(g, self.shape_of(x))
        return self.Reshape(g, [d if isinstance(d, int) else -1 for d in shape])

    def sum_to(self, g: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        """Return ``g``, which has the shape of ``y``, summed over the axes along which ``x`` was broadcast to ``y``."""
        a, b = dims(x), dims(y)
        if a is not None and a == b and None not in a:
            return g
        if a is None or b is None or len(a) > len(b):
            return self._sum_to_dynamic(g, x, y)
        lead = len(b) - len(a)
        known = all(_settled(d, e) for d, e in zip(a, b[lead:], strict=True))
        if not known:
            return self._sum_to_dynamic(g, x, y)
        axes = [i for i in range(len(b)) if i < lead or (a[i - lead] == 1 and b[i] != 1)]
        if not axes:
            return g
        summed = self._sum(g, axes, keepdims=int(lead == 0))
        return summed if lead == 0 else self.reshape_like(summed, x)

    def _sum_to_dynamic(self, g: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        shape, full = self.Shape(x), self.Shape(y)
        lead = self.Sub(self.Shape(full), self.Shape(shape))
        padded = self.Concat(self.Expand(self.const(1, ir.DataType.INT64), lead), shape, axis=0)
        axes = self.Reshape(self.NonZero(self.Not(self.Equal(padded, full))), [-1])
        summed = self._sum(g, axes, keepdims=1, noop_with_empty_axes=1)
        return self.Reshape(summed, shape)

    def _sum(self, g: ir.Value, axes: Operand, **how: int) -> ir.Value:
        """Half precision is summed in float32, where partial sums do not overflow."""
        if g.dtype not in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16):
            return self.ReduceSum(g, axes, **how)
        return self.cast(self.ReduceSum(self.cast(g, ir.DataType.FLOAT), axes, **how), g.dtype)

    def total(self, values: Sequence[ir.Value]) -> ir.Value:
        """Return the sum of one or more values of one shape."""
        return functools.reduce(self.Add, values)


def _settled(d: int | str | None, e: int | str | None) -> bool:
    """Whether it is known if ``d`` was broadcast to ``e``: a 1 was, equal symbols and numbers above 1 were not."""
    return d is not None and (d == e or isinstance(d, int))


def _key(attributes: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return a hashable key of a node's attributes, or None where the node is never shared."""
    parts: list[Any] = []
    for name, value in sorted(attributes.items()):
        if isinstance(value, (list, tuple)):
            value = tuple(value)
        elif isinstance(value, ir.TensorProtocol):
            value = (value.dtype, tuple(value.shape), value.numpy().tobytes())
        elif isinstance(value, ir.Graph):
            return None
        parts.append((name, type(value).__name__, value))
    return tuple(parts)


@functools.lru_cache(maxsize=1024)
def schema_of(op_type: str, domain: str, opset: int) -> onnx.defs.OpSchema:
    """Return an operator's schema. Raises: UnsupportedError: there is no such operator."""
    try:
        return onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        raise UnsupportedError(
            f"operator {op_type!r} is not in opset {opset} of domain {domain or 'ai.onnx'!r}"
        ) from None


def _formal(formals: Sequence[Any], index: int) -> Any:
    return formals[min(index, len(formals) - 1)]


def _operand_dtype(schema: onnx.defs.OpSchema, index: int, operands: Sequence[Operand]) -> ir.DataType:
    """Return the type a Python number takes as operand ``index``: that of a value tied to it, else what is allowed."""
    wanted = _formal(schema.inputs, index)
    for i, other in enumerate(operands):
        if isinstance(other, ir.Value) and _formal(schema.inputs, i).type_str == wanted.type_str and other.dtype:
            return other.dtype
    allowed = wanted.types
    number = operands[index]
    flat = np.asarray(number)
    if "tensor(int64)" in allowed and flat.dtype.kind in "iu":
        return ir.DataType.INT64
    if "tensor(int64)" in allowed and "tensor(float)" not in allowed:
        return ir.DataType.INT64
    return ir.DataType.BOOL if flat.dtype.kind == "b" else ir.DataType.FLOAT


_TYPES = {
    "tensor(bool)": ir.DataType.BOOL,
    "tensor(int64)": ir.DataType.INT64,
    "tensor(float)": ir.DataType.FLOAT,
    "tensor(string)": ir.DataType.STRING,
    "tensor(int32)": ir.DataType.INT32,
    "tensor(uint8)": ir.DataType.UINT8,
}


def _output_dtype(
    schema: onnx.defs.OpSchema, index: int, inputs: Sequence[ir.Value | None], attributes: dict[str, Any]
) -> ir.DataType | None:
    """Return the type of output ``index`` by the schema: tied to an input, named by an attribute, or the only one."""
    bodies = [v for v in attributes.values() if isinstance(v, ir.Graph)]
    if bodies:
        return bodies[0].outputs[index + (schema.name == "Loop")].dtype
    formal = _formal(schema.outputs, index)
    for i, given in enumerate(inputs):
        if given is not None and _formal(schema.inputs, i).type_str == formal.type_str:
            return given.dtype
    if schema.name in ("Cast", "EyeLike", "RandomNormal", "RandomUniform", "RandomNormalLike", "Bernoulli"):
        named = attributes.get("to", attributes.get("dtype"))
        return None if named is None else ir.DataType(named)
    value = attributes.get("value")
    if isinstance(value, ir.TensorProtocol):
        return value.dtype
    if schema.name == "ConstantOfShape":
        return ir.DataType.FLOAT
    if len(formal.types) == 1:
        return _TYPES.get(next(iter(formal.types)))
    return _special_dtype(schema.name, inputs)


def _special_dtype(name: str, inputs: Sequence[ir.Value | None]) -> ir.DataType | None:
    """Types that schemas leave open: OneHot by its values, (De)quantize by scale or zero point, Loop by nothing."""
    source = {"OneHot": 2, "DequantizeLinear": 1, "QuantizeLinear": 2}.get(name, 0)
    value = inputs[source] if source < len(inputs) else None
    return None if value is None else value.dtype


def size_of(shape: Sequence[int]) -> int:
    """Return the number of elements in a shape."""
    return math.prod(shape)
