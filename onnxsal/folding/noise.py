"""The counter-based noise of the kernels in standard operators: the same key and counter give the same bits.

Every operation of ``kernels.formulas`` is one operator here, rounded as it is there, because a unit in the last place
of the noise is enough to move a rectifier to its other side. What numpy reads from the bits of a float (its power of
two) is found by comparing. No operator sees a negative integer; words wrap round at 2^32 as unsigned ones do.

Source: Threefry-2x32 with 20 rounds (Salmon et al. 2011) and Box-Muller, as in ``kernels.formulas``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError
from onnxsal.graph import Tape
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.scopes import PREFIX
from onnxsal.kernels import formulas as f
from onnxsal.kernels import noise as kernel
from onnxsal.kernels.noise import STREAM_BITS, Stream

_TURNS = (13, 15, 26, 6, 17, 29, 16, 24)
_LOG = (f.L0, f.L1, f.L2, f.L3, f.L4, f.L5, f.L6)
_COS = (f.ONE, f.C0, f.C1, f.C2, f.C3, f.C4)
_SIN = (f.S0, f.S1, f.S2, f.S3, f.S4)
_ROOT_HALF = np.array([f.SQRT_HALF_BITS]).view(np.float32)[0]
_LOWEST = -34
"""No number that is drawn lies below 2^-33."""

Words = tuple[ir.Value, ir.Value]
Key = tuple[int | ir.Value, int]
"""A seed and an image; a seed that is known when the graph runs is uint32, and fits in front of [r, pairs]."""
FLOAT, UINT32, INT64 = ir.DataType.FLOAT, ir.DataType.UINT32, ir.DataType.INT64


def _u32(op: Tape, value: int) -> ir.Value:
    return op.const(np.array(value, np.uint32))


def _threefry(op: Tape, counter: Words, key: Key) -> Words:
    keys = _keys(op, key)
    a, b = _plus(op, counter[0], keys[0]), _plus(op, counter[1], keys[1])
    for i in range(20):
        a, b = _round(op, a, b, _TURNS[i % 8])
        if i % 4 == 3:
            j = i // 4 + 1
            a, b = _plus(op, a, keys[j % 3]), _plus(op, b, _with(op, keys[(j + 1) % 3], j))
    return a, b


def _keys(op: Tape, key: Key) -> tuple[int | ir.Value, ...]:
    """Return the words that the rounds add in turn."""
    seed, rest = key[0], key[1] ^ int(f.PARITY)
    mixed = seed ^ rest if isinstance(seed, int) else op.BitwiseXor(seed, _u32(op, rest))
    return seed, key[1], mixed


def _with(op: Tape, word: int | ir.Value, turn: int) -> int | ir.Value:
    return (word + turn) % 2**32 if isinstance(word, int) else op.Add(word, _u32(op, turn))


def _plus(op: Tape, word: ir.Value, number: int | ir.Value) -> ir.Value:
    """Return the sum modulo 2^32; OpenVINO cuts constants off at 2^31."""
    if isinstance(number, ir.Value):
        return op.Add(word, number)
    if number < 2**31:
        return op.Add(word, _u32(op, number))
    return op.Sub(word, _u32(op, 2**32 - number))


def _round(op: Tape, a: ir.Value, b: ir.Value, turn: int) -> Words:
    a = op.Add(a, b)
    return a, op.BitwiseXor(_rotated(op, b, turn), a)


def _rotated(op: Tape, word: ir.Value, turn: int) -> ir.Value:
    """A rotation is a product that wraps round plus what falls out on the left: faster than two shifts.

    By more than 24 places in two steps: OpenVINO shifts through float32.
    """
    if turn > 24:
        return _rotated(op, _rotated(op, word, turn // 2), turn - turn // 2)
    return op.Add(op.Mul(word, _u32(op, 1 << turn)), _shifted(op, word, 32 - turn))


def _shifted(op: Tape, word: ir.Value, bits: int) -> ir.Value:
    """Return word >> bits for 8 bits or more.

    OpenVINO divides words as if they had a sign, in float32: so nothing is left over, and at most 24 bits are.
    """
    low = op.BitwiseAnd(word, _u32(op, 2**bits - 1))
    moved = op.BitShift(op.BitwiseXor(word, low), _u32(op, bits), direction="RIGHT")
    return op.BitwiseAnd(moved, _u32(op, 2 ** (32 - bits) - 1))


def _float(op: Tape, word: ir.Value) -> ir.Value:
    """Return a word as float32, from two halves that every runtime takes as positive; the sum is rounded once."""
    high, low = _shifted(op, word, 16), op.BitwiseAnd(word, _u32(op, 2**16 - 1))
    return op.Add(op.Mul(op.Cast(high, to=FLOAT), 2.0**16), op.Cast(low, to=FLOAT))


def _words(op: Tape, draws: ir.Value, size: int, stream: int, key: Key) -> Words:
    """Return two words [r, pairs] for draws [r], int64."""
    pairs = op.Range(op.const(0, INT64), op.const(-(-size // 2), INT64), op.const(1, INT64))
    elements = op.Unsqueeze(op.Cast(op.Add(pairs, stream << STREAM_BITS), to=UINT32), [0])
    numbers = op.Unsqueeze(op.Cast(draws, to=UINT32), [1])
    zero = op.Sub(numbers, numbers)
    return _threefry(op, (op.Add(elements, zero), op.Add(numbers, op.Sub(elements, elements))), key)


def normal(op: Tape, draws: ir.Value, size: int, stream: int, key: Key) -> ir.Value:
    """Return standard normal numbers [r, size] for draws [r]; key is (seed, image)."""
    a, b = _words(op, draws, size, stream, key)
    radius, (cosine, sine) = _radius(op, a), _turned(op, b)
    return _interleave(op, op.Mul(radius, cosine), op.Mul(radius, sine), size)


HELD = f"{PREFIX}noise"
"""What the names of noise that lies in a file begin with."""

MOST_HELD = 1 << 30
"""Bytes of noise that a file may hold."""


def held_normal(op: Tape, count: int, shape: tuple[int, ...], stream: Stream, key: Key) -> ir.Value:
    """Return the standard normal numbers of draws 0 to ``count``, an initializer [count, *shape].

    Raises: UnsupportedError: they are too many for a file.
    """
    size, known = math.prod(shape), _known(key)
    if (needed := 4 * count * size) > MOST_HELD:
        sizes = " x ".join(map(str, shape))
        raise UnsupportedError(
            f"noise as constants: {count} draws of {sizes} numbers are {needed / 1e6:,.0f} MB, and a file may hold "
            f"{MOST_HELD / 1e6:,.0f}: draw fewer samples, or leave noise to operators"
        )
    drawn = [kernel.normal(*known, draw, size, stream=stream) for draw in range(count)]
    return _held(op, np.stack(drawn).reshape(count, *shape))


def held_uniform(op: Tape, shape: tuple[int, ...], key: Key) -> ir.Value:
    """Return the uniform numbers of draw 0, an initializer [1, *shape]."""
    return _held(op, kernel.uniform(*_known(key), 0, math.prod(shape)).reshape(1, *shape))


def _known(key: Key) -> tuple[int, int]:
    seed, thing = key
    assert not isinstance(seed, ir.Value), "a seed that is fed draws in operators"
    return seed, thing


def _held(op: Tape, array: NDArray[np.float32]) -> ir.Value:
    return add_initializer(op.graph, op.unique("noise"), ir.tensor(array))


def uniform(op: Tape, draws: ir.Value, size: int, key: Key) -> ir.Value:
    """Return uniform numbers in [0, 1), [r, size], multiples of 2^-24."""
    words = _words(op, draws, size, Stream.UNIFORM, key)
    first, second = (op.Mul(op.Cast(_shifted(op, w, 8), to=FLOAT), 2.0**-24) for w in words)
    return _interleave(op, first, second, size)


def _radius(op: Tape, word: ir.Value) -> ir.Value:
    u = op.Add(op.Mul(_float(op, word), float(f.STEP)), float(f.HALF_STEP))
    power, share = _split(op, u)
    part = op.Sub(share, 1.0)
    tail = op.Mul(part, _polynomial(op, part, _LOG))
    curve = op.Sub(part, op.Mul(op.Mul(part, part), op.Sub(0.5, tail)))
    log = op.Add(op.Mul(power, op.const(f.LN2)), curve)
    return op.Sqrt(op.Mul(log, -2.0))


def _split(op: Tape, u: ir.Value) -> Words:
    """Return the power p and u 2^-p in [sqrt(1/2), sqrt(2)), both float32; Log may be off in its last place."""
    guess = op.Floor(op.Add(op.Mul(op.Log(u), 1 / math.log(2)), 0.5))
    scales = op.const(np.exp2(-np.arange(_LOWEST, 2, dtype=np.float32)))
    share = op.Mul(u, op.Gather(scales, op.Cast(op.Sub(guess, float(_LOWEST)), to=INT64)))
    below = op.Cast(op.Less(share, op.const(_ROOT_HALF)), to=FLOAT)
    above = op.Cast(op.GreaterOrEqual(share, op.const(2 * _ROOT_HALF)), to=FLOAT)
    power = op.Add(op.Sub(guess, below), above)
    return power, op.Mul(share, op.Sub(op.Add(below, 1.0), op.Mul(above, 0.5)))


def _turned(op: Tape, word: ir.Value) -> Words:
    """Return cos and sin of 2 pi word / 2^32; half a turn is taken off in integers, float32 has too few bits for it."""
    double = op.Add(word, word)
    negative = _shifted(op, double, 31)
    size = op.Add(op.BitwiseXor(double, op.Sub(_u32(op, 0), negative)), negative)
    t = op.Mul(op.Mul(_float(op, size), float(f.STEP)), _sign(op, negative))
    odd = _shifted(op, op.Add(word, _u32(op, 1 << 30)), 31)
    z, sign = op.Mul(t, t), _sign(op, odd)
    return op.Mul(sign, _polynomial(op, z, _COS)), op.Mul(sign, op.Mul(t, _polynomial(op, z, _SIN)))


def _sign(op: Tape, odd: ir.Value) -> ir.Value:
    return op.Sub(1.0, op.Mul(op.Cast(odd, to=FLOAT), 2.0))


def _polynomial(op: Tape, x: ir.Value, terms: Sequence[np.float32]) -> ir.Value:
    """Horner's scheme, the constant term first."""
    total = op.const(terms[-1])
    for term in reversed(terms[:-1]):
        total = op.Add(op.Mul(x, total), op.const(term))
    return total


def _interleave(op: Tape, first: ir.Value, second: ir.Value, size: int) -> ir.Value:
    both = op.Concat(op.Unsqueeze(first, [2]), op.Unsqueeze(second, [2]), axis=2)
    flat = op.Reshape(both, [0, -1])
    return flat if size % 2 == 0 else op.Slice(flat, [0], [size], [1])
