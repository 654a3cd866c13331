"""Scores beside their limit: as text they stand to each other as the numbers do."""

import numpy as np
import pytest

from onnxsal.tasks.limits import told_apart


@pytest.mark.parametrize(
    ("score", "limit", "texts"),
    [
        (0.1234567, 0.25, ("0.123", "0.25")),
        (0.24999, 0.25, ("0.24999", "0.25")),
        (float(np.float32(0.9999999)), 0.99999999, ("0.9999999", "0.99999999")),
        (0.25000001, 0.25, ("0.25000001", "0.25")),
        (0.5, 0.5, ("0.5", "0.5")),
        (float(np.nextafter(0.5, 0)), 0.5, ("0.4999999999999999", "0.5")),
        (0.0, 1e-7, ("0", "1e-07")),
    ],
)
def test_texts_stand_as_the_numbers_do(score: float, limit: float, texts: tuple[str, str]) -> None:
    assert told_apart(score, limit) == texts
    assert (float(texts[0]) > limit, float(texts[0]) < limit) == (score > limit, score < limit)
