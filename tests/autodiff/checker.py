"""Holds a gradient graph against difference quotients: <v, J^T u> is the slope of <u, f(x + t v)> at t = 0.

In float64 on onnx's reference evaluator at 1e-6, and in float32 on ONNX Runtime at 1e-4.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from able import EVALUATOR, need, need_opset
from onnx import helper
from onnx.reference import ReferenceEvaluator
from oracles import ORACLES

import onnxsal.autodiff as autodiff
from onnxsal.runtime.failures import failures

Arrays = dict[str, np.ndarray]
Run = Callable[[onnx.ModelProto, Arrays], Arrays]


@dataclass(frozen=True)
class Case:
    """One node, its inputs in order (None where absent) and its attributes; ``wrt`` defaults to all float inputs."""

    op_type: str
    inputs: Sequence[np.ndarray | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    wrt: Sequence[int] | None = None
    of: Sequence[int] = (0,)
    symbolic: bool = False
    runtime: Sequence[int] = ()
    """Integer inputs fed at run time; the others are initializers."""
    opset: int = 21
    domain: str = ""
    on_ort: bool = True
    exact: bool = True
    """Whether the evaluator runs the operator itself in float64; otherwise ONNX Runtime gives the slope."""
    note: str = ""

    def __str__(self) -> str:
        shapes = "x".join(str(list(a.shape)) if a is not None else "-" for a in self.inputs)
        extras = ",".join(f"{k}={v}" for k, v in self.attributes.items() if not hasattr(v, "DESCRIPTOR"))
        marks = ("sym" if self.symbolic else "") + ("run" if self.runtime else "") + self.note
        return f"{self.op_type}-{shapes}-{extras}{marks}".replace(" ", "")


def float_indices(case: Case) -> list[int]:
    return [i for i, a in enumerate(case.inputs) if a is not None and a.dtype.kind == "f"]


def model_of(case: Case, dtype: np.dtype) -> onnx.ModelProto:
    """Return the one-node model: float inputs and those of ``runtime`` are graph inputs, the rest initializers."""
    need_opset(case.opset)
    names = ["" if a is None else f"x{i}" for i, a in enumerate(case.inputs)]
    node = helper.make_node(
        case.op_type, names, [f"y{i}" for i in range(case.outputs)], domain=case.domain, **case.attributes
    )
    inputs, initializers = [], []
    for i, array in enumerate(case.inputs):
        if array is None:
            continue
        value = array.astype(dtype) if array.dtype.kind == "f" else array
        if array.dtype.kind == "f" or i in case.runtime:
            shape = [f"n{d}" if d > 1 else 1 for d in array.shape] if case.symbolic else array.shape
            inputs.append(helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(value.dtype), shape))
        else:
            initializers.append(onnx.numpy_helper.from_array(value, f"x{i}"))
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    outputs = [onnx.ValueInfoProto(name=f"y{i}") for i in range(case.outputs)]
    graph = helper.make_graph([node], "case", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", case.opset)]
    opsets += [helper.make_opsetid(case.domain, 1)] if case.domain else []
    label = helper.find_min_ir_version_for(opsets, ignore_unknown=True)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=label)
    inferred = onnx.shape_inference.infer_shapes(model)
    for i, out in enumerate(inferred.graph.output):
        if not out.type.HasField("tensor_type") or not out.type.tensor_type.elem_type:
            outputs_type = helper.make_tensor_value_info(out.name, elem, None)
            inferred.graph.output[i].CopyFrom(outputs_type)
    return inferred


def feeds_of(case: Case, dtype: np.dtype) -> Arrays:
    """Return what the model of a case is fed."""
    return {
        f"x{i}": a.astype(dtype) if a.dtype.kind == "f" else a
        for i, a in enumerate(case.inputs)
        if a is not None and (a.dtype.kind == "f" or i in case.runtime)
    }


def run_reference(model: onnx.ModelProto, feeds: Arrays) -> Arrays:
    """Return the outputs by name, on onnx's reference evaluator."""
    need(model, EVALUATOR)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        results = ReferenceEvaluator(model, new_ops=ORACLES).run(None, feeds)
    return {o.name: r for o, r in zip(model.graph.output, results, strict=True)}


@cache
def loads(opset: int) -> bool:
    """Whether the installed ONNX Runtime loads models of an opset."""
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    try:
        ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except failures():
        return False
    return True


def run_ort(model: onnx.ModelProto, feeds: Arrays) -> Arrays:
    """Return the outputs by name, on ONNX Runtime's CPU provider."""
    opset = max(entry.version for entry in model.opset_import if not entry.domain)
    if not loads(opset):
        pytest.skip(f"ONNX Runtime {ort.__version__} loads no opset {opset}")
    need(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = {i.name for i in session.get_inputs()}
    results = session.run(None, {k: v for k, v in feeds.items() if k in names})
    return {o.name: r for o, r in zip(session.get_outputs(), results, strict=True)}


def quotient(
    model: onnx.ModelProto, feeds: Arrays, seeds: Arrays, directions: Arrays, step: float, run: Run = run_reference
) -> float:
    """Return (<u, f(x + hv)> - <u, f(x - hv)>) / 2h, on the reference evaluator unless ``run`` is another."""
    ends = []
    for sign in (1, -1):
        moved = {k: v + sign * step * directions[k] if k in directions else v for k, v in feeds.items()}
        out = run(model, moved)
        ends.append(sum(float((u * out[name]).sum()) for name, u in seeds.items()))
    return (ends[0] - ends[1]) / (2 * step)


def gradient_model(model: onnx.ModelProto, of: Sequence[str], wrt: Sequence[str]) -> onnx.ModelProto:
    """Return the gradient model, which must hold standard operators only."""
    graph = autodiff.gradient(ir.from_proto(model), of=of, wrt=wrt)
    foreign = {n.domain for n in graph.graph.node} - {"", *(n.domain for n in model.graph.node)}
    assert not foreign
    return graph


@dataclass(frozen=True)
class Problem:
    """A model with its feeds, and random cotangents and directions."""

    model: onnx.ModelProto
    feeds: Arrays
    seeds: Arrays
    directions: Arrays

    def gradient(self) -> onnx.ModelProto:
        return gradient_model(self.model, list(self.seeds), list(self.directions))

    def all_feeds(self) -> Arrays:
        return {**self.feeds, **{f"seed/{k}": v for k, v in self.seeds.items()}}

    def product(self, results: Arrays) -> float:
        for k, v in self.directions.items():
            assert results[f"grad/{k}"].shape == v.shape, f"grad/{k}: {results[f'grad/{k}'].shape}, not {v.shape}"
        return sum(float((v * results[f"grad/{k}"]).sum()) for k, v in self.directions.items())


def problem(case: Case, dtype: Any = np.float64, seed: int = 0) -> Problem:
    """Return a case with random cotangents and directions, the same ones for every dtype."""
    rng = np.random.default_rng(seed)
    model, feeds = model_of(case, np.dtype(dtype)), feeds_of(case, np.dtype(dtype))
    out = run_reference(model_of(case, np.dtype(np.float64)), feeds_of(case, np.dtype(np.float64)))
    seeds = {f"y{i}": rng.normal(size=out[f"y{i}"].shape).astype(dtype) for i in case.of}
    wrt = float_indices(case) if case.wrt is None else case.wrt
    directions = {f"x{i}": rng.normal(size=np.shape(case.inputs[i])).astype(dtype) for i in wrt}
    return Problem(model, feeds, seeds, directions)


def close(got: float, wanted: float, tolerance: float, scale: float) -> None:
    assert abs(got - wanted) <= tolerance * max(abs(wanted), scale, 1e-3), f"<v, J^T u> is {got}, the slope is {wanted}"


def scale_of(p: Problem, results: Arrays) -> float:
    """Return the size that <v, J^T u> has when nothing cancels."""
    parts = [np.abs(v * results[f"grad/{k}"]).astype(float) for k, v in p.directions.items()]
    return float(np.sqrt(sum((part**2).sum() for part in parts)))


def check(case: Case, step: float = 1e-5) -> None:
    """Assert that <v, J^T u> is the slope: in float64 on the reference, in float32 on ONNX Runtime."""
    p = problem(case)
    slope = quotient(p.model, p.feeds, p.seeds, p.directions, step, run_reference if case.exact else run_ort)
    results = run_reference(p.gradient(), p.all_feeds())
    scale = scale_of(p, results)
    close(p.product(results), slope, 1e-6, scale)
    if case.on_ort:
        single = problem(case, np.float32)
        close(single.product(run_ort(single.gradient(), single.all_feeds())), slope, 1e-4, scale)
