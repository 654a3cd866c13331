"""numpy's Philox generator in standard operators, for what a file draws of a seed that it is fed.

Source: Philox4x64 with 10 rounds (Salmon et al. 2011), and how ``numpy.random.Generator`` makes numbers of its words: a
double of the upper 53 bits of one, a whole number below a bound of half a word (Lemire 2019), drawn again where that
would favour some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxsal.graph import Tape
from onnxsal.records import Cells

_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_STEPS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_ROUNDS, _BLOCK = 10, 4
_SPARE = 2
"""Halves of words more than needed, since those that would favour some numbers are passed over: one in 10^8."""

UINT64, INT64, DOUBLE = ir.DataType.UINT64, ir.DataType.INT64, ir.DataType.DOUBLE
Words = tuple[ir.Value, ir.Value, ir.Value, ir.Value]


def _u64(op: Tape, value: int) -> ir.Value:
    return op.const(np.array(value % 2**64, np.uint64))


def words(op: Tape, seed: ir.Value, numbers: ir.Value, count: int) -> ir.Value:
    """Return the first words that numpy draws of a seed behind the counter (0, 0, 0, number), uint64 [r, count].

    Args: seed: a scalar. numbers: int64 [r].
    """
    blocks = -(-count // _BLOCK)
    place = op.const(np.arange(1, blocks + 1, dtype=np.uint64)[None])  # counted up before a block is made
    last = op.Unsqueeze(op.Cast(numbers, to=UINT64), [1])
    zero = op.Mul(op.Mul(last, place), _u64(op, 0))
    block: Words = (op.Add(place, zero), zero, zero, op.Add(last, zero))
    keys = op.Cast(seed, to=UINT64), _u64(op, 0)
    for turn in range(_ROUNDS):
        own = [op.Add(key, _u64(op, turn * step)) for key, step in zip(keys, _STEPS, strict=True)]
        block = _round(op, block, own)
    flat = op.Flatten(op.Concat(*(op.Unsqueeze(word, [2]) for word in block), axis=2), axis=1)
    return op.Slice(flat, [0], [count], [1])


def _round(op: Tape, block: Words, keys: Sequence[ir.Value]) -> Words:
    (high, low), (other, below) = (_product(op, word, m) for word, m in zip(block[::2], _MULTIPLIERS, strict=True))
    first = op.BitwiseXor(op.BitwiseXor(other, block[1]), keys[0])
    return first, below, op.BitwiseXor(op.BitwiseXor(high, block[3]), keys[1]), low


def _product(op: Tape, word: ir.Value, number: int) -> tuple[ir.Value, ir.Value]:
    """Return the upper and the lower word of a product, by halves."""
    m, n = _u64(op, number >> 32), _u64(op, number % 2**32)
    a, b = _upper(op, word), _lower(op, word)
    across = op.Add(op.Mul(a, n), _upper(op, op.Mul(b, n)))
    along = op.Add(op.Mul(b, m), _lower(op, across))
    high = op.Add(op.Add(op.Mul(a, m), _upper(op, across)), _upper(op, along))
    return high, op.Mul(word, _u64(op, number))


def _upper(op: Tape, word: ir.Value) -> ir.Value:
    return op.BitShift(word, _u64(op, 32), direction="RIGHT")


def _lower(op: Tape, word: ir.Value) -> ir.Value:
    return op.BitwiseAnd(word, _u64(op, 2**32 - 1))


def cells_and_shifts(op: Tape, seed: ir.Value, numbers: ir.Value, drawn: Cells) -> tuple[ir.Value, ir.Value]:
    """Return which cells of masks stay, bool [r, *shape], and where masks begin, int64 [r, d], each below its bound."""
    cells, asked = math.prod(drawn.shape), sum(bound > 1 for bound in drawn.bounds)
    more = -(-(asked + _SPARE) // 2) if asked else 0
    found = words(op, seed, numbers, cells + more)
    stay = op.Reshape(_stay(op, op.Slice(found, [0], [cells], [1]), drawn.chance), [-1, *drawn.shape])
    if not more:
        return stay, op.Mul(op.Unsqueeze(numbers, [1]), op.const(np.zeros((1, len(drawn.bounds)), np.int64)))
    rest = op.Slice(found, [cells], [cells + more], [1])
    pairs = op.Concat(op.Unsqueeze(_lower(op, rest), [2]), op.Unsqueeze(_upper(op, rest), [2]), axis=2)
    return stay, _below(op, op.Flatten(pairs, axis=1), drawn.bounds)


def cells_and_words(
    op: Tape, seed: ir.Value, numbers: ir.Value, chance: float, cells: int
) -> tuple[ir.Value, ir.Value]:
    """Return which of so many cells in a row stay, bool [r, cells], and half a word behind them, int64 [r]."""
    found = words(op, seed, numbers, cells + 1)
    last = op.Squeeze(op.Slice(found, [cells], [cells + 1], [1]), [1])
    return _stay(op, op.Slice(found, [0], [cells], [1]), chance), op.Cast(_lower(op, last), to=INT64)


def _stay(op: Tape, found: ir.Value, chance: float) -> ir.Value:
    upper = op.BitShift(found, _u64(op, 11), direction="RIGHT")
    return op.Less(op.Mul(op.Cast(upper, to=DOUBLE), 2.0**-53), op.const(np.float64(chance)))


def _below(op: Tape, halves: ir.Value, bounds: Sequence[int]) -> ir.Value:
    """Return whole numbers below bounds, int64 [r, d], each of the first half of a word [r, n] that is left."""
    places = op.Range(op.const(0, INT64), op.Squeeze(op.Shape(halves, start=1, end=2), [0]), op.const(1, INT64))
    made, last = [], None
    for bound in bounds:
        if bound == 1:
            made.append(op.Mul(op.Cast(op.Slice(halves, [0], [1], [1]), to=INT64), 0))
            continue
        product = op.Mul(halves, _u64(op, bound))
        fits = op.GreaterOrEqual(op.Cast(_lower(op, product), to=DOUBLE), float((2**32 - bound) % bound))
        left = fits if last is None else op.And(fits, op.Greater(op.Unsqueeze(places, [0]), last))
        last = op.ArgMax(op.Cast(left, to=ir.DataType.FLOAT), axis=1)
        made.append(op.GatherElements(op.Cast(_upper(op, product), to=INT64), last, axis=1))
    return op.Concat(*made, axis=1)
