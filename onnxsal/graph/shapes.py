"""Shapes and types of values: what inference proves, and questions rules ask about them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from onnxsal.errors import ModelError

Dim = int | str | None


def dims(value: ir.Value) -> tuple[Dim, ...] | None:
    """Return the dimensions of a value (int, symbol, or None where unknown), or None where even the rank is unknown."""
    if value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else d.value for d in value.shape)


def static(value: ir.Value) -> tuple[int, ...] | None:
    """Return the dimensions of a value where every one is a known number, else None."""
    shape = dims(value)
    if shape is None or not all(isinstance(d, int) for d in shape):
        return None
    return tuple(d for d in shape if isinstance(d, int))


def rank(value: ir.Value) -> int | None:
    """Return the number of dimensions of a value, or None where it is unknown."""
    return None if value.shape is None else len(value.shape)


def same_shape(a: ir.Value, b: ir.Value) -> bool:
    """Return whether two values provably have one shape (equal numbers or equal symbols throughout)."""
    left, right = dims(a), dims(b)
    return left is not None and left == right and None not in left


def is_float(value: ir.Value) -> bool:
    """Return whether a value holds floating-point numbers (float64 to float8)."""
    return value.dtype is not None and value.dtype.is_floating_point()


class _Collect(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def collect_log(name: str = "onnx_ir") -> Iterator[list[str]]:
    """Yield a list that fills with the warnings of a logger, which stay off the screen meanwhile."""
    logger, handler = logging.getLogger(name), _Collect()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def infer_shapes(model: ir.Model) -> None:
    """Fill in the types and shapes of a model's values, in place.

    Raises: ModelError: shapes contradict each other. The pass itself only logs that and goes on, so its log is read.
    """
    with collect_log() as messages:
        ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    failed = [m for m in messages if "failed" in m.lower() or "error" in m.lower()]
    if failed:
        raise ModelError(f"the model's shapes cannot be worked out: {failed[0].splitlines()[0]}")
