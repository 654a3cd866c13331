"""What a graph proves of a value's numbers, and the questions about constants and axes that proofs ask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.tasks.recipes import Recipe

CLOSE = 1e-4
"""Numbers nearer than this are one: exporters clip probabilities at 1e-7 and add as much before they divide."""


@dataclass(frozen=True)
class Held:
    """Each number is ``scale`` times a probability, or times the logarithm of one."""

    by: str
    """``softmax`` or ``sigmoid``; ``none`` where it was made of several, or of what has no logit."""
    node: str
    """The node that made them, as messages call it."""
    axis: int | None = None
    """The axis of the classes where probabilities are shares of one whole; None where each stands for itself."""
    whole: bool = False
    """Whether they sum to 1 along it."""
    scale: float = 1.0
    log: bool = False
    logits: Recipe | None = None


def uniform(value: ir.Value | None) -> float | None:
    """Return the one number that a constant holds, however often; None where there are several, or it is none."""
    array = constant_of(value)
    if array is None or not array.size or array.dtype.kind not in "fiu" or (array != array.flat[0]).any():
        return None
    return float(array.flat[0])


def numbers_of(value: ir.Value | None) -> list[int] | None:
    """Return the integers of a constant; None where it is none."""
    array = constant_of(value)
    return None if array is None else [int(n) for n in np.asarray(array).reshape(-1)]


def operand(node: ir.Node, at: int) -> ir.Value | None:
    """Return an input of a node, None where it has no such."""
    return node.inputs[at] if at < len(node.inputs) else None


def axis_in(value: ir.Value | None, axis: int) -> int | None:
    """Return an axis counted from the front; None where the rank is unknown or it is out of range."""
    shape = None if value is None else dims(value)
    return axis % len(shape) if shape and -len(shape) <= axis < len(shape) else None


def reduced_axes(node: ir.Node) -> list[int] | None:
    """Return the axes that a reduction goes over, from the front; None where they are not known."""
    shape = dims(node.inputs[0]) if node.inputs[0] is not None else None
    if shape is None:
        return None
    given = attributes(node).get("axes") if "axes" in node.attributes else numbers_of(operand(node, 1))
    if given is None and operand(node, 1) is not None:
        return None
    return sorted(axis % len(shape) for axis in given) if given else list(range(len(shape)))


def axis_behind(node: ir.Node, value: ir.Value, axis: int) -> int | None:
    """Return where an axis lies behind an operator that only orders or names axes anew; None where that is not seen."""
    if node.op_type == "Transpose":
        order = list(attributes(node).get("perm") or reversed(range(len(dims(value) or ()))))
        return order.index(axis) if axis in order else None
    old, new = (dims(each) if each is not None else None for each in (node.inputs[0], value))
    if old is None or new is None or axis >= len(old):
        return None
    below = _product(old[axis + 1 :])
    found = [at for at, size in enumerate(new) if size == old[axis] and below and _product(new[at + 1 :]) == below]
    return found[0] if len(found) == 1 else next((at for at in found if at == axis), None)


def _product(shape: tuple[int | str | None, ...]) -> int:
    """Return how many numbers there are; 0 where an axis is open."""
    return math.prod(d for d in shape if isinstance(d, int)) if all(isinstance(d, int) for d in shape) else 0


def same(a: ir.Value | None, b: ir.Value | None, depth: int = 4) -> bool:
    """Return whether two values are provably one: the same value, or the same operators on the same."""
    if a is b:
        return True
    makers = [None if each is None else each.producer() for each in (a, b)]
    first, second = makers
    if first is None or second is None or not depth or first.op_type != second.op_type:
        return uniform(a) is not None and uniform(a) == uniform(b)
    if len(first.inputs) != len(second.inputs) or attributes(first) != attributes(second):
        return False
    return all(same(x, y, depth - 1) for x, y in zip(first.inputs, second.inputs, strict=True))
