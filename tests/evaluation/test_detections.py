"""Detectors judged detection by detection: matching against pycocotools, values against the file in ONNX Runtime."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import detectors
import drawn_objects
import numpy as np
import onnxruntime
import pytest
from detector_decoders import iou
from PIL import Image

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.evaluation import Evaluation, Item
from onnxsal.evaluation.judge import Conditions, opened
from onnxsal.evaluation.matching import Truth, matched
from onnxsal.evaluation.named import named
from onnxsal.evaluation.sources import Making, sources
from onnxsal.evaluation.statistics import differences, means
from onnxsal.evaluation.thumbnails import read_image_entry
from onnxsal.evaluation.together import Together
from onnxsal.metrics.registry import get
from onnxsal.tasks.detection import BoxPrediction

CLASSES = drawn_objects.CLASSES
SEEDS = (60_000_002, 60_000_003, 60_000_018)
"""Three, three and two objects; on the first and the last the detector sees one more than there is."""
DATA = Path(__file__).resolve().parents[1] / "data" / "coco" / "matching.json"


@pytest.mark.parametrize("annotated", [False, True])
def test_energy_of_a_turned_box_is_that_within_its_corners(tmp_path: Path, annotated: bool) -> None:
    """Of a YOLO label with four corners and of the detected box alike; inside is on the right of every side."""
    picture = tmp_path / "0.png"
    Image.fromarray(drawn_objects.scene(SEEDS[0]).image).save(picture)
    model = onnxsal.load(detectors.FORMS["obb"].model(), preprocess={"preset": "unit", "fit": "pad"})
    first = model.predict(picture)[0]
    assert isinstance(first, BoxPrediction) and first.corners is not None
    corners = np.array(first.corners)
    if annotated:
        corners = corners.mean(axis=0) + 0.8 * (corners - corners.mean(axis=0))  # inside of the picture
        label = " ".join(f"{n / 96:.8f}" for n in corners.ravel())
        (tmp_path / "0.txt").write_text(f"{first.index} {label}\n")
    found = onnxsal.evaluate(model, picture, methods=["gradient"], metrics=["energy-pointing"],
                             target=f"#{first.number}", boxes=tmp_path if annotated else None)  # fmt: skip
    places = np.stack(np.meshgrid(*[np.arange(96) + 0.5] * 2), axis=-1)[:, :, None] - corners
    ways = np.roll(corners, -1, axis=0) - corners
    inside = (ways[:, 0] * places[..., 1] - ways[:, 1] * places[..., 0] >= 0).all(axis=2)
    energy = np.abs(shown(model, picture, first.number))
    (row,) = found.rows
    assert row.value == pytest.approx(energy[inside].sum() / energy.sum(), rel=1e-4)
    assert 0 < inside.sum() < np.ptp(corners[:, 0]) * np.ptp(corners[:, 1]) * 0.95


@pytest.mark.parametrize("ignored", ["crowd", "difficult"])
def test_detections_are_matched_as_pycocotools_does(ignored: str) -> None:
    """What is difficult is on pycocotools' list of true boxes like a crowd, but overlaps as any box does."""
    for picture in json.loads(DATA.read_text()):
        truths = [Truth(sides(box), kind, "crowd" if crowd else "") for kind, box, crowd in picture["truths"]]
        found = matched([(kind, sides(box)) for kind, box, _ in picture["found"]], truths)
        assert [[each.verdict, each.at] for each in found] == picture["verdicts"]
        hard = matched([(kind, sides(box)) for kind, box, _ in picture["found"]],
                       [replace(each, ignored=each.ignored and ignored) for each in truths])  # fmt: skip
        assert [each.at for each in hard if each.verdict == "true"] == [
            at for verdict, at in picture["verdicts"] if verdict == "true"
        ]


def test_turned_boxes_are_matched_by_what_their_polygons_share() -> None:
    """Closed forms: the octagon that a square shares with itself turned by 45 degrees; two bars that cross."""
    square, half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 10.0, np.sqrt(0.5)
    turn = half * np.array([[1, 1], [-1, 1]])
    diamond, bar = square @ turn, square * [1, 0.1]
    sides, far = (-10.0, -10.0, 10.0, 10.0), 10 * np.sqrt(2)

    def one(corners: np.ndarray | None, true: np.ndarray | None, ignored: str = "") -> Any:
        mine, other = (None if c is None else tuple(map(tuple, c.tolist())) for c in (corners, true))
        own = (0, sides if corners is None else (-far, -far, far, far))
        hull = sides if true is None else (-far, -far, far, far)
        return matched([own], [Truth(hull, 0, ignored, other)], [mine])[0]

    octagon = 2 * (np.sqrt(2) - 1)
    for corners, true in ((diamond, None), (None, diamond), (diamond, square[::-1])):  # whichever way round
        found = one(corners, true)
        assert (found.verdict, found.overlap) == ("true", pytest.approx(octagon / (2 - octagon)))
    assert one(diamond, None, "crowd").overlap == pytest.approx(octagon)
    crossing = one(bar @ turn, bar @ turn.T)  # whose upright boxes are one
    assert (crossing.verdict, crossing.overlap) == ("false", 0)


def sides(box: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x, y, x + width, y + height


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of drawn objects, and their boxes as COCO, Pascal VOC and YOLO have them."""
    for name in ("photos", "voc", "yolo"):
        (tmp_path / name).mkdir()
    numbers = {"disc": 7, "square": 90, "triangle": 3}
    images, annotations = [], list[dict[str, Any]]()
    for k, seed in enumerate(SEEDS):
        Image.fromarray(drawn_objects.scene(seed).image).save(tmp_path / "photos" / f"{k}.png")
        images.append({"id": 50 - k, "file_name": f"{k}.png"})
        objects = [(CLASSES[label], box.tolist()) for box, label in zip(*known(seed), strict=True)]
        annotations += [
            {"image_id": 50 - k, "category_id": numbers[name], "bbox": [x, y, r - x, b - y], "iscrowd": 0}
            for name, (x, y, r, b) in objects
        ]
        (tmp_path / "voc" / f"{k}.xml").write_text(f"<annotation>{''.join(map(as_voc, objects))}</annotation>")
        (tmp_path / "yolo" / f"{k}.txt").write_text("".join(map(as_yolo, objects)))
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    (tmp_path / "yolo" / "classes.txt").write_text("triangle\nsquare\ndisc\n")
    return tmp_path


def known(seed: int) -> tuple[np.ndarray, np.ndarray]:
    boxes, labels = drawn_objects.truth(seed)
    return boxes, labels.astype(int)


def as_voc(one: tuple[str, list[float]]) -> str:
    name, (x, y, r, b) = one
    ends = f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{r}</xmax><ymax>{b}</ymax>"
    return f"<object><name>{name.title()}</name><difficult>0</difficult><bndbox>{ends}</bndbox></object>"


def as_yolo(one: tuple[str, list[float]]) -> str:
    name, (x, y, r, b) = one
    numbers = ((x + r) / 192, (y + b) / 192, (r - x) / 96, (b - y) / 96)
    return f"{('triangle', 'square', 'disc').index(name)} {' '.join(map(repr, numbers))}\n"


@functools.cache
def bundled(threshold: float | None = None) -> onnxsal.Model:
    return onnxsal.load(detectors.BUNDLED, threshold=threshold)


def judged(folder: Path, boxes: str | None = "coco.json", **options: Any) -> Evaluation:
    model = bundled(options.pop("threshold", None))
    given = {"methods": ["gradient"], "metrics": ["energy-pointing"], "target": "all", **options}
    return onnxsal.evaluate(model, folder / "photos", boxes=None if boxes is None else folder / boxes, **given)


def test_three_formats_give_one_table_and_energy_is_that_of_the_true_box(folder: Path) -> None:
    found = {boxes: judged(folder, boxes) for boxes in ("coco.json", "voc", "yolo")}
    assert len({each.table() for each in found.values()}) == 1
    coco = found["coco.json"]
    values = {(row.image, row.detection["number"]): row for row in coco.rows}
    model, wanted, false = bundled(), {}, []
    for k, seed in enumerate(SEEDS):
        path = folder / "photos" / f"{k}.png"
        right = detectors.FORMS["v8"].found(drawn_objects.picture(seed))
        boxes, labels = known(seed)
        over = iou(right.boxes, boxes) * (right.labels[:, None] == labels)
        for number, row in enumerate(over, 1):
            if row.max() < 0.5:
                false.append((f"{k}.png", number))
                continue
            (left, top, last, bottom), saliency = boxes[row.argmax()], shown(model, path, number)
            inside = saliency[int(top) : int(bottom), int(left) : int(last)].sum()
            wanted[f"{k}.png", number] = inside / saliency.sum(), row.max()
            over[number:, row.argmax()] = 0
    assert {key: (row.value, row.detection["iou"]) for key, row in values.items()} == {
        key: pytest.approx(pair, rel=1e-4) for key, pair in wanted.items()
    }
    assert coco.detections is not None
    assert [(each.image, each.number) for each in coco.detections.false] == false and len(false) == 2
    assert (coco.detections.found, coco.detections.true, coco.detections.missed) == (10, 8, ())
    assert (coco.left_out, coco.failures) == ({"energy-pointing": 2}, ())


def shown(model: onnxsal.Model, path: Path, number: int) -> np.ndarray:
    return onnxsal.explain(model, path, method="gradient", target=f"#{number}").saliency.astype(np.float64)


def test_deletion_follows_the_score_that_is_matched_anew(folder: Path) -> None:
    """The file in ONNX Runtime, boxes and scores read here: the largest IoU with the box times score of the class."""
    found = judged(folder, metrics=["deletion[steps=6]", "insertion[steps=6]"])
    session = onnxruntime.InferenceSession(detectors.FORMS["v8"].model().SerializeToString())
    model, picture = bundled(), drawn_objects.picture(SEEDS[0])
    right = detectors.FORMS["v8"].found(picture)
    assert len(right) == 4
    for number in (1, 3):
        box, label = right.boxes[number - 1], right.labels[number - 1]

        def score(images: np.ndarray, box: np.ndarray = box, label: int = int(label)) -> np.ndarray:
            rows = session.run(None, {"images": images})[0].astype(np.float64)
            half = rows[:, 2:4] / 2
            corners = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1).transpose(0, 2, 1)
            return np.array(
                [(iou(c, box[None])[:, 0] * r[4 + label]).max() for c, r in zip(corners, rows, strict=True)]
            )

        mine = {row.metric: row for row in found.rows if row.name == f"0.png #{number}"}
        for name, row in mine.items():
            metric = get(name.partition("[")[0])
            given = {"x": picture, "saliency": shown(model, folder / "photos" / "0.png", number)}
            exact = metric(score=score, baseline=np.zeros(3, np.float32), steps=6, **given)
            assert row.value == pytest.approx(exact.value, abs=1e-4)
            np.testing.assert_allclose(np.array(row.curve), exact.curve, atol=2e-4)
        assert mine["deletion[steps=6]"].curve[0][1] == pytest.approx(right.scores[number - 1], rel=1e-4)


def test_crowds_and_what_is_difficult_are_neither_right_nor_wrong(folder: Path) -> None:
    data = json.loads((folder / "coco.json").read_text())
    disc = next(each for each in data["annotations"] if each["category_id"] == 7)
    disc |= {"iscrowd": 1, "bbox": [0, 0, 96, 96]}
    (folder / "coco.json").write_text(json.dumps(data))
    crowd = judged(folder).detections
    assert crowd is not None and crowd.ignored >= 2  # the disc, and the one that is none: both lie on the crowd
    (folder / "voc" / "1.xml").write_text((folder / "voc" / "1.xml").read_text().replace("t>0<", "t>1<"))
    hard = judged(folder, "voc").detections
    assert hard is not None and (hard.true, hard.ignored, hard.missed) == (5, 3, ())


def test_what_is_chosen_and_what_is_missed(folder: Path) -> None:
    """Without annotations the object is the detected box; what is asked for says which detections are judged."""
    best = judged(folder, None, target="predicted")
    assert {row.name for row in best.rows} == {"0.png #1", "1.png #1", "2.png #1"}
    model = bundled()
    for row in best.rows:
        saliency, (left, top, right, bottom) = shown(model, folder / "photos" / row.image, 1), row.detection["box"]
        y, x = np.mgrid[:96, :96] + 0.5
        inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
        assert row.value == pytest.approx(saliency[inside].sum() / saliency.sum(), rel=1e-5)
    assert "the object is the detected box" in best.table()
    fourth = judged(folder, target="#4", metrics=["sparseness"])
    assert [row.name for row in fourth.rows] == [row.name for row in fourth.rows if row.name.endswith("#4")]
    assert "there is no detection #4: there are" in fourth.failures[0].message
    strict = judged(folder, threshold=0.95).detections
    assert strict is not None and (strict.true, [each.image for each in strict.missed]) == (7, ["1.png"])
    side = judged(folder, target="#1 left")
    assert {row.label.partition(", ")[2] for row in side.rows} == {"left"}
    with pytest.raises(UsageError, match="'deletion' follows a score, and '#1 left' is a coordinate in pixels"):
        judged(folder, target="#1 left", metrics=["deletion"])
    for metric in ("randomisation", "grid-pointing"):
        with pytest.raises(UsageError, match=r"metric '.*' asks for the"):
            judged(folder, metrics=[metric])


def test_a_changed_picture_is_asked_for_the_same_object(folder: Path) -> None:
    """The surest disc fades and is the third then: what its map is of must not become another disc."""
    model, path = bundled(), folder / "photos" / "0.png"
    subject = opened(model, Item(path, path.name), "#1", Conditions(0, 8)).subject
    (source,) = sources(model, named(["gradient"], "method"), [], Making(None, None, 0, 5, {}))
    box = model.predict(path)[0].box
    left, top, right, bottom = (round(n) for n in box)
    changed = drawn_objects.picture(SEEDS[0]).copy()
    changed[:, top:bottom, left:right] = 0.4 * changed[:, top:bottom, left:right] + 0.3
    assert max(abs(a - b) for a, b in zip(model.predict(changed)[0].box, box, strict=True)) > 10
    exact = onnxsal.explain(model, changed, method="gradient", target=onnxsal.Box("disc", box)).saliency
    np.testing.assert_allclose(source.maps(subject)(changed[None])[0], exact, atol=1e-5)


@pytest.mark.parametrize("method", ["rise[samples=24]", "score-cam[top_k=5]"])
def test_maps_of_one_pictures_detections_come_out_of_one_run_as_each_would_alone(folder: Path, method: str) -> None:
    model, path, parsed = bundled(), folder / "photos" / "0.png", named([method], "method")
    (source,) = sources(model, parsed, [], Making(None, None, 0, 5, {}))
    asked = [f"#{k}" for k in range(1, len(model.predict(path)) + 1)]
    subjects = [opened(model, Item(path, path.name), each, Conditions(0, 8)).subject for each in asked]
    shared, with_none = Together(asked), Together([*asked, "#99"])
    for at, subject in enumerate(subjects):
        alone = source.map(subject)
        for together in (shared, with_none):  # what is not there is told where it is asked for, not before
            found = together.map(source, subject, at)
            np.testing.assert_array_equal(found.raw, alone.raw)
            np.testing.assert_array_equal(found.saliency, alone.saliency)
            assert found.forwards == alone.forwards
    (limited,) = sources(model, parsed, [], Making(None, None, 0, 5, {"forwards": 99}))
    assert limited.together(subjects[0], asked) is None
    rows = judged(folder, methods=[method], metrics=["sparseness"]).rows
    assert [len({row.seconds for row in rows if row.image == f"{k}.png"}) for k in range(3)] == [1, 1, 1]
    assert len(rows) == 10


NAMES = {
    ("triangle", "Dreieck"): "no class of the model is called 'Dreieck': boxes of that kind are left out",
    ("square", None): "the annotations know no 'square': detections of that label are held against nothing",
}


@pytest.mark.parametrize("change", NAMES)
def test_names_that_do_not_meet_are_told(folder: Path, change: tuple[str, str | None]) -> None:
    data = json.loads((folder / "coco.json").read_text())
    old, new = change
    (category,) = (each for each in data["categories"] if each["name"] == old)
    category["name"] = new or "disc"
    if new is None:
        data["annotations"] = [a for a in data["annotations"] if a["category_id"] != category["id"]]
        data["categories"].remove(category)
    (folder / "coco.json").write_text(json.dumps(data))
    found = judged(folder).detections
    assert found is not None and NAMES[change] in found.says()
    assert found.unknown > 0 and old not in {each.label for each in (*found.false, *found.missed)}


def test_names_of_no_class_are_refused(folder: Path) -> None:
    data = json.loads((folder / "coco.json").read_text())
    del data["categories"]
    (folder / "coco.json").write_text(json.dumps(data))
    assert "say of no box what is in it" in judged(folder).table()  # any label may be on any box
    data["categories"] = [{"id": k, "name": f"n{k}"} for k in (3, 7, 90)]
    (folder / "coco.json").write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"'n3', 'n7', 'n90'.*It has 'disc', 'square', 'triangle'; call both the same"):
        judged(folder)
    (folder / "yolo" / "classes.txt").unlink()
    assert judged(folder, "yolo").detections.false  # type: ignore[union-attr]
    (folder / "yolo" / "0.txt").write_text("5 .5 .5 .1 .1\n")
    with pytest.raises(UsageError, match="the annotations have a class 5; the model has 3, 0 to 2"):
        judged(folder, "yolo")
    item = Item(folder / "photos" / "0.png", "0.png", boxes=((0, 0, 9, 9), (9, 9, 20, 20)), kinds=("disc", None))
    with pytest.raises(UsageError, match=r"a box of '0\.png' has no label, and others have"):
        onnxsal.evaluate(detectors.BUNDLED, item, methods=["gradient"], metrics=["energy-pointing"])


def test_boxes_of_a_picture_of_another_size_are_refused_by_name(folder: Path) -> None:
    data = json.loads((folder / "coco.json").read_text())
    data["annotations"][0]["bbox"] = [10, 10, 200, 20]
    (folder / "coco.json").write_text(json.dumps(data))
    found = judged(folder)
    assert [failure.image for failure in found.failures] == ["0.png"]
    assert "(10, 10, 210, 30) lies outside of the picture, which is 96 x 96" in found.failures[0].message
    assert found.detections is not None and found.detections.pictures == 2


def test_a_run_goes_on_with_other_annotations_and_another_threshold(folder: Path) -> None:
    """Rows that do not depend on the true boxes are taken from the journal, and say what their detection is on now."""
    given = {"metrics": ["sparseness", "energy-pointing"], "journal": folder / "run.jsonl"}
    first, again = judged(folder, **given), judged(folder, "voc", **given)
    assert (first.reused, again.reused) == (0, len(again.rows)) == (0, 18)
    data = json.loads((folder / "coco.json").read_text())
    data["annotations"] = []
    (folder / "coco.json").write_text(json.dumps(data))
    empty = judged(folder, **given)
    assert {row.metric for row in empty.rows} == {"sparseness"} and empty.reused == 10
    assert {row.detection["verdict"] for row in empty.rows} == {"false"}  # type: ignore[index]
    strict = judged(folder, "voc", threshold=0.95, **given)
    assert strict.reused == 0 and len(strict.rows) < 18
    (folder / "rows.csv").touch()
    again.to_csv(folder / "rows.csv")
    assert (folder / "rows.csv").read_text().splitlines()[0].endswith("details,detection")
    again.to_json(folder / "rows.json")
    plain = json.loads((folder / "rows.json").read_text())
    assert plain["detections"]["true"] == 8 and plain["rows"][0]["detection"]["number"] == 1
    again.report(folder / "page.html")
    page = (folder / "page.html").read_text()
    assert "0.png #4" in page and "Pairs of methods compared" in page
    counted = page.rsplit("Pairs of methods compared", 1)[1].split("</thead>", 1)[0]
    assert "detections" in counted and "pictures" not in counted
    row = again.rows[0]
    entry = again.journal.get("picture", again.journal.get("map", row.map_key)["picture"])  # type: ignore[index]
    shown, seen = read_image_entry(entry).astype(float), drawn_objects.scene(SEEDS[0]).image  # type: ignore[arg-type]
    moved = np.abs(shown - seen).max(axis=2)
    left, top, right, _ = (round(n) for n in row.detection["box"])  # type: ignore[index]
    assert moved[top : top + 2, left:right].min() > 50 > np.median(moved)


def test_detections_of_one_picture_are_drawn_together() -> None:
    """A mean is over detections; its error is that of a ratio of sums over pictures, here in closed form."""
    values = {
        "a": {"p 1": 1.0, "p 2": 0.0, "q 1": 0.5, "r 1": 0.2},
        "b": {"p 1": 0.0, "p 2": 0.0, "q 1": 0.5, "r 1": 0.1},
    }
    owners = {name: name[0] for name in values["a"]}
    found = means(values, owners=owners)["a"]
    ratio = 1.7 / 4
    apart = np.array([1 - 2 * ratio, 0.5 - ratio, 0.2 - ratio])
    half = 4.302653 * np.sqrt((apart**2).sum() * 3 / 2) / 4
    assert (found.value, found.n) == (pytest.approx(ratio), 4)
    assert (found.high - found.value, found.value - found.low) == pytest.approx((half, half), rel=2e-4)
    (one,) = differences(values, owners=owners)
    assert (one.value, one.n) == (pytest.approx(1.1 / 4), 4)
    assert one.p == pytest.approx(2 / 4)  # of the signs of three pictures, two of which differ: 1.1 is met by 2 of 4
