"""Experiments and studies of detectors: what they show is one object, and what asks for whole pictures is refused."""

from __future__ import annotations

from pathlib import Path

import detectors
import drawn_objects
import numpy as np
import onnxruntime
import pytest
from detector_decoders import iou
from PIL import Image

from onnxsal.errors import UsageError
from onnxsal.experiments.base import Case
from onnxsal.experiments.catalogue import get
from onnxsal.experiments.drawn import seen
from onnxsal.experiments.score_variants import scorer
from onnxsal.model.load import load

SEED = 60_000_003
"""A disc and two squares, all three found."""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    Image.fromarray(drawn_objects.scene(SEED).image).save(tmp_path / "scene.png")
    return Case(str(detectors.BUNDLED), (str(tmp_path / "scene.png"),), load, target="#3")


def test_curves_follow_the_detection_that_is_asked_for(case: Case) -> None:
    """The column of a class is a candidate's score, and no class's: what is followed is the box, in every picture."""
    picture = drawn_objects.picture(SEED)
    right = detectors.FORMS["v8"].found(picture)
    pictures = np.stack([picture, np.roll(picture, 2, axis=2), 0 * picture])
    session = onnxruntime.InferenceSession(detectors.FORMS["v8"].model().SerializeToString())
    rows = session.run(None, {"images": pictures})[0].astype(np.float64)
    corners = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1).transpose(0, 2, 1)
    box, label = right.boxes[2:3], int(right.labels[2])
    wanted = [(iou(c, box)[:, 0] * r[4 + label]).max() for c, r in zip(corners, rows, strict=True)]
    assert wanted[0] > 0.9 > wanted[1] > 0.3 > wanted[2]
    assert scorer(case.fitted(case.images[0]), case.target)(pictures) == pytest.approx(wanted, rel=1e-3)


def test_the_box_is_on_what_is_shown(case: Case) -> None:
    shown = case.explainer("gradient")(case.images[0], "#3")
    drawn, plain = seen(shown), np.asarray(shown.image).repeat(5, 0).repeat(5, 1)
    rows, columns = np.nonzero((drawn != plain).any(axis=2))
    left, top, right, bottom = (n * 5 for n in shown.detection["box"])  # type: ignore[index]
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == pytest.approx((left, top, right, bottom), abs=4)


def test_what_asks_for_whole_pictures_or_one_of_several_is_refused(case: Case) -> None:
    for name in ("discrimination", "occurrences"):
        with pytest.raises(UsageError, match=f"{name} asks for the class of a whole picture, and .* is a detector"):
            get(name).run(case)
    with pytest.raises(UsageError, match=r"has levels head8/relu, head16/relu: name one \(-l\)"):
        get("feature-maps").run(case)
    with pytest.raises(UsageError, match="target='all': one detection is shown here; name it"):
        case.explainer("gradient")(case.images[0], "all")
