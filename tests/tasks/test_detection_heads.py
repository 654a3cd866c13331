"""Detectors are recognised by proof: by parts of their graphs, words of their files, or the JSON beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from tiny_detectors import NAMES, SIDE, TEXTS, TOTAL, detector, picture

import onnxsal
from onnxsal import errors
from onnxsal.anatomy.select import entered
from onnxsal.graph.program import empty
from onnxsal.model import Model
from onnxsal.runtime.environment import onnxruntime
from onnxsal.tasks.detection import BoxPrediction, Detection
from onnxsal.tasks.detection.decoding import unit_of

BLOBS = picture((0, 4, 4), (1, 20, 16))
YOLOX = {
    "boxes": "output[:, :, 0:4]", "format": "cxcywh", "objectness": "output[:, :, 4]", "scores": "output[:, :, 5:]",
    "strides": [4, 8], "labels": list(NAMES),
}  # fmt: skip


def task_of(model: Model) -> Detection:
    assert isinstance(model.task, Detection)
    return model.task


def outputs(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    """Return what ONNX Runtime itself gives for a file."""
    session = onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"picture": x}))


def corners(boxes: np.ndarray) -> np.ndarray:
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def expected(form: str, found: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return corners [N, 4] and scores [N, K] as a form's documentation says that outputs are read."""
    first = found[0]
    if form in ("v8", "segment", "pose"):
        return corners(first[0, :4].T), first[0, 4:7].T
    if form == "v5":
        return corners(first[0, :, :4]), first[0, :, 4:5] * first[0, :, 5:]
    if form == "detr":
        return corners(first[0]) * SIDE, found[1][0]
    return first[0] * SIDE, found[1][0]


@pytest.mark.parametrize("form", ["v8", "segment", "pose", "v5", "detr", "ssd"])
def test_numbers_are_those_of_the_file(form: str) -> None:
    proto = detector(form)
    model = onnxsal.load(proto)
    task = task_of(model)
    boxes, scores = expected(form, outputs(proto, BLOBS))
    numbers = model.outputs(BLOBS[0])
    np.testing.assert_allclose(numbers["box"].reshape(-1, 4), boxes, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(numbers["probability"].reshape(-1, 3), scores, rtol=1e-5, atol=1e-6)
    assert (task.candidates.classes, task.candidates.count) == (3, TOTAL)
    if form == "v5":
        assert "logit" not in numbers
    elif form == "ssd":
        shares = np.exp(numbers["logit"].reshape(-1, 3))
        np.testing.assert_allclose(shares / shares.sum(1, keepdims=True), scores, rtol=1e-4, atol=1e-6)
    else:
        np.testing.assert_allclose(1 / (1 + np.exp(-numbers["logit"])), scores.reshape(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", ["nms", "end2end"])
def test_candidates_are_read_in_front_of_what_picks_them(form: str) -> None:
    """All of them, as the same detector puts them out without."""
    found, whole = (onnxsal.load(detector(each)).outputs(BLOBS[0]) for each in (form, "v8"))
    for kind in ("logit", "probability", "box"):
        np.testing.assert_allclose(found[kind], whole[kind], rtol=1e-5, atol=1e-5)


def test_the_file_s_own_overlap_is_taken_and_top_k_needs_none() -> None:
    rules = {form: task_of(onnxsal.load(detector(form))).rule.overlap for form in ("nms", "end2end", "v8")}
    assert rules == {"nms": pytest.approx(0.4), "end2end": None, "v8": 0.5}


def test_boxes_by_rows_beside_scores_by_classes_are_a_pair() -> None:
    """[B, N, 4] and [B, K, N], as PicoDet puts them out."""
    proto = detector("nms")
    del proto.graph.node[-2:], proto.graph.output[:]
    for name, shape in (("turned_boxes", ["N", TOTAL, 4]), ("p", ["N", 3, TOTAL])):
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, shape))
    found, whole = onnxsal.load(proto).outputs(BLOBS[0]), onnxsal.load(detector("v8")).outputs(BLOBS[0])
    for kind in ("logit", "probability", "box"):
        np.testing.assert_allclose(found[kind], whole[kind], rtol=1e-5, atol=1e-5)


def test_rows_of_boxes_labels_and_scores_without_a_batch() -> None:
    proto = detector("three")
    model = onnxsal.load(proto)
    boxes, scores, labels = outputs(proto, BLOBS)
    found = model.predict(BLOBS, top=100)
    order = np.argsort(-scores, kind="stable")
    assert [p.index for p in found] == labels[order].tolist()
    np.testing.assert_allclose([p.probability for p in found], scores[order], rtol=1e-6)
    np.testing.assert_allclose([p.box for p in found], boxes[order], rtol=1e-5)  # type: ignore[attr-defined]


def test_one_class_and_mask_coefficients_are_no_other_classes() -> None:
    """[1, 37, 8400] is one class and 32 coefficients, as here [1, 9, 80] is one and four."""
    task = task_of(onnxsal.load(detector("segment", classes=1)))
    assert (task.candidates.classes, task.candidates.form) == (1, "cxcywh")


def test_keypoints_behind_one_class_are_no_other_classes() -> None:
    """[1, 56, 8400] is one class and 17 keypoints, which looks like detection with 52."""
    assert task_of(onnxsal.load(detector("pose", classes=1))).candidates.classes == 1


@pytest.mark.parametrize("classes", [1, 3])
def test_boxes_that_others_decode_are_not_proven_by_their_shape(classes: int) -> None:
    """[1, 3549, 6] may be YOLOX with one class, and no box, score, class of something found."""
    assert onnxsal.load(detector("yolox", classes=classes)).task.name == "element"
    with pytest.raises(errors.UnsupportedError, match="nothing proves boxes") as caught:
        onnxsal.load(detector("yolox", classes=classes), task="detection")
    text = str(caught.value)
    known = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert known == YOLOX | {"unit": "pixels", "activation": "none", "labels": ["..."],
                             "scores": f"output[:, :, 5:{5 + classes}]",
                             "objectness": "output[:, :, 4:5]"}  # fmt: skip


def test_the_json_beside_a_file_says_what_its_graph_does_not(tmp_path: Path) -> None:
    proto = detector("yolox")
    onnx.save(proto, tmp_path / "own.onnx")
    (tmp_path / "own.detection.json").write_text(json.dumps(YOLOX), encoding="utf-8")
    model = onnxsal.load(tmp_path / "own.onnx")
    assert model.labels is not None
    assert model.labels.names == NAMES
    raw = outputs(proto, BLOBS)[0][0]
    centres, sizes = [], []
    for at in range(TOTAL):  # Ge et al. 2021, as the code beside it decodes a cell
        stride, cell = (4, at) if at < 64 else (8, at - 64)
        row, column = divmod(cell, SIDE // stride)
        centres.append([(raw[at, 0] + column) * stride, (raw[at, 1] + row) * stride])
        sizes.append(np.exp(raw[at, 2:4]) * stride)
    numbers = model.outputs(BLOBS[0])
    np.testing.assert_allclose(
        numbers["box"].reshape(-1, 4), corners(np.hstack([centres, sizes])), rtol=1e-5, atol=1e-4
    )
    np.testing.assert_allclose(numbers["probability"].reshape(-1, 3), raw[:, 4:5] * raw[:, 5:], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": "output[:, :, 0:3]"}, "boxes has 3 numbers"),
        ({"boxes": "outptu[:, :, 0:4]"}, "expected the part of an output"),
        ({"boxes": "output[:, 0:2, 0:4]"}, "cuts several axes"),
        ({"format": "xywh"}, "format is one of ltrb, cxcywh"),
        ({"scores": None}, "scores is missing"),
        ({"score": "output"}, "there is no key 'score'.*scores"),
        ({"strides": 8}, "strides are whole numbers"),
        ({"objectness": "output[:, :, 4:6]"}, "objectness has 2 numbers"),
        ({"activation": "soft"}, "activation is one of none"),
        ({"background": 7}, "background is the index of one of 3"),
        ({"format": "distances"}, "unit is one of strides, pixels"),
        ({"format": "distances", "unit": "strides", "bins": 8}, "boxes has 4 numbers for each candidate, expected 32"),
        ({"strides": [4, 16]}, "there are 80 candidates, and strides .* make 64 [+] 4 = 68"),
        ({"angle": "output[:, :, 4]"}, "angle turns boxes round their middles: format is cxcywh"),
        ({"keypoints": "output[:, :, 4:8]"}, "keypoints has 4 numbers for each candidate, expected a multiple of 3"),
        (
            {"masks": "output[:, :, 4:8]", "prototypes": "output"},
            r"an output of as many maps, .B, 4, h, w.",
        ),
        ({"boxes": ["output[:, :, 0:4]", "output[:, :, 1:5]"]}, "the same part of an output"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(tmp_path: Path, change: dict[str, object], message: str) -> None:
    onnx.save(detector("yolox"), tmp_path / "own.onnx")
    (tmp_path / "own.detection.json").write_text(json.dumps(YOLOX | change), encoding="utf-8")
    with pytest.raises(errors.UsageError, match=message):
        onnxsal.load(tmp_path / "own.onnx")


def test_ultralytics_words_and_a_shape_tell_what_a_graph_hides() -> None:
    """The same numbers behind one operator more, through which no pieces are seen."""
    proto = detector("v8", metadata={"task": "detect", "names": str(dict(enumerate(NAMES))), "stride": "8"})
    proto.graph.node[-1].output[0] = "joined"
    proto.graph.node.append(onnx.helper.make_node("Abs", ["joined"], ["output0"]))
    model = onnxsal.load(proto)
    found = task_of(model).candidates
    assert (found.classes, found.form, found.has_logits) == (3, "cxcywh", False)
    assert model.labels is not None
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    del bare.metadata_props[:]
    assert onnxsal.load(bare).task.name == "element"


def test_every_form_but_one_is_recognised_by_its_graph() -> None:
    names = {form: onnxsal.load(detector(form)).task.name for form in TEXTS}
    assert {form for form, name in names.items() if name != "detection"} == {"yolox"}


def test_a_shape_that_only_the_file_declares_is_a_message() -> None:
    """No operator with such an attribute has a shape, and the output's declared one goes with the output."""
    proto = detector("detr")
    last = next(node for node in proto.graph.node if node.op_type == "Transpose" and "said" in node.output)
    last.attribute[0].name = "turn"
    with pytest.raises(
        errors.UnsupportedError, match=r"nothing in the graph proves the shape of 's\w+', which holds numbers"
    ):
        entered(onnxsal.load(proto).anatomy)


def test_what_is_no_detector_is_none() -> None:
    import tiny_models

    assert onnxsal.load(tiny_models.classifier()).task.name == "classification"
    with pytest.raises(errors.UnsupportedError, match="no shape allows"):
        onnxsal.load(tiny_models.classifier(), task="detection")


def joined(metadata: dict[str, str]) -> onnx.ModelProto:
    """Return boxes beside four scores of one Sigmoid, channels last: three classes and objectness, or four classes."""
    proto = detector("v8", classes=4, metadata=metadata)
    sigmoid = next(node for node in proto.graph.node if node.op_type == "Sigmoid")
    sigmoid.input[0] = "turned"
    at = list(proto.graph.node).index(sigmoid)
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    turned = onnx.helper.make_node("Transpose", ["class_rows_of"], ["turned"], perm=[0, 2, 1])
    boxes = onnx.helper.make_node("Transpose", ["boxes"], ["turned_boxes"], perm=[0, 2, 1])
    proto.graph.node.extend([*nodes[:at], turned, *nodes[at:-1], boxes])
    proto.graph.node.append(onnx.helper.make_node("Concat", ["turned_boxes", "p"], ["output0"], axis=2))
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("output0", 1, ["N", TOTAL, 8]))
    return proto


def test_labels_tell_objectness_from_a_class() -> None:
    three = task_of(onnxsal.load(joined({"names": "{0: 'a', 1: 'b', 2: 'c'}", "stride": "8"})))
    four = task_of(onnxsal.load(joined({"names": "{0: 'a', 1: 'b', 2: 'c', 3: 'd'}", "stride": "8"})))
    assert (three.candidates.classes, four.candidates.classes) == (3, 4)
    whole = outputs(joined({}), BLOBS)[0][0]
    numbers = onnxsal.load(joined({"names": "{0: 'a', 1: 'b', 2: 'c'}", "stride": "8"})).outputs(BLOBS[0])
    np.testing.assert_allclose(numbers["probability"].reshape(-1, 3), whole[:, 4:5] * whole[:, 5:], rtol=1e-5)
    assert onnxsal.load(joined({})).task.name == "element"


def test_a_candidate_may_be_of_several_classes_behind_suppression_alone() -> None:
    """Where two blobs lie on each other the file's NonMaxSuppression keeps both classes, as it is asked for each."""
    both = picture((0, 8, 8), (1, 8, 8)) * np.float32(1.6)
    proto = detector("nms")
    rows = outputs(proto, both)[0]
    found = onnxsal.load(proto, labels=list(NAMES)).predict(both, top=300)
    assert len(found) == len(rows) > 0
    assert task_of(onnxsal.load(detector("v8"))).rule.several is False


def test_logits_beside_boxes_are_told_by_how_many_labels_there_are() -> None:
    proto = detector("detr")
    proto.graph.node.remove(proto.graph.node[-1])
    proto.graph.output[1].name = "said"
    assert onnxsal.load(proto).task.name == "element"
    assert any("--task detection" in note for note in onnxsal.load(proto).notes)
    each = task_of(onnxsal.load(proto, labels=["a", "b", "c"]))
    one = task_of(onnxsal.load(proto, labels=["a", "b"]))
    asked = task_of(onnxsal.load(proto, activation="softmax"))
    assert [(t.candidates.activation, t.candidates.background) for t in (each, one, asked)] == [
        ("sigmoid", None), ("softmax", 2), ("softmax", 2),
    ]  # fmt: skip
    said = outputs(proto, BLOBS)[1][0]
    shares = np.exp(said) / np.exp(said).sum(1, keepdims=True)
    numbers = onnxsal.load(proto, labels=["a", "b"]).outputs(BLOBS[0])
    np.testing.assert_allclose(numbers["probability"].reshape(-1, 3), shares, rtol=1e-4, atol=1e-7)
    assert {p.label for p in onnxsal.load(proto, labels=["a", "b"]).predict(BLOBS)} <= {"a", "b"}


QUERIES = """
<ir_version: 10, opset_import: ["": 21]>
g (float[1, 3, 16, 16] picture) => (float[1, 8, 3] logits, float[1, 8, 4] pred_boxes)
<int64[3] rows = {1, 8, 96}, int64[1] last = {2}, float two = {2}, float half = {0.5}>
{
    t = Reshape (picture, rows)
    q = MatMul (t, w)
    k = Transpose <perm = [0, 2, 1]> (q)
    dots = MatMul (q, k)
    seen = Softmax (dots)
    v = MatMul (seen, q)
    logits = MatMul (v, c)
    l, t_, r, b = Split <axis = 2, num_outputs = 4> (v)
    sl = Squeeze (l, last)
    st = Squeeze (t_, last)
    sr = Squeeze (r, last)
    sb = Squeeze (b, last)
    x0 = Sub (half, sl)
    y0 = Sub (half, st)
    x1 = Add (half, sr)
    y1 = Add (half, sb)
    sx = Add (x0, x1)
    sy = Add (y0, y1)
    cx = Div (sx, two)
    cy = Div (sy, two)
    w_ = Sub (x1, x0)
    h_ = Sub (y1, y0)
    ux = Unsqueeze (cx, last)
    uy = Unsqueeze (cy, last)
    uw = Unsqueeze (w_, last)
    uh = Unsqueeze (h_, last)
    pred_boxes = Concat <axis = 2> (ux, uy, uw, uh)
}
"""
"""Boxes of distances, as D-FINE has them, which no Sigmoid makes; candidates that attend to each other."""


def test_queries_are_told_by_their_attention_where_no_sigmoid_makes_boxes() -> None:
    rng, said = np.random.default_rng(2), {"labels": ["a", "b", "c"]}
    held = [onnx.numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
            for name, shape in (("w", (96, 4)), ("c", (4, 3)))]  # fmt: skip
    queries, cells = (onnx.parser.parse_model(QUERIES.replace("Softmax", each)) for each in ("Softmax", "Tanh"))
    for proto in (queries, cells):
        proto.graph.initializer.extend(held)
    model = onnxsal.load(queries, **said)
    rules = [task_of(each).rule.overlap for each in (model, onnxsal.load(cells, activation="sigmoid"))]
    assert rules == [None, 0.5]
    assert onnxsal.load(cells, labels=None).task.name == "element"
    with pytest.raises(errors.UsageError):  # a label a logit may be SSD's, whose first one is no object
        onnxsal.load(cells, **said)
    x = rng.uniform(0, 1, (1, 3, 16, 16)).astype(np.float32)
    logits, boxes = outputs(queries, x)
    numbers = model.outputs(x[0])
    np.testing.assert_allclose(numbers["box"].reshape(-1, 4), corners(boxes[0]) * 16, rtol=1e-5)
    np.testing.assert_allclose(numbers["logit"].reshape(-1, 3), logits[0], rtol=1e-5)


def test_which_score_is_no_object_is_said_by_a_label_or_in_a_note() -> None:
    """The first (SSD) or the last (DETR) of a softmax is a rule of others, and no operator proves it."""
    assumed = onnxsal.load(detector("ssd"), labels=["a", "b", "c"])
    told = onnxsal.load(detector("ssd"), labels=["a", "b", "__background__"])
    assert [task_of(each).candidates.background for each in (assumed, told)] == [0, 2]
    assert [sum("that of no object" in note for note in each.notes) for each in (assumed, told)] == [1, 0]
    shares = outputs(detector("ssd"), BLOBS)[1][0]
    for model, own in ((assumed, shares[:, 1:]), (told, shares[:, :2])):
        above = [p.probability for p in model.predict(BLOBS, top=300)]
        assert max(above) == pytest.approx(own.max(), rel=1e-4)


PICKED = [{"end2end": "True"}, {"args": "{'nms': True, 'half': False}"}, {"head": "RTDETRDecoder"}]


@pytest.mark.parametrize("said", PICKED)
def test_words_tell_that_a_file_picks_its_boxes_itself(said: dict[str, str]) -> None:
    """Behind an operator that hides the pieces: boxes, a score and the number of a class, and no candidates."""
    names = str(dict(enumerate(NAMES)))
    proto = detector("end2end", metadata={"task": "detect", "names": names, "stride": "8", **said})
    proto.graph.node[-1].output[0] = "joined"
    proto.graph.node.append(onnx.helper.make_node("Abs", ["joined"], ["output0"]))
    model = onnxsal.load(proto)
    rows = outputs(proto, BLOBS)[0][0]
    found = model.predict(BLOBS, top=300)
    sure = rows[rows[:, 4] > 0.25]
    np.testing.assert_allclose([p.probability for p in found], sure[:, 4], rtol=1e-5)
    assert [p.label for p in found] == [NAMES[int(k)] for k in sure[:, 5]]
    boxes = corners(sure[:, :4]) * SIDE if "head" in said else sure[:, :4]  # RT-DETR's are middles and sizes in shares
    np.testing.assert_allclose([p.box for p in found], boxes, rtol=1e-4)  # type: ignore[attr-defined]
    fused = onnxsal.explain(model, BLOBS, method="layercam")
    assert fused.manifest["layer"] == ["fine", "coarse"]


@pytest.mark.parametrize(("scale", "unit"), [(1.0, "shares"), (32.0, "pixels")])
def test_anchors_that_are_put_together_first_tell_the_unit(scale: float, unit: str) -> None:
    """As torchvision's are, which are too many to be folded into one constant."""
    op = empty(21)
    x = op.input("x", ir.DataType.FLOAT, [1, 4, 2])
    fine, coarse = (op.const(np.full((1, 2, 2), scale * share, np.float32)) for share in (0.25, 0.75))
    middles = op.Gather(op.Concat(fine, coarse, axis=1), op.const(np.array([1, 0])), axis=2)
    assert unit_of([op.Add(op.Mul(x, 0.1), middles)]) == unit


SUPPRESSED = """
<ir_version: 10, opset_import: ["": 21]>
g (float[1, 3, 16, 16] picture) => (int64[n] rows)
<int64[3] four = {1, 4, 256}, int64[3] two = {1, 2, 256}, int64[1] most = {9}, float[1] limit = {0.5},
 float[1] least = {0.1}, int64 third = {2}>
{
    m = Conv (picture, w)
    a = Reshape (m, four)
    boxes = Transpose <perm = [0, 2, 1]> (a)
    s = Conv (picture, v)
    t = Reshape (s, two)
    scores = Sigmoid (t)
    picked = NonMaxSuppression (boxes, scores, most, limit, least)
    rows = Gather <axis = 1> (picked, third)
}
"""


def suppressed() -> onnx.ModelProto:
    """A file whose NonMaxSuppression reads boxes of which nothing tells what their numbers are."""
    proto, rng = onnx.parser.parse_model(SUPPRESSED), np.random.default_rng(5)
    for name, channels in (("w", 4), ("v", 2)):
        weight = rng.normal(size=(channels, 3, 1, 1)).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    return proto


def test_suppression_proves_no_order_of_corners(tmp_path: Path) -> None:
    """Left, top, right, bottom or turned give the same IoU: torchvision hands over the one, TensorFlow the other."""
    onnx.save(suppressed(), tmp_path / "own.onnx")
    with pytest.raises(errors.UnsupportedError, match="nothing proves boxes with classes") as said:
        onnxsal.load(tmp_path / "own.onnx", task="detection")
    text = str(said.value)
    known, _ = json.JSONDecoder().raw_decode(text[text.index('{"') :])
    assert (known["boxes"], known["scores"], known["format"]) == ("boxes", "scores[:, 0:2, :]", "...")
    filled = {**known, "format": "tlbr", "unit": "pixels", "labels": ["a", "b"]}
    (tmp_path / "own.detection.json").write_text(json.dumps(filled), encoding="utf-8")
    x = np.random.default_rng(1).uniform(0, 1, (3, 16, 16)).astype(np.float32)
    proto = suppressed()
    proto.graph.output.extend([onnx.ValueInfoProto(name="boxes"), onnx.ValueInfoProto(name="scores")])
    _, boxes, scores = outputs(proto, x[None])
    numbers = onnxsal.load(tmp_path / "own.onnx").outputs(x)
    np.testing.assert_allclose(numbers["box"].reshape(-1, 4), boxes[0][:, [1, 0, 3, 2]], rtol=1e-5)
    np.testing.assert_allclose(numbers["probability"].reshape(-1, 2), scores[0].T, rtol=1e-5)


def test_boxes_that_are_joined_of_two_outputs_are_a_detector(tmp_path: Path) -> None:
    """CenterFace's form, y before x and heights before widths, decoded by hand; the note names what is explained."""
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 32, 32] x)
        => (float[B, 1, 8, 8] heat, float[B, 2, 8, 8] sizes, float[B, 2, 8, 8] offsets, float[B, 4, 8, 8] boxes)
        <int64[2] swapped = {1, 0}, int64[3] parts = {1, 2, 2}>
        { p = Conv <strides = [4, 4]> (x, w)  h, sizes, offsets = Split <axis = 1> (p, parts)  heat = Sigmoid (h)
          xy = Gather <axis = 1> (offsets, swapped)  wh = Gather <axis = 1> (sizes, swapped)
          boxes = Concat <axis = 1> (xy, wh) }"""
    proto = onnx.parser.parse_model(text)
    weight = np.random.default_rng(3).normal(size=(5, 3, 4, 4)).astype(np.float32) / 4
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(proto, tmp_path / "own.onnx")
    said = {"boxes": "boxes[:, 0:4, :, :]", "format": "cxcywh", "scores": "heat[:, 0:1, :, :]", "strides": [4],
            "offset": 0.5, "labels": ["face"]}  # fmt: skip
    (tmp_path / "own.detection.json").write_text(json.dumps(said), encoding="utf-8")
    model = onnxsal.load(tmp_path / "own.onnx")
    assert any(n.startswith("explains 'boxes' and 'heat' (detection); the file also gives") for n in model.notes)
    x = np.random.default_rng(4).normal(size=(3, 32, 32)).astype(np.float32)
    session = onnxruntime().InferenceSession(str(tmp_path / "own.onnx"), providers=["CPUExecutionProvider"])
    heat, sizes, offsets = (found[0] for found in session.run(["heat", "sizes", "offsets"], {"x": x[None]}))
    row, column = np.unravel_index(int(heat.argmax()), (8, 8))
    (dy, dx), (height, width) = offsets[:, row, column], 4 * np.exp(sizes[:, row, column])
    y, x_ = 4 * (row + dy + 0.5), 4 * (column + dx + 0.5)
    found = model.predict(x)[0]
    assert isinstance(found, BoxPrediction)
    assert found.probability == pytest.approx(float(heat.max()), rel=1e-5)
    np.testing.assert_allclose(found.box, (x_ - width / 2, y - height / 2, x_ + width / 2, y + height / 2), rtol=1e-4)


@pytest.mark.parametrize("number", [2, 3])
def test_keypoints_of_torchvisions_names_are_places_in_its_rows(number: int) -> None:
    """Two keypoints in the corners of each box: the slopes of their places are those of its sides."""
    proto = detector("three")
    ends = {2: "keypoints = Identity (corners)", 3: "own_x = Slice (corners, zero_at, one_at, two_at)"
            "  keypoints = Concat <axis = 2> (corners, own_x)"}[number]  # fmt: skip
    made = onnx.parser.parse_graph(f"""more (float[M, 4] boxes) => (float[M, 2, {number}] keypoints) {{
        corners = Reshape (boxes, to_corners)  {ends} }}""")
    proto.graph.node.extend(made.node)
    proto.graph.output.extend(made.output)
    for name, value in {"to_corners": [-1, 2, 2], "zero_at": [0], "one_at": [1], "two_at": [2]}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.int64), name))
    own = onnxsal.load(proto, labels=list(NAMES))
    for each in own.predict(BLOBS):
        np.testing.assert_array_equal(np.ravel(each.keypoints), each.box)
    slopes = [onnxsal.explain(own, BLOBS, method="gradient", target=t) for t in ("#2 keypoint 1 x", "#2 right")]
    np.testing.assert_array_equal(slopes[0].raw, slopes[1].raw)
    assert np.abs(slopes[0].raw).max() > 0
    with pytest.raises(errors.UsageError, match="places alone"):
        onnxsal.explain(own, BLOBS, method="gradient", target="#2 keypoint 1")
