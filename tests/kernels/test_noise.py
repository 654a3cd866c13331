"""Noise against published vectors, a bit-by-bit slow twin, and the laws of the normal and uniform distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.kernels import formulas
from onnxsal.kernels.noise import Stream, normal, uniform

N = 1 << 20
WORD = (1 << 32) - 1


def slow_threefry(counter: tuple[int, int], key: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32-20 on Python integers, as section 4.2 of Salmon et al. 2011 tells it."""
    keys = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    a, b = ((c + k) & WORD for c, k in zip(counter, key, strict=True))
    for i in range(20):
        turn = (13, 15, 26, 6, 17, 29, 16, 24)[i % 8]
        a = (a + b) & WORD
        b = ((b << turn | b >> (32 - turn)) & WORD) ^ a
        if i % 4 == 3:
            j = i // 4 + 1
            a, b = (a + keys[j % 3]) & WORD, (b + keys[(j + 1) % 3] + j) & WORD
    return a, b


def words(*values: int) -> list[np.ndarray]:
    return [np.full(1, value, np.uint32) for value in values]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((WORD, WORD), (WORD, WORD), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_known_answers_of_random123(counter, key, expected):
    """Source of the vectors: Random123, tests/kat_vectors, lines "threefry2x32 20"."""
    assert tuple(int(word[0]) for word in formulas.threefry(*words(*counter, *key))) == expected
    assert slow_threefry(counter, key) == expected


def test_normal_is_box_muller_of_the_words_in_float64():
    found = normal(5, 6, 7, 2001, stream=Stream.MASK)
    expected = []
    for pair in range(1001):
        a, b = slow_threefry((pair + (1 << 28), 7), (5, 6))
        r, angle = math.sqrt(-2 * math.log((a + 0.5) / 2**32)), 2 * math.pi * b / 2**32
        expected += [r * math.cos(angle), r * math.sin(angle)]
    np.testing.assert_allclose(found, expected[:2001], rtol=0, atol=2e-6)


def test_uniform_is_the_upper_24_bits_of_the_words():
    pairs = [slow_threefry((pair + (2 << 28), 4), (2, 3)) for pair in range(5)]
    np.testing.assert_array_equal(uniform(2, 3, 4, 9), [word // 256 / 2**24 for pair in pairs for word in pair][:9])


def test_transforms_are_exact_at_the_ends_of_the_range():
    ends = np.array([0, 1, 2**31 - 1, 2**31, WORD - 1, WORD], np.uint32)
    u = (ends.astype(np.float64) * 2.0**-32 + 2.0**-33).astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(formulas.radius(ends), np.sqrt(-2 * np.log(u)), rtol=2e-7, atol=0)
    angle = 2 * np.pi * ends.astype(np.float64) / 2**32
    for found, expected in zip(formulas.turn(ends), (np.cos(angle), np.sin(angle)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-7)


def test_polynomials_stay_within_float32_of_the_functions():
    w = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    u = (w.astype(np.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)).astype(np.float64)
    np.testing.assert_allclose(formulas.radius(w), np.sqrt(-2 * np.log(u)), rtol=3e-7, atol=0)
    angle = 2 * np.pi * w.astype(np.float64) / 2**32
    np.testing.assert_allclose(formulas.turn(w)[0], np.cos(angle), rtol=0, atol=3e-7)
    np.testing.assert_allclose(formulas.turn(w)[1], np.sin(angle), rtol=0, atol=3e-7)


def test_a_shorter_draw_is_the_start_of_a_longer_one():
    long = normal(1, 2, 3, 1001)
    for size in (0, 1, 2, 7, 1000):
        np.testing.assert_array_equal(normal(1, 2, 3, size), long[:size])
        np.testing.assert_array_equal(uniform(1, 2, 3, size), uniform(1, 2, 3, 1001)[:size])


def test_normal_has_the_moments_of_the_normal_law():
    """Each estimate within five of its standard errors."""
    n = normal(11, 0, 0, N).astype(np.float64)
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((n**power).mean() - expected) < 5 * math.sqrt(variance / N), power


def test_normal_has_the_tails_of_the_normal_law():
    n = np.abs(normal(12, 0, 0, N))
    for bound in (0.001, 0.01, 0.1, 1, 2, 3, 4, 4.5):
        share = math.erfc(bound / math.sqrt(2))
        assert abs((n > bound).mean() - share) < 5 * math.sqrt(share * (1 - share) / N), bound
    assert 4.5 < n.max() < 6.77


def test_normal_follows_the_normal_distribution_function():
    """Kolmogorov-Smirnov; 1.95 / sqrt(n) is exceeded by one sample in a thousand, and the sample is fixed."""
    n = np.sort(normal(13, 0, 0, 1 << 16).astype(np.float64))
    law = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in n])
    steps = np.arange(len(n) + 1) / len(n)
    assert max(np.abs(law - steps[1:]).max(), np.abs(law - steps[:-1]).max()) < 1.95 / math.sqrt(len(n))


def test_uniform_fills_its_bins_evenly():
    counts = np.bincount((uniform(14, 0, 0, N) * 256).astype(int), minlength=256)
    chi = float(((counts - N / 256) ** 2).sum() / (N / 256))
    assert len(counts) == 256
    assert abs(chi - 255) < 5 * math.sqrt(2 * 255)


def test_draws_images_seeds_and_streams_are_uncorrelated():
    base = {"seed": 3, "image": 4, "draw": 5, "stream": Stream.INPUT}
    variants = [{}, {"seed": 4}, {"image": 5}, {"draw": 6}, {"draw": 4, "seed": 4}, {"stream": Stream.MASK}]
    fields = [normal(size=1 << 18, **{**base, **change}) for change in variants]
    fields += [np.roll(fields[0], shift) for shift in (1, 2, 224)]
    fields += [field**2 - 1 for field in fields]
    off_diagonal = np.corrcoef(fields) - np.eye(len(fields))
    assert np.abs(off_diagonal).max() < 5 / math.sqrt(1 << 18)


@pytest.mark.parametrize("bad", [{"seed": -1}, {"image": 2**32}, {"draw": -5}, {"size": -1}, {"size": 2**29 + 1}])
def test_what_does_not_fit_the_counter_is_refused_by_name(bad):
    name, value = next(iter(bad.items()))
    with pytest.raises(UsageError, match=f"{value}|{'noise for' if name == 'size' else name}"):
        normal(**{"seed": 0, "image": 0, "draw": 0, "size": 4, **bad})
