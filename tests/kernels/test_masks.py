"""The fused fill against a loop over its formula, and its bits against batch size, order and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.kernels.masks import fill, make_rows
from onnxsal.kernels.noise import Stream, normal
from onnxsal.kernels.resize import bilinear

KEY = (21, 3)
RNG = np.random.default_rng(0)
SHAPE = (3, 13, 11)  # odd, so that the last noise pair is cut
X = RNG.standard_normal(SHAPE).astype(np.float32)
BASE = RNG.standard_normal(SHAPE).astype(np.float32)
GRIDS = RNG.standard_normal((4, 5, 3)).astype(np.float32)


def mixed_rows() -> np.ndarray:
    """Every path of the kernel: with and without mask, either noise, equal masks in a row and apart."""
    return make_rows(
        9,
        mask=[2, 2, 0, -1, -1, -1, 3, 2, -1],
        scale=[1, 0.5, 1, 1, 0.25, 0.7, 0.1, 1, 0],
        gain=[1, 1.5, 0.3, 9, 1, 1, -2, 1, 1],
        offset=[0, 0.2, -0.1, 9, 0, 0, 0.5, 0, 0],
        mask_noise=[0, 0, 0.5, 0, 0, 0.3, 0.2, 0, 0],
        input_noise=[0, 0, 0, 0.4, 0, 0, 0.6, 0.1, 0],
        draw=[0, 1, 2, 3, 4, 5, 6, 7, 8],
    )


def slow(row: np.ndarray, base: np.ndarray, renormalise: bool = False) -> np.ndarray:
    """One row of the formula in float64, in words: mask, noise on it, blend, noise on the picture."""
    has_mask, plane = row["mask"] >= 0, SHAPE[1:]
    m = np.ones(plane)
    if has_mask:
        m = float(row["gain"]) * bilinear(GRIDS[row["mask"]], plane).astype(float) + float(row["offset"])
    field = normal(*KEY, int(row["draw"]), m.size, stream=Stream.MASK).reshape(plane).astype(float)
    noise = float(row["mask_noise"]) * field
    if renormalise and has_mask:
        m = float(row["scale"]) * (m + noise - (m + noise).min()) / np.ptp(m + noise)
    else:
        m = float(row["scale"]) * m + noise
    n = normal(*KEY, int(row["draw"]), X.size).reshape(SHAPE).astype(float)
    return base + (X.astype(float) - base) * m + float(row["input_noise"]) * n


def filled(rows: np.ndarray, **options) -> np.ndarray:
    out = np.full((len(rows), *SHAPE), np.nan, np.float32)
    fill(out, X, rows, grids=GRIDS, key=KEY, **options)
    return out


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("baseline", [None, BASE])
def test_every_row_follows_the_formula(baseline, renormalise):
    found = filled(mixed_rows(), baseline=baseline, renormalise=renormalise)
    base = np.zeros(SHAPE) if baseline is None else baseline.astype(float)
    for z, row in zip(found, mixed_rows(), strict=True):
        np.testing.assert_allclose(z, slow(row, base, renormalise), rtol=0, atol=3e-6, err_msg=str(row))


def test_the_kernel_has_the_bits_of_numpy():
    row = make_rows(1, mask=1, scale=0.7, gain=1.3, offset=0.1, mask_noise=0.5, input_noise=0.25, draw=9)
    f = np.float32
    m = f(0.7) * (f(1.3) * bilinear(GRIDS[1], SHAPE[1:]) + f(0.1))
    m = m + f(0.5) * normal(*KEY, 9, m.size, stream=Stream.MASK).reshape(m.shape)
    z = BASE + (X - BASE) * m + f(0.25) * normal(*KEY, 9, X.size).reshape(SHAPE)
    np.testing.assert_array_equal(filled(row, baseline=BASE)[0], z)


def test_bits_depend_neither_on_batch_size_nor_on_order_nor_on_threads():
    rows = mixed_rows()
    whole = filled(rows)
    for size in (1, 2, 4):
        np.testing.assert_array_equal(np.concatenate([filled(rows[i : i + size]) for i in range(0, 9, size)]), whole)
    np.testing.assert_array_equal(filled(rows[::-1])[::-1], whole)
    out = np.empty_like(whole)
    with ThreadPoolExecutor(3) as pool:
        parts = [slice(i, i + 3) for i in range(0, 9, 3)]
        list(pool.map(lambda part: fill(out[part], X, rows[part], grids=GRIDS, key=KEY), parts))
    np.testing.assert_array_equal(out, whole)


def test_pure_noise_rows_keep_the_picture_exactly():
    out = np.empty((1, *SHAPE), np.float32)
    fill(out, X, make_rows(1), baseline=BASE)
    np.testing.assert_array_equal(out[0], X)
    fill(out, X, make_rows(1, input_noise=2.0, draw=5), key=KEY)
    np.testing.assert_array_equal(out[0], X + np.float32(2) * normal(*KEY, 5, X.size).reshape(SHAPE))


def test_scalar_rows_walk_straight_from_baseline_to_picture():
    steps = np.linspace(0, 1, 5)
    out = np.empty((5, *SHAPE), np.float32)
    fill(out, X, make_rows(5, scale=steps), baseline=BASE)
    path = BASE + np.multiply.outer(steps, X.astype(float) - BASE)
    np.testing.assert_allclose(out, path, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(out[0], BASE)
    np.testing.assert_array_equal(out[-1], X)


def test_mask_noise_is_one_field_for_all_channels_and_apart_from_input_noise():
    ones = np.ones(SHAPE, np.float32)
    out = np.empty((2, *SHAPE), np.float32)
    fill(out, ones, make_rows(2, mask_noise=[1, 0], input_noise=[0, 1], draw=4))
    np.testing.assert_array_equal(out[0, 0], out[0, 2])
    assert np.abs(out[1, 0] - out[1, 2]).max() > 1
    assert np.abs(out[0, 0] - out[1, 0]).max() > 1


def test_a_flat_mask_renormalises_to_nothing():
    out = np.empty((1, *SHAPE), np.float32)
    fill(out, X, make_rows(1, mask=0), grids=np.full((1, 2, 2), 0.3, np.float32), renormalise=True)
    assert not out.any()


def test_inputs_stay_as_they_are_and_may_be_of_any_layout():
    x, rows = np.asfortranarray(X.astype(np.float64)), mixed_rows()
    x.setflags(write=False)
    rows.setflags(write=False)
    out = np.empty((9, *SHAPE), np.float32)
    fill(out, x, rows, grids=GRIDS, key=KEY)
    np.testing.assert_array_equal(out, filled(mixed_rows()))
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": np.empty((2, 3, 13, 11))}, "float64"),
        ({"out": np.empty((3, *SHAPE), np.float32)}, r"\(2, 3, 13, 11\)"),
        ({"out": np.empty((2, 3, 11, 13), np.float32).swapaxes(2, 3)}, "C order"),
        ({"x": X[0]}, "C, H, W"),
        ({"baseline": BASE[:1]}, "baseline"),
        ({"rows": make_rows(2, mask=4)}, r"-1 \.\. 3"),
        ({"rows": make_rows(2, mask=-2)}, r"-1 \.\. 3"),
        ({"rows": np.zeros(2)}, "make_rows"),
        ({"grids": GRIDS[0]}, "grids"),
        ({"grids": None, "rows": make_rows(2, mask=0)}, r"-1 \.\. -1"),
        ({"key": (-1, 0)}, "seed"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(change, message):
    call = {"out": np.zeros((2, *SHAPE), np.float32), "x": X, "rows": make_rows(2), "grids": GRIDS, **change}
    out, x, rows = call.pop("out"), call.pop("x"), call.pop("rows")
    before = out.copy()
    with pytest.raises(UsageError, match=message):
        fill(out, x, rows, **call)
    np.testing.assert_array_equal(out, before)


def test_an_unknown_column_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'mask_noise'"):
        make_rows(2, mask_noize=1)


@pytest.mark.parametrize("side", [4, 5])
def test_noise_that_rows_share_is_drawn_once_and_changes_no_bit(side):
    """Masks of one sample have one noise; each row filled alone draws its own."""
    rng = np.random.default_rng(3)
    x, grids = rng.normal(size=(3, side, side)).astype(np.float32), rng.random((4, 2, 2)).astype(np.float32)
    rows = make_rows(
        8,
        mask=[0, 1, 2, 3, 0, 1, -1, 2],
        input_noise=[0.5, 0.1, 0, 0.7, 0.2, 0.3, 0.4, 0.6],
        draw=[5, 5, 5, 5, 6, 7, 7, 5],
    )
    together = np.empty((8, *x.shape), np.float32)
    fill(together, x, rows, grids=grids, key=(1, 2))
    for r in range(8):
        alone = np.empty((1, *x.shape), np.float32)
        fill(alone, x, rows[r : r + 1], grids=grids, key=(1, 2))
        np.testing.assert_array_equal(together[r], alone[0])
