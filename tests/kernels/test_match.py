"""The best match of boxes against xaitk-saliency's scores (tests/data/drise), and what it gives where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxsal.kernels.match import best_match
from onnxsal.records import Moments
from onnxsal.streaming.weighed import Weighed
from onnxsal.tasks.detection.overlap import iou

XAITK = np.load(Path(__file__).resolve().parents[1] / "data" / "drise" / "drise.npz")
FOUND, PERTURBED, MASKS = XAITK["found"], XAITK["perturbed"], XAITK["masks"]
SHAPE = (len(PERTURBED), len(FOUND))


def matched(scores: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the match of every detection behind every mask."""
    aims = np.broadcast_to(FOUND[:, :4], (*SHAPE, 4))
    return best_match(PERTURBED[..., :4], scores, np.broadcast_to(columns, SHAPE), aims)


def test_scores_of_the_class_are_xaitks() -> None:
    """The largest difference is 5.6e-8: what rounding to float32 is."""
    found = matched(PERTURBED[..., 5:], FOUND[:, 5:].argmax(axis=1))
    np.testing.assert_allclose(found, XAITK["class"], rtol=0, atol=1e-7)


def test_scores_with_objectness_and_cosine_are_xaitks() -> None:
    """D-RISE's own similarity, eq. 1, where a score is objectness times the cosine of the class scores."""
    vectors = [v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (PERTURBED[..., 5:], FOUND[:, 5:])]
    cosines = vectors[0] @ vectors[1].T
    found = matched(cosines * PERTURBED[..., 4:5], np.arange(len(FOUND)))
    np.testing.assert_allclose(found, XAITK["objectness"], rtol=0, atol=1e-7)


def test_masks_weighed_with_them_give_its_maps_from_one_set_of_masks() -> None:
    """Of every detection the sum of the masks times its scores, over the sum of the masks; the largest number is 1."""
    first, *others = [Weighed(Moments(("score",), per="weighted"), groups=4) for _ in FOUND]
    for start in range(0, len(MASKS), 5):
        some = np.arange(start, min(start + 5, len(MASKS)))
        outputs = [{"score": scores[some]} for scores in XAITK["objectness"].T]
        first.adding_all(others, outputs, MASKS[some].astype(np.float32), some)()
    for sums, wanted in zip([first, *others], XAITK["saliency"], strict=True):
        totals = sums.totals()
        found = totals["mean/score"] / totals["mean/mask"]
        np.testing.assert_allclose(found / found.max(), wanted, rtol=0, atol=1e-6)


def test_of_many_candidates_it_is_that_of_all_of_them() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 20, (3, 70, 2, 2))
    boxes = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=2).astype(np.float32)
    boxes[:, ::9, 2:] = boxes[:, ::9, :2]  # those that cover nothing
    scores, aims = random.random((3, 70, 4)).astype(np.float32), boxes[:, 1:6]
    columns = random.integers(0, 4, (3, 5))
    wanted = [[(iou(boxes[r], aims[r, t][None]) * scores[r, :, columns[r, t]]).max() for t in range(5)]
              for r in range(3)]  # fmt: skip
    np.testing.assert_allclose(best_match(boxes, scores, columns, aims), wanted, rtol=1e-6)


@pytest.mark.parametrize(("scores", "wanted"), [([], 0.0), ([0.5, np.nan, 0.9], np.nan), ([0.5, -1.0], 0.5)])
def test_nothing_is_zero_and_what_is_no_number_is_told(scores: list[float], wanted: float) -> None:
    boxes = np.tile(np.float32([0, 0, 2, 2]), (1, len(scores), 1))
    given = np.array(scores, np.float32).reshape(1, -1, 1)
    found = best_match(boxes, given, np.zeros((1, 1), np.int64), np.float32([[[0, 0, 2, 2]]]))
    np.testing.assert_array_equal(found, np.float32([[wanted]]))
