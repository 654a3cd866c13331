"""Switches of a compiled file: the same numbers, written for runtimes that have not every operator."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.folding import unroll
from onnxsal.folding.noise import HELD
from onnxsal.folding.unroll import MOST
from onnxsal.graph.infer import study
from onnxsal.graph.names import node_title
from onnxsal.graph.precomputed import precompute
from onnxsal.graph.shapes import Dim
from onnxsal.graph.static import fix_batch, settle_shapes, unsettled


@dataclass(frozen=True)
class Switches:
    """What is written otherwise."""

    always: bool = False
    """Whether the file always explains: without the input ``explain`` and the If behind it."""
    batch: int | None = None
    """How many things the file takes at a time, where that is fixed and with it every shape."""
    unroll: bool = False
    """Whether loops are written out turn by turn."""
    noise_held: bool = False
    """Whether noise is drawn when the file is written, and lies in it."""
    fold_weights: bool = False
    """Whether what depends on weights alone is computed when the file is written."""

    @property
    def asked(self) -> dict[str, Any]:
        """Those that are asked for, by the names that ``compile`` has for them."""
        found = {
            "no_if": self.always, "batch": self.batch, "unroll": self.unroll,
            "noise_as": "constants" if self.noise_held else None, "fold_weights": self.fold_weights,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value}

    @property
    def described(self) -> dict[str, Any]:
        """What the file says of them."""
        return {"switches": self.asked} if self.asked else {}


def check_switches(switches: Switches, *, explain_required: bool) -> None:
    """Raises: UsageError: they say nothing, or contradict each other."""
    if switches.batch is not None and (isinstance(switches.batch, bool) or switches.batch < 1):
        raise UsageError(f"batch={switches.batch!r}: expected how many things the file takes at a time, 1 or more")
    if switches.always and explain_required:
        raise UsageError("no_if leaves out the input explain, and explain_required would require it: choose one")


def switched(model: ir.Model, switches: Switches, opaque: frozenset[str], batch: Dim = None) -> tuple[str, ...]:
    """Write an assembled model as its switches say, in place; return notes on what stays open.

    Args:
        opaque: names of inputs whose defaults are no constants.
        batch: what its inputs call the number of things that they take.
    Raises: UnsupportedError: an operator stays that a switch promises to leave out.
    """
    notes = _noise(model.graph)
    if switches.batch is not None:
        fix_batch(model.graph, batch, switches.batch)
        settle_shapes(model, opaque)
    if switches.unroll:
        _unrolled(model, opaque)
    if switches.fold_weights:
        precompute(model)
    for op_type, switch in (("If", "no_if"), ("Loop", "unroll"), ("Scan", "unroll")):
        if switch in switches.asked:
            _without(model.graph, op_type, switch)
    return notes if switches.batch is None else (*notes, *_open_shapes(model.graph))


def _noise(graph: ir.Graph) -> tuple[str, ...]:
    """Return a note on how much noise lies in a file."""
    every = [v for each in (graph, *graph.subgraphs()) for v in each.initializers.values()]
    size = sum(v.const_value.nbytes for v in every if v.const_value is not None and str(v.name).startswith(HELD))
    return (f"noise lies in the file as {size / 1e6:,.1f} MB of constants",) if size else ()


def _unrolled(model: ir.Model, opaque: frozenset[str]) -> None:
    """Write out the loops of a model and those that stood in them, in place."""
    left = MOST
    while any(node.op_type == "Loop" for node in model.graph.all_nodes()):
        settle_shapes(model, opaque)
        left -= unroll(model.graph, study(model.graph, opaque), left)
    settle_shapes(model, opaque)


def _open_shapes(graph: ir.Graph) -> tuple[str, ...]:
    """Return a note on values whose shapes depend on what goes in."""
    makers = Counter(node.op_type for node in unsettled(graph))
    if not makers:
        return ()
    named = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in sorted(makers.items()))
    return (f"batch: not every shape is fixed, for some depend on the numbers that go in: {named}",)


def _without(graph: ir.Graph, op_type: str, switch: str) -> None:
    """Raises: UnsupportedError: there is such an operator."""
    left = [node for node in graph.all_nodes() if node.op_type == op_type and not node.domain]
    if left:
        raise UnsupportedError(
            f"{switch}: {len(left)} {op_type} of the model itself would stay, such as {node_title(left[0])}: what it "
            "does depends on what goes in; export the model without, or leave the switch out"
        )
