"""Two detectors compared: forms of one model agree wherever their classes stand, and what one misses is told."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import detectors
import drawn_objects
import numpy as np
import onnx
import pytest
import tiny_models
from detector_decoders import iou
from PIL import Image

import onnxsal
from onnxsal.cli import main
from onnxsal.errors import UsageError
from onnxsal.experiments.detector_diff import DetectorDrift, compare_detectors, says
from onnxsal.experiments.diff import How, compare

SEEDS = (60_000_002, 60_000_003)
"""The detector finds four and three objects, the fourth with .46, a third one with .94."""


@functools.cache
def model(form: str = "v8", labels: Sequence[str] | None = None, threshold: float | None = None) -> onnxsal.Model:
    return onnxsal.load(detectors.FORMS[form].model(), labels=labels, threshold=threshold, preprocess="unit")


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    for seed in SEEDS:
        Image.fromarray(drawn_objects.scene(seed).image).save(tmp_path / f"{seed}.png")
    return [str(tmp_path / f"{seed}.png") for seed in SEEDS]


def compared(
    first: onnxsal.Model, second: onnxsal.Model, images: list[str], target: str | None = None
) -> DetectorDrift:
    return compare_detectors((first, second), images, How("gradient", target=target))


def test_forms_of_one_model_agree(images: list[str]) -> None:
    """The second counts its classes from 1, behind a background, and leaves out boxes itself."""
    drift = compared(model(), model("torchvision", detectors.FORMS["torchvision"].labels), images)
    right = [detectors.FORMS["v8"].found(drawn_objects.picture(seed)) for seed in SEEDS]
    found = {(each.image, twin.first.number): twin for each in drift.pictures for twin in each.both}
    assert len(found) == sum(len(each.scores) for each in right) == 7
    for (image, number), twin in found.items():
        each = right[images.index(image)]
        assert twin.second.index == twin.first.index + 1 == each.labels[number - 1] + 1
        assert twin.second.probability == pytest.approx(each.scores[number - 1], rel=1e-4)
        assert (twin.overlap, twin.maps.cosine) == (pytest.approx(1, abs=1e-4), pytest.approx(1, abs=1e-3))
    assert (drift.count("first"), drift.count("second")) == (0, 0)
    assert "the first model has no class 'background'" in drift.notes
    squares = compared(model(), model(), images, target="square")
    assert {twin.first.label for twin in squares.twins} == {"square"}
    assert len(compared(model(), model(), images[:1], target="#2").twins) == 1


def test_what_one_misses_is_told_with_what_the_other_has_there(images: list[str]) -> None:
    drift = compared(model(threshold=0.95), model(), images)
    lone = [each for picture in drift.pictures for each in picture.second]
    assert (drift.count("both"), drift.count("first")) == (5, 0)
    assert sorted(each.there for each in lone) == pytest.approx(
        sorted(each.found.probability for each in lone), rel=1e-5
    )
    assert sorted(round(each.found.probability, 2) for each in lone) == [0.46, 0.94]
    assert says(drift)[0].startswith("on 2 pictures both find 5 objects (IoU 0.5, same label), the first alone 0, the")


def test_an_int8_copy(images: list[str]) -> None:
    """Pairs against boxes of both files that were read without onnxsal."""
    form = detectors.FORMS["v8"]
    copy = detectors.int8(form.model())
    drift = compared(model(), onnxsal.load(copy, preprocess="unit"), images)
    pictures = [drawn_objects.picture(seed) for seed in SEEDS]
    both = [(form.found(x), form.reader(detectors.run(copy, x))) for x in pictures]
    overlaps = [
        over[over >= 0.5]
        for a, b in both if len(over := iou(a.boxes, b.boxes) * (a.labels[:, None] == b.labels))
    ]  # fmt: skip
    assert [twin.overlap for twin in drift.twins] == pytest.approx(
        np.concatenate([overlaps[images.index(each.image)] for each in drift.pictures]).tolist(), abs=2e-4
    )
    assert any(twin.change != 0 for twin in drift.twins)


def test_what_cannot_be_compared_is_refused(images: list[str], tmp_path: Path) -> None:
    classifier = onnxsal.load(tiny_models.write(tiny_models.classifier(), tmp_path / "c.onnx"))
    with pytest.raises(UsageError, match=r"is a detector, and .* is taken for classification"):
        compared(model(), classifier, images)
    with pytest.raises(UsageError, match="compare_detectors compares two of them"):
        compare((model(), model()), images, How())
    with pytest.raises(UsageError, match=r"no class of .* \('disc', .*\) is called as one of .* \('a', 'b', 'c'\)"):
        compared(model(), model("v8", ("a", "b", "c")), images)
    some = compared(model(), model("v8", ("triangle", "disc", "c")), images[1:])
    assert not some.twins and "the second model has no class 'square'" in some.notes
    assert {(each.found.label, each.comparable) for each in some.pictures[0].first} == {
        ("square", False),
        ("disc", True),
    }
    with pytest.raises(UsageError, match="by all that they find, by a label, or by '#k'"):
        compared(model(), model(), images, target="disc@1,2,3,4")


def test_on_a_command_line(images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(detectors.FORMS["v8"].model(), tmp_path / "a.onnx")
    two, page, picture = [str(tmp_path / "a.onnx")] * 2, tmp_path / "page.html", tmp_path / "worst.png"
    given = ["-m", "gradient", "--preprocess", "unit"]
    assert not main(["diff", *two, *images, *given, "--json", "--report", str(page), "-o", str(picture)])
    found = json.loads(capsys.readouterr().out)
    assert (found["both"], found["first"], found["second"], found["cosine"]["value"]) == (7, 0, 0, pytest.approx(1))
    assert [each["number"] for each in found["pictures"][0]["both"][0]["detections"]] == [1, 1]
    assert "Do two detectors see the same objects?" in page.read_text()
    with Image.open(picture) as image:
        assert np.asarray(image).std() > 10
    assert not main(["diff", *two, images[1], *given])
    assert "both find 3 objects" in capsys.readouterr().out
