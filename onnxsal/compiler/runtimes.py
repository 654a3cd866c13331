"""What a runtime's name chooses of a file's forms, and what of the file that runtime computes otherwise or not at all.

What is known is in docs/compile.md: of OpenVINO from running it, of TensorRT from the list that its parser publishes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.errors import UnsupportedError, UsageError, nearest
from onnxsal.graph import dims
from onnxsal.graph.attributes import attributes

TRITON = "triton"

Has = Callable[[ir.Node, Mapping[str, Any]], bool]
"""Whether a node, by its attributes, is of a form."""


@dataclass(frozen=True)
class Otherwise:
    """Operators that a runtime computes otherwise than the standard has it, and how."""

    op_types: tuple[str, ...]
    what: str
    has: Has = lambda node, given: True


@dataclass(frozen=True)
class Runtime:
    """What a file for a runtime has, and what that runtime does not do with it."""

    explain_required: bool = False
    """Whether ``explain`` may have no default: an input that has one cannot be fed."""
    fold_weights: bool = False
    """Whether what is computed of weights alone has to lie in the file."""
    noise_held: bool = False
    """Whether noise has to lie in the file, for it computes no words of 32 bits."""
    by_row: bool = False
    """Whether requests are gathered: everything has a row a thing."""
    otherwise: tuple[Otherwise, ...] = ()
    """What is noted, and computed otherwise there."""
    absent: tuple[Otherwise, ...] = ()
    """What is refused."""
    types: frozenset[ir.DataType] | None = None
    """Of the numbers that it computes with; None: all."""
    known: str = ""
    """Where what is refused is known from."""
    pixels_of_int8: str = ""
    """What it makes of the gradients of pixels of a model with quantised activations."""
    doubles: str = ""
    """What it makes of doubles, which sums over draws are kept in."""

    def notes(self, graph: ir.Graph, *, pixels: bool) -> list[str]:
        """Return what it computes otherwise in a graph. Args: pixels: whether gradients of pixels are explained."""
        found = [f"{_counted(nodes)}: {each.what}" for each, nodes in _which(graph, self.otherwise)]
        int8 = pixels and any(node.op_type == "QuantizeLinear" for node in graph.all_nodes())
        found += [self.pixels_of_int8] if int8 else []
        found += [self.doubles] if ir.DataType.DOUBLE.name in _types(graph) else []
        return [note for note in found if note]

    def check(self, graph: ir.Graph, *, seed_in: bool = False) -> None:
        """Raise where it does not run a graph; all that it lacks is named.

        Args: seed_in: whether the file takes a seed, of which it draws in unsigned words.
        Raises: UnsupportedError: it lacks something.
        """
        lacks = [f"{_counted(nodes)} ({each.what})" for each, nodes in _which(graph, self.absent)]
        if self.types is not None:
            lacks += sorted({f"numbers of type {name}" for name in _types(graph) - {t.name for t in self.types}})
        if lacks:
            drawn = "; without seed=input the draws would lie in the file, and no operator would draw them"
            raise UnsupportedError(f"{self.known} does not have: {'; '.join(lacks)}{drawn if seed_in else ''}")


def runtime_of(name: str | None) -> Runtime | None:
    """Return the runtime of a name, None of none. Raises: UsageError: there is no such."""
    if name is not None and name not in RUNTIMES:
        raise UsageError(f"runtime={name!r}: expected {', '.join(RUNTIMES)}{nearest(str(name), RUNTIMES)}")
    return None if name is None else RUNTIMES[name]


def _which(graph: ir.Graph, forms: Sequence[Otherwise]) -> Iterator[tuple[Otherwise, list[ir.Node]]]:
    """Yield the forms that a graph has, and its nodes of them."""
    nodes = [node for node in graph.all_nodes() if node.domain in ("", "ai.onnx")]
    for each in forms:
        found = [node for node in nodes if node.op_type in each.op_types and each.has(node, attributes(node))]
        if found:
            yield each, found


def _counted(nodes: Sequence[ir.Node]) -> str:
    counts = Counter(node.op_type for node in nodes)
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in sorted(counts.items()))


def _types(graph: ir.Graph) -> set[str]:
    """Return the types of the numbers that are computed with; what goes in and out may have others."""
    ends = {*graph.inputs, *graph.outputs}
    values = (v for node in graph.all_nodes() for v in (*node.inputs, *node.outputs) if v is not None)
    found = {v.dtype.name for v in values if v.dtype is not None and v not in ends}
    return found | {v.dtype.name for v in ends if v.dtype is not None and v.dtype != ir.DataType.UINT8}


def _constant(node: ir.Node, at: int) -> np.ndarray[Any, Any] | None:
    """Return what an input holds; None where it is computed, or not there."""
    value = node.inputs[at] if at < len(node.inputs) else None
    return None if value is None or value.const_value is None else value.const_value.numpy()


def _is_odd(node: ir.Node, given: Mapping[str, Any]) -> bool:
    """Whether a zero point is odd, or of 16 bits."""
    zero = _constant(node, 2)
    return zero is not None and (zero.dtype.itemsize == 2 or bool((zero.astype(np.int64) & 1).any()))


def _is_shifted(node: ir.Node, given: Mapping[str, Any]) -> bool:
    """Whether a zero point is any other than 0, or none that is known."""
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    zero = _constant(node, 2)
    return zero is None or bool(zero.astype(np.int64).any())


def _orders_many(node: ir.Node, given: Mapping[str, Any]) -> bool:
    """Whether it is read which of the largest values are where."""
    count = _constant(node, 1)
    if len(node.outputs) < 2 or not (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        return False
    return count is None or int(count.reshape(-1)[0]) >= 8


def _slope_is_row(node: ir.Node, given: Mapping[str, Any]) -> bool:
    slope = node.inputs[1]
    shape = None if slope is None else dims(slope)
    return shape is not None and len(shape) == 1 and shape[0] != 1


def _peeks(node: ir.Node, given: Mapping[str, Any]) -> bool:
    return bool(given.get("layout")) or (node.op_type == "LSTM" and len(node.inputs) > 7 and node.inputs[7] is not None)


def _resizes_otherwise(node: ir.Node, given: Mapping[str, Any]) -> bool:
    stretched = given.get("keep_aspect_ratio_policy", "stretch") == "stretch"
    return bool(given.get("antialias") or given.get("exclude_outside")) or not stretched


def _is_flat(node: ir.Node, given: Mapping[str, Any]) -> bool:
    """Whether a pool runs along one axis, or puts out where its largest values were."""
    shape = dims(node.inputs[0]) if node.inputs[0] is not None else None
    return len(node.outputs) > 1 or (shape is not None and len(shape) == 3)


OPENVINO = (
    Otherwise(
        ("AveragePool",),
        "OpenVINO divides by the whole window at the border",
        lambda node, given: bool(given.get("ceil_mode") and given.get("count_include_pad")),
    ),
    Otherwise(
        ("Resize",), "OpenVINO leaves out antialias, exclude_outside and keep_aspect_ratio_policy", _resizes_otherwise
    ),
    Otherwise(("PRelu",), "OpenVINO takes a vector of slopes for one a channel where both fit", _slope_is_row),
    Otherwise(
        ("QuantizeLinear",), "OpenVINO rounds halves after it has added the zero point: one step off", _is_odd
    ),
    Otherwise(("LSTM", "GRU", "RNN"), "OpenVINO leaves out peepholes and layout", _peeks),
    Otherwise(
        ("RoiAlign",), "OpenVINO takes the largest point for the largest weighted corner",
        lambda node, given: given.get("mode") == "max",
    ),
    Otherwise(
        ("ConvTranspose",), "OpenVINO lies one step to the side",
        lambda node, given: given.get("auto_pad") == "SAME_UPPER" and bool(given.get("output_shape")),
    ),
    Otherwise(("DFT",), "OpenVINO has one axis more", lambda node, given: bool(given.get("onesided"))),
    Otherwise(
        ("LpPool",), "OpenVINO scales windows over the edge up", lambda node, given: bool(given.get("ceil_mode"))
    ),
    Otherwise(
        ("LRN",), "OpenVINO cuts the bias down to an integer",
        lambda node, given: not float(given.get("bias", 1.0)).is_integer(),
    ),
    Otherwise(("TopK",), "OpenVINO orders equal values otherwise from 8 on", _orders_many),
)  # fmt: skip
"""What OpenVINO 2026.4 computes otherwise."""

TENSORRT = (
    Otherwise(
        (
            "AffineGrid", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
            "CenterCropPad", "Col2Im", "Compress", "ConcatFromSequence", "ConvInteger", "DFT", "Det",
            "DynamicQuantizeLinear",
            "ImageDecoder", "MatMulInteger", "MaxRoiPool", "MaxUnpool", "MelWeightMatrix", "Multinomial", "Optional",
            "OptionalGetElement", "OptionalHasElement", "QLinearConv", "QLinearMatMul", "RegexFullMatch", "SequenceAt",
            "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap",
            "SplitToSequence", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer", "Unique",
        ),
        "not in its list",
    ),
    Otherwise(("QuantizeLinear", "DequantizeLinear"), "a zero point has to be 0", _is_shifted),
    Otherwise(
        ("ScatterND",), "without reduction alone", lambda node, given: given.get("reduction", "none") != "none"
    ),
    Otherwise(("MaxPool", "AveragePool"), "along two or three axes alone, without indices", _is_flat),
    Otherwise(
        ("Resize",), "nearest and linear alone, and stretched",
        lambda node, given: given.get("mode") == "cubic" or _resizes_otherwise(node, given),
    ),
    Otherwise(("TopK",), "sorted alone", lambda node, given: not given.get("sorted", 1)),
    Otherwise(
        ("LSTM",), "without layout and input_forget alone",
        lambda node, given: bool(given.get("layout") or given.get("input_forget")),
    ),
)  # fmt: skip
"""What the ONNX parser of TensorRT 10.15 does not have, by the list of operators that it publishes."""

_TENSORRT_TYPES = frozenset(
    (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE, ir.DataType.INT32,
     ir.DataType.INT64, ir.DataType.INT8, ir.DataType.INT4, ir.DataType.BOOL)
)  # fmt: skip

RUNTIMES: Mapping[str, Runtime] = {
    TRITON: Runtime(by_row=True),
    "openvino": Runtime(
        explain_required=True, fold_weights=True, otherwise=OPENVINO,
        pixels_of_int8="gradients of pixels of int8 models are others in OpenVINO: of the int8 MobileNetV2 they "
        "correlate .42 with ONNX Runtime's, and maps of layers .9997",
    ),
    "web": Runtime(explain_required=True),
    "tensorrt": Runtime(
        explain_required=True, noise_held=True, absent=TENSORRT, types=_TENSORRT_TYPES,
        doubles="sums over draws, and all else in double, are computed in float32 in TensorRT, by what it publishes",
        known="TensorRT's ONNX parser (10.15, by the list that it publishes; nothing was run)",
    ),
    "node": Runtime(explain_required=True),
}  # fmt: skip
"""What is known of each runtime that may be named."""
