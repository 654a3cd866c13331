"""NonMaxSuppression in bodies, class by class or behind what picks rows: candidates are read in front of all of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_detectors import NAMES, TOTAL, detector, picture, with_head

import onnxsal
from onnxsal import errors
from onnxsal.runtime.environment import onnxruntime
from onnxsal.tasks.detection import BoxPrediction, Detection

BLOBS = picture((0, 4, 4), (1, 20, 16), (2, 2, 22))
NONE = "none = ConstantOfShape <value = int64[1] {0}> (nothing_there)"
GROWS = "kept = Concat <axis = 0> (before, part)  on = Identity (go)"
LOOP = """
    %s
    output = Loop (three, , none) <body = b (int64 i, bool go, int64[K] before) => (bool on, int64[L] kept) {
        %s
        found = NonMaxSuppression <center_point_box = 1> (%s, most, overlap, least)
        part = Gather <axis = 1> (found, third)
        %s
    }>
"""
OWN = "one = Gather <axis = 1> (p, i)  own = Unsqueeze (one, batch)"
CLASSES = LOOP % (NONE, OWN, "turned_boxes, own", GROWS)
SLICED = """
    next = Add (i, one_more)  first_one = Unsqueeze (i, batch)  last_one = Unsqueeze (next, batch)
    axis_of = Constant <value = int64[1] {1}> ()
    own = Slice (p, first_one, last_one, axis_of)
"""
ABOVE = """
    one = Gather <axis = 1> (p, i)  row = Squeeze (one, batch)  limit = Constant <value = float {0.3}> ()
    sure = Greater (row, limit)  places = NonZero (sure)  at = Squeeze (places, batch)
    flat_boxes = Squeeze (turned_boxes, batch)  above = Gather <axis = 0> (flat_boxes, at)
    picked_boxes = Unsqueeze (above, batch)  scores = Gather <axis = 0> (row, at)
    two_axes = Constant <value = int64[2] {0, 1}> ()  own = Unsqueeze (scores, two_axes)
"""
BRANCH = """
    most_of = ReduceMax <keepdims = 0> (p)  any = Greater (most_of, least_one)
    output = If (any) <then_branch = t () => (int64[M] rows) {
        found = NonMaxSuppression <center_point_box = 1> (turned_boxes, p, most, overlap, least)
        rows = Gather <axis = 1> (found, third)
    }, else_branch = e () => (int64[M] no_rows) { no_rows = ConstantOfShape <value = int64[1] {0}> (nothing_there) }>
"""
CUT = """
    found = NonMaxSuppression <center_point_box = 1> (turned_boxes, p, most, overlap, least)
    rows = Gather <axis = 1> (found, third)
    number = Size (rows)  many = Greater (number, third)
    output = If (many) <then_branch = t () => (int64[M] few) {
        zero = Constant <value = int64[1] {0}> ()  two_rows = Constant <value = int64[1] {2}> ()
        few = Slice (rows, zero, two_rows, zero)
    }, else_branch = e () => (int64[M] all) { all = Identity (rows) }>
"""
PICTURES = LOOP.replace("three", "one_more") % (
    NONE,
    """
    its = Unsqueeze (i, batch)  own_boxes = Gather <axis = 0> (turned_boxes, its)  own = Gather <axis = 0> (p, its)
    """,
    "own_boxes, own",
    GROWS,
)
PICTURES_SCANNED = """
    output = Scan <num_scan_inputs = 2, body = b (float[P, 4] its_boxes, float[3, P] its) => (int64[R] kept) {
        own_boxes = Unsqueeze (its_boxes, batch)  own = Unsqueeze (its, batch)
        found = NonMaxSuppression <center_point_box = 1> (own_boxes, own, most, overlap, least)
        part = Gather <axis = 1> (found, third)  ends = Constant <value = int64[1] {-1}> ()
        kept = Reshape (part, ends)
    }> (turned_boxes, p)
"""
STATE = """
    none = ConstantOfShape <value = int64[1] {0}> (nothing_there)
    unused, output = Loop (three, , turned_boxes, none) <body = b (int64 i, bool go, float[1, P, 4] boxes_now,
            int64[K] before) => (bool on, float[1, P, 4] boxes_then, int64[L] kept) {
        one = Gather <axis = 1> (p, i)  own = Unsqueeze (one, batch)
        found = NonMaxSuppression <center_point_box = 1> (boxes_now, own, most, overlap, least)
        part = Gather <axis = 1> (found, third)  boxes_then = Identity (boxes_now)
        kept = Concat <axis = 0> (before, part)  on = Identity (go)
    }>
"""
SCANNED = """
    output = Scan <num_scan_inputs = 1, scan_input_axes = [1], body = b (float[1, P] one) => (int64[1] kept) {
        own = Unsqueeze (one, batch)  once = Constant <value = int64[1] {1}> ()
        found = NonMaxSuppression <center_point_box = 1> (turned_boxes, own, once, overlap)
        part = Gather <axis = 1> (found, third)  kept = Reshape (part, once)
    }> (p)
"""
ONES = """
    p_0, p_1, p_2 = Split <axis = 1> (p, ones)
    f_0 = NonMaxSuppression <center_point_box = 1> (turned_boxes, p_0, most, overlap, least)
    f_1 = NonMaxSuppression <center_point_box = 1> (turned_boxes, p_1, most, overlap, least)
    f_2 = NonMaxSuppression <center_point_box = 1> (turned_boxes, p_2, most, overlap, least)
    found = Concat <axis = 0> (f_0, f_1, f_2)
    output = Gather <axis = 1> (found, third)
"""
APART = """
    best = ReduceMax <keepdims = 0> (p, second_axis)  kind = ArgMax <axis = 1, keepdims = 0> (p)
    number = Cast <to = 1> (kind)  moved_by = Mul (number, apart)  column = Unsqueeze (moved_by, last_axis)
    everything = Concat <axis = 1> (first, last)  corners_of = Mul (everything, strides)
    corners = Transpose <perm = [0, 2, 1]> (corners_of)
    apart_boxes = Add (corners, column)  single = Unsqueeze (best, second_axis)
    found = NonMaxSuppression (apart_boxes, single, most, overlap, least)
    output = Gather <axis = 1> (found, third)
"""
FORMS = {
    "loop over classes": CLASSES,
    "cut out by the turn": LOOP % (NONE, SLICED, "turned_boxes, own", GROWS),
    "rows above a threshold": LOOP % (NONE, ABOVE, "picked_boxes, own", GROWS),
    "boxes as a state": STATE,
    "a loop over pictures": PICTURES,
    "a Scan over pictures": PICTURES_SCANNED,
    "a Scan over classes": SCANNED,
    "a branch of an If": BRANCH,
    "cut off by an If": CUT,
    "one after the other": ONES,
    "moved apart": APART,
}
INTEGERS = {"nothing_there": [0], "one_more": 1, "ones": [1, 1, 1], "second_axis": [1]}


def made(text: str, **others: float) -> onnx.ModelProto:
    """Return the detector with a head, and the constants that these heads have. Args: others: of another value."""
    proto = with_head(text)
    for name, number in INTEGERS.items():
        if name in text:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(number, np.int64), name))
    for name, real in (("least_one", 0.2), ("apart", 4096.0)):
        if name in text:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(real, np.float32), name))
    for each in proto.graph.initializer:
        if each.name in others:
            old = onnx.numpy_helper.to_array(each)
            each.CopyFrom(onnx.numpy_helper.from_array(np.full_like(old, others[each.name]), each.name))
    return proto


def rows_of(proto: onnx.ModelProto, blobs: np.ndarray = BLOBS) -> list[int]:
    """Return the rows that ONNX Runtime itself picks of a file."""
    session = onnxruntime().InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return [int(n) for n in session.run(None, {"picture": blobs})[0].reshape(-1)]


@pytest.mark.parametrize("form", FORMS)
def test_all_candidates_are_those_of_the_same_detector_without(form: str) -> None:
    proto, whole = made(FORMS[form]), onnxsal.load(detector("v8")).outputs(BLOBS[0])
    model = onnxsal.load(proto, labels=list(NAMES))
    assert isinstance(model.task, Detection)
    numbers = model.outputs(BLOBS[0])
    for kind in ("logit", "probability", "box"):
        np.testing.assert_allclose(numbers[kind], whole[kind], rtol=1e-5, atol=1e-5)
    least = 0.3 if form == "rows above a threshold" else 0.25
    assert model.task.rule.threshold == pytest.approx(least)
    assert model.task.rule.overlap == pytest.approx(0.4)
    own = rows_of(proto)
    assert 0 < len(own) < TOTAL
    told = [each for each in model.predict(BLOBS[0], top=300) if isinstance(each, BoxPrediction)]
    if form == "rows above a threshold":  # their numbers are those among the rows that were picked
        assert len(told) == len(own)
        return
    boxes, shares = whole["box"].reshape(TOTAL, 4), whole["probability"].reshape(TOTAL, 3)
    found = {int(np.abs(boxes - np.array(each.box)).sum(1).argmin()) for each in told}
    sure = {row for row in own if shares[row].max() > least}
    assert sure <= found if form in ("cut off by an If", "a Scan over classes") else sure == found


def test_classes_are_apart_by_at_least_the_width_of_the_picture() -> None:
    """Moved by nothing they strike each other, as in YOLOv5's agnostic file; by less nobody knows which do."""
    found = dict[float, set[int]]()
    blobs = picture((0, 9, 12), (1, 15, 12))
    boxes = onnxsal.load(detector("v8")).outputs(blobs[0])["box"].reshape(TOTAL, 4)
    for by in (32.0, 0.0):
        proto = made(APART, apart=by, overlap=0.05)
        told = [each for each in onnxsal.load(proto).predict(blobs[0], top=300) if isinstance(each, BoxPrediction)]
        found[by] = {int(np.abs(boxes - np.array(each.box)).sum(1).argmin()) for each in told}
        assert found[by] == set(rows_of(proto, blobs))
    assert found[0.0] != found[32.0]
    with pytest.raises(errors.UnsupportedError, match="nothing proves boxes with classes"):
        onnxsal.load(made(APART, apart=31.9), task="detection")


INSIDE = "one = Gather <axis = 1> (p, i)  own = Unsqueeze (one, batch)  grown = Mul (turned_boxes, two)"
REFUSED = {
    "boxes worked out inside": LOOP % (NONE, INSIDE, "grown, own", GROWS),
    "as many turns as a picture says": CLASSES.replace("Loop (three", "Loop (turns").replace(
        NONE,
        NONE
        + """
        biggest = ReduceMax <keepdims = 0> (p)  turns = Cast <to = 7> (biggest)""",
    ),
    "sizes moved as well": APART.replace("Add (corners", "Add (turned_boxes").replace(
        "NonMaxSuppression (", "NonMaxSuppression <center_point_box = 1> ("
    ),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_not_proved_says_what_a_body_is_handed(form: str, tmp_path: Path) -> None:
    """And with that, filled in, all candidates are read where they are values of the graph."""
    onnx.save(made(REFUSED[form]), tmp_path / "own.onnx")
    with pytest.raises(errors.UnsupportedError, match="nothing proves boxes with classes") as said:
        onnxsal.load(tmp_path / "own.onnx", task="detection")
    if form == "boxes worked out inside":
        assert "worked out inside the Loop" in str(said.value)
        return
    text = str(said.value)
    known, _ = json.JSONDecoder().raw_decode(text[text.index('{"') :])
    filled = {**known, "format": "cxcywh", "unit": "pixels", "labels": list(NAMES)}
    (tmp_path / "own.detection.json").write_text(json.dumps(filled), encoding="utf-8")
    numbers, whole = (onnxsal.load(each).outputs(BLOBS[0]) for each in (tmp_path / "own.onnx", detector("v8")))
    for kind in ("probability", "box"):
        np.testing.assert_allclose(numbers[kind], whole[kind], rtol=1e-5, atol=1e-5)
