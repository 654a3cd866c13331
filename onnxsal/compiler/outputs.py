"""What a compiled file gives: the map, raw and drawn, zeros where it is not asked for, and what it says of itself."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxsal._version import __version__
from onnxsal.compiler.inputs import count_of, fed_batch
from onnxsal.compiler.metadata import metadata_of
from onnxsal.compiler.work import Values, Work
from onnxsal.explanation.method_plan import FUSE
from onnxsal.folding import Style, coloured, finish_map, fuse, normalised, raw_shape
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.viz import blend as drawn
from onnxsal.viz.colour import DIVERGING, SEQUENTIAL, colour_table


def outputs_of(op: Tape, work: Work, raws: list[ir.Value], photo: ir.Value | None, length: ir.Value) -> Values:
    finishes = [work.finish(part, layer) for part, layer in zip(work.parts, work.layers, strict=True)]
    maps = [finish_map(op, raw, how, length) for raw, how in zip(raws, finishes, strict=True)]
    raw = raws[0] if len(raws) == 1 else fuse(op, maps, work.request.common.fuse or FUSE)
    saliency = maps[0] if len(maps) == 1 else normalised(op, raw, len(work.shape) - 1)
    made = {"saliency": saliency, "raw": raw}
    if "drawing" in work.form.outputs:
        made["drawing"] = coloured(op, saliency, photo, _style(), signed=finishes[0].sign == "signed")
    return {name: made[name] for name in work.maps}


def _style() -> Style:
    low, both = (np.asarray(colour_table(name), np.float32) for name in (SEQUENTIAL, DIVERGING))
    return Style(low, both, drawn.LUMA, drawn.FADED, drawn.DARKER, drawn.LIFTED, drawn.OPACITY)


def shapes_of(work: Work) -> dict[str, tuple[int | None, ...]]:
    """The outputs' shapes behind the batch axis."""
    size: tuple[int | None, ...] = (None,) * len(work.shape[1:]) if work.any_length else work.shape[1:]
    raw = size if len(work.parts) > 1 else raw_shape(work.parts[0])
    return {"saliency": size, "raw": raw, "drawing": (*size, 3)}


def zeros_of(op: Tape, work: Work, source: ir.Value) -> Values:
    """Zeros in place of what was not asked for."""
    batch = count_of(op, source, work.request.model.anatomy.entry)
    found: Values = {}
    for name in work.maps:
        shape = op.Concat(batch, [1 if d is None else d for d in shapes_of(work)[name]], axis=0)
        zero = np.zeros(1, np.uint8 if name == "drawing" else np.float32)
        found[name] = op.ConstantOfShape(shape, value=ir.tensor(zero))
    return found


def finished(work: Work, trace: Trace, outputs: Values) -> ir.Model:
    model = work.request.model
    for value in model.anatomy.model.graph.outputs:
        own = outputs[str(value.name)]
        own.type, own.shape = value.type, value.shape
    batch, shapes = fed_batch(model.anatomy), shapes_of(work)
    for name, shape in work.told.items():
        outputs[name].type = ir.TensorType(ir.DataType.FLOAT)
        outputs[name].shape = ir.Shape([batch, *shape] if work.form.by_row or None not in shape else shape)
    for name in work.maps:
        outputs[name].type = ir.TensorType(ir.DataType.UINT8 if name == "drawing" else ir.DataType.FLOAT)
        outputs[name].shape = ir.Shape([batch, *shapes[name]])
    program = trace.finish_with(outputs)
    program.model.producer_name, program.model.producer_version = "onnxsal", __version__
    program.model.metadata_props.update(metadata_of(work))
    return program.model
