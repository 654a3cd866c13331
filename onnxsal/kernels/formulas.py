"""Every formula of the kernels, once, on scalars: plain Python that numpy, ``numba.njit`` and ``numba.cuda.jit`` share.

Only additions, multiplications, square roots and bit operations, each rounded once, so numpy arrays and compiled
loops give the same bits. Called with arrays they work elementwise; ``bind`` compiles them for a target.

Source: Threefry-2x32, 20 rounds: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.2.
Box and Muller 1958 for the normal transform. The polynomials are minimax fits made for this file.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

F = np.float32
U = np.uint32

PARITY = U(0x1BD11BDA)
WORD = U(32)
STEP = F(2.0**-32)
HALF_STEP = F(2.0**-33)
STEP_24 = F(2.0**-24)
ONE = F(1)
TWO = F(2)
HALF = F(0.5)
LN2 = F(0.6931471805599453)
SQRT_HALF_BITS = np.int32(0x3F3504F3)

# log1p(f) = f - f^2/2 + f^3 P(f) on [sqrt(1/2) - 1, sqrt(2) - 1], relative error 3e-8.
L0, L1, L2, L3 = F(0.3333391074479086), F(-0.2500133706454807), F(0.19963063465255432), F(-0.16577583578730284)
L4, L5, L6 = F(0.14914770708158656), F(-0.14267497446336974), F(0.08700441114801549)
# cos(pi t) = 1 + t^2 C(t^2) and sin(pi t) = t S(t^2) for |t| <= 1/2, errors 2e-10 and 3e-9.
C0, C1, C2, C3, C4 = (
    F(-4.934802156087403),
    F(4.058709599744754),
    F(-1.3352161046660924),
    F(0.23495392454501643),
    F(-0.024420697943587772),
)
S0, S1, S2, S3, S4 = (
    F(3.1415925800441653),
    F(-5.167706878890445),
    F(2.5500313766749287),
    F(-0.5980451704237179),
    F(0.07722012154550811),
)

sqrt: Callable[[Any], Any] = np.sqrt


def mix(a: Any, b: Any, turn: Any) -> Any:
    """Return the two words after one Threefry round that rotates by ``turn``."""
    a = U(a + b)
    return a, U(U((b << turn) | (b >> (WORD - turn))) ^ a)


def mix_low(a: Any, b: Any, key: Any, other: Any, count: Any) -> Any:
    """Return the words after rounds 1-4 of eight and key injection number ``count``."""
    a, b = mix(a, b, U(13))
    a, b = mix(a, b, U(15))
    a, b = mix(a, b, U(26))
    a, b = mix(a, b, U(6))
    return U(a + key), U(U(b + other) + count)


def mix_high(a: Any, b: Any, key: Any, other: Any, count: Any) -> Any:
    """Return the words after rounds 5-8 of eight and key injection number ``count``."""
    a, b = mix(a, b, U(17))
    a, b = mix(a, b, U(29))
    a, b = mix(a, b, U(16))
    a, b = mix(a, b, U(24))
    return U(a + key), U(U(b + other) + count)


def threefry(c0: Any, c1: Any, k0: Any, k1: Any) -> Any:
    """Return the two uint32 words of Threefry-2x32-20 for counter (c0, c1) and key (k0, k1), all uint32."""
    k2 = U(k0 ^ k1 ^ PARITY)
    a, b = U(c0 + k0), U(c1 + k1)
    a, b = mix_low(a, b, k1, k2, U(1))
    a, b = mix_high(a, b, k2, k0, U(2))
    a, b = mix_low(a, b, k0, k1, U(3))
    a, b = mix_high(a, b, k1, k2, U(4))
    return mix_low(a, b, k2, k0, U(5))


def unit(word: Any) -> Any:
    """Return the upper 24 bits of a word as an exact float32 in [0, 1)."""
    return F(word >> 8) * STEP_24


def radius(word: Any) -> Any:
    """Return sqrt(-2 ln u), float32 in [0, 6.77], for u = (word + 1/2) / 2^32."""
    bits = F(F(word) * STEP + HALF_STEP).view(np.int32)
    power = np.int32(np.int32(bits - SQRT_HALF_BITS) >> 23)
    f = np.int32(bits - np.int32(power << 23)).view(np.float32) - ONE
    tail = L0 + f * (L1 + f * (L2 + f * (L3 + f * (L4 + f * (L5 + f * L6)))))
    return F(sqrt(-TWO * (F(power) * LN2 + (f - f * f * (HALF - f * tail)))))


def turn(word: Any) -> Any:
    """Return cos and sin, float32, of 2 pi word / 2^32; reduced to half a turn in integers, so exactly."""
    t = F(U(word << 1).view(np.int32)) * STEP
    sign = ONE - TWO * F(U(word + U(0x40000000)) >> 31)
    z = t * t
    c = ONE + z * (C0 + z * (C1 + z * (C2 + z * (C3 + z * C4))))
    s = t * (S0 + z * (S1 + z * (S2 + z * (S3 + z * S4))))
    return sign * c, sign * s


def normals(c0: Any, c1: Any, k0: Any, k1: Any) -> Any:
    """Return two independent standard normal float32 values for one counter and key (Box-Muller)."""
    a, b = threefry(c0, c1, k0, k1)
    r = radius(a)
    c, s = turn(b)
    return r * c, r * s


def lerp(a: Any, b: Any, share: Any) -> Any:
    """Return a + share (b - a): exactly a where a == b, so a flat map stays flat."""
    return a + share * (b - a)


def level(u: Any, gain: Any, offset: Any) -> Any:
    """Return the normalised mask value gain u + offset."""
    return gain * u + offset


def blend(x: Any, base: Any, mask: Any) -> Any:
    """Return base + (x - base) mask, which is x mask where the baseline is zero."""
    return base + (x - base) * mask


FORMULAS = (mix, mix_low, mix_high, threefry, unit, radius, turn, normals, lerp, level, blend)


def bind(compile_one: Callable[[Any], Any], root: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the formulas by name, each compiled by ``compile_one`` and calling its compiled siblings and ``root``."""
    scope: dict[str, Any] = dict(globals(), sqrt=root)
    for formula in FORMULAS:
        scope[formula.__name__] = compile_one(FunctionType(formula.__code__, scope, formula.__name__))
    return {formula.__name__: scope[formula.__name__] for formula in FORMULAS}
