"""The explainer as one file: the model's own outputs plus ``saliency``, in standard operators."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

import onnxsal
from onnxsal.anatomy import TARGET, X
from onnxsal.anatomy.select import explained, scores
from onnxsal.building import build, plan
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.explain import Request, prepare_request, split_options
from onnxsal.folding import Finish, finish_map, graft, guarded
from onnxsal.graph import Program, Tape, dims, to_proto
from onnxsal.graph.program import Trace
from onnxsal.loading import load
from onnxsal.model import Model
from onnxsal.records import Record
from onnxsal.targets import aim

EXPLAIN = "explain"
"""The optional input (bool, default true) without which only the prediction is computed."""

SALIENCY = "saliency"
METADATA = "onnxsal.explainer"


def compile(
    model: Model | str | os.PathLike[str],
    *,
    method: str,
    target: Any = None,
    layer: str | None = None,
    opset: int | None = None,
    **options: Any,
) -> onnx.ModelProto:
    """Return one standard model that predicts and explains: the original outputs plus ``saliency``.

    Args:
        model: a Model, or the path of one.
        method: see ``onnxsal.methods()``.
        target: None explains the predicted class; an index, a label or a pair (a, b) fixes it; ``"input"`` adds the
            input ``target``, int64 [B].
        layer: as for ``explain``.
        opset: the opset of the result; 21 or the model's own by default.
        options: the method's, and those of ``explain``.
    Shape: ``saliency`` is float32 [B, H, W], exactly ``Explanation.saliency``.
    Raises: UsageError, UnsupportedError: as ``explain`` does, and for what cannot be folded.
    """
    model = model if isinstance(model, Model) else load(model)
    common, own = split_options(options)
    layers = None if layer is None else [layer]
    request = prepare_request(
        model, plan(method, own), layer=layers, score=None, seed=0, preprocess=None, common=common
    )
    aimed = _Target(model, target)
    built = build(
        model, request.steps, layer=next(iter(request.layers), None), score=request.score, target=aimed.versus
    )
    if isinstance(built, Record):
        raise UnsupportedError(
            f"method {method!r} evaluates the model many times, which cannot be folded into a file yet"
        )
    return _folded(request, built, aimed)


class _Target:
    """Where the compiled model takes its target from."""

    def __init__(self, model: Model, target: Any) -> None:
        self.model = model
        self.input = target == "input" if isinstance(target, str) else False
        self.aim = None if target is None or self.input else aim(model, target, np.zeros(1, np.float32))
        if self.aim is not None and self.aim.program is not None:
            raise UsageError("a compiled model takes its target as an index, a label, a pair, None or 'input'")

    @property
    def versus(self) -> bool:
        return self.aim is not None and self.aim.versus

    def bind(self, op: Tape, trace: Trace, batch: ir.Value) -> dict[str, ir.Value]:
        """Return the programs' target inputs as values, int64 [B]."""
        if self.input:
            return {TARGET: next(v for v in trace.graph.inputs if v.name == "target")}
        if self.aim is not None:
            return {name: op.Expand(op.const(value), batch) for name, value in self.aim.feeds.items()}
        _, probabilities = scores(op, trace, self.model.anatomy.head)
        return {TARGET: op.ArgMax(probabilities, axis=1, keepdims=0)}


def _folded(request: Request, built: Program, target: _Target) -> onnx.ModelProto:
    anatomy = request.model.anatomy
    trace = Program(anatomy.model).extend()
    there = {name: trace[name] for name in trace.names()}
    source = trace[anatomy.picture.input]
    if target.input:
        trace.input("target", ir.DataType.INT64, [_batch(source)])
    size = list(request.model.size)

    def batch(op: Tape) -> ir.Value:
        return op.Shape(source, start=0, end=1)  # type: ignore[no-any-return]

    def then(op: Tape) -> dict[str, ir.Value]:
        x = explained(op, trace[anatomy.picture.value], anatomy.picture)
        raw = graft(op, built, {X: x, **target.bind(op, trace, batch(op))}, there)[SALIENCY]
        return {SALIENCY: finish_map(op, raw, _finish(request))}

    def otherwise(op: Tape) -> dict[str, ir.Value]:
        return {SALIENCY: op.ConstantOfShape(op.Concat(batch(op), size, axis=0))}

    outputs = {str(v.name): v for v in trace.graph.outputs}
    saliency = guarded(trace, _explain_input(trace), then, otherwise)[SALIENCY]
    saliency.type, saliency.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([_batch(source), *size])
    program = trace.finish_with({**outputs, SALIENCY: saliency})
    program.model.metadata_props[METADATA] = json.dumps(_described(request, target))
    return to_proto(program.model)


def _batch(value: ir.Value) -> int | str | None:
    return (dims(value) or (None,))[0]


def _finish(request: Request) -> Finish:
    channels = request.model.anatomy.picture.channels
    sign = None if request.layers else request.common.sign or ("signed" if channels == 1 else "absolute")
    return Finish(request.model.size, channels, sign, request.common.percentile)


def _explain_input(trace: Trace) -> ir.Value:
    """A scalar input with a default: who does not feed it gets the explanation."""
    value = trace.input(EXPLAIN, ir.DataType.BOOL, [])
    value.const_value = ir.tensor(np.array(True))
    trace.graph.register_initializer(value)
    return value


def _described(request: Request, target: _Target) -> dict[str, Any]:
    """What the file says of itself."""
    fixed = None if target.aim is None else target.aim.target
    return {
        "method": request.steps.method.name, "options": request.steps.described(), "seed": request.seed,
        "layer": [layer.name for layer in request.layers], "score": request.score,
        "target": "input" if target.input else "predicted" if fixed is None else fixed,
        "source_sha256": request.model.digest, "onnxsal": onnxsal.__version__,
    }  # fmt: skip
