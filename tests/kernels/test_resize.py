"""Bilinear resizing against a loop over the definition and against ONNX's Resize."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.kernels.placement import WHOLE, Placement, chained, mirrored, part
from onnxsal.kernels.resize import bilinear, inside, taps

SIZES = [
    ((7, 5), (14, 20)),
    ((3, 2), (224, 31)),
    ((9, 11), (4, 3)),
    ((1, 1), (5, 6)),
    ((6, 6), (6, 6)),
    ((2, 5), (1, 1)),
]


def slow(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One pixel at a time in float64, from the definition of half-pixel centres."""
    (h, w), out = plane.shape, np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            v = min(max((y + 0.5) * h / size[0] - 0.5, 0), h - 1)
            u = min(max((x + 0.5) * w / size[1] - 0.5, 0), w - 1)
            i, j = math.floor(v), math.floor(u)
            corners = [(i, j, (1 - v + i) * (1 - u + j)), (min(i + 1, h - 1), j, (v - i) * (1 - u + j))]
            corners += [(i, min(j + 1, w - 1), (1 - v + i) * (u - j))]
            corners += [(min(i + 1, h - 1), min(j + 1, w - 1), (v - i) * (u - j))]
            out[y, x] = sum(share * float(plane[a, b]) for a, b, share in corners)
    return out


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_bilinear_follows_the_definition(source, size):
    maps = np.random.default_rng(0).standard_normal((2, 3, *source)).astype(np.float32)
    found = bilinear(maps, size)
    assert found.dtype == np.float32
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(found[index], slow(maps[index], size), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_bilinear_is_what_onnx_resize_does(source, size):
    ort, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    node = onnx.helper.make_node("Resize", ["x", "", "", "size"], ["y"], mode="linear")
    shape = [1, 1, *source]
    graph = onnx.helper.make_graph(
        [node],
        "resize",
        [onnx.helper.make_tensor_value_info("x", 1, shape)],
        [onnx.helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(np.array([1, 1, *size]), "size")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(bilinear(x, size), session.run(None, {"x": x})[0], rtol=0, atol=2e-5)


def test_a_flat_map_stays_flat_to_the_bit():
    value = np.float32(0.1)
    assert set(bilinear(np.full((5, 7), value), (224, 197)).ravel()) == {value}


def test_resizing_to_the_same_size_changes_nothing():
    x = np.random.default_rng(2).standard_normal((3, 8, 9)).astype(np.float32)
    np.testing.assert_array_equal(bilinear(x, (8, 9)), x)


def test_nothing_cannot_be_resized():
    with pytest.raises(UsageError, match="0 samples"):
        taps(0, 5)


def share(n: int) -> Fraction:
    return Fraction(n, 12)


CROP, LETTERBOX = part(WHOLE, share(3), share(9)), part(WHOLE, share(-4), share(20))
ROLL = chained([(part(WHOLE, share(5), share(12)), 7), (part(WHOLE, share(0), share(5)), 5)])


@pytest.mark.parametrize("size", [(12, 12), (48, 36)])
def test_a_crop_is_the_picture_of_that_part(size):
    maps = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
    placed, seen = bilinear(maps, size, Placement(CROP, CROP)), inside(size, Placement(CROP, CROP))
    rows, columns = (slice(n // 4, 3 * n // 4) for n in size)
    assert seen.sum() == seen[rows, columns].sum() == seen[rows, columns].size
    np.testing.assert_allclose(placed[rows, columns], bilinear(maps, (size[0] // 2, size[1] // 2)), atol=2e-6)


def test_a_mirrored_axis_is_the_mirrored_picture():
    maps = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    placed = bilinear(maps, (20, 21), Placement(columns=mirrored(WHOLE)))
    np.testing.assert_allclose(placed, bilinear(maps, (20, 21))[:, ::-1], atol=2e-6)
    assert inside((20, 21), Placement(columns=mirrored(WHOLE))).all()


def test_of_a_letterbox_only_the_picture_is_drawn():
    maps = np.random.default_rng(0).standard_normal((24, 5)).astype(np.float32)
    placed = bilinear(maps, (24, 5), Placement(LETTERBOX))
    np.testing.assert_allclose(placed, bilinear(maps, (48, 5))[8:32], atol=2e-6)


def test_a_roll_is_read_across_no_seam():
    assert ROLL is not None
    ramp = np.r_[np.arange(5, 12), np.arange(5)].astype(np.float32)[:, None]  # the number of every row of the picture
    np.testing.assert_allclose(bilinear(ramp, (12, 1), Placement(ROLL)), np.arange(12)[:, None], atol=1e-6)
    fine = bilinear(ramp, (120, 1), Placement(ROLL))[:, 0]
    assert (np.diff(fine) >= -1e-6).all()  # nothing between the last row and the first


def test_a_stretch_narrower_than_a_sample_reads_the_one_that_it_lies_in():
    narrow = chained([(part(WHOLE, share(11), share(12)), 1), (part(WHOLE, share(0), share(11)), 11)])
    assert narrow is not None
    found = bilinear(np.arange(3, dtype=np.float32)[:, None], (12, 1), Placement(narrow))[:, 0]
    assert found[-1] == 0 and found[0] == 0.0 and found[-2] == 2


def test_what_nothing_covers_is_said():
    assert not inside((4, 4), Placement(part(WHOLE, share(9), share(12)))).any(axis=1)[:3].any()
