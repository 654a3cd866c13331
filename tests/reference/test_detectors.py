"""Every form of the bundled detector says what the bundled detector says, read by readers that share nothing."""

from __future__ import annotations

import detector_decoders as read
import numpy as np
import pytest
from detectors import FORMS, run
from drawn_objects import PICTURES, masks, picture, truth

TIGHT = {"float16": (0.2, 0.01), "int8": (6.0, 0.25)}
"""How far boxes may be off, in pixels, and scores; else a thousandth."""


@pytest.fixture(scope="module")
def plain() -> dict[int, read.Found]:
    return {seed: FORMS["v8"].found(picture(seed)) for seed in PICTURES}


def test_the_bundled_detector_finds_what_is_drawn(plain: dict[int, read.Found]) -> None:
    for seed, found in plain.items():
        boxes, labels = truth(seed)
        assert len(found) == len(boxes)
        overlap = read.iou(found.boxes, boxes)
        assert (overlap.max(1) > 0.7).all()
        assert (labels[overlap.argmax(1)] == found.labels).all()


@pytest.mark.parametrize("name", FORMS)
def test_a_form_agrees(name: str, plain: dict[int, read.Found]) -> None:
    pixels, shares = TIGHT.get(name, (1e-3, 1e-4))
    for seed, expected in plain.items():
        found = FORMS[name].found(picture(seed))
        assert len(found) == len(expected)
        distance = np.abs(found.boxes[:, None] - expected.boxes).max(2)
        match = distance.argmin(1)
        assert distance.min(1).max() < pixels
        assert (found.labels == expected.labels[match]).all()
        assert np.abs(found.scores - _scores(name, expected)[match]).max() < shares


def _scores(name: str, expected: read.Found) -> np.ndarray:
    """Return the scores that a form should give: a softmax beside nothing, where the other classes are hardly there."""
    odds = expected.scores / (1 - expected.scores)
    return odds / (1 + odds) if FORMS[name].softmax else expected.scores


def test_softmax_is_over_all_classes_and_nothing() -> None:
    seed = PICTURES[0]
    p = run(FORMS["v8"].model(), picture(seed))["output0"][0, 4:].T.astype(float)
    scores = run(FORMS["ssd"].model(), picture(seed))["scores"][0]
    odds = np.concatenate([np.ones((len(p), 1)), p / (1 - p)], 1)
    np.testing.assert_allclose(scores, odds / odds.sum(1, keepdims=True), atol=1e-5)


def test_masks_cover_the_drawn_objects() -> None:
    overlaps = []
    for seed in PICTURES:
        found, drawn = FORMS["segment"].found(picture(seed)), masks(seed)
        for row in found.extra.reshape(-1, 24, 24) > 0:
            shared = [(row & mask).sum() / (row | mask).sum() for mask in drawn]
            overlaps.append(max(shared))
    assert np.mean(overlaps) > 0.6


def test_keypoints_are_the_middle_and_the_corners() -> None:
    for seed in PICTURES:
        found = FORMS["pose"].found(picture(seed))
        points = found.extra.reshape(-1, 5, 3)
        left, top, right, bottom = found.boxes.T
        corners = np.stack([left, top, right, top, right, bottom, left, bottom], 1).reshape(-1, 4, 2)
        np.testing.assert_allclose(points[:, 1:, :2], corners, atol=1e-3)
        np.testing.assert_allclose(points[:, 0, :2], corners.mean(1), atol=1e-3)
        np.testing.assert_allclose(points[..., 2], found.scores[:, None] * np.ones(5), atol=1e-6)


def test_turned_boxes_keep_their_middle_and_area() -> None:
    found = FORMS["obb"].found(picture(PICTURES[0]))
    corners = read.rotated(found.boxes, found.extra[:, 0])
    np.testing.assert_allclose(corners.mean(1), (found.boxes[:, :2] + found.boxes[:, 2:]) / 2)
    side = np.linalg.norm(corners - np.roll(corners, -1, 1), axis=2)
    np.testing.assert_allclose(side[:, 0], found.boxes[:, 2] - found.boxes[:, 0])
    assert (np.abs(found.extra) < np.pi).all() and (found.extra != 0).any()


def test_nothing_in_the_picture_is_nothing_found() -> None:
    flat = np.full((3, 96, 96), 0.5, np.float32)
    for name, form in FORMS.items():
        assert len(form.found(flat)) == 0, name
