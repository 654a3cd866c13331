"""Evaluation end to end: every value against the same thing done by hand, and what happens when something is wrong."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onnxsal
from onnxsal.errors import EnvironmentSetupError, UsageError
from onnxsal.evaluation import Evaluation, Picture
from onnxsal.metrics.registry import get
from onnxsal.model import Model

METHODS = ["grad-cam", "gradient"]


def judge(model: Model, images: object, **options: object) -> Evaluation:
    given = {"methods": METHODS, "metrics": ["deletion[steps=4]", "sparseness"], **options}
    return onnxsal.evaluate(model, images, **given)


def value(found: Evaluation, image: str, method: str, metric: str) -> float:
    (row,) = [r for r in found.rows if (r.image, r.method, r.metric) == (image, method, metric)]
    return row.value


def test_a_row_an_image_x_method_x_metric_as_computed_by_hand(model: Model, photos: Path) -> None:
    found = judge(model, photos)
    assert len(found.rows) == 6 * 2 * 2
    assert found.failures == ()
    path = sorted(photos.glob("*.png"))[2]
    x = model.prepare(path).x
    for method in METHODS:
        made = onnxsal.explain(model, path, method=method)
        target = made.target

        def score(pictures: np.ndarray, target: int = target) -> np.ndarray:
            return np.array([model.scores(each)[1][target] for each in pictures], np.float64)

        exact = get("deletion")(score=score, x=x, saliency=made.saliency, baseline=model.black(), steps=4)
        assert value(found, path.name, method, "deletion[steps=4]") == pytest.approx(exact.value, abs=1e-6)
        plain = get("sparseness")(saliency=made.saliency).value
        assert value(found, path.name, method, "sparseness") == pytest.approx(plain, abs=1e-9)


def test_maps_are_made_once_for_all_metrics(model: Model, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxsal.evaluation import sources

    calls = []
    real = sources.explain_prepared
    monkeypatch.setattr(sources, "explain_prepared", lambda *a: calls.append(1) or real(*a))
    judge(model, photos, metrics=["deletion[steps=2]", "insertion[steps=2]", "sparseness", "average-drop"])
    assert len(calls) == 6 * 2


def test_the_target_is_the_predicted_class_or_the_label(model: Model, photos: Path) -> None:
    predicted = judge(model, photos)
    path = sorted(photos.glob("*.png"))[0]
    assert predicted.rows[0].target == model.predict(path)[0].index
    truth = dict.fromkeys((p.name for p in photos.glob("*.png")), "blue")
    labelled = judge(model, photos, target="label", truth=truth)
    assert {row.target for row in labelled.rows} == {2}
    assert {row.label for row in labelled.rows} == {"blue"}


def test_masks_and_boxes_move_with_the_picture(model: Model, photos: Path) -> None:
    """The square's energy in its mask and in its box is the same, and the model's own fit squashes both."""
    by_mask = judge(model, photos, metrics=["energy-pointing"], masks=photos.parent / "masks")
    boxes = {}
    for at, path in enumerate(sorted(photos.glob("*.png"), key=lambda p: p.stem[-1])):
        boxes[path.name] = [(10 + 2 * at, 6 + at, 36 + 2 * at, 26 + at)]
    by_box = judge(model, photos, metrics=["energy-pointing"], boxes=boxes)
    masks = {(r.image, r.method): r.value for r in by_mask.rows}
    for row in by_box.rows:
        assert row.value == pytest.approx(masks[row.image, row.method], abs=0.12)
    path = sorted(photos.glob("*.png"))[0]
    saliency = onnxsal.explain(model, path, method="gradient").saliency
    left, top, right, bottom = boxes[path.name][0]
    inside = np.zeros((16, 16), bool)
    for row in range(16):
        for column in range(16):
            y, x = (row + 0.5) * 40 / 16, (column + 0.5) * 60 / 16
            inside[row, column] = left <= x < right and top <= y < bottom
    exact = saliency[inside].sum(dtype=np.float64) / saliency.sum(dtype=np.float64)
    assert value(by_box, path.name, "gradient", "energy-pointing") == pytest.approx(exact, abs=1e-6)


def test_grid_pointing_needs_no_annotation(model: Model, photos: Path) -> None:
    """The model sees three classes on these pictures, and a mosaic is of four."""
    with pytest.raises(UsageError, match="four pictures of four classes"):
        judge(model, photos, metrics=["grid-pointing"], confidence=0.0)
    found = judge(model, photos, metrics=["grid-pointing", "sparseness"])
    assert len(found.rows) == 6 * 2
    assert [f.image for f in found.failures] == ["mosaics"]


def test_methods_come_in_the_order_given(model: Model, photos: Path) -> None:
    """Costly methods are judged on their own, and stand where they were named all the same."""
    order = ["occlusion[patch=4,stride=1]", "grad-cam", "smoothgrad[samples=150]", "gradient"]
    found = judge(model, sorted(photos.glob("*"))[:1], methods=order, metrics=["sparseness"])
    assert list(found.summary.methods) == order


def test_a_mosaic_shows_four_pictures_and_asks_for_each(model: Model, photos: Path, monkeypatch: object) -> None:
    from onnxsal.evaluation import evaluating
    from onnxsal.evaluation.mosaics import Seen, cell, grouped, mosaic

    seen = [Seen(Picture(np.full((4, 4, 3), i, np.uint8), str(i)), i % 5, 1 - i / 20) for i in range(12)]
    groups = grouped(seen, 0.5)
    assert [[s.target for s in group] for group in groups] == [[0, 1, 2, 3], [4, 0, 1, 2]]
    whole = np.asarray(mosaic([np.full((8, 8, 3), 50 * i, np.uint8) for i in range(4)], (6, 8)))
    for at in range(4):
        assert (whole[cell(at, (6, 8))] == 50 * at).all()
    assert sum(cell(at, (6, 8)).astype(int) for at in range(4)).tolist() == np.ones((6, 8), int).tolist()
    assert (
        evaluating._cells(model, [Seen(Picture(p, p.name), 0, 1.0) for p in sorted(photos.glob("*"))[:4]])[2].cell == 2
    )


def test_randomisation_follows_the_stages(model: Model, photos: Path) -> None:
    found = judge(model, sorted(photos.glob("*"))[:1], metrics=["randomisation"], methods=["gradient"], stages=3)
    assert len(found.rows[0].curve or ()) == 4
    assert found.rows[0].value < 0.9


def test_intervals_and_stars(model: Model, photos: Path) -> None:
    found = judge(model, photos)
    text = found.table()
    assert text.splitlines()[0].split() == ["method", "deletion[steps=4]", "↓", "sparseness", "↑"]
    assert "*" in text and "95 % intervals" in text
    narrow = found.table(50).split("\n\n")
    assert [block.split()[1] for block in narrow[:2]] == ["deletion[steps=4]", "sparseness"]


# --- files ------------------------------------------------------------------------------------------------------------


def test_csv_and_json_hold_every_row(model: Model, photos: Path, tmp_path: Path) -> None:
    found = judge(model, photos, truth="names")
    found.to_csv(tmp_path / "r.csv")
    found.to_json(tmp_path / "r.json")
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found.rows)
    assert float(rows[3]["value"]) == found.rows[3].value
    assert json.loads(rows[0]["parameters"])["steps"] == 4
    assert rows[0]["truth"] == "0"
    document = json.loads((tmp_path / "r.json").read_text())
    assert len(document["rows"]) == len(rows)
    assert len(document["rows"][0]["curve"]) == 5
    pair = document["differences"]["sparseness"][0]
    assert (pair["a"], pair["b"], pair["n"]) == ("grad-cam", "gradient", 6)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"metrics": ["sparseness", "pointing-game"]}, "'pointing-game' asks where the object is.*--boxes, --masks"),
        ({"methods": [], "metrics": ["adcc"], "maps": "maps"}, "'adcc' needs maps of further pictures.*name methods"),
        ({"methods": [], "metrics": ["grid-pointing"], "maps": "maps"}, "'grid-pointing' needs maps of further"),
    ],
)
def test_a_metric_that_could_judge_nothing_is_a_misuse(
    model: Model, photos: Path, given: dict[str, object], why: str
) -> None:
    if "maps" in given:
        given = {**given, "maps": photos.parent / "maps"}
        (photos.parent / "maps").mkdir()
        np.save(photos.parent / "maps" / f"{next(photos.glob('*.png')).stem}.npy", np.eye(16, dtype=np.float32))
    with pytest.raises(UsageError, match=why):
        judge(model, photos, **given)


def test_json_has_null_where_a_mean_is_of_nothing(model: Model, photos: Path, tmp_path: Path) -> None:
    """Completeness asks nothing of maps of a layer: neither their rows nor their mean are numbers."""
    judge(model, photos, methods=["grad-cam"], metrics=["completeness"]).to_json(tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    mean = document["summary"]["completeness"]["grad-cam"]
    assert (mean["value"], mean["low"], mean["n"]) == (None, None, 0)
    assert {row["value"] for row in document["rows"]} == {None}


def test_parquet(model: Model, photos: Path, tmp_path: Path) -> None:
    found = judge(model, photos)
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(EnvironmentSetupError, match=r"onnxsal\[parquet\]"):
            found.to_parquet(tmp_path / "r.parquet")
        return
    import pyarrow.parquet

    found.to_parquet(tmp_path / "r.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert [row["value"] for row in table] == [row.value for row in found.rows]


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_broken_picture_is_named_and_the_others_go_on(model: Model, photos: Path) -> None:
    (photos / "0_broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    found = judge(model, photos)
    assert len(found.rows) == 6 * 2 * 2
    assert [f.image for f in found.failures] == ["0_broken.png"]
    assert "is not a picture that can be read" in found.failures[0].message


def test_an_empty_folder(model: Model, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"the folder '.*empty' holds no pictures"):
        judge(model, tmp_path / "empty")


def test_labels_that_do_not_match(model: Model, photos: Path) -> None:
    with pytest.raises(UsageError, match=r"labels that the model does not have: .*purple"):
        judge(model, photos, truth={p.name: "purple" for p in photos.glob("*")})
    with pytest.raises(UsageError, match="out of range: the model has the classes 0 to 3"):
        judge(model, photos, truth={p.name: 17 for p in photos.glob("*")})
    with pytest.raises(UsageError, match=r"has no label for 0_red0.png, 0_red3.png.*and 1 more"):
        judge(model, photos, truth={"other.png": 1})
    with pytest.raises(UsageError, match="explains the class that a picture shows, and nothing says it"):
        judge(model, photos, target="label")


def test_boxes_outside_of_the_picture(model: Model, photos: Path) -> None:
    boxes = {"0_red0.png": [(0, 0, 400, 20)], "1_green1.png": [(5, 5, 20, 20)]}
    found = judge(model, photos, metrics=["energy-pointing"], boxes=boxes)
    assert [row.image for row in found.rows] == ["1_green1.png"] * 2
    (failure,) = found.failures
    assert "(0, 0, 400, 20) lies outside of the picture, which is 60 x 40" in failure.message


def test_masks_of_another_size(model: Model, photos: Path) -> None:
    Image.new("L", (10, 10), 255).save(photos.parent / "masks" / "0_red0.png")
    found = judge(model, photos, metrics=["energy-pointing"], masks=photos.parent / "masks")
    assert len(found.rows) == 5 * 2
    (failure,) = found.failures
    assert "is 10 x 10, and the picture 60 x 40" in failure.message


def test_boxes_and_masks_of_other_pictures(model: Model, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has boxes for 1 pictures, but for none of these"):
        judge(model, photos, boxes={"elsewhere.jpg": [(0, 0, 1, 1)]})
    (tmp_path / "none").mkdir()
    with pytest.raises(
        UsageError, match=r"holds 0 masks, but none for these pictures; expected for example '0_red0.png'"
    ):
        judge(model, photos, masks=tmp_path / "none")


def test_maps_made_elsewhere(model: Model, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    paths = sorted(photos.glob("*.png"))
    for path in paths:
        np.save(folder / f"{path.stem}.npy", onnxsal.explain(model, path, method="gradient").saliency)
    np.save(folder / f"{paths[0].stem}.npy", np.ones((7, 7)))
    np.save(folder / f"{paths[1].stem}.npy", np.full((16, 16), np.nan))
    (folder / f"{paths[2].stem}.npy").unlink()
    (folder / f"{paths[3].stem}.npy").write_bytes(b"no array")
    found = judge(model, photos, methods=["gradient"], maps=folder)
    messages = {f.image: f.message for f in found.failures}
    assert "has the shape [7, 7]; expected [16, 16]" in messages[paths[0].name]
    assert "256 of 256 values are NaN" in messages[paths[1].name]
    assert "there is no map" in messages[paths[2].name]
    assert "cannot be read as .npy" in messages[paths[3].name]
    for path in paths[4:]:
        same = [r.value for r in found.rows if r.image == path.name and r.metric == "deletion[steps=4]"]
        assert len(same) == 2 and same[0] == pytest.approx(same[1], abs=1e-6)


def test_misspelt_names(model: Model, photos: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'deletion'"):
        judge(model, photos, metrics=["deletoin"])
    with pytest.raises(UsageError, match="did you mean 'grad-cam'"):
        judge(model, photos, methods=["grad-camm"])
    with pytest.raises(UsageError, match="did you mean 'steps'"):
        judge(model, photos, metrics=["deletion[stepps=3]"])
    with pytest.raises(UsageError, match="did you mean 'journal'"):
        judge(model, photos, jurnal="x")
    with pytest.raises(UsageError, match=r"write NAME or NAME\[option=value"):
        judge(model, photos, metrics=["deletion[steps=3"])


# --- the journal ------------------------------------------------------------------------------------------------------


def test_a_second_run_judges_nothing_again(model: Model, photos: Path, tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    first = judge(model, photos, journal=journal)
    size = journal.stat().st_size
    again = judge(model, photos, journal=journal)
    assert (first.reused, again.reused) == (0, 24)
    assert journal.stat().st_size == size
    assert [r.plain() for r in again.rows] == [r.plain() for r in first.rows]


@pytest.mark.parametrize("share", [0.13, 0.5, 0.77])
def test_a_run_that_was_cut_anywhere_goes_on(model: Model, photos: Path, tmp_path: Path, share: float) -> None:
    """What a killed process leaves is a beginning of the file: rows come out as if nothing had happened."""
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    first = judge(model, photos, journal=whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    again = judge(model, photos, journal=cut)
    assert 0 < again.reused < 24
    assert [(r.image, r.method, r.metric, r.value) for r in again.rows] == [
        (r.image, r.method, r.metric, r.value) for r in first.rows
    ]
    keys = [json.loads(line)["key"] for line in cut.read_bytes().splitlines() if line.endswith(b"}")
            and json.loads(line)["kind"] == "row"]  # fmt: skip
    assert len(keys) == len(set(keys)) == 24


def test_whatever_a_value_depends_on_is_in_its_key(model: Model, photos: Path, tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    few = sorted(photos.glob("*"))[:2]
    judge(model, few, journal=journal)
    changes: list[dict[str, object]] = [
        {"metrics": ["deletion[steps=3]", "sparseness"]}, {"methods": ["smoothgrad[samples=2]"]}, {"seed": 1},
        {"preprocess": "tf"}, {"truth": {p.name: 2 for p in few}, "target": "label"}, {"score": "probability"},
    ]  # fmt: skip
    reused = [judge(model, few, journal=journal, **change).reused for change in changes]
    assert reused == [4, 0, 0, 0, 0, 0]
    other = photos / "0_other.png"
    shutil.copy(few[0], other)
    Image.open(other).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(few[0])
    assert judge(model, few, journal=journal).reused == 4


def test_only_what_is_known(model: Model, photos: Path, tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    judge(model, sorted(photos.glob("*"))[:2], journal=journal)
    found = judge(model, photos, journal=journal, known_only=True)
    assert len(found.rows) == 8 and found.reused == 8


def test_values_that_are_not_defined_survive_the_journal(model: Model, tmp_path: Path) -> None:
    flat, folder = np.full((16, 16, 3), 90, np.uint8), tmp_path / "maps"
    folder.mkdir()
    np.save(folder / "picture.npy", np.zeros((16, 16)))
    for _ in range(2):
        found = judge(model, Picture(flat, "picture"), methods=(), maps=folder, metrics=["energy-pointing"],
                      boxes={"picture": [(2, 2, 8, 8)]}, journal=tmp_path / "j.jsonl")  # fmt: skip
        assert [math.isnan(row.value) for row in found.rows] == [True]
    assert found.reused == 1


def test_a_file_that_is_no_journal_is_left_alone(model: Model, photos: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader,\nthis is no journal.\n")
    with pytest.raises(UsageError, match="is no journal of onnxsal"):
        judge(model, photos, journal=letter)
    assert letter.read_text() == "Dear reader,\nthis is no journal.\n"


def test_real_photographs(shared: Path, tmp_path: Path) -> None:
    """Two models, real pictures with masks: the class index in the name is the model's own plus the background."""
    model = onnxsal.load(shared / "models" / "mobilenet_v1_025_int8.onnx")
    images = [shared / "images" / "imagenet" / f"{n}.jpg" for n in ("0207_golden_retriever", "0015_robin")]
    found = onnxsal.evaluate(model, images, methods="grad-cam", metrics="energy-pointing,deletion[steps=3]",
                             truth="names", target="label", masks=shared / "images" / "masks")  # fmt: skip
    assert [row.label for row in found.rows[::2]] == ["golden retriever", "robin"]
    assert all(0.2 < row.value <= 1 for row in found.rows if row.metric == "energy-pointing")
    assert found.failures == ()


def test_two_runs_may_share_a_journal(tmp_path: Path) -> None:
    from onnxsal.evaluation.journal import Journal

    both = [Journal(tmp_path / "j.jsonl") for _ in range(2)]
    for at in range(20):
        both[at % 2].add("map", str(at), {"png": "x" * at})
    assert [both[at % 2].get("map", str(at))["png"] for at in range(20)] == ["x" * at for at in range(20)]  # type: ignore[index]
    again = Journal(tmp_path / "j.jsonl")
    assert [len(each["png"]) for each in again.entries("map")] == list(range(20))
    assert again.unreadable == 0


def test_every_metric_judges_maps_of_pixels_and_of_layers(model: Model, photos: Path) -> None:
    """Whatever a metric needs, the run hands it over: the raw map, the object, randomised models, an explainer."""
    from onnxsal.metrics.registry import names

    wanted = [name for name in names() if name != "grid-pointing"]
    found = judge(model, sorted(photos.glob("*"))[:1], metrics=wanted, masks=photos.parent / "masks", stages=2)
    assert found.failures == ()
    got = {(row.method, row.metric) for row in found.rows}
    assert {metric for _, metric in got} == set(wanted)
    assert {metric for method, metric in got if method == "gradient"} == set(wanted)
