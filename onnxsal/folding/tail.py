"""The tail of a folded record: from the sums of the loop to one map per image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from onnxsal.folding.finish import Finish, finish_map
from onnxsal.folding.graft import graft
from onnxsal.folding.loop import Body, Folded, needed_moments
from onnxsal.graph import Tape
from onnxsal.records import Grids

Values = Mapping[str, ir.Value]
INT64, FLOAT = ir.DataType.INT64, ir.DataType.FLOAT


def fold_tail(op: Tape, folded: Folded, pictures: tuple[ir.Value, ir.Value], state: Values, how: Finish) -> ir.Value:
    """Return the saliency [B, H, W], image by image, of what the loop carried out.

    Args: pictures: x and the baseline, [B, C, H, W].
    """
    inner = Body(op, "sal/image")
    number = inner.input(f"sal/image_{next(op._numbers)}", INT64, [])
    go = inner.input(f"sal/go_{next(op._numbers)}", ir.DataType.BOOL, [])
    raw = _raw(inner, folded, pictures, state, number)
    saliency = inner.Squeeze(finish_map(inner, raw, how), [0])
    inner.graph.outputs.extend([inner.Identity(go), saliency])
    batch = op.Squeeze(op.Shape(pictures[0], start=0, end=1), [0])
    found: ir.Value = op.emit("Loop", batch, op.const(True, ir.DataType.BOOL), body=inner.graph)  # type: ignore[assignment]
    found.type = ir.TensorType(FLOAT)
    return found


def _raw(op: Tape, folded: Folded, pictures: tuple[ir.Value, ir.Value], state: Values, number: ir.Value) -> ir.Value:
    one = op.Unsqueeze(number, [0])
    mine = {name: op.Gather(value, one, axis=0) for name, value in state.items()}
    moments = _moments(op, folded, mine)
    tail = folded.record.tail
    if tail is None:
        return moments[f"{folded.record.moments.shown}/{folded.record.moments.names[0]}"]
    x, base = (op.Gather(p, one, axis=0) for p in pictures)
    given = {**mine, **moments, "x": x, "baseline": base}
    if "drawn" in tail.inputs:
        given["drawn"] = _drawn(op, folded, mine)
    return graft(op, tail, {name: given[name] for name in tail.inputs}, {}, outputs=["saliency"])["saliency"]


def _moments(op: Tape, folded: Folded, mine: Values) -> dict[str, ir.Value]:
    """Return ``mean/``, ``square/`` and ``variance/`` as streaming hands them to the tail."""
    weights = folded.record.draws.weights
    n = float(folded.record.draws.samples) if weights is None else float(np.sum(weights))
    found: dict[str, ir.Value] = {}
    for name, squares in needed_moments(folded.record).items():
        mean = op.Div(mine[f"sum/{name}"], n)
        kinds = {"mean": mean}
        if squares:
            kinds["square"] = op.Div(mine[f"squares/{name}"], n)
            spread = op.Relu(op.Sub(kinds["square"], op.Mul(mean, mean)))
            kinds["variance"] = op.Mul(spread, n / max(n - 1, 1e-30))
        found.update({f"{kind}/{name}": _shaped(op, folded, value, mine) for kind, value in kinds.items()})
    return found


def _shaped(op: Tape, folded: Folded, value: ir.Value, mine: Values) -> ir.Value:
    value = op.Cast(value, to=FLOAT)
    if folded.record.moments.per != "mask":
        return value
    flat = op.Squeeze(value, [0])
    if "kept" not in mine:
        return flat
    return op.ScatterElements(op.const(np.zeros(folded.maps, np.float32)), op.Squeeze(mine["kept"], [0]), flat, axis=0)  # type: ignore[no-any-return]


def _drawn(op: Tape, folded: Folded, mine: Values) -> ir.Value:
    """Which of the maps were drawn, [K] of 0 and 1: not the flat ones, where those are left out, and only the top."""
    masks = folded.record.draws.masks
    ones = op.const(np.ones(folded.maps, np.float32))
    if isinstance(masks, Grids) and masks.skip_flat:
        maps = op.Squeeze(mine["maps"], [0])
        span = op.Sub(op.ReduceMax(maps, [1, 2], keepdims=0), op.ReduceMin(maps, [1, 2], keepdims=0))
        ones = op.Cast(op.Greater(span, 0.0), to=FLOAT)
    if "kept" in mine:
        zeros, kept = op.const(np.zeros(folded.maps, np.float32)), op.Squeeze(mine["kept"], [0])
        ones = op.Mul(ones, op.ScatterElements(zeros, kept, op.Add(op.Mul(op.Cast(kept, to=FLOAT), 0.0), 1.0), axis=0))
    return ones
