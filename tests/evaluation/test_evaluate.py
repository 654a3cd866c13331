"""Evaluation end to end: every value against the same thing done by hand, and what happens when something is wrong."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import importlib.util
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import onnxsal
from onnxsal.errors import EnvironmentSetupError, UsageError
from onnxsal.evaluation import Evaluation, Item
from onnxsal.evaluation.cascade import Cascade
from onnxsal.evaluation.run import Setup
from onnxsal.metrics.judgement import Judgement
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

        def score(images: np.ndarray, target: int = target) -> np.ndarray:
            return np.array([model.scores(each)[1][target] for each in images], np.float64)

        exact = get("deletion")(score=score, x=x, saliency=made.saliency, baseline=model.black(), steps=4)
        assert value(found, path.name, method, "deletion[steps=4]") == pytest.approx(exact.value, abs=1e-6)
        plain = get("sparseness")(saliency=made.saliency).value
        assert value(found, path.name, method, "sparseness") == pytest.approx(plain, abs=1e-9)


def test_maps_are_made_once_for_all_metrics_and_pictures_run_once_for_all_methods(
    model: Model, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxsal.evaluation import sources

    calls, seen, outputs = [], [], Model.outputs
    monkeypatch.setattr(Model, "outputs", lambda model, x: seen.append(x) or outputs(model, x))
    real = sources.explain_prepared
    monkeypatch.setattr(sources, "explain_prepared", lambda *a: calls.append(1) or real(*a))
    judge(model, photos, metrics=["deletion[steps=2]", "insertion[steps=2]", "sparseness", "average-drop"])
    assert len(calls) == 6 * 2
    assert len(seen) == 6


def test_the_target_is_the_predicted_class_or_the_label(model: Model, photos: Path) -> None:
    predicted = judge(model, photos)
    path = sorted(photos.glob("*.png"))[0]
    assert predicted.rows[0].target == model.predict(path)[0].index
    truth = dict.fromkeys((p.name for p in photos.glob("*.png")), "blue")
    labelled = judge(model, photos, target="label", truth=truth)
    assert {row.target for row in labelled.rows} == {2}
    assert {row.label for row in labelled.rows} == {"blue"}


def test_labels_and_boxes_may_be_numbers_of_numpy(model: Model, photos: Path) -> None:
    path = sorted(photos.glob("*.png"))[0]
    given = {"target": "label", "metrics": ["energy-pointing"]}
    boxes = np.array([[10, 6, 36, 26]])
    found = [
        judge(model, path, truth={path.name: truth}, boxes={path.name: each}, **given)
        for truth, each in ((2, boxes.tolist()), (np.int64(2), boxes), (np.uint8(2), boxes.astype(np.float32)))
    ]
    assert [[row.value for row in each.rows] for each in found[1:]] == [[row.value for row in found[0].rows]] * 2
    assert {row.truth for row in found[1].rows} == {2}
    for truth, said in (({path.name: 2.0}, r"a label is .*; got 2\.0"), ([2], r"truth is names.*; got \[2\]")):
        with pytest.raises(UsageError, match=said):
            judge(model, path, truth=truth)


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
    regions = [{row.details["region"] for row in found.rows} for found in (by_mask, by_box)]
    assert regions == [{"mask"}, {"boxes"}]
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
    from onnxsal.evaluation.evaluate import _cells
    from onnxsal.evaluation.mosaics import Seen, cell, grouped, mosaic

    seen = [Seen(Item(np.full((4, 4, 3), i, np.uint8), str(i)), i % 5, 1 - i / 20) for i in range(12)]
    groups = grouped(seen, 0.5)
    assert [[s.target for s in group] for group in groups] == [[0, 1, 2, 3], [4, 0, 1, 2]]
    whole = np.asarray(mosaic([np.full((8, 8, 3), 50 * i, np.uint8) for i in range(4)], (6, 8)))
    for at in range(4):
        assert (whole[cell(at, (6, 8))] == 50 * at).all()
    assert sum(cell(at, (6, 8)).astype(int) for at in range(4)).tolist() == np.ones((6, 8), int).tolist()
    assert _cells(model, [Seen(Item(p, p.name), 0, 1.0) for p in sorted(photos.glob("*"))[:4]])[2].cell == 2


def test_randomisation_follows_the_stages(model: Model, photos: Path) -> None:
    found = judge(model, sorted(photos.glob("*"))[:1], metrics=["randomisation"], methods=["gradient"], stages=3)
    assert len(found.rows[0].curve or ()) == 4
    assert found.rows[0].value < 0.9


def test_a_single_stage_draws_everything_anew(model: Model) -> None:
    total = Cascade(model, 5).counts()[-1]
    assert total > 1
    assert Cascade(model, 1).counts() == [total]
    assert Cascade(model, 2).counts() == [1, total]


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
        UsageError, match=r"holds 0 masks \(.png.*\), but none for these pictures; expected for example '0_red0.png'"
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
    assert "the map: no such file" in messages[paths[2].name]
    assert "is no array that NumPy can read" in messages[paths[3].name]
    for path in paths[4:]:
        same = [r.value for r in found.rows if r.image == path.name and r.metric == "deletion[steps=4]"]
        assert len(same) == 2 and same[0] == pytest.approx(same[1], abs=1e-6)


def test_a_map_beyond_float32_fails_alone(model: Model, photos: Path, tmp_path: Path) -> None:
    folder, paths = tmp_path / "mine", sorted(photos.glob("*.png"))[:3]
    folder.mkdir()
    for path in paths:
        np.save(folder / f"{path.stem}.npy", np.eye(16))
    np.save(folder / f"{paths[0].stem}.npy", np.full((16, 16), 1e300))
    found = judge(model, paths, methods=(), maps=folder)
    assert [(f.image, "beyond float32" in f.message) for f in found.failures] == [(paths[0].name, True)]
    assert {row.image for row in found.rows} == {path.name for path in paths[1:]}


def test_a_score_that_is_not_finite_ends_one_metric_of_one_picture(model: Model, photos: Path) -> None:
    """Masked, the second picture's score is NaN: sparseness asks no score, and the other pictures have all."""
    from unittest import mock

    from onnxsal.evaluation import judge as judge_module

    real, paths = judge_module.scorer_of, sorted(photos.glob("*.png"))[:3]
    calls = []

    def scorer(*args: object) -> object:
        calls.append(1)
        return real(broken, *args[1:]) if len(calls) in (3, 4) else real(*args)

    broken = mock.MagicMock(wraps=model)
    broken.task = model.task
    broken.session.return_value.run.side_effect = lambda feeds, names: {
        names[0]: np.full((len(next(iter(feeds.values()))), 4), np.nan)
    }
    with mock.patch.object(judge_module, "scorer_of", scorer):
        found = judge(model, paths)
    assert {(f.image, f.method) for f in found.failures} == {(paths[1].name, m) for m in METHODS}
    assert all("deletion[steps=4]: the model's score is NaN or infinite on" in f.message for f in found.failures)
    assert sorted((r.image, r.metric) for r in found.rows if r.method == "gradient") == sorted(
        [(p.name, "sparseness") for p in paths] + [(p.name, "deletion[steps=4]") for p in (paths[0], paths[2])]
    )


def test_a_value_does_not_depend_on_what_is_judged_beside_it(model: Model, photos: Path, tmp_path: Path) -> None:
    """Stored maps have no raw attribution; those that have one are judged by it all the same."""
    path = sorted(photos.glob("*.png"))[0]
    (tmp_path / "mine").mkdir()
    np.save(tmp_path / "mine" / f"{path.stem}.npy", np.eye(16))
    metrics = ["infidelity[samples=8]", "sensitivity-n[samples=6]"]
    alone = judge(model, path, methods=["gradient"], metrics=metrics)
    beside = judge(model, path, methods=["gradient"], metrics=metrics, maps=tmp_path / "mine")
    for metric in metrics:
        assert value(beside, path.name, "gradient", metric) == value(alone, path.name, "gradient", metric)
    assert {(r.method == "gradient", r.details["of"]) for r in beside.rows} == {(True, "raw"), (False, "saliency")}


def two_of_a_name(photos: Path, tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "two" / "red" / "1.png", tmp_path / "two" / "blue" / "1.png"
    for source, target in zip(sorted(photos.glob("*.png"))[::5], (first, second), strict=True):
        target.parent.mkdir(parents=True)
        shutil.copy(source, target)
    return first, second


def test_pictures_of_one_name_have_labels_boxes_masks_and_maps_of_their_own(
    model: Model, photos: Path, tmp_path: Path
) -> None:
    first, second = two_of_a_name(photos, tmp_path)
    (tmp_path / "t.csv").write_text("red/1.png,red\nblue/1.png,blue\n")
    found = judge(model, tmp_path / "two", truth=tmp_path / "t.csv", target="label", metrics=["sparseness"])
    label = {Path(row.image).parent.name or "blue": row.label for row in found.rows}
    assert label == {"red": "red", "blue": "blue"}

    whole = [(0.0, 0.0, 60.0, 40.0)]
    boxes = {"red/1.png": [(0.0, 0.0, 30.0, 20.0)], "blue/1.png": whole}
    found = judge(model, [first, second], boxes=boxes, methods=["gradient"], metrics=["energy-pointing"])
    one, other = (row.value for row in found.rows)
    assert one < 0.9 and other == pytest.approx(1.0)

    for path, size in ((first, 5), (second, 16)):
        target = tmp_path / "maps" / path.parent.name / "1.npy"
        target.parent.mkdir(parents=True)
        np.save(target, np.pad(np.ones((size, size)), ((0, 16 - size), (0, 16 - size))))
    found = judge(model, [first, second], methods=(), maps=tmp_path / "maps", boxes={"1": whole, **boxes},
                  metrics=["energy-pointing"])  # fmt: skip
    assert found.rows[0].value > one and found.rows[1].value == pytest.approx(1.0)


@pytest.mark.parametrize("what", ["truth", "boxes", "masks", "maps"])
def test_one_entry_is_never_taken_for_two_pictures(model: Model, photos: Path, tmp_path: Path, what: str) -> None:
    both = two_of_a_name(photos, tmp_path)
    (tmp_path / "m").mkdir()
    Image.new("L", (60, 40), 255).save(tmp_path / "m" / "1.png")
    np.save(tmp_path / "m" / "1.npy", np.eye(16))
    given = {"truth": {"1.png": "red"}, "boxes": {"1.png": [(0, 0, 9, 9)]}, "masks": tmp_path / "m",
             "maps": tmp_path / "m"}  # fmt: skip
    with pytest.raises(UsageError, match=r"has one entry '1(.png|.npy)', and two pictures are called so"):
        judge(model, list(both), **{what: given[what]})


def test_several_entries_for_one_picture_are_refused(model: Model, photos: Path) -> None:
    path = sorted(photos.glob("*.png"))[0]
    with pytest.raises(UsageError, match=r"has several entries for '0_red0.png': 'a/0_red0.png', 'b/0_red0.png'"):
        judge(model, path, truth={f"a/{path.name}": "red", f"b/{path.name}": "blue"})
    found = judge(model, path, truth={f"a/{path.name}": "blue", f"photos/{path.name}": "green"}, target="label")
    assert {row.label for row in found.rows} == {"green"}


@pytest.mark.parametrize("label", ["gre", "apple", "purple"])
def test_a_part_of_a_class_name_is_no_label(model: Model, photos: Path, label: str) -> None:
    with pytest.raises(
        UsageError, match=f"labels that the model does not have: 0_red0.png: no class is called '{label}'"
    ):
        judge(model, sorted(photos.glob("*.png"))[0], truth={"0_red0.png": label})


def test_numbers_as_folder_names_count_as_those_in_files_do(model: Model, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "1").mkdir(parents=True)
    shutil.copy(sorted(photos.glob("*.png"))[0], tmp_path / "in" / "1" / "x.png")
    by_folder = judge(model, tmp_path / "in", truth="folders", label_offset=1, target="label")
    by_file = judge(model, tmp_path / "in", truth={"x.png": 1}, label_offset=1, target="label")
    assert {r.target for r in by_folder.rows} == {r.target for r in by_file.rows} == {2}


def test_an_object_out_of_view_is_counted_once_a_picture(model: Model, photos: Path) -> None:
    """However many methods there are, costly ones among them, which are judged on their own."""
    path, masks = sorted(photos.glob("*.png"))[0], photos.parent / "masks"
    Image.new("L", (60, 40), 0).save(masks / path.name)
    methods = ["gradient", "smoothgrad[samples=160]", "grad-cam"]
    found = judge(model, path, methods=methods, metrics=["energy-pointing", "sparseness"], masks=masks)
    assert found.left_out == {"energy-pointing": 1} == found.about()["left_out"]
    assert [row.metric for row in found.rows] == ["sparseness"] * 3


def test_what_is_left_out_is_known_to_the_next_run(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No map is made again to find that nothing tells where the object is."""
    from onnxsal.evaluation import sources

    path, masks = sorted(photos.glob("*.png"))[0], photos.parent / "masks"
    Image.new("L", (60, 40), 0).save(masks / path.name)
    given = {"metrics": ["energy-pointing", "sparseness"], "masks": masks, "journal": tmp_path / "j.jsonl"}
    first = judge(model, path, **given)
    with monkeypatch.context() as patch:
        patch.setattr(sources, "explain_prepared", lambda *_: pytest.fail("a map is made again"))
        for again in (judge(model, path, **given), judge(model, path, known_only=True, **given)):
            assert again.left_out == first.left_out == {"energy-pointing": 1}
            assert (again.reused, len(again.rows)) == (2, 2)
    Image.new("L", (60, 40), 255).save(masks / path.name)
    assert judge(model, path, **given).left_out == {}


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


def test_what_runs_the_model_is_in_the_key(model: Model, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another provider and another release of ONNX Runtime may round otherwise."""
    setup = Setup(model, (), ())
    known = setup.identity()
    assert replace(setup, model=replace(model, provider="cuda")).identity() != known
    assert replace(setup, model=replace(model, provider="CPUExecutionProvider")).identity() == known
    monkeypatch.setattr("onnxruntime.__version__", "0.0")
    assert setup.identity() != known


def test_the_stages_of_drawing_weights_anew_are_in_the_key(model: Model, photos: Path, tmp_path: Path) -> None:
    """And in no other metric's: those of a run with another number are still good."""
    given = {"methods": ["gradient"], "metrics": ["randomisation", "sparseness"], "journal": tmp_path / "j.jsonl"}
    path = sorted(photos.glob("*"))[0]
    two, one = (judge(model, path, stages=stages, **given) for stages in (2, 1))
    fresh = judge(model, path, stages=1, methods=["gradient"], metrics=["randomisation"])
    assert one.reused == 1
    assert value(one, path.name, "gradient", "randomisation") == fresh.rows[0].value
    assert [r.details["stages"] for r in (*two.rows, *one.rows) if r.metric == "randomisation"] == [2, 1]


def test_a_map_that_was_replaced_is_judged_anew(model: Model, photos: Path, tmp_path: Path) -> None:
    """Even by a file of the same size and date."""
    import os

    path, folder = sorted(photos.glob("*"))[0], tmp_path / "maps"
    folder.mkdir()
    values = []
    for part in (4, 8):
        made = np.zeros((16, 16))
        made[:part, :part] = 1
        np.save(folder / f"{path.stem}.npy", made)
        os.utime(folder / f"{path.stem}.npy", ns=(10**18, 10**18))
        found = judge(model, path, methods=(), maps=folder, metrics=["sparseness"], journal=tmp_path / "j.jsonl")
        values.append(found.rows[0].value)
    assert values[0] > values[1]


def test_rows_from_the_journal_have_the_labels_of_now(model: Model, photos: Path, tmp_path: Path) -> None:
    from onnxsal.tasks.labels import Labels

    path, journal = sorted(photos.glob("*"))[0], tmp_path / "j.jsonl"
    before = judge(model, path, journal=journal)
    renamed = replace(model, labels=Labels(("un", "deux", "trois", "quatre")))
    again = judge(renamed, path, journal=journal)
    assert again.reused == len(before.rows)
    assert {r.label for r in again.rows} == {("un", "deux", "trois", "quatre")[before.rows[0].target]}


def test_arrays_that_differ_are_in_the_key(model: Model, photos: Path, tmp_path: Path) -> None:
    """Of methods and metrics, and in lists: what an array prints leaves out its middle."""

    @onnxsal.metric("weighted", paper="none")
    def weighted(saliency: np.ndarray, *, weights: Any = None) -> float:
        return float((saliency * np.asarray(weights[0])).sum())

    path, values = sorted(photos.glob("*"))[0], []
    for level in (0.0, 0.5):
        array = np.zeros((3, 40, 40), np.float32)[:, :16, :16]
        array[:, 5:11, 5:11] = level
        found = onnxsal.evaluate(
            model, path, methods=[("integrated-gradients", {"baseline": list(array), "steps": 2})],
            metrics=["sparseness", ("weighted", {"weights": list(array)})], journal=tmp_path / "j.jsonl",
        )  # fmt: skip
        assert found.reused == 0
        values.append([row.value for row in found.rows])
    assert values[0][0] != values[1][0] and values[0][1] == 0 != values[1][1]


def test_what_is_made_anew_is_judged_anew(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics and methods of this program by their code: as in a notebook, whose cells are run again."""
    from onnxsal.methods.registry import MADE

    monkeypatch.setitem(MADE, "made-anew", None)
    path, reused, values = sorted(photos.glob("*"))[0], [], []
    for level, name in ((1.0, "gradient"), (1.0, "gradient"), (2.0, "gradient"), (2.0, "input-x-gradient")):
        source = f"""
def level(saliency): return {level}
def build(score): return onnxsal.methods()[{name!r}](score)
"""
        names: dict[str, Any] = {"onnxsal": onnxsal, "__name__": "notebook"}
        exec(source, names)
        onnxsal.metric("level", paper="none")(names["level"])
        onnxsal.method("made-anew", paper="none")(names["build"])
        found = onnxsal.evaluate(
            model, path, methods="made-anew", metrics=["level", "sparseness"], journal=tmp_path / "j.jsonl"
        )
        reused.append(found.reused)
        values.append([row.value for row in found.rows])
    assert reused == [0, 2, 1, 0]
    assert [each[0] for each in values] == [1, 1, 2, 2]
    assert values[2][1] != values[3][1]


def test_details_from_the_journal_are_those_of_the_first_run(model: Model, photos: Path, tmp_path: Path) -> None:
    @onnxsal.metric("detailed", paper="none")
    def detailed(saliency: np.ndarray) -> Judgement:
        return Judgement(np.float64(1), details={"n": np.int64(3), "s": np.float32(0.5), "v": np.arange(20) / 4})

    given = {"metrics": ["detailed"], "journal": tmp_path / "j.jsonl"}
    found = [judge(model, sorted(photos.glob("*"))[0], **given).rows[0].details for _ in range(2)]
    assert found[0] == found[1] == {"n": 3, "s": 0.5, "v": [at / 4 for at in range(20)]}
    assert json.loads(json.dumps(found[0])) == found[0]


def test_weights_beside_the_model_are_in_its_digest(model_file: Path, photos: Path, tmp_path: Path) -> None:
    """Also of a message; a file that holds all its weights keeps the digest that tools for files give."""
    assert onnxsal.load(model_file).digest == hashlib.sha256(model_file.read_bytes()).hexdigest()
    path, data = tmp_path / "m.onnx", tmp_path / "m.data"
    onnx.save_model(onnx.load(model_file), path, save_as_external_data=True, location="m.data", size_threshold=64)
    values = data.read_bytes()
    given = {"methods": ["gradient"], "metrics": ["sparseness"], "journal": tmp_path / "j.jsonl"}
    found, digests = [], []
    for content in (values, np.roll(np.frombuffer(values, np.float32), 1).tobytes()):
        data.write_bytes(content)
        found.append(onnxsal.evaluate(path, sorted(photos.glob("*"))[0], **given))
        with contextlib.chdir(tmp_path):
            digests.append(onnxsal.load(onnx.load(path, load_external_data=False)).digest)
    assert [each.reused for each in found] == [0, 0]
    assert found[0].settings["model_sha256"] != found[1].settings["model_sha256"]
    assert digests[0] != digests[1]


def test_a_journal_cut_off_in_its_first_line_goes_on(model: Model, photos: Path, tmp_path: Path) -> None:
    path, journal = sorted(photos.glob("*"))[0], tmp_path / "j.jsonl"
    judge(model, path, journal=journal)
    journal.write_bytes(journal.read_bytes()[:60])
    found = judge(model, path, journal=journal)
    assert (found.reused, len(found.rows), found.journal.unreadable) == (0, 4, 1)
    assert judge(model, path, journal=journal).reused == 4


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("row", {"probability": "gone"}), ("row", {"value": "x"}), ("row", {"metric": 3}),
        ("picture", {"jpeg": "AAAAA"}), ("map", {"png": "????"}),
    ],
)  # fmt: skip
def test_a_damaged_entry_of_a_journal_is_made_again(
    model: Model, photos: Path, tmp_path: Path, kind: str, change: dict[str, object]
) -> None:
    path, journal = sorted(photos.glob("*"))[0], tmp_path / "j.jsonl"
    first = judge(model, path, journal=journal)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    damaged = next(line for line in lines if line["kind"] == kind)
    damaged.update(change)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = judge(model, path, journal=journal)
    assert found.journal.unreadable == 1
    assert [row.value for row in found.rows] == [row.value for row in first.rows]
    found.report(tmp_path / "report.html")


def test_a_picture_that_is_no_picture_is_left_out_of_the_report(model: Model, photos: Path, tmp_path: Path) -> None:
    path, journal = sorted(photos.glob("*"))[0], tmp_path / "j.jsonl"
    judge(model, path, journal=journal)
    journal.write_text(re.sub(r'"jpeg": "[^"]*"', '"jpeg": "AAAAAAAA"', journal.read_text()))
    judge(model, path, journal=journal).report(tmp_path / "report.html")
    assert "data:image/jpeg" not in (tmp_path / "report.html").read_text()


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
        found = judge(model, Item(flat, "picture"), methods=(), maps=folder, metrics=["energy-pointing"],
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
    maps = [base64.b64encode(bytes(range(at + 1))).decode() for at in range(20)]
    for at, png in enumerate(maps):
        both[at % 2].add("map", str(at), {"png": png})
    assert [both[at % 2].get("map", str(at))["png"] for at in range(20)] == maps  # type: ignore[index]
    again = Journal(tmp_path / "j.jsonl")
    assert [each["png"] for each in again.entries("map")] == maps
    assert again.unreadable == 0


def test_every_metric_judges_maps_of_pixels_and_of_layers(model: Model, photos: Path) -> None:
    """Whatever a metric needs, the run hands it over: the raw map, the object, randomised models, an explainer."""
    from onnxsal.metrics.registry import names

    of_others = {"grid-pointing", "mask-share", "region-pointing"}  # of mosaics, and of scores at every position
    wanted = [name for name in names() if name not in of_others]
    found = judge(model, sorted(photos.glob("*"))[:1], metrics=wanted, masks=photos.parent / "masks", stages=2)
    assert found.failures == ()
    got = {(row.method, row.metric) for row in found.rows}
    assert {metric for _, metric in got} == set(wanted)
    assert {metric for method, metric in got if method == "gradient"} == set(wanted)


def test_pictures_come_as_bytes_and_open_files_as_well(model: Model, photos: Path) -> None:
    path = photos / "0_red0.png"
    named = judge(model, path, methods="gradient,eigencam", metrics="sparseness")
    with open(path, "rb") as file:
        given = judge(model, [path.read_bytes(), file], methods="gradient,eigencam", metrics="sparseness")
    assert [row.image for row in given.rows] == ["picture", "picture", "0_red0.png", "0_red0.png"]
    assert [row.value for row in given.rows] == 2 * [row.value for row in named.rows]
    with open(path, "rb") as file:
        alone = judge(model, file, methods="gradient,eigencam", metrics="sparseness")
    assert [row.value for row in alone.rows] == [row.value for row in named.rows]


CUT = "{'shape': (16,"
CLAIMS = "{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000, 16000), }"


@pytest.mark.parametrize("header", [CUT, CLAIMS], ids=["cut off", "more than memory holds"])
def test_a_map_with_a_damaged_header_leaves_the_others_judged(model: Model, photos: Path, header: str) -> None:
    folder, (bad, *rest) = photos / "mine", sorted(photos.glob("*.png"))
    folder.mkdir()
    for path in rest:
        np.save(folder / f"{path.stem}.npy", np.ones((16, 16)))
    text = header.ljust(117).encode() + b"\n"
    (folder / f"{bad.stem}.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64))
    found = judge(model, [bad, *rest], methods=[], maps=folder, metrics="sparseness")
    assert ["is no array that NumPy can read" in failure.message for failure in found.failures] == [True]
    assert [row.image for row in found.rows] == [path.name for path in rest]


def test_a_target_that_explain_takes_is_that_of_all_pictures(model: onnxsal.Model, photos: Path) -> None:
    both = judge(model, photos, target=("red", "green"), metrics=["deletion"])
    assert {(row.target, row.label) for row in both.rows} == {(None, "red minus green")}
    one = judge(model, photos, target="red", metrics=["deletion"])
    assert {(row.target, row.label) for row in one.rows} == {(0, "red")}
    picture = sorted(photos.glob("*.png"))[0]
    found = next(row for row in both.rows if row.image == picture.name)
    probability = {p.label: p.probability for p in model.predict(picture, top=4)}
    assert found.curve is not None
    assert found.curve[0][1] == pytest.approx(probability["red"] - probability["green"], abs=1e-4)
    assert (both.metrics[0].ends, one.metrics[0].ends) == ((-math.inf, math.inf), (0, 1))
    with pytest.raises(UsageError, match="no class is called 'predcted'"):
        judge(model, photos, target="predcted")
