"""A model whose graph takes texts of any length, so that a text of another one opens nothing anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onnxsal.anatomy import Anatomy, X, body
from onnxsal.anatomy.layers import Layers
from onnxsal.errors import OnnxsalError
from onnxsal.graph.moved import write_moved
from onnxsal.graph.unsigned import write_unsigned
from onnxsal.model.model import Model
from onnxsal.runtime.providers import CPU, full_name
from onnxsal.tasks import task_of

_STEPPED = frozenset({"LSTM", "GRU", "RNN", "Scan", "Loop", "DynamicQuantizeLSTM"})
"""What goes step by step: the gradient of it is written for so many steps."""

_LONGER = 3
"""Tokens more than it was opened for at which it has to run as well."""


def of_any_length(model: Model) -> Model | None:
    """Return the model on its graph as it is before its size is fixed; None where that is not what it is with it.

    It is run on noise as long as the model was opened for, where the numbers have to be the same, and on more.
    """
    if model.unsized is None or any(node.op_type in _STEPPED for node in model.unsized.graph.all_nodes()):
        return None
    anatomy = _anatomy(model)
    made = replace(model, anatomy=anatomy, sized=model, unsized=None)
    try:
        return made if _agrees(model, made) else None
    except (OnnxsalError, KeyError):  # a value that the head reads is not there, or a shape has to be known
        return None


def _anatomy(model: Model) -> Anatomy:
    assert model.unsized is not None
    graph = model.unsized.clone()
    if full_name(model.provider) == CPU:
        write_unsigned(graph.graph)
    write_moved(graph.graph)
    head = task_of(model.anatomy).of_any_length(graph.graph)
    return Anatomy(graph, model.anatomy.entry, head, Layers((), None, {}, ""))


def _agrees(model: Model, made: Model) -> bool:
    channels, (length,) = model.anatomy.entry.channels, model.size
    x = np.random.default_rng(0).normal(0, 1, (2, channels, length + _LONGER)).astype(np.float32)
    program = made.program("body", lambda: body(made.anatomy))
    session, own = made.session(program), model.session(model.program("body", lambda: body(model.anatomy)))
    longer, found, expected = session.run({X: x}), session.run({X: x[..., :length]}), own.run({X: x[..., :length]})
    if not task_of(made.anatomy).by_length and any(longer[name].shape != found[name].shape for name in expected):
        return False  # the numbers of a target would be those of others
    return all(np.allclose(found[name], expected[name], rtol=1e-4, atol=1e-5, equal_nan=True) for name in expected)
