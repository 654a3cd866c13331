"""Questions that rules ask about the shapes and types of values."""

from __future__ import annotations

import onnx_ir as ir

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


def per_image(dim: Dim) -> int:
    """Return what a dimension counts with a batch of one: a number itself, ``k*batch`` k, what is not known 1."""
    if isinstance(dim, int):
        return dim
    factor = (dim or "").partition("*")[0]
    return int(factor) if factor.isdigit() else 1
