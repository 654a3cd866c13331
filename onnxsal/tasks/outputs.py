"""What outputs have in common, whatever a task makes of them: what only dresses them up, and which is the main one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph import dims
from onnxsal.graph.shapes import is_float
from onnxsal.graph.tape import STRAIGHT_THROUGH
from onnxsal.modalities.registry import recognise

DRESS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "QuantizeLinear", "DequantizeLinear", "Cast",
                    "Identity", "Transpose", "Dropout", "ArgMax", "TopK", "ZipMap", "ArrayFeatureExtractor",
                    "LabelEncoder"})  # fmt: skip
"""What makes an output of scores: reshaped, quantised, the best of them, a map from labels to them."""

_ASIDE = 0.1
"""An output that lacks more than this share of the nodes behind the deepest one is an auxiliary one."""


_NAMED = 3
"""Outputs that a message tells of."""


def named_outputs(told: Sequence[str]) -> str:
    """Return what is told of some outputs: of the first three, and how many there are beside."""
    more = f"; and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return "; ".join(told[:_NAMED]) + more


def main_output(outputs: Sequence[ir.Value]) -> int:
    """Return which output is the first that is neither auxiliary nor features."""
    return main_outputs(outputs)[0]


def main_outputs(outputs: Sequence[ir.Value]) -> list[int]:
    """Return which outputs are neither auxiliary nor features, in their order; several that dress up one value are one,
    the first that holds floats.

    Features are what another output is worked out from; auxiliary heads hang on fewer nodes.
    """
    origins = [origin(output) for output in outputs]
    upstream = [ancestors(each) for each in origins]
    makers = [each.producer() for each in origins]
    ends = [i for i, maker in enumerate(makers) if not any(maker in nodes for nodes in upstream)]
    most = max(len(upstream[i]) for i in ends)
    deep = [i for i in ends if most - len(upstream[i]) <= max(4, _ASIDE * most)]
    alike = {each: [i for i in deep if origins[i] is each] for each in dict.fromkeys(origins[i] for i in deep)}
    return [next((i for i in group if is_float(outputs[i])), group[0]) for group in alike.values()]


def origin(output: ir.Value) -> ir.Value:
    """Return the value that an output only dresses up."""
    return list(behind(output))[-1]


ACTIVATIONS = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}
"""Standard operators that make probabilities, or their logarithms, and which activation each is."""

VOID = frozenset({"Softmax", "LogSoftmax"})
"""Those that give one number, 1 or 0, where they go over one."""

OPEN = "onnxsal.open"
"""Mark of an output with an axis that is as long as what goes in: its file leaves it open by name."""

_BEHIND, _FIRST = "behind", "first"
"""Where that is: behind the first axis, or at the place of the batch."""


def made_by(value: ir.Value) -> str:
    """Return the standard operator that computes a value; nothing where there is none."""
    node = value.producer()
    return "" if node is None or node.domain else node.op_type


def mark_open(graph: ir.Graph) -> None:
    """Mark the outputs with an axis that the graph, before any size is chosen, leaves open by name, and is no batch."""
    known = {(dims(v) or (None,))[0] for v in graph.inputs}
    for output in graph.outputs:
        first, *others = dims(output) or (None,)
        if any(isinstance(d, str) for d in others):
            output.metadata_props[OPEN] = _BEHIND
        elif isinstance(first, str) and first.rpartition("*")[2] not in known:
            output.metadata_props[OPEN] = _FIRST


def holds_steps(output: ir.Value) -> bool:
    """Return whether an output is as long as what goes in, behind its axis of the batch."""
    return output.metadata_props.get(OPEN) == _BEHIND


def batches(graph: ir.Graph) -> list[int | str]:
    """Return how many things go in, as the inputs say it: 1 where that which is explained has no axis for several,
    however long its first one is; that of the first input in front.
    """
    leading = [d for v in graph.inputs if (d := (dims(v) or (None,))[0]) is not None]
    if leading and isinstance(leading[0], int) and leading[0] > 1:
        with suppress(UnsupportedError):
            return [1] if recognise(graph)[1].one_by_one else leading
    return leading


@contextmanager
def marked(graph: ir.Graph, steps: Collection[str]) -> Iterator[None]:
    """Mark the outputs of these names as holding steps, as long as it takes."""
    for output in graph.outputs:
        if output.name in steps:
            output.metadata_props[OPEN] = _BEHIND
    try:
        yield
    finally:
        unmark_open(graph)


def unmark_open(graph: ir.Graph) -> None:
    """Take the marks off again: no file that is written has them."""
    for output in graph.outputs:
        output.metadata_props.pop(OPEN, None)


def ancestors(value: ir.Value) -> set[ir.Node]:
    """Return the nodes in front of the one that computes ``value``."""
    seen: set[ir.Node] = set()
    waiting = [value.producer()]
    while waiting:
        node = waiting.pop()
        for source in () if node is None else node.inputs:
            maker = None if source is None else source.producer()
            if maker is not None and maker not in seen:
                seen.add(maker)
                waiting.append(maker)
    return seen


def behind(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield a score and the values it is only dressed from, up to and including the result of an activation."""
    while value is not None:
        yield value
        node = value.producer()
        if node is None or node.op_type not in DRESS or node.domain not in ("", "ai.onnx.ml"):
            return
        value = source(value)


def source(value: ir.Value) -> ir.Value | None:
    """The operand that a value is made from; labels are picked by their second."""
    node = value.producer()
    if node is None or not node.inputs:
        return None
    return node.inputs[1 if node.op_type == "ArrayFeatureExtractor" else 0]


def open_quantiser(logit: ir.Value) -> None:
    """A logit at the end of its quantised range is still explained: no gate at the score's own quantiser."""
    for value in behind(logit):
        node = value.producer()
        if node is not None and node.op_type == "QuantizeLinear":
            node.metadata_props[STRAIGHT_THROUGH] = "1"
