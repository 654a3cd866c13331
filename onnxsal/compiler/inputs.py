"""What a compiled file takes: the thing, as bytes where that is asked for, and whether it is to be explained."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import Anatomy, Entry
from onnxsal.anatomy.parts import ones
from onnxsal.compiler.work import Work
from onnxsal.folding import values_of_bytes
from onnxsal.graph import Tape, dims
from onnxsal.graph.cut import cut
from onnxsal.graph.program import Trace
from onnxsal.modalities.image import Preprocess
from onnxsal.tasks.task import Fed

EXPLAIN = "explain"
"""The optional input (bool, default true) without which only the prediction is computed."""


def bytes_in(work: Work, trace: Trace) -> ir.Value:
    """Put preprocessing in front of the model; return its input, the bytes."""
    entry, preprocess = work.request.model.anatomy.entry, work.form.bytes_in
    assert preprocess is not None
    old = trace[entry.input]
    photo = ir.Value(name=entry.input, type=ir.TensorType(ir.DataType.UINT8),
                     shape=ir.Shape([batch_of(old, entry), *work.request.model.image_size, 3]))  # fmt: skip

    def fed() -> ir.Value:
        value = values_of_bytes(trace, photo, preprocess.table(), reverse=preprocess.colour == "BGR")
        value = _centred(trace, value, preprocess, work.request.model.image_size)
        order = entry.fed_from_sal
        value = value if order == sorted(order) else trace.Transpose(value, perm=order)
        value = trace.Unsqueeze(value, more) if (more := ones(entry.input_axes)) else value
        return trace.Cast(value, to=entry.dtype)

    value = cut(trace, old, fed)
    value.shape = old.shape
    trace.graph.inputs[list(trace.graph.inputs).index(old)] = photo
    trace.rename(entry.input, old, value)
    return photo


def _centred(op: Tape, value: ir.Value, preprocess: Preprocess, size: tuple[int, int]) -> ir.Value:
    """Return scaled pixels [B, C, H, W] less the mean picture, over std; as they are where there is none."""
    mean = preprocess.taken_off(size)
    if mean is None:
        return value
    std = np.asarray(preprocess.std, np.float32).reshape(-1, 1, 1)
    return op.Div(op.Sub(value, op.const(mean)), op.const(std))


def photo_of(work: Work, trace: Trace) -> ir.Value | None:
    """Return the model's own input where it is bytes [B, H, W, 3], red first."""
    entry = work.request.model.anatomy.entry
    if entry.dtype != ir.DataType.UINT8 or entry.input_axes != entry.channels_last or entry.channels != 3:
        return None
    return trace[entry.input]


def told_inputs(work: Work, trace: Trace, batch: int | str | None) -> dict[str, ir.Value]:
    """Return the inputs that say what is explained, by name, [B, ...]: where each has a row, numbers are [B, 1]."""
    return {fed.name: told(trace, fed, batch, by_row=work.form.by_row) for fed in work.inputs}


def told(trace: Trace, fed: Fed, batch: int | str | None, *, by_row: bool) -> ir.Value:
    """Return what is told by an input of the file, [B, ...]."""
    if fed.shape or not by_row:
        return trace.input(fed.name, fed.dtype, [batch, *fed.shape])
    return trace.Squeeze(trace.input(fed.name, fed.dtype, [batch, 1]), [1])


def explain_input(trace: Trace, batch: int | str | None, *, by_row: bool, required: bool) -> ir.Value:
    """A scalar input, mostly with a default: who does not feed it gets the explanation; or one a row, bool [B]."""
    if by_row:
        return told(trace, Fed(EXPLAIN, ir.DataType.BOOL, ()), batch, by_row=True)
    value = trace.input(EXPLAIN, ir.DataType.BOOL, [])
    if required:
        return value
    value.const_value = ir.tensor(np.array(True))
    trace.graph.register_initializer(value)
    return value


def batch_of(value: ir.Value, entry: Entry) -> int | str | None:
    """Return how many things an input takes: one, where it has no axis for them."""
    return 1 if entry.one_by_one else (dims(value) or (None,))[entry.input_axes.index("N")]


def fed_batch(anatomy: Anatomy) -> int | str | None:
    return batch_of(next(v for v in anatomy.model.graph.inputs if v.name == anatomy.entry.input), anatomy.entry)


def count_of(op: Tape, source: ir.Value, entry: Entry) -> ir.Value:
    """Return how many things there are, int64 [1]."""
    if entry.one_by_one:
        return op.const([1], ir.DataType.INT64)
    at = entry.input_axes.index("N")
    return op.Shape(source, start=at, end=at + 1)
