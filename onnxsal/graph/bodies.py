"""Types and shapes of what If, Loop and Scan give: their bodies are gone through, whatever these declare of themselves.

onnx infers a body by what it states, and does not see the values around it; writers such as spox state nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from onnxsal.graph.attributes import attributes
from onnxsal.graph.shapes import Dim

Kind = tuple[ir.DataType, tuple[Dim, ...] | None]
"""Element type and shape, None where even the rank is unknown."""

Kinds = Sequence[Kind | None]
Run = Callable[[ir.Graph, Kinds], list[Kind | None]]
"""From a body and the kinds of its inputs to those of its outputs."""


def kinds_behind(node: ir.Node, inputs: Kinds, run: Run) -> list[Kind | None]:
    """Return the kinds of the outputs of an If, a Loop or a Scan; of any other node none."""
    follow = None if node.domain else _FOLLOW.get(node.op_type)
    return [] if follow is None else follow(node, inputs, run)


def _if(node: ir.Node, inputs: Kinds, run: Run) -> list[Kind | None]:
    branches = [run(node.attributes[name].as_graph(), []) for name in ("then_branch", "else_branch")]
    return [_common(a, b) for a, b in zip(*branches, strict=False)]


def _loop(node: ir.Node, inputs: Kinds, run: Run) -> list[Kind | None]:
    body = node.attributes["body"].as_graph()
    lead: list[Kind | None] = [(ir.DataType.INT64, ()), (ir.DataType.BOOL, ())]
    states, found = _settled(inputs[2:], lambda given: run(body, [*lead, *given]), 1)
    return [*states, *(_stacked(kind, 0, None) for kind in found[1 + len(states) :])]


def _scan(node: ir.Node, inputs: Kinds, run: Run) -> list[Kind | None]:
    body, a = node.attributes["body"].as_graph(), attributes(node)
    reads = a["num_scan_inputs"]
    given, read = inputs[: len(inputs) - reads], inputs[len(inputs) - reads :]
    axes = a.get("scan_input_axes") or [0] * reads
    rows = [_row(kind, axis) for kind, axis in zip(read, axes, strict=True)]
    turns = next((kind[1][axis] for kind, axis in zip(read, axes, strict=True) if kind and kind[1]), None)
    states, found = _settled(given, lambda carried: run(body, [*carried, *rows]), 0)
    written = found[len(states) :]
    places = a.get("scan_output_axes") or [0] * len(written)
    return [*states, *(_stacked(kind, axis, turns) for kind, axis in zip(written, places, strict=True))]


_FOLLOW = {"If": _if, "Loop": _loop, "Scan": _scan}


def _settled(
    states: Kinds, turn: Callable[[Kinds], list[Kind | None]], lead: int
) -> tuple[list[Kind | None], list[Kind | None]]:
    """Return the kinds of states that hold for every turn, and what the body gives with them.

    A turn may change a size: it is open then, and another turn is looked at.
    """
    held = list(states)
    while True:
        found = turn(held)
        after = [_common(a, b) for a, b in zip(held, found[lead : lead + len(held)], strict=False)]
        if after == held or len(after) < len(held):
            return held, found
        held = after


def _common(a: Kind | None, b: Kind | None) -> Kind | None:
    if a is None or b is None or a[0] != b[0]:
        return None
    if a[1] is None or b[1] is None or len(a[1]) != len(b[1]):
        return a[0], None
    return a[0], tuple(m if m == n else None for m, n in zip(a[1], b[1], strict=True))


def _row(kind: Kind | None, axis: int) -> Kind | None:
    """Return what a turn reads of a value along an axis."""
    if kind is None or not kind[1]:
        return kind
    at = axis % len(kind[1])
    return kind[0], (*kind[1][:at], *kind[1][at + 1 :])


def _stacked(kind: Kind | None, axis: int, turns: Dim) -> Kind | None:
    """Return what the rows of all turns are along an axis."""
    if kind is None or kind[1] is None:
        return kind
    at = axis % (len(kind[1]) + 1)
    return kind[0], (*kind[1][:at], turns, *kind[1][at:])
