"""The tail of a folded record: from the sums of the loop to one map per image."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.folding.each import each_of
from onnxsal.folding.folded import Folded, Values, raw_shape, total_weight
from onnxsal.folding.graft import graft
from onnxsal.folding.planes import off_plane
from onnxsal.folding.sums import FLOAT, Varied
from onnxsal.graph import Tape
from onnxsal.records import Grids


def fold_tail(op: Tape, folded: Folded, images: Varied, state: Values) -> ir.Value:
    """Return the raw maps [B, ...] of what the loop carried out: a moment itself, or image by image by the tail."""
    if folded.record.tail is None:
        return _moments(op, folded, state)[f"{folded.record.moments.shown}/{folded.record.moments.names[0]}"]

    def one(inner: Tape, number: ir.Value) -> Values:
        return {"raw": _raw(inner, folded, images, state, number)}

    return each_of(op, images.x, one, {"raw": len(raw_shape(folded.record))})["raw"]


def _raw(op: Tape, folded: Folded, images: Varied, state: Values, number: ir.Value) -> ir.Value:
    """Return the raw map of one image."""
    tail = folded.record.tail
    assert tail is not None
    one = op.Unsqueeze(number, [0])
    mine = {name: op.Gather(value, one, axis=0) for name, value in state.items()}
    x, base = (off_plane(op, op.Gather(p, one, axis=0), folded.size) for p in images)
    given = {**mine, **_moments(op, folded, mine), "x": x, "baseline": base}
    if "drawn" in tail.inputs:
        given["drawn"] = _drawn(op, folded, mine)
    return graft(op, tail, {name: given[name] for name in tail.inputs}, {}, outputs=["saliency"])["saliency"]


def _moments(op: Tape, folded: Folded, mine: Values) -> dict[str, ir.Value]:
    """Return ``mean/``, ``square/`` and ``variance/`` as streaming hands them to the tail."""
    n = total_weight(folded.record)
    found: dict[str, ir.Value] = {}
    for name, squares in folded.moments.items():
        mean = op.Div(mine[f"sum/{name}"], n)
        kinds = {"mean": mean}
        if squares:
            kinds["square"] = op.Div(mine[f"squares/{name}"], n)
            spread = op.Relu(op.Sub(kinds["square"], op.Mul(mean, mean)))
            kinds["variance"] = op.Mul(spread, n / (n - 1) if n > 1 else 0.0)
        found.update({f"{kind}/{name}": _shaped(op, folded, value, mine) for kind, value in kinds.items()})
    return found


def _shaped(op: Tape, folded: Folded, value: ir.Value, mine: Values) -> ir.Value:
    value = op.Cast(value, to=FLOAT)
    if folded.record.moments.per != "mask":
        return value
    flat: ir.Value = op.Squeeze(value, [0])
    if "kept" not in mine:
        return flat
    zeros, places = op.const(np.zeros(folded.maps, np.float32)), op.Squeeze(mine["kept"], [0])
    return op.ScatterElements(zeros, places, flat, axis=0)


def _drawn(op: Tape, folded: Folded, mine: Values) -> ir.Value:
    """Which of the maps were drawn, [K] of 0 and 1: not the flat ones, where those are left out, and only the top."""
    masks = folded.record.draws.masks
    if not isinstance(masks, Grids):
        sums = op.Squeeze(next(v for name, v in mine.items() if name.startswith("sum/")), [0])
        return op.ConstantOfShape(op.Shape(sums), value=ir.tensor(np.ones(1, np.float32)))
    ones = op.const(np.ones(folded.maps, np.float32))
    if masks.skip_flat:
        maps = op.Squeeze(mine["maps"], [0])
        axes = list(range(1, 1 + len(folded.maps_size)))
        span = op.Sub(op.ReduceMax(maps, axes, keepdims=0), op.ReduceMin(maps, axes, keepdims=0))
        ones = op.Cast(op.Greater(span, 0.0), to=FLOAT)
    if "kept" in mine:
        zeros, kept = op.const(np.zeros(folded.maps, np.float32)), op.Squeeze(mine["kept"], [0])
        ones = op.Mul(ones, op.ScatterElements(zeros, kept, op.Add(op.Mul(op.Cast(kept, to=FLOAT), 0.0), 1.0), axis=0))
    return ones
