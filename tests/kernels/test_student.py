"""Quantiles of Student's t against printed tables."""

from __future__ import annotations

import pytest

from onnxsal.kernels.student import NORMAL, student


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2.
    [(1, 12.706), (8, 2.306), (9, 2.262), (10, 2.228), (20, 2.086), (30, 2.042), (100, 1.984)],
)
def test_quantiles_of_student(degrees: int, quantile: float) -> None:
    assert student(degrees) == pytest.approx(quantile, abs=5.1e-4)


def test_between_whole_degrees_it_falls_to_the_normal_quantile() -> None:
    """From 5 on, where intervals of maps use it, within 0.1 % of the table on either side."""
    assert student(5.000001) == pytest.approx(2.570582, rel=1.2e-3)
    assert student(8) < student(7.5) < student(7)
    assert student(1e9) == pytest.approx(NORMAL, abs=1e-6)
