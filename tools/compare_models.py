"""The models that ``compare_builds`` gives to both builds, what they are fed, and files of them without names."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parent.parent


def make_models(folder: Path, real: list[Path]) -> None:
    """Write the tests' zoo, the bundled model, that with a fixed batch and with a second output; copy real models."""
    (folder / "real").mkdir(parents=True, exist_ok=True)
    for path in [*(ROOT / "tests" / "data" / "zoo").glob("*.onnx"), *(ROOT / "models" / n for n in BUNDLED)]:
        shutil.copy(path, folder)
    for path in real:
        shutil.copy(path, folder / "real")
    onnx.save(fixed_batch(onnx.load(folder / "shapes.onnx")), folder / "shapes_batch1.onnx")
    onnx.save(two_outputs(onnx.load(folder / "shapes.onnx")), folder / "shapes_two.onnx")


BUNDLED = ("shapes.onnx", "demo.png")


def fixed_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a batch of one."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    return model


def two_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its probabilities as a second output."""
    (logits,) = model.graph.output
    model.graph.node.append(onnx.helper.make_node("Softmax", [logits.name], ["probabilities"], axis=-1))
    second = model.graph.output.add()
    second.CopyFrom(logits)
    second.name = "probabilities"
    return model


@cache
def fed(path: Path) -> tuple[str, tuple[int, ...], Any]:
    """Return name, shape without the batch, and type of the input."""
    graph = onnx.load(path).graph
    value = next(v for v in graph.input if v.name not in {t.name for t in graph.initializer})
    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return value.name, tuple(d.dim_value for d in value.type.tensor_type.shape.dim[1:]), kind


@cache
def score_name(path: Path) -> str:
    """Return the name of the first output."""
    return str(onnx.load(path).graph.output[0].name)


def image(path: Path, seed: int) -> Any:
    """Return one random picture that the model takes: bytes [H, W, 3] or floats."""
    _, shape, kind = fed(path)
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, shape, np.uint8) if kind == np.uint8 else draw.normal(size=shape).astype(kind)


def random_feed(value: Any) -> Any:
    """Return what a session's input is fed: free sizes are 2, a target is class 1, ``explain`` is true."""
    shape = [size if isinstance(size, int) else 2 for size in value.shape]
    draw = np.random.default_rng(len(value.name))
    kinds = {"float": "f4", "float16": "f2", "double": "f8", "uint8": "u1", "int64": "i8", "bool": "?"}
    kind = kinds[value.type.removeprefix("tensor(").removesuffix(")")]
    if kind == "u1":
        return draw.integers(0, 256, shape, np.uint8)
    return np.ones(shape, kind) if kind in ("i8", "?") else draw.normal(size=shape).astype(kind)


def canonical(model: onnx.ModelProto) -> str:
    """Return a digest of a model that neither names nor the order of independent nodes change.

    A value is what computes it: operator, attributes, inputs; a graph its outputs, its inputs and the multiset of its
    nodes. Initializers are their content.
    """
    functions = sorted(_body(f.node, {name: name for name in f.input}, f.output) for f in model.functions)
    opsets = sorted(f"{each.domain}:{each.version}" for each in model.opset_import)
    return _digest(_graph(model.graph, {}), *functions, *opsets)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _tensor(tensor: onnx.TensorProto) -> str:
    array = numpy_helper.to_array(tensor)
    content = repr(array.tolist()) if array.dtype == object else hashlib.sha256(array.tobytes()).hexdigest()
    return _digest(str(tensor.data_type), str(array.shape), content)


def _graph(graph: onnx.GraphProto, outer: Mapping[str, str]) -> str:
    """Inputs of the model itself keep their names, those of a branch or loop are known by their place."""
    known = dict(outer) | {t.name: _tensor(t) for t in graph.initializer}
    for at, value in enumerate(graph.input):
        name = str(at) if outer else value.name
        known.setdefault(value.name, _digest("input", name, str(value.type.tensor_type.elem_type)))
    ends = () if outer else tuple(f"{value.name} {value.type.tensor_type.elem_type}" for value in graph.output)
    return _body(graph.node, known, [value.name for value in graph.output], *ends)


def _body(nodes: Any, known: Mapping[str, str], outputs: Any, *ends: str) -> str:
    values, every = {"": "", **known}, []
    for node in nodes:
        attributes = sorted(_attribute(each, values) for each in node.attribute)
        own = _digest(node.domain, node.op_type, *attributes, *(values[name] for name in node.input))
        values |= {name: _digest(own, str(at)) for at, name in enumerate(node.output) if name}
        every.append(own)
    return _digest(*sorted(every), *(values[name] for name in outputs), *ends)


def _attribute(attribute: onnx.AttributeProto, values: Mapping[str, str]) -> str:
    if attribute.type == onnx.AttributeProto.GRAPH:
        return f"{attribute.name} {_graph(attribute.g, values)}"
    if attribute.type == onnx.AttributeProto.TENSOR:
        return f"{attribute.name} {_tensor(attribute.t)}"
    return bytes(attribute.SerializeToString(deterministic=True)).hex()
