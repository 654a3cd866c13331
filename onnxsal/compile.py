"""The explainer as one file: the model's own outputs plus ``saliency``, in standard operators."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

import onnxsal
from onnxsal.anatomy import TARGET, X, stem
from onnxsal.anatomy.select import entered, explained, scores
from onnxsal.building import build, plan
from onnxsal.errors import UsageError
from onnxsal.explain import Request, prepare_request, split_options
from onnxsal.folding import Finish, Folded, finish_map, fold_record, fold_tail, graft, guarded
from onnxsal.folding.baselines import blurred, uniform_baseline
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
        return _folded_record(request, built, aimed)
    return _folded_program(request, built, aimed)


class _Target:
    """Where the compiled model takes its target from."""

    def __init__(self, model: Model, target: Any) -> None:
        self.model = model
        self.input = target == "input" if isinstance(target, str) else False
        self.given: ir.Value | None = None
        self.aim = None if target is None or self.input else aim(model, target, np.zeros(1, np.float32))
        if self.aim is not None and self.aim.program is not None:
            raise UsageError("a compiled model takes its target as an index, a label, a pair, None or 'input'")

    @property
    def versus(self) -> bool:
        return self.aim is not None and self.aim.versus

    def bind(self, op: Tape, probabilities: ir.Value, batch: ir.Value) -> dict[str, ir.Value]:
        """Return the programs' target inputs as values, int64 [B]; ``batch`` is [1]."""
        if self.aim is not None:
            return {name: op.Expand(op.const(value), batch) for name, value in self.aim.feeds.items()}
        if self.given is not None:
            return {TARGET: op.Identity(self.given)}
        return {TARGET: op.ArgMax(probabilities, axis=1, keepdims=0)}


def _start(request: Request, target: _Target, program: Program) -> tuple[Trace, ir.Value]:
    """Return a trace over the model (or its stem) with the inputs added, and ``explain``."""
    trace = program.extend()
    source = trace[request.model.anatomy.picture.input]
    if target.input:
        target.given = trace.input("target", ir.DataType.INT64, [_batch(source)])
    return trace, _explain_input(trace)


def _folded_program(request: Request, built: Program, target: _Target) -> onnx.ModelProto:
    anatomy = request.model.anatomy
    trace, explain = _start(request, target, Program(anatomy.model))
    there = {name: trace[name] for name in trace.names()}
    source, own = trace[anatomy.picture.input], {str(v.name): v for v in trace.graph.outputs}

    def then(op: Tape) -> dict[str, ir.Value]:
        x = explained(op, trace[anatomy.picture.value], anatomy.picture)
        _, probabilities = scores(op, trace, anatomy.head)
        feeds = target.bind(op, probabilities, op.Shape(source, start=0, end=1))
        raw = graft(op, built, {X: x, **feeds}, there)[SALIENCY]
        return {SALIENCY: finish_map(op, raw, _finish(request))}

    saliency = guarded(trace, explain, then, lambda op: _nothing(op, request, source))[SALIENCY]
    return _finished(request, target, trace, {**own, SALIENCY: saliency})


def _folded_record(request: Request, built: Record, target: _Target) -> onnx.ModelProto:
    anatomy = request.model.anatomy
    trace, explain = _start(request, target, stem(anatomy))
    source, x = trace[anatomy.picture.input], trace[X]
    channels = anatomy.picture.channels
    layer = next(iter(request.layers), None)
    folded = Folded(
        record=built, forward=entered(anatomy), x=X, shape=(channels, *request.model.size),
        maps=0 if layer is None else layer.channels, baseline=_Baseline(request, built), target=target.bind,
        key=(request.seed, 0),
    )  # fmt: skip
    own, state = fold_record(trace, folded, x, explain)

    def then(op: Tape) -> dict[str, ir.Value]:
        return {SALIENCY: fold_tail(op, folded, (x, folded.baseline(op, x)), state, _finish(request))}

    saliency = guarded(trace, explain, then, lambda op: _nothing(op, request, source))[SALIENCY]
    return _finished(request, target, trace, {**own, SALIENCY: saliency})


class _Baseline:
    """The baseline of pictures x [B, C, H, W] in standard operators."""

    def __init__(self, request: Request, record: Record) -> None:
        self.given = record.draws.baseline
        self.model, self.key = request.model, (request.seed, 0)

    def __call__(self, op: Tape, x: ir.Value) -> ir.Value:
        if not isinstance(self.given, str):
            array = np.asarray(self.given, np.float32)
            return self._constant(op, x, array.reshape(-1, 1, 1) if array.ndim == 1 else array)
        if self.given == "black":
            return self._constant(op, x, self.model.black().reshape(-1, 1, 1))
        if self.given == "zero":
            return op.Mul(x, 0.0)  # type: ignore[no-any-return]
        if self.given == "blur":
            return blurred(op, x, self.model.anatomy.picture.channels)
        return uniform_baseline(op, x, self.model.size, self.key)

    @staticmethod
    def _constant(op: Tape, x: ir.Value, array: np.ndarray[Any, Any]) -> ir.Value:
        return op.Add(op.Mul(x, 0.0), op.const(array.astype(np.float32)))  # type: ignore[no-any-return]


def _nothing(op: Tape, request: Request, source: ir.Value) -> dict[str, ir.Value]:
    shape = op.Concat(op.Shape(source, start=0, end=1), list(request.model.size), axis=0)
    return {SALIENCY: op.ConstantOfShape(shape)}


def _finished(request: Request, target: _Target, trace: Trace, outputs: dict[str, ir.Value]) -> onnx.ModelProto:
    anatomy = request.model.anatomy
    for value in anatomy.model.graph.outputs:
        own = outputs[str(value.name)]
        own.type, own.shape = value.type, value.shape
    batch = _batch(trace[anatomy.picture.input])
    saliency = outputs[SALIENCY]
    saliency.type, saliency.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([batch, *request.model.size])
    program = trace.finish_with(outputs)
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
