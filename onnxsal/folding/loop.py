"""A record as a loop beside the model: the draws of all images, a chunk a turn, with sums that are carried on.

The model stays as it is, in the main graph, and the file holds its weights once (``graft`` says how the loop is fast
all the same).
"""

from __future__ import annotations

from typing import NamedTuple

import onnx_ir as ir

from onnxsal.folding.folded import Folded, Values
from onnxsal.folding.graft import graft
from onnxsal.folding.planes import off_plane, on_plane
from onnxsal.folding.sums import BOOL, INT64, Body, Outside, Varied, added, drawn, evaluated, kept, no_sums, weighed
from onnxsal.graph import Tape


class Shared(NamedTuple):
    """Values of the model that are there already: those that the head shares, and those (the weights) of the draws."""

    head: Values
    weights: Values


def fold_record(
    op: Tape, folded: Folded, x: ir.Value, shared: Shared, targets: Values
) -> tuple[Varied, dict[str, ir.Value]]:
    """Return what was varied and its baseline, and the state that the tail takes.

    Args:
        op: a branch that runs only where an explanation is asked for.
        x: the clean things [B, C, *S].
        shared: the model's own values.
        targets: the programs' target inputs, [B] or [B, M].
    """
    record, state = folded.record, {}
    if record.head is not None:
        wanted = list(folded.head_outputs())
        state = graft(
            op, record.head, {folded.x: x, **_taken(record.head.inputs, targets)}, shared.head, outputs=wanted
        )
    varied = on_plane(op, x if record.varies == "x" else _shielded(op, state[record.varies]), folded.size)
    if folded.top:
        state["kept"] = kept(op, on_plane(op, state["maps"], folded.maps_size), folded.top)
    base = folded.baseline(op, varied)
    needed = _taken(folded.body.inputs, targets)
    if folded.references:
        given = {folded.x: off_plane(op, base, folded.size), **needed}
        outputs = graft(op, folded.body, given, shared.weights, outputs=folded.references)
        state.update({f"reference/{name}": value for name, value in outputs.items()})
    outside = Outside(Varied(varied, base), state, shared.weights, needed)
    return outside.varied, {**state, **_loop(op, folded, outside)}


def _shielded(op: Tape, value: ir.Value) -> ir.Value:
    """Return the same value, computed: ONNX Runtime dies of loops that read a DequantizeLinear, even past a Reshape."""
    return op.Neg(op.Neg(value))


def _taken(inputs: Values, targets: Values) -> dict[str, ir.Value]:
    return {name: value for name, value in targets.items() if name in inputs}


def _loop(op: Tape, folded: Folded, outside: Outside) -> dict[str, ir.Value]:
    many = folded.many(op, op.Shape(outside.varied.x, start=-1))
    schedule, initial = folded.schedule(many), no_sums(op, folded, outside.varied.x, many)
    body = Body(op, "sal/draws")
    turn = body.input(body.unique("turn"), INT64, [])
    go = body.input(body.unique("go"), BOOL, [])
    sums = {name: body.argument(value) for name, value in initial.items()}
    chunk = schedule.chunk(body, turn)
    z, mask = drawn(body, folded, chunk, outside)
    outputs = evaluated(body, folded, z, chunk, outside)
    if folded.record.moments.per == "weighted" and mask is not None:
        outputs = weighed(body, outputs, mask, folded.size, channels=folded.record.draws.channels)
    found = added(body, folded, chunk, outputs, sums)
    body.give(go, *(found[name] for name in initial))
    batch = op.Shape(outside.varied.x, start=0, end=1)
    turns = op.Mul(op.Squeeze(batch, [0]), schedule.turns(op))
    made = op.emit("Loop", turns, op.const(True, BOOL), *initial.values(), outputs=len(initial), body=body.graph)
    return dict(zip(initial, made, strict=True))
