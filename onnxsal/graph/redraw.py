"""A model with weights drawn anew: what is left of a map then never came from what the model learnt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul")
_PASSED = ("DequantizeLinear", "Cast", "Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze")
"""Operators between a weight and its use; only their first input is followed: scales and zero points stay."""


def weights(model: ir.Model) -> tuple[tuple[str, ...], ...]:
    """Return the names of the weights and biases of every weighted operator, in the order of the graph."""
    found = (_of(node) for node in model.graph if node.op_type in WEIGHTED)
    return tuple(dict.fromkeys(names for names in found if names))


def _of(node: ir.Node) -> tuple[str, ...]:
    given = (_source(value) for value in node.inputs)
    return tuple(str(v.name) for v in given if v is not None and v.const_value is not None and v.const_value.size > 1)


def _source(value: ir.Value | None) -> ir.Value | None:
    while value is not None and not value.is_initializer():
        node = value.producer()
        if node is None or node.op_type not in _PASSED:
            return None
        value = node.inputs[0]
    return value


def redrawn(model: ir.Model, names: Sequence[str], seed: int) -> ir.Model:
    """Return a copy whose named initializers are drawn anew from their own values: shuffled.

    So a weight keeps its distribution, whatever its type; int8 stays int8, and its scales fit.
    """
    copy = model.clone()
    random = np.random.default_rng(seed)
    for name in names:
        value = copy.graph.initializers[name]
        assert value.const_value is not None
        array = value.const_value.numpy()
        shuffled = random.permutation(array.ravel()).reshape(array.shape)
        value.const_value = ir.Tensor(shuffled, dtype=value.const_value.dtype, name=name)
    return copy
