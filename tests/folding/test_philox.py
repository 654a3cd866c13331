"""Masks that a graph draws of a seed that it is fed are those that numpy draws."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from onnxsal.folding import philox
from onnxsal.graph import empty
from onnxsal.methods.rise import _masks
from onnxsal.methods.rise import coarse_masks as rise_masks
from onnxsal.records import Cells

NUMBERS = np.arange(100, 300)
OFTEN = 15 << 28
"""Below such a bound every 16th draw would favour some numbers, and is drawn again."""


def of_graph(kind: str, seed: int, *args: object) -> list[np.ndarray]:
    op = empty(18)
    numbers, key = op.input("numbers", ir.DataType.INT64, ["r"]), op.input("seed", ir.DataType.UINT32, [])
    cells, behind = getattr(philox, kind)(op, key, numbers, *args)
    session = ort.InferenceSession(op.finish(cells=cells, behind=behind).to_proto().SerializeToString())
    return list(session.run(None, {"numbers": NUMBERS, "seed": np.array(seed, np.uint32)}))


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
@pytest.mark.parametrize("by", ["segment", "channel", "cell"])
def test_cells_and_shifts(by: str, seed: int) -> None:
    masks = _masks(300, 5, 0.3, by, "last" if by == "channel" else None)  # type: ignore[arg-type]
    size = (17, 40) if by == "segment" else (3, 17, 40)
    assert masks.drawn is not None
    for found, wanted in zip(
        of_graph("cells_and_shifts", seed, masks.drawn(size)), masks.draw(seed, 100, 300, size), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_rows_of_any_length() -> None:
    masks = rise_masks(300, 7, 0.5)
    assert masks.row is not None
    for found, wanted in zip(of_graph("cells_and_words", 9, 0.5, 7), masks.row(9, 7), strict=True):
        np.testing.assert_array_equal(found, wanted[100:])


def test_what_would_favour_some_is_drawn_again() -> None:
    cells, shifts = of_graph("cells_and_shifts", 3, Cells(0.5, (2,), (OFTEN, 5)))
    again = 0
    for number, own, first in zip(NUMBERS, cells, shifts, strict=True):
        source = np.random.Philox(key=3, counter=int(number) << 192)
        rng = np.random.Generator(source)
        np.testing.assert_array_equal(rng.random(2) < 0.5, own)
        assert [rng.integers(OFTEN), rng.integers(5)] == first.tolist()
        again += source.state["has_uint32"]
    assert again > 5
