"""The noise in standard operators is the kernels', bit for bit, and needs no operator newer than opset 18."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from onnxsal.folding import noise
from onnxsal.graph import empty
from onnxsal.kernels.noise import Stream, normal, uniform


def drawn(kind: str, draws: np.ndarray, size: int, key: tuple[int, int], stream: Stream = Stream.INPUT) -> np.ndarray:
    """Return what a graph draws with a key that it holds, having seen that it draws the same with a seed it is fed."""
    op = empty(18)
    numbers, seed = op.input("draws", ir.DataType.INT64, ["r"]), op.input("seed", ir.DataType.UINT32, [])
    found = [
        noise.normal(op, numbers, size, stream, each) if kind == "normal" else noise.uniform(op, numbers, size, each)
        for each in (key, (seed, key[1]))
    ]
    session = ort.InferenceSession(op.finish(held=found[0], fed=found[1]).to_proto().SerializeToString())
    held, fed = session.run(["held", "fed"], {"draws": draws, "seed": np.array(key[0], np.uint32)})
    np.testing.assert_array_equal(held, fed)
    return held


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("key", [(0, 0), (2**32 - 1, 5), (123_456_789, 2**31)])
def test_normal_numbers_have_the_same_bits(size: int, key: tuple[int, int]) -> None:
    draws = np.array([0, 3, 2**32 - 1])
    found = drawn("normal", draws, size, key, Stream.MASK)
    for row, draw in zip(found, draws.tolist(), strict=True):
        np.testing.assert_array_equal(row, normal(*key, draw, size, stream=Stream.MASK))


def test_uniform_numbers_have_the_same_bits() -> None:
    found = drawn("uniform", np.array([0, 9]), 50_001, (17, 4))
    np.testing.assert_array_equal(found, np.stack([uniform(17, 4, draw, 50_001) for draw in (0, 9)]))
