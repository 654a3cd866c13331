"""Where an ``Entry`` says that the axes of a model's input, of the explained value and of ``sal/x`` are."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from onnxsal.anatomy import Entry

SIZES = {"N": 2, "C": 3, "D": 4, "H": 5, "W": 7, "F": 11, "T": 13}


def shape_of(letters: str) -> list[int]:
    return [SIZES[letter] for letter in letters]


@pytest.mark.parametrize(
    ("fed", "explained", "spatial"),
    [("NCHW", "NCHW", "HW"), ("NHWC", "NCHW", "HW"), ("NCHW", "NHWC", "HW"), ("NHWC", "NHWC", "HW"),
     ("NTC", "NCT", "T"), ("NCT", "NTC", "T"), ("NTFC", "NCFT", "FT"), ("NDHWC", "NWDCH", "DHW"), ("NC", "NC", "")],
)  # fmt: skip
def test_each_order_leads_where_it_says(fed: str, explained: str, spatial: str) -> None:
    entry = Entry("in", "value", ir.DataType.FLOAT, fed, explained, SIZES["C"], tuple(shape_of(spatial)), spatial)
    x = np.zeros(shape_of(f"NC{spatial}"), np.uint8)
    assert list(x.transpose(entry.fed_from_sal).shape) == shape_of(fed)
    assert list(x.transpose(entry.from_sal).shape) == shape_of(explained)
    assert x.transpose(entry.from_sal).transpose(entry.to_sal).shape == x.shape
    assert (fed == entry.channels_last) == (fed.endswith("C") and fed[1:-1] == spatial)
