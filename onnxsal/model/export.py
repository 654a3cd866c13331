"""The rest of the public surface: gradient graphs, saving, the catalogue of methods, registration of metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.autodiff import gradient as _gradient
from onnxsal.autodiff import lower_gradients
from onnxsal.graph import load_ir, save_ir
from onnxsal.graph.files import weight_bytes
from onnxsal.methods import Method, catalogue
from onnxsal.model.blame import blaming
from onnxsal.model.held import fixed
from onnxsal.model.model import Model
from onnxsal.runtime.heap import DROPPED

ModelSource = Model | onnx.ModelProto | str | os.PathLike[str]


def gradient(
    model: ModelSource, *, of: list[str], wrt: list[str], rules: str = "plain", opset: int | None = None,
    inputs: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """Return the model with its gradient graph: standard operators, all inputs and outputs kept.

    Args:
        model: a ModelProto, a path or a Model.
        of: float values to differentiate; each adds an input ``seed/<name>``, its cotangent.
        wrt: inputs, intermediate values or initializers; each adds an output ``grad/<name>``.
        rules: ``plain``, ``guided``, ``deconv`` or ``attnlrp``.
        opset: of the result, 17 up to the model's own or 21, which is the default.
        inputs: what inputs are held at, by their names, as of ``load``: they are fixed inside the result.
    Shape: a seed and a gradient have the shape and type of their value.
    Weights are inside; those of a model whose weights exceed 2 GB stay references into its files, with a warning.
    Of a gradient that is 0 whatever the input the metadata ``onnxsal.zero/grad/<name>`` says why.
    Raises: UsageError: no such value, or one of integers (the float value to use is named). UnsupportedError: operators
    without a rule, all of them named, or forms of them that the opset does not have. ModelError: it is not valid.
    """
    source = fixed(_ir(model), inputs or {})
    with blaming(source):
        return _gradient(source, of=of, wrt=wrt, rules=rules, opset=opset)


def save(model: ModelSource, path: str | os.PathLike[str]) -> None:
    """Write a ModelProto or a Model to ``path``; external weights stay external, beside the file.

    Gradient nodes of ``ai.onnx.preview.training``, which ONNX Runtime has no kernel for, are written as what they stand
    for.
    External weights of a ModelProto, which does not know where it came from, are looked for in the folder of ``path``,
    then in the current one.
    Raises: OutputError: nothing can be written there. ModelError: external weights are not there.
    """
    given = _ir(model, beside=Path(path).parent)
    save_ir(lower_gradients(given), path, source=given)


def _ir(model: ModelSource, beside: Path | None = None) -> ir.Model:
    if isinstance(model, Model):
        return model.source
    DROPPED.collect()
    found = load_ir(model, beside=beside)
    DROPPED.watch(found, weight_bytes(found))
    return found


def methods() -> dict[str, Method]:
    """Return every method by name: built-in, plugged-in, made by this program. Broken packages' are left out.

    ``onnxsal.plugins.offers`` tells where each comes from without importing it.
    """
    found = {}
    for name in [*catalogue.names(), *catalogue.local_names()]:
        try:
            found[name] = catalogue.get(name)
        except ImportError:  # a broken package hurts only who asks for it by name
            continue
    return found
