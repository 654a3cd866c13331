"""A record as a loop beside the model: the draws of all images, a chunk a turn, with sums that are carried on.

The model stays as it is, in the main graph, and the file holds its weights once (``graft`` says how the loop is fast
all the same).
"""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.folding.folded import Folded, Values
from onnxsal.folding.graft import graft
from onnxsal.folding.sums import BOOL, INT64, Body, added, drawn, evaluated, kept, no_sums
from onnxsal.graph import Tape


def fold_record(
    op: Tape, folded: Folded, x: ir.Value, there: tuple[Values, Values], targets: Values
) -> tuple[tuple[ir.Value, ir.Value], dict[str, ir.Value]]:
    """Return what was varied and its baseline, [B, C, H, W], and the state that the tail takes.

    Args:
        op: a branch that runs only where an explanation is asked for.
        x: the clean pictures [B, C, H, W].
        there: values of the model for the head, and those (the weights) for the draws.
        targets: the programs' target inputs, int64 [B].
    """
    record, state = folded.record, {}
    if record.head is not None:
        wanted = list(folded.head_outputs())
        state = graft(op, record.head, {folded.x: x, **_taken(record.head.inputs, targets)}, there[0], outputs=wanted)
    varied = x if record.varies == "x" else _shielded(op, state[record.varies])
    if folded.top:
        state["kept"] = kept(op, state["maps"], folded.top)
    base = folded.baseline(op, varied)
    needed = _taken(folded.body.inputs, targets)
    if folded.references:
        outputs = graft(op, folded.body, {folded.x: base, **needed}, there[1], outputs=folded.references)
        state.update({f"reference/{name}": value for name, value in outputs.items()})
    sums = _loop(op, folded, (varied, base), there[1], (state, needed))
    return (varied, base), {**state, **sums}


def _shielded(op: Tape, value: ir.Value) -> ir.Value:
    """Return the same value, computed: ONNX Runtime dies of loops that read a DequantizeLinear, even past a Reshape."""
    return op.Neg(op.Neg(value))


def _taken(inputs: Values, targets: Values) -> dict[str, ir.Value]:
    return {name: value for name, value in targets.items() if name in inputs}


def _loop(
    op: Tape, folded: Folded, pictures: tuple[ir.Value, ir.Value], there: Values, fixed: tuple[Values, Values]
) -> dict[str, ir.Value]:
    head, targets = fixed
    batch = op.Shape(pictures[0], start=0, end=1)
    initial = no_sums(op, folded, batch)
    body = Body(op, "sal/draws")
    turn = body.input(body.unique("turn"), INT64, [])
    go = body.input(body.unique("go"), BOOL, [])
    sums = {name: body.argument(value) for name, value in initial.items()}
    chunk = folded.schedule.chunk(body, turn)
    z = drawn(body, folded, chunk, pictures, head)
    found = added(body, folded, chunk, evaluated(body, folded, (z, chunk), there, targets), sums)
    body.give(go, *(found[name] for name in initial))
    turns = op.Mul(op.Squeeze(batch, [0]), folded.schedule.turns)
    made = op.emit("Loop", turns, op.const(True, BOOL), *initial.values(), outputs=len(initial), body=body.graph)
    return dict(zip(initial, made, strict=True))
