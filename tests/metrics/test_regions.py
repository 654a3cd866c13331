"""How a map lies to the region that is explained, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.metrics.registry import get

REGION = np.zeros((8, 10), bool)
REGION[2:4, 3:7] = True


def test_the_share_of_the_energy_on_the_region() -> None:
    saliency = np.ones((8, 10))
    found = get("mask-share")(saliency=saliency, region=REGION)
    assert found.value == pytest.approx(8 / 80)
    assert found.details["area"] == pytest.approx(8 / 80)
    signed = np.where(REGION, -3.0, 1.0)
    assert get("mask-share")(saliency=signed, region=REGION).value == pytest.approx(24 / (24 + 72))
    assert math.isnan(get("mask-share")(saliency=np.zeros((8, 10)), region=REGION).value)


@pytest.mark.parametrize(("row", "column", "hits"), [(2, 3, 1), (2, 9, 1), (2, 0, 1), (7, 9, 0), (7, 3, 0)])
def test_the_highest_pixel_is_near_the_region(row: int, column: int, hits: int) -> None:
    """Within three pixels: from column 6 to 9 they are three, from row 3 to 7 four."""
    saliency = np.zeros((8, 10))
    saliency[row, column] = 1
    assert get("region-pointing")(saliency=saliency, region=REGION, tolerance=3).value == hits
    assert math.isnan(get("region-pointing")(saliency=np.ones((8, 10)), region=REGION).value)


@pytest.mark.parametrize("name", ["mask-share", "region-pointing"])
def test_a_region_of_another_size_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="sizes differ"):
        get(name)(saliency=np.ones((8, 10)), region=REGION[:4])
