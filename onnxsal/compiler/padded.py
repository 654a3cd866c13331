"""Padded texts of several lengths in one batch: each row is explained by itself, without what its mask leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from onnxsal.compiler.front import front_of
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.folding import each_of
from onnxsal.graph import Tape, dims
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import rank
from onnxsal.model import Model
from onnxsal.model.defaults import ALL_COUNT, NONE_OUT
from onnxsal.records import Boxes, Record

Values = Mapping[str, ir.Value]
INT64, BOOL = ir.DataType.INT64, ir.DataType.BOOL


@dataclass(frozen=True)
class Mask:
    """The input of a file that says which positions of its texts count."""

    name: str
    number: int
    """What counts is marked with."""

    def opened(self, trace: Trace, ids: ir.Value) -> ir.Value:
        """Return the input, which the graph reads in place of what it was held at. Args: ids: as long as it."""
        old = trace[self.name]
        new = trace.input(trace.unique("mask"), old.dtype or INT64, dims(ids))
        old.replace_all_uses_with(new)
        trace.rename(self.name, old, new)
        new.name = self.name
        return new

    def counts(self, op: Tape, mask: ir.Value) -> ir.Value:
        """Return which positions count, bool of the mask's shape."""
        if mask.dtype == BOOL:
            return mask if self.number else op.Not(mask)
        return op.Equal(mask, self.number)


def mask_of(model: Model) -> Mask:
    """Return the mask that a model of texts takes. Raises: UsageError: it takes none, or several."""
    numbers = {ALL_COUNT: 1, NONE_OUT: 0}
    found = [Mask(each.name, numbers[each.at, each.why]) for each in model.inputs if (each.at, each.why) in numbers]
    if len(found) != 1:
        names = ", ".join(each.name for each in model.inputs)
        count = f"{len(found)} inputs of the model are masks" if found else "no input of the model is a mask"
        raise UsageError(f"mask_in: {count} of positions that nobody holds (it has {names})")
    return found[0]


def with_mask(model: Model) -> Model:
    """Return the model without the note that its mask is held, which a file takes. Raises: as ``mask_of``."""
    if model.modality.name != "tokens":
        raise UsageError(f"mask_in is for models of texts, and this one takes {model.modality.name}")
    held = f"input {mask_of(model).name!r} is held at "
    return replace(model, notes=tuple(note for note in model.notes if not note.startswith(held)))


def check_mask(model: Model, mask: Mask, parts: tuple[object, ...]) -> None:
    """Raises: UnsupportedError: the mask is not read as it stands, or a map has other positions than the text."""
    graph = model.anatomy.model.graph
    made = [v for node in graph for v in node.outputs if v.name == mask.name]
    if front_of(model) is None or len(made) != 1 or rank(made[0]) != 2:
        raise UnsupportedError(
            f"mask_in: {mask.name!r} is no [N, T] that the graph reads as it stands; leave mask_in out, and feed texts "
            "of one length"
        )
    for part in parts:
        masks = part.draws.masks if isinstance(part, Record) else None
        if isinstance(masks, Boxes) and masks.steps is not None and masks.steps[1] != 1:
            raise UnsupportedError("give=raw with mask_in has a number for each token: compile with stride=1")


def row_by_row(
    op: Tape, rows: Rows, explain: Callable[[Tape, ir.Value, Values], Values], ranks: Mapping[str, int]
) -> dict[str, ir.Value]:
    """Return maps [B, ..., T] of padded texts: what ``explain`` makes of each text's own ids, and 0 at its pads.

    Args: explain: takes a tape, ids [1, t] and what says what is explained of that text; returns maps [1, ..., t].
        ranks: axes of these behind the first.
    """

    def one(inner: Tape, number: ir.Value) -> dict[str, ir.Value]:
        at = inner.Unsqueeze(number, [0])
        counts = inner.Cast(inner.Gather(rows.counts, number, axis=0), to=INT64)
        kept = inner.Max(counts, inner.Cast(_alone(inner, counts), to=INT64))
        ids = inner.Compress(inner.Gather(rows.ids, at, axis=0), inner.Cast(kept, to=BOOL), axis=1)
        found = explain(inner, ids, {name: inner.Gather(value, at, axis=0) for name, value in rows.given.items()})
        places = inner.Mul(counts, inner.CumSum(kept, inner.const(0, INT64)))
        return {name: _spread(inner, value, places) for name, value in found.items()}

    return each_of(op, rows.ids, one, ranks)


@dataclass(frozen=True)
class Rows:
    """Padded texts: ids [B, T], which of them count, and what says what is explained of each."""

    ids: ir.Value
    counts: ir.Value
    given: Values


def _alone(op: Tape, counts: ir.Value) -> ir.Value:
    """Return the first position alone where none of a text [T] counts: a model takes no text without tokens."""
    first = op.Equal(op.CumSum(op.Add(op.Mul(counts, 0), 1), op.const(0, INT64)), 1)
    none = op.Equal(op.ReduceMax(counts, keepdims=0), 0)
    return op.And(first, none)


def _spread(op: Tape, values: ir.Value, places: ir.Value) -> ir.Value:
    """Return a map [..., t] where its tokens are among others [T]; ``places`` counts them from 1, and is 0 of those."""
    zero = op.zeros_like(op.Slice(values, [0], [1], [-1]), ir.DataType.FLOAT)
    return op.Gather(op.Concat(zero, values, axis=-1), places, axis=-1)
