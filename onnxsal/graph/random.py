"""Random numbers that a model draws itself: every run gives others, whatever a ``seed`` attribute says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx_ir as ir

from onnxsal.graph.as_run import constant_of, drops
from onnxsal.graph.attributes import attributes

_DRAWN = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli",
                    "Multinomial"})  # fmt: skip
_RUNTIME_DRAWN = {"BiasDropout": 4, "BitmaskBiasDropout": 4, "BitmaskDropout": 2}
"""Dropouts of ONNX Runtime's own, and which input of each is ``training_mode``."""

_SHAPE_ONLY = frozenset({"Shape", "Size", "RandomNormalLike", "RandomUniformLike", "EyeLike"})
"""Operators that read only the shape of what goes in."""


def drawing_nodes(values: Iterable[ir.Value]) -> list[ir.Node]:
    """Return the nodes that draw random numbers on which any of ``values`` depends, in bodies too, in graph order."""
    found: dict[ir.Node, None] = {}
    seen: set[ir.Value] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        node = value.producer()
        if value in seen or node is None:
            continue
        seen.add(value)
        if _draws(node):
            found[node] = None
        waiting += _read(node, value)
    return list(found)[::-1]


def _read(node: ir.Node, value: ir.Value) -> Iterator[ir.Value]:
    """Yield what one output of a node is worked out from, the results of its bodies among them."""
    if node.op_type not in _SHAPE_ONLY:
        yield from (v for v in node.inputs if v is not None)
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield from _results(node, attribute.as_graph(), node.outputs.index(value))


def _results(node: ir.Node, body: ir.Graph, index: int) -> Iterator[ir.Value]:
    """An If gives its branches' results one by one; what a loop carries may go from any result into any other."""
    yield from (body.outputs[index : index + 1] if node.op_type == "If" else body.outputs)


def _draws(node: ir.Node) -> bool:
    if node.domain == "com.microsoft":
        at = _RUNTIME_DRAWN.get(node.op_type)
        flag = None if at is None or len(node.inputs) <= at else node.inputs[at]
        return node.op_type == "Sampling" or (flag is not None and _may_be_true(flag))
    if node.domain:
        return False
    return drops(node) if node.op_type == "Dropout" else node.op_type in _DRAWN and not _is_constant(node)


def _may_be_true(flag: ir.Value) -> bool:
    known = constant_of(flag)
    return known is None or bool(np.any(known))


def _is_constant(node: ir.Node) -> bool:
    """Whether what is drawn has no width; a normal distribution of none ends ONNX Runtime's process."""
    known = attributes(node)
    return node.op_type.startswith("RandomUniform") and known.get("low", 0.0) == known.get("high", 1.0)
