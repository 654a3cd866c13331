"""What a compiled detector looks for in a picture is what tables of numbers say, and it is silent about nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from tiny_detectors import NAMES, detector, picture

import onnxsal
from onnxsal.anatomy.select import BOX, TARGET
from onnxsal.errors import UsageError
from onnxsal.graph import to_proto
from onnxsal.graph.program import empty
from onnxsal.tasks.detection import BoxPrediction
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.compiled import Seen
from onnxsal.tasks.detection.found import Detected, Rule, Table
from onnxsal.tasks.detection.rows import Rows

BLOBS = picture((0, 4, 4), (1, 20, 16))
FORMS = ["v8", "nms", "end2end", "three", "ssd"]
SIZE, CLASSES = (24, 32), 3
NOWHERE = [[40, 4, 50, 9], [4, 30, 9, 40], [-9, 2, 0, 8], [9, 9, 4, 20], [2, 8, 9, 8], [np.nan] * 4,
           [0, 0, np.inf, 9]]  # fmt: skip
"""Boxes beside a picture of 32 x 32, or that are none."""


def model(form: str = "v8", **options: Any) -> onnxsal.Model:
    return onnxsal.load(detector(form), labels=list(NAMES), **options)


def seen(own: onnxsal.Model) -> list[BoxPrediction]:
    return [p for p in own.predict(BLOBS, top=300) if isinstance(p, BoxPrediction)]


def run_file(made: Any, feeds: dict[str, np.ndarray], names: list[str]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(names, feeds))


@pytest.mark.parametrize("form", FORMS)
def test_each_detection_is_explained_by_its_class_and_box(form: str) -> None:
    """One file lists what ``predict`` lists and explains each as ``explain`` does; the model's outputs stay its own."""
    own = model(form)
    made = onnxsal.compile(own, method="gradient", target="input@input", give="saliency,detections")
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    names, found = [v.name for v in session.get_outputs()], seen(own)
    assert len(found) > 3
    for at, each in enumerate(found[:3] + found[-1:]):
        feeds = {"picture": BLOBS, "target": np.array([each.index]), "box": np.array([each.box], np.float32)}
        given = dict(zip(names, session.run(names, feeds), strict=True))
        wanted = onnxsal.explain(own, BLOBS, method="gradient", target=f"#{each.number}")
        np.testing.assert_allclose(given["saliency"][0], wanted.saliency, atol=1e-4)
        np.testing.assert_allclose(given["explained"], [[*each.box, each.probability, each.index]], rtol=1e-5)
        if not at:
            listed = [[0, *p.box, p.probability, p.index] for p in found]
            np.testing.assert_allclose(given["detections"], listed, rtol=1e-4, atol=1e-4)
    bare = onnxruntime.InferenceSession(to_proto(own.source).SerializeToString(), providers=["CPUExecutionProvider"])
    for name, value in zip(names, bare.run(None, {"picture": BLOBS}), strict=False):
        np.testing.assert_array_equal(given[name], value)


@pytest.mark.parametrize("form", ["v8", "three"])
def test_where_explain_refuses_a_file_gives_zeros_and_says_so(form: str) -> None:
    """``three`` has no candidate at all on a picture of nothing, and no operator finds the best of none."""
    own = model(form)
    best = onnxsal.compile(own, method="gradient", give="saliency,raw,detections")
    outputs = ["saliency", "raw", "explained", "detections"]
    saliency, raw, explained, detections = run_file(best, {"picture": picture()}, outputs)
    assert not saliency.any() and not raw.any() and np.isnan(explained).all() and detections.shape == (0, 7)
    asked = onnxsal.compile(own, method="gradient", target="input@input")
    session = onnxruntime.InferenceSession(asked.SerializeToString(), providers=["CPUExecutionProvider"])
    here = [20, 16, 28, 24]
    for index, box in [*((1, box) for box in NOWHERE), (-1, here), (9, here)]:
        feeds = {"picture": BLOBS, "target": np.array([index]), "box": np.array([box], np.float32)}
        saliency, explained = session.run(["saliency", "explained"], feeds)
        assert not saliency.any() and np.isnan(explained).all(), (index, box)
    feeds = {"picture": BLOBS, "target": np.array([1]), "box": np.array([here], np.float32)}
    assert session.run(["saliency"], feeds)[0].any()


def test_pictures_of_which_one_has_nothing() -> None:
    """The map of each is what it is alone."""
    own = model()
    made = onnxsal.compile(own, method="gradient")
    saliency, explained = run_file(made, {"picture": np.concatenate([picture(), BLOBS])}, ["saliency", "explained"])
    assert not saliency[0].any() and np.isnan(explained[0]).all()
    np.testing.assert_allclose(saliency[1], onnxsal.explain(own, BLOBS, method="gradient").saliency, atol=1e-4)
    best = seen(own)[0]
    np.testing.assert_allclose(explained[1], [*best.box, best.probability, best.index], rtol=1e-5)


def test_a_box_of_one_class_and_what_the_file_says_of_itself() -> None:
    made = onnxsal.compile(model(threshold=0.3), method="layercam", target="green@input", explain_required=True)
    assert [v.name for v in made.graph.input] == ["picture", "box", "explain"]
    feeds = {"picture": BLOBS, "box": np.array([[20, 16, 28, 24]], np.float32), "explain": np.array(True)}
    (saliency,) = run_file(made, feeds, ["saliency"])
    wanted = onnxsal.explain(model(), BLOBS, method="layercam", target="green@20,16,28,24")
    np.testing.assert_allclose(saliency[0], wanted.saliency, atol=1e-4)
    about = json.loads(next(p.value for p in made.metadata_props if p.key == "onnxsal.explainer"))
    assert about["target"] == {"label": 1, "box": "input"}
    assert (about["output"]["threshold"], about["output"]["iou"]) == (0.3, 0.5)
    assert {"box", "explained"} == set(about["means"])


@pytest.mark.parametrize(("target", "asked"), [
    ("#2", "#2"), ("#2 right", "#2 right"), ("red@input top", "red@{box} top"), ("input@input left", "#2 left"),
    ("input bottom", "{label} bottom"),
])  # fmt: skip
def test_numbers_and_parts_are_looked_for_in_every_picture(target: str, asked: str) -> None:
    """As ``explain`` finds them there; one of two pictures has no second detection."""
    own = model()
    second = seen(own)[1]
    made = onnxsal.compile(own, method="gradient", target=target)
    blobs = BLOBS if "input" in target else np.concatenate([picture(), BLOBS])
    every = {"picture": blobs, "target": np.array([second.index]), "box": np.array([second.box], np.float32)}
    feeds = {v.name: every[v.name] for v in made.graph.input if v.name in every}
    saliency, explained = run_file(made, feeds, ["saliency", "explained"])
    about = asked.format(box=",".join(map(str, second.box)), label=second.label)
    wanted = onnxsal.explain(own, BLOBS, method="gradient", target=about)
    np.testing.assert_allclose(saliency[-1], wanted.saliency, atol=1e-4)
    if "#2" in asked:
        np.testing.assert_allclose(explained[-1], [*second.box, second.probability, second.index], rtol=1e-5)
    if "input" not in target:
        assert not saliency[0].any() and np.isnan(explained[0]).all()


@pytest.mark.parametrize(("target", "why"), [("#0", "no detection #0"), ("#2@input", "a number says where")])
def test_what_no_file_looks_for_is_refused(target: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        onnxsal.compile(model(), method="gradient", target=target)


def test_detections_are_of_detectors() -> None:
    import tiny_models

    with pytest.raises(UsageError, match="give=detections is for detectors"):
        onnxsal.compile(tiny_models.classifier(), method="gradient", give="detections")
    with pytest.raises(UsageError, match="give=detections alone explains nothing"):
        onnxsal.compile(model(), method="gradient", give="detections")


# Random tables: the graph against NumPy.


def tables(form: str) -> tuple[Candidates, Rule, dict[str, np.ndarray]]:
    """Return candidates of a form, a rule and numbers [2, ...] in which boxes overlap and classes compete."""
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 20, (2, 12, 2)).round(2)
    boxes = np.concatenate([corners, corners + rng.uniform(3, 12, (2, 12, 2)).round(2)], axis=2)
    boxes[:, 6:] = boxes[:, :6] + rng.normal(0, 0.4, (2, 6, 4))
    count = 1 if form == "labels" else CLASSES
    scores = rng.uniform(0, 1, (2, 12 * count))
    scores[scores > 0.85] = 1  # as sigmoids saturate: of equals the first comes first
    numbers = {"probability": scores, "box": boxes.reshape(2, -1)}
    if form == "labels":
        numbers["label"] = rng.integers(0, CLASSES, (2, 12)).astype(float)
    rule = Rule(0.3, None if form == "all" else 0.4, several=form == "several", together=form == "together")
    rows = Rows(("v",), 2, 0, count)
    found = Candidates(("v",), Rows(("v",), 2, 0, 4), "ltrb", "pixels", probabilities=rows, count=12,
                       labels=Rows(("v",), 2, 0, 1) if form == "labels" else None,
                       background=1 if form == "background" else None)  # fmt: skip
    return found, rule, {name: array.astype(np.float32) for name, array in numbers.items()}


def in_graph(of: Candidates, rule: Rule, numbers: dict[str, np.ndarray], feeds: dict[str, np.ndarray],
             number: int | None = None) -> Any:  # fmt: skip
    op = empty(21)
    held = {n: op.input(n, ir.DataType.FLOAT, list(array.shape)) for n, array in numbers.items()}
    kind = op.input("kind", ir.DataType.INT64, [2]) if "kind" in feeds else None
    box = op.input("where", ir.DataType.FLOAT, [2, 4]) if "where" in feeds else None
    table = Seen.of_numbers(op, held, of, rule)
    found = table.sought(kind, box, SIZE, anew=False, number=number)
    outputs = {"row": found.feeds[TARGET], "its": found.feeds[BOX], "seen": found.seen, **found.told}
    model = op.finish_with({**outputs, "detections": table.detections()}).model
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    names = [*outputs, "detections"]
    return dict(zip(names, session.run(names, {**numbers, **feeds}), strict=True))


@pytest.mark.parametrize("form", ["plain", "background", "labels", "several", "together", "all"])
def test_a_graph_finds_what_a_table_finds(form: str) -> None:
    of, rule, numbers = tables(form)
    each = [{name: array[i] for name, array in numbers.items()} for i in range(2)]
    by_hand = [Table.of(one, of.classes, of.background) for one in each]
    listed = [(i, d) for i, table in enumerate(by_hand) for d in table.detections(rule)]
    assert len({d.index for _, d in listed}) > 1
    found = in_graph(of, rule, numbers, {})
    rows = np.array([[i, *d.box, d.score, d.index] for i, d in listed])
    assert (np.diff(found["detections"][:, 5]) <= 0).all()
    by_picture = found["detections"][np.argsort(found["detections"][:, 0], kind="stable")]
    np.testing.assert_allclose(by_picture, rows, rtol=1e-6)
    _same(found, [table.detections(rule)[0] for table in by_hand], of)
    least = min(len(table.detections(rule)) for table in by_hand)
    for number in (2, least + 1):
        mine = [next(iter(table.detections(rule)[number - 1 :]), None) for table in by_hand]
        _same(in_graph(of, rule, numbers, {}, number), mine, of)
    for index in range(CLASSES):
        mine = [next((d for d in table.detections(rule) if d.index == index), None) for table in by_hand]
        _same(in_graph(of, rule, numbers, {"kind": np.array([index] * 2)}), mine, of)
        if index != of.background:
            where = [(4.0, 3.0, 17.0, 14.0), by_hand[1].detections(rule)[-1].box]
            feeds = {"kind": np.array([index] * 2), "where": np.array(where, np.float32)}
            at = [table.at(index, box) for table, box in zip(by_hand, where, strict=True)]
            _same(in_graph(of, rule, numbers, feeds), at, of)


def _same(found: dict[str, np.ndarray], wanted: list[Detected | None], of: Candidates) -> None:
    for i, each in enumerate(wanted):
        assert found["seen"][i] == (each is not None)
        if each is None:
            assert np.isnan(found["explained"][i]).all()
        else:
            assert found["row"][i] == of.column(each.row, each.index)
            np.testing.assert_allclose(found["explained"][i], [*each.box, each.score, each.index], rtol=1e-6)


def test_a_detection_named_by_its_box_is_that_one() -> None:
    """A surer candidate that overlaps it, and that another one has struck, is not taken for it."""
    boxes = np.array([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]], np.float32)
    table = Table(np.array([[0.9], [0.8], [0.4]], np.float32), boxes, None, None)
    assert [d.row for d in table.detections(Rule())] == [0, 2]
    assert [getattr(table.at(0, d.box), "row", None) for d in table.detections(Rule())] == [0, 2]
