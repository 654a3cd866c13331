"""One pass over a graph with numbers in place of its symbols: the shape of every value, the contents of small ones.

Exports spell shape arithmetic out in nodes (``Shape``, ``Gather``, ``Concat``, ``Reshape``). With a number for the
batch all of it is plain integer arithmetic, which symbols are not; ``infer.study`` reads symbols off two such passes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.serde import serialize_attribute

from onnxsal.errors import UnsupportedError
from onnxsal.graph.analogues import kind_of
from onnxsal.graph.bodies import kinds_behind
from onnxsal.graph.contents import Array, computable, compute
from onnxsal.graph.ml_kinds import ml_kinds
from onnxsal.graph.names import node_title
from onnxsal.graph.shapes import Dim
from onnxsal.graph.tape import schema_of
from onnxsal.graph.unpooled import unpooled_rank

Shape = tuple[Dim, ...]
Kind = tuple[ir.DataType, Shape | None]
"""Element type and shape, None where even the rank is unknown."""

Memo = dict[Any, tuple[Kind | None, ...] | str]
"""What onnx infers of a node by its operator, its attributes and the kinds of its inputs."""

LIMIT = 1 << 16
"""Contents above this many elements are not followed: they stay nodes, which ONNX Runtime folds when it loads."""

_STAY = frozenset({"QuantizeLinear", "DequantizeLinear"})
_DATA_FREE = frozenset({"Shape", "Size"})
_TRUSTED = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Where", "MatMul", "Gemm", "Concat", "Reshape", "Conv",
                      "GRU", "LSTM", "RNN"})  # fmt: skip
"""Operators of which onnx's inference refuses nothing that is valid; it knows no ellipsis of Einsum that broadcasts."""

_FAILURES = (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError, TypeError)


@dataclass
class Sweep:
    """What one pass found out; ``sizes`` are the numbers that it put in place of symbols."""

    sizes: Mapping[str, int]
    opaque: frozenset[str] = frozenset()
    """Names of values whose contents are not to be looked at."""
    kinds: dict[ir.Value, Kind] = field(default_factory=dict)
    contents: dict[ir.Value, Array] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)
    imports: Mapping[str, int] = field(default_factory=dict)
    """The opsets of the graph; bodies state none of their own."""
    memo: Memo = field(default_factory=dict)
    """Inference of equal nodes on equal shapes, which the repeated blocks of a network are; may be shared."""

    def shape(self, value: ir.Value) -> Shape | None:
        """Return the shape of a value in this pass."""
        kind = self.kinds.get(value)
        return None if kind is None else kind[1]

    def over(self, graph: ir.Graph) -> Sweep:
        """Visit every value of a sorted graph; return the sweep itself."""
        self.imports = graph.opset_imports
        for value in (*graph.inputs, *graph.initializers.values()):
            self._given(value)
        for node in graph:
            self._visit(node)
        return self

    def _through(self, body: ir.Graph, inputs: Sequence[Kind | None]) -> list[Kind | None]:
        """Return the kinds of a body's outputs. A branch that is not taken may contradict itself: that is not said."""
        said = len(self.contradictions)
        for value in body.initializers.values():
            self._given(value)
        for value, kind in zip(body.inputs, inputs, strict=False):
            self.kinds.pop(value, None)
            if (held := kind or self._declared(value)) is not None:
                self.kinds[value] = held
        for node in body:
            for value in node.outputs:  # of a turn before, where sizes were still thought to stay
                self.contents.pop(value, None)
                self.kinds.pop(value, None)
            self._visit(node)
        del self.contradictions[said:]
        return [self.kinds.get(value) for value in body.outputs]

    def _given(self, value: ir.Value) -> None:
        declared = self._declared(value)
        if declared is not None:
            self.kinds[value] = declared
        self._read(value)

    def _read(self, value: ir.Value) -> None:
        tensor = value.const_value
        if tensor is None or tensor.size > LIMIT or value.name in self.opaque or isinstance(tensor, ir.StringTensor):
            return
        if tensor.dtype.numpy().kind in "biuf":
            self.contents[value] = tensor.numpy()

    def _declared(self, value: ir.Value) -> Kind | None:
        if value.dtype is None or not isinstance(value.type, ir.TensorType):
            return None
        if value.shape is None:
            return value.dtype, None
        return value.dtype, tuple(self._number(d if isinstance(d, int) else d.value) for d in value.shape)

    def _number(self, dim: Dim) -> Dim:
        """A symbol, or a multiple of one as ``infer_shapes`` writes it, as a number."""
        if not isinstance(dim, str) or dim in self.sizes:
            return self.sizes[dim] if isinstance(dim, str) else dim
        factor, _, symbol = dim.partition("*")
        return int(factor) * self.sizes[symbol] if factor.isdigit() and symbol in self.sizes else dim

    def _visit(self, node: ir.Node) -> None:
        arrays = self._computed(node)
        if arrays is not None:
            for value, array in zip(node.outputs, arrays, strict=True):
                self.contents[value] = array
                self.kinds[value] = (ir.DataType.from_numpy(array.dtype), array.shape)
            return
        found = self._infer(node)
        inside = kinds_behind(node, [None if v is None else self.kinds.get(v) for v in node.inputs], self._through)
        for i, value in enumerate(node.outputs):
            kind = _merged(found[i] if i < len(found) else None, self._declared(value))
            kind = _merged(inside[i] if i < len(inside) else None, kind)
            if kind is not None:
                self.kinds[value] = kind

    def _computed(self, node: ir.Node) -> list[Array] | None:
        if node.domain or any(v.name in self.opaque for v in node.outputs):
            return None
        if node.op_type in _DATA_FREE:
            return self._measured(node)
        if node.op_type == "Gather" and (picked := self._picked(node)) is not None:
            return [picked]
        if (
            not node.inputs
            or not computable(node)
            or any(v is not None and v not in self.contents for v in node.inputs)
        ):
            return None
        arrays = compute(node, [None if v is None else self.contents[v] for v in node.inputs])
        return None if arrays is None or any(a.size > LIMIT for a in arrays) else arrays

    def _measured(self, node: ir.Node) -> list[Array] | None:
        shape = None if node.inputs[0] is None else self.shape(node.inputs[0])
        if shape is None or not all(isinstance(d, int) for d in _part(node, shape)):
            return None
        part = np.array(_part(node, shape), np.int64)
        return [part.prod(dtype=np.int64)] if node.op_type == "Size" else [part]

    def _picked(self, node: ir.Node) -> Array | None:
        """Known dimensions picked out of a shape whose others are unknown."""
        source, index = node.inputs[:2]
        maker = None if source is None else source.producer()
        if maker is None or maker.op_type != "Shape" or maker.inputs[0] is None or index not in self.contents:
            return None
        shape, where = self.shape(maker.inputs[0]), self.contents[index]
        known = () if shape is None else _part(maker, shape)
        if where.dtype.kind not in "iu":  # a damaged file's
            return None
        picked = [known[i] for i in where.reshape(-1).tolist() if -len(known) <= i < len(known)]
        if len(picked) != where.size or not all(isinstance(d, int) for d in picked):
            return None
        return np.array(picked, np.int64).reshape(where.shape)

    def _infer(self, node: ir.Node) -> tuple[Kind | None, ...]:
        kinds = [None if v is None else self.kinds.get(v) for v in node.inputs]
        if (rank := unpooled_rank(node)) and (places := kinds[1]) and places[1] is None:
            kinds[1] = places[0], (None,) * rank
        if any(v is not None and k is None for v, k in zip(node.inputs, kinds, strict=True)):
            return ()
        known = {i: self.contents[v] for i, v in enumerate(node.inputs) if v is not None and self._tells(node, i, v)}
        key = (node.domain, node.op_type, self.imports.get(node.domain), len(node.outputs), tuple(kinds),
               _attributes_key(node), tuple((i, a.tobytes()) for i, a in known.items()))  # fmt: skip
        if key not in self.memo:
            self.memo[key] = _infer(node, kinds, known, self.imports)
        found = self.memo[key]
        if isinstance(found, tuple):
            return found
        self.contradictions.append(f"{node_title(node)}: {found}")
        return ()

    def _tells(self, node: ir.Node, index: int, value: ir.Value) -> bool:
        """Whether an input's contents can bear on the output's shape: short vectors beside the data, and lone ones."""
        return value in self.contents and self.contents[value].size <= 64 and (index > 0 or len(node.inputs) == 1)


def _part(node: ir.Node, shape: Shape) -> Shape:
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return shape[(start.as_int() if start else 0) : (end.as_int() if end else None)]


def _attributes_key(node: ir.Node) -> tuple[Any, ...]:
    return tuple((name, _hashable(attr)) for name, attr in node.attributes.items())


def _hashable(attr: ir.Attr) -> Any:
    if attr.type in (ir.AttributeType.INT, ir.AttributeType.STRING, ir.AttributeType.FLOAT):
        return attr.value
    return tuple(attr.value) if attr.type == ir.AttributeType.INTS else _Same(attr)


@dataclass(frozen=True, eq=False)
class _Same:
    """A key that is equal to that of the same object alone, and keeps it alive: the next could lie at its address."""

    thing: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _merged(found: Kind | None, declared: Kind | None) -> Kind | None:
    """What is inferred stands before what the file declares; the file fills the gaps."""
    if found is None or declared is None:
        return found or declared
    (dtype, shape), (_, written) = found, declared
    if shape is None or written is None or len(shape) != len(written):
        return dtype, written if shape is None else shape
    return dtype, tuple(a if isinstance(a, int) or b is None else b for a, b in zip(shape, written, strict=True))


_LIKE_ITS_INPUT = frozenset({"Celu", "GroupNormalization", "MeanVarianceNormalization"})
"""Operators that onnx defines by functions alone: it infers no shape for one node of them."""


def _infer(
    node: ir.Node, kinds: Sequence[Kind | None], known: Mapping[int, Array], opsets: Mapping[str, int]
) -> tuple[Kind | None, ...] | str:
    """Return what onnx infers for one node, nothing where it knows no such operator, a text where shapes disagree."""
    if found := ml_kinds(node, kinds):
        return found
    opset = opsets.get(node.domain)
    try:
        schema = schema_of(node.op_type, node.domain, opset or 1)
    except UnsupportedError:
        return kind_of(node, kinds, opsets.get("", 1))
    names = ["" if k is None else f"i{i}" for i, k in enumerate(kinds)]
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain, input=names, name=node.name or "")
    proto.output.extend(f"o{i}" for i in range(len(node.outputs)))
    proto.attribute.extend(serialize_attribute(a) for a in node.attributes.values())
    if node.op_type == "STFT" and "onesided" not in node.attributes:  # 1 by the standard, and onnx counts as of 0
        proto.attribute.append(onnx.helper.make_attribute("onesided", 1))
    types = {name: _type_proto(k) for name, k in zip(names, kinds, strict=True) if k is not None}
    data = {f"i{i}": onnx.numpy_helper.from_array(a, f"i{i}") for i, a in known.items()}
    imports = [onnx.helper.make_opsetid(node.domain, opset or 1)]
    try:
        results = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=imports, ir_version=11
        )
    except _FAILURES as error:
        text, mark = str(error), "[ShapeInferenceError] "
        return text.removeprefix(mark) if mark in text and node.op_type in _TRUSTED else ()
    if node.op_type in _LIKE_ITS_INPUT and not node.domain:
        return (kinds[0],)
    kinds_out = tuple(_kind(results.get(f"o{i}")) for i in range(len(node.outputs)))
    if not node.domain and node.op_type in _SHAPED and (kinds_out[0] is None or kinds_out[0][1] is None):
        return (_ranked(node, kinds, kinds_out[0]),)
    if node.op_type == "STFT" and not node.domain and (kinds_out[0] is None or kinds_out[0][1] is None):
        return (_frames(node, kinds, known) or kinds_out[0],)
    wrong = _wrong_reshape(node, kinds, kinds_out) or _wrong_channels(node, kinds) or _wrong_bounds(node, kinds)
    return wrong or kinds_out


_SHAPED = frozenset({"Reshape", "Expand", "ConstantOfShape"})


def _ranked(node: ir.Node, kinds: Sequence[Kind | None], found: Kind | None) -> Kind | None:
    """A shape that is known only at run time still has a length, which is a number of dimensions."""
    target, source = kinds[-1], kinds[0]
    length = None if target is None or target[1] is None else target[1][0]
    dtype = found[0] if found is not None else None if source is None else source[0]
    if not isinstance(length, int) or dtype is None or source is None:
        return found
    if node.op_type == "Expand":
        if source[1] is None:
            return found
        length = max(length, len(source[1]))
    return dtype, (None,) * length


def _frames(node: ir.Node, kinds: Sequence[Kind | None], known: Mapping[int, Array]) -> Kind | None:
    """The transform of a signal of any length has frames by bins by two all the same: onnx gives not even the rank."""
    signal, window = kinds[0], kinds[2] if len(kinds) > 2 else None
    if signal is None or signal[1] is None:
        return None
    taps = int(known[3].reshape(-1)[0]) if 3 in known else window[1][0] if window is not None and window[1] else None
    onesided = node.attributes.get("onesided")
    half = onesided is None or onesided.as_int() == 1
    bins = (taps // 2 + 1 if half else taps) if isinstance(taps, int) else None
    return signal[0], (signal[1][0], None, bins, 2)


def _wrong_reshape(node: ir.Node, kinds: Sequence[Kind | None], out: Sequence[Kind | None]) -> str:
    """onnx does not count a Reshape's elements; a wrong count tells that the batch is not as free as it is declared."""
    if node.op_type != "Reshape" or node.domain or kinds[0] is None or out[0] is None:
        return ""
    before, after = kinds[0][1], out[0][1]
    if before is None or after is None or not all(isinstance(d, int) for d in (*before, *after)):
        return ""
    if math.prod(d for d in before if isinstance(d, int)) == math.prod(d for d in after if isinstance(d, int)):
        return ""
    return f"{list(before)} cannot be reshaped to {list(after)}"


_CHANNELS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "ConvTranspose": 1}
"""Operators whose weights say how many channels they take, and the place of the weights among their inputs."""


def _wrong_channels(node: ir.Node, kinds: Sequence[Kind | None]) -> str:
    """onnx does not hold the channels of what a convolution reads against its weights; runtimes do, when they run."""
    at = _CHANNELS.get(node.op_type)
    if at is None or node.domain or len(kinds) <= at or kinds[0] is None or (weights := kinds[at]) is None:
        return ""
    read, kernel = kinds[0][1], weights[1]
    if read is None or kernel is None or min(len(read), len(kernel)) < 3:
        return ""
    group = node.attributes.get("group")
    groups = 1 if group is None or group.is_ref() else group.as_int()
    given, one = read[1], kernel[0 if node.op_type == "ConvTranspose" else 1]
    if not isinstance(given, int) or not isinstance(one, int):
        return ""
    taken = one if node.op_type == "ConvTranspose" else one * groups
    return "" if given == taken else f"its weights take {taken} channels, and it is given {given}"


def _wrong_bounds(node: ir.Node, kinds: Sequence[Kind | None]) -> str:
    """onnx does not look at the bounds of a Clip, which are one number each; runtimes do, when they run."""
    if node.op_type != "Clip" or node.domain:
        return ""
    shapes = [kind[1] for kind in kinds[1:] if kind is not None and kind[1]]
    wrong = next((shape for shape in shapes if len(shape) > 1 or (isinstance(shape[0], int) and shape[0] > 1)), None)
    return "" if wrong is None else f"its bounds are a number each, and one has the shape {list(wrong)}"


@lru_cache(maxsize=4096)
def _type_proto(kind: Kind) -> onnx.TypeProto:
    return onnx.helper.make_tensor_type_proto(int(kind[0]), None if kind[1] is None else list(kind[1]))


def _kind(proto: onnx.TypeProto | None) -> Kind | None:
    if proto is None or not proto.HasField("tensor_type") or not proto.tensor_type.elem_type:
        return None
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return ir.DataType(tensor.elem_type), None
    return ir.DataType(tensor.elem_type), tuple(_dim(d) for d in tensor.shape.dim)


def _dim(proto: onnx.TensorShapeProto.Dimension) -> Dim:
    if proto.HasField("dim_value"):
        return proto.dim_value
    return proto.dim_param or None
