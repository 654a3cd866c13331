"""The counter-based noise of the kernels in standard operators: the same key and counter give the same numbers.

Source: Threefry-2x32 with 20 rounds (Salmon et al. 2011) and Box-Muller, as in ``kernels.formulas``.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from onnxsal.graph import Tape

_TURNS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
STREAM_BITS = 28
INPUT, MASK, UNIFORM = 0, 1, 2
"""Streams of one draw: noise on the picture, on the mask, uniform numbers."""

Words = tuple[ir.Value, ir.Value]


def _u32(op: Tape, value: int) -> ir.Value:
    return op.const(np.array(value, np.uint32))


def _threefry(op: Tape, counter: Words, key: tuple[int, int]) -> Words:
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    a, b = op.Add(counter[0], _u32(op, keys[0])), op.Add(counter[1], _u32(op, keys[1]))
    for i in range(20):
        a, b = _round(op, a, b, _TURNS[i % 8])
        if i % 4 == 3:
            j = i // 4 + 1
            a, b = op.Add(a, _u32(op, keys[j % 3])), op.Add(b, _u32(op, (keys[(j + 1) % 3] + j) % 2**32))
    return a, b


def _round(op: Tape, a: ir.Value, b: ir.Value, turn: int) -> Words:
    a = op.Add(a, b)
    left = op.BitShift(b, _u32(op, turn), direction="LEFT")
    right = op.BitShift(b, _u32(op, 32 - turn), direction="RIGHT")
    return a, op.BitwiseXor(op.BitwiseOr(left, right), a)


def _words(op: Tape, draws: ir.Value, size: int, stream: int, key: tuple[int, int]) -> Words:
    """Return two words [r, pairs] for draws [r], int64."""
    pairs = op.Range(
        op.const(0, ir.DataType.INT64), op.const(-(-size // 2), ir.DataType.INT64), op.const(1, ir.DataType.INT64)
    )
    elements = op.Unsqueeze(op.Cast(op.Add(pairs, stream << STREAM_BITS), to=ir.DataType.UINT32), [0])
    numbers = op.Unsqueeze(op.Cast(draws, to=ir.DataType.UINT32), [1])
    zero = op.Sub(numbers, numbers)
    return _threefry(op, (op.Add(elements, zero), op.Add(numbers, op.Sub(elements, elements))), key)


def normal(op: Tape, draws: ir.Value, size: int, stream: int, key: tuple[int, int]) -> ir.Value:
    """Return standard normal numbers [r, size] for draws [r]; key is (seed, image)."""
    a, b = _words(op, draws, size, stream, key)
    unit = op.Add(op.Mul(op.Cast(a, to=ir.DataType.FLOAT), 2.0**-32), 2.0**-33)
    radius = op.Sqrt(op.Mul(op.Log(unit), -2.0))
    # Half a turn is taken off in integers; float32 has too few bits for it.
    half = op.Cast(op.BitShift(b, _u32(op, 1), direction="LEFT"), to=ir.DataType.INT32)
    angle = op.Mul(op.Cast(half, to=ir.DataType.FLOAT), math.pi * 2.0**-32)
    odd = op.BitShift(op.Add(b, _u32(op, 1 << 30)), _u32(op, 31), direction="RIGHT")
    radius = op.Mul(radius, op.Sub(1.0, op.Mul(op.Cast(odd, to=ir.DataType.FLOAT), 2.0)))
    return _interleave(op, op.Mul(radius, op.Cos(angle)), op.Mul(radius, op.Sin(angle)), size)


def uniform(op: Tape, draws: ir.Value, size: int, key: tuple[int, int]) -> ir.Value:
    """Return uniform numbers in [0, 1), [r, size], multiples of 2^-24."""
    words = _words(op, draws, size, UNIFORM, key)
    eight = _u32(op, 8)
    first, second = (
        op.Mul(op.Cast(op.BitShift(w, eight, direction="RIGHT"), to=ir.DataType.FLOAT), 2.0**-24) for w in words
    )
    return _interleave(op, first, second, size)


def _interleave(op: Tape, first: ir.Value, second: ir.Value, size: int) -> ir.Value:
    both = op.Concat(op.Unsqueeze(first, [2]), op.Unsqueeze(second, [2]), axis=2)
    flat = op.Reshape(both, [0, -1])
    return flat if size % 2 == 0 else op.Slice(flat, [0], [size], [1])  # type: ignore[no-any-return]
