"""Means of a function of maps: the generalised mean and log-sum-exp, written out as operators in front and behind.

What lies between, a power of the maps say, is part of the pooling: its input is what a layer can be.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

_INVERSES = {"Pow": {"Pow", "Sqrt"}, "Exp": {"Log"}, "Mul": {"Sqrt", "Pow"}}
"""What undoes a function behind the mean; Mul is that of a value with itself."""

_MOVED = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast"})
_SCALED = frozenset({"Mul", "Div", "Add", "Sub", "Clip", "Max"})


def inside_means(poolings: list[ir.Node]) -> set[ir.Value]:
    """Return the values inside means of a function, of the nodes that pool positions."""
    return {value for node in poolings if node.inputs[0] is not None for value in _inside(node)}


def _inside(pooling: ir.Node) -> list[ir.Value]:
    passed: list[ir.Value] = []
    for value in _made_from(pooling.inputs[0]):
        node = value.producer()
        passed.append(value)
        inverses = _INVERSES.get("" if node is None else node.op_type, set())
        if node is None or (node.op_type == "Mul" and node.inputs[0] is not node.inputs[1]):
            continue
        if any(follower.op_type in inverses for follower in _behind(pooling)):
            return [*passed, *_guards(node.inputs[0])]
    return []


def _made_from(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield a value and those that it is only scaled or rearranged from."""
    while value is not None:
        yield value
        node = value.producer()
        value = node.inputs[0] if node is not None and (node.op_type in _MOVED or _by_number(node)) else None


def _behind(node: ir.Node) -> Iterator[ir.Node]:
    """Yield the nodes behind one that scale its result, up to and including the first that does something else."""
    while len(followers := list(node.outputs[0].consumers())) == 1:
        (node,) = followers
        yield node
        if not (node.op_type in _MOVED or _by_number(node)):
            return


def _by_number(node: ir.Node) -> bool:
    beside = [v for v in node.inputs[1:] if v is not None]
    return node.op_type in _SCALED and bool(beside) and all(_size(v) == 1 for v in beside)


def _guards(value: ir.Value | None) -> list[ir.Value]:
    """Return the values in front of a function that only fit it: |x|, a floor above zero, a number times x."""
    found: list[ir.Value] = []
    while value is not None:
        node = value.producer()
        if node is None or not (node.op_type == "Abs" or _lifts(node) or (node.op_type == "Mul" and _by_number(node))):
            break
        found.append(value)
        value = node.inputs[0]
    return found


def _lifts(node: ir.Node) -> bool:
    """Whether a node keeps a value above a number above zero, as an activation does not."""
    low = node.inputs[1] if node.op_type in ("Clip", "Max", "Add") and len(node.inputs) > 1 else None
    return low is not None and _size(low) == 1 and low.const_value is not None and bool(low.const_value.numpy() > 0)


def _size(value: ir.Value) -> int | None:
    return None if value.const_value is None else value.const_value.size
