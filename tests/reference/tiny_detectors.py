"""Detectors of a few hundred weights: a body that finds blobs of one colour, and heads of every form behind it."""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

SIDE, STRIDES = 32, (4, 8)
COUNTS = tuple((SIDE // stride) ** 2 for stride in STRIDES)
TOTAL = sum(COUNTS)
NAMES = ("red", "green", "blue")

BODY = """
    a = Conv <strides = [4, 4], kernel_shape = [4, 4]> (picture, w_fine)
    fine = Relu (a)
    b = Conv <strides = [2, 2], kernel_shape = [2, 2]> (fine, w_coarse)
    coarse = Relu (b)
    box_0 = Conv (fine, w_box)
    box_1 = Conv (coarse, w_box)
    class_0 = Conv (fine, w_class, b_class)
    class_1 = Conv (coarse, w_class, b_class)
"""
"""From the picture to raw boxes and logits of two levels."""

ROWS = """
    raw_box_0 = Reshape (box_0, four_rows)
    raw_box_1 = Reshape (box_1, four_rows)
    raw_class_0 = Reshape (class_0, class_rows)
    raw_class_1 = Reshape (class_1, class_rows)
    box_rows = Concat <axis = 2> (raw_box_0, raw_box_1)
    class_rows_of = Concat <axis = 2> (raw_class_0, raw_class_1)
"""

DECODED = (
    ROWS
    + """
    near, far = Split <axis = 1> (box_rows, pairs)
    first = Sub (middles, near)
    last = Add (middles, far)
    both = Add (first, last)
    centre = Div (both, two)
    extent = Sub (last, first)
    centred = Concat <axis = 1> (centre, extent)
    boxes = Mul (centred, strides)
    p = Sigmoid (class_rows_of)
"""
)
"""Boxes as YOLOv8 decodes them: middle and size in pixels, [N, 4, P], and scores [N, 3, P]."""

V8 = DECODED + "output0 = Concat <axis = 1> (boxes, p)"
SEGMENT = DECODED + "output0 = Concat <axis = 1> (boxes, p, box_rows)"
POSE = DECODED + "output0 = Concat <axis = 1> (boxes, p, centre, visible, first, visible)\n"
YOLOX = (
    BODY
    + """
    any_0 = Conv (fine, w_any)
    any_1 = Conv (coarse, w_any)
    sure_0 = Sigmoid (any_0)
    sure_1 = Sigmoid (any_1)
    p_0 = Sigmoid (class_0)
    p_1 = Sigmoid (class_1)
    all_0 = Concat <axis = 1> (box_0, sure_0, p_0)
    all_1 = Concat <axis = 1> (box_1, sure_1, p_1)
    flat_0 = Reshape (all_0, every_row)
    flat_1 = Reshape (all_1, every_row)
    rows = Concat <axis = 2> (flat_0, flat_1)
    output = Transpose <perm = [0, 2, 1]> (rows)
"""
)
V5 = (
    BODY
    + """
    any_0 = Conv (fine, w_any)
    any_1 = Conv (coarse, w_any)
    all_0 = Concat <axis = 1> (box_0, any_0, class_0)
    all_1 = Concat <axis = 1> (box_1, any_1, class_1)
    turned_0 = Transpose <perm = [0, 2, 3, 1]> (all_0)
    turned_1 = Transpose <perm = [0, 2, 3, 1]> (all_1)
    sure_0 = Sigmoid (turned_0)
    sure_1 = Sigmoid (turned_1)
    xy_0, wh_0, rest_0 = Split <axis = 3> (sure_0, parts)
    xy_1, wh_1, rest_1 = Split <axis = 3> (sure_1, parts)
    double_0 = Mul (xy_0, two)
    double_1 = Mul (xy_1, two)
    moved_0 = Add (double_0, grid_0)
    moved_1 = Add (double_1, grid_1)
    at_0 = Mul (moved_0, stride_0)
    at_1 = Mul (moved_1, stride_1)
    twice_0 = Mul (wh_0, two)
    twice_1 = Mul (wh_1, two)
    square_0 = Pow (twice_0, two)
    square_1 = Pow (twice_1, two)
    size_0 = Mul (square_0, anchor)
    size_1 = Mul (square_1, anchor)
    put_0 = Concat <axis = 3> (at_0, size_0, rest_0)
    put_1 = Concat <axis = 3> (at_1, size_1, rest_1)
    rows_0 = Reshape (put_0, every_last)
    rows_1 = Reshape (put_1, every_last)
    output0 = Concat <axis = 1> (rows_0, rows_1)
"""
)
ROWS_OF = """
    turned_p = Transpose <perm = [0, 2, 1]> (p)
    turned_boxes = Transpose <perm = [0, 2, 1]> (boxes)
"""
NMS = (
    DECODED
    + ROWS_OF
    + """
    picked = NonMaxSuppression <center_point_box = 1> (turned_boxes, p, most, overlap, least)
    output = Gather <axis = 1> (picked, third)
"""
)
END2END = (
    DECODED
    + ROWS_OF
    + """
    best = ReduceMax <keepdims = 0> (turned_p, last_axis)
    ignored, order = TopK <axis = 1> (best, count)
    column = Unsqueeze (order, last_axis)
    fours = Tile (column, four_times)
    threes = Tile (column, three_times)
    top_boxes = GatherElements <axis = 1> (turned_boxes, fours)
    top_scores = GatherElements <axis = 1> (turned_p, threes)
    flat = Flatten (top_scores)
    top, index = TopK <axis = 1> (flat, count)
    kind = Mod (index, three)
    row = Div (index, three)
    row_column = Unsqueeze (row, last_axis)
    row_fours = Tile (row_column, four_times)
    chosen = GatherElements <axis = 1> (top_boxes, row_fours)
    score = Unsqueeze (top, last_axis)
    kind_column = Unsqueeze (kind, last_axis)
    class = Cast <to = 1> (kind_column)
    output0 = Concat <axis = 2> (chosen, score, class)
"""
)
DETR = (
    ROWS
    + """
    sure = Sigmoid (box_rows)
    pred_boxes = Transpose <perm = [0, 2, 1]> (sure)
    said = Transpose <perm = [0, 2, 1]> (class_rows_of)
    scores = Sigmoid (said)
"""
)
SSD = (
    ROWS
    + """
    near, far = Split <axis = 1> (box_rows, pairs)
    moved = Mul (near, tenth)
    centre = Add (moved, priors)
    grown = Exp (far)
    size = Mul (grown, tenth)
    half = Mul (size, a_half)
    first = Sub (centre, half)
    last = Add (centre, half)
    corners = Concat <axis = 1> (first, last)
    boxes = Transpose <perm = [0, 2, 1]> (corners)
    logits = Transpose <perm = [0, 2, 1]> (class_rows_of)
    scores = Softmax <axis = 2> (logits)
"""
)
THREE = (
    DECODED
    + ROWS_OF
    + """
    picked = NonMaxSuppression <center_point_box = 1> (turned_boxes, p, most, overlap, least)
    kind = Gather <axis = 1> (picked, second)
    row = Gather <axis = 1> (picked, third)
    everything = Concat <axis = 1> (first, last)
    corners_of = Mul (everything, strides)
    turned_corners = Transpose <perm = [0, 2, 1]> (corners_of)
    all_boxes = Squeeze (turned_corners, batch)
    boxes_out = Gather <axis = 0> (all_boxes, row)
    scores_out = GatherND (p, picked)
    labels_out = Identity (kind)
"""
)

OUTPUTS = {
    "v8": "float[N, 7, P] output0", "segment": "float[N, 11, P] output0", "pose": "float[N, 13, P] output0",
    "yolox": "float[N, P, 8] output", "v5": "float[N, P, 8] output0", "nms": "int64[M] output",
    "end2end": "float[N, 10, 6] output0", "detr": "float[N, P, 4] pred_boxes, float[N, P, 3] scores",
    "ssd": "float[N, P, 4] boxes, float[N, P, 3] scores",
    "three": "float[M, 4] boxes, float[M] scores, int64[M] labels",
}  # fmt: skip
TEXTS = {
    "v8": BODY + V8, "segment": BODY + SEGMENT, "pose": BODY + POSE, "yolox": YOLOX, "v5": V5, "nms": BODY + NMS,
    "end2end": BODY + END2END, "detr": BODY + DETR, "ssd": BODY + SSD, "three": BODY + THREE,
}  # fmt: skip


def anchors() -> np.ndarray:
    """Return the middles of all cells in strides, [2, P]: x, y."""
    sides = [SIDE // stride for stride in STRIDES]
    return np.concatenate([np.stack(np.meshgrid(*[np.arange(n) + 0.5] * 2)).reshape(2, -1) for n in sides], 1)


def _constants(classes: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    mean = np.ones((4, 4)) / 16
    colours = np.einsum("oc,hw->ochw", np.eye(3) - 0.4 * (1 - np.eye(3)), mean)
    fine = np.concatenate([colours, random.normal(0, 0.1, (3, 3, 4, 4))])
    coarse = np.eye(6)[:, :, None, None] * np.ones((2, 2)) / 4 + random.normal(0, 0.02, (6, 6, 2, 2))
    kinds = np.zeros((classes, 6))
    kinds[:, :classes] = 9 * np.eye(classes)[:, :classes]
    floats = {
        "w_fine": fine, "w_coarse": coarse, "w_box": np.abs(random.normal(0.6, 0.3, (4, 6, 1, 1))),
        "w_class": kinds[:, :, None, None] + random.normal(0, 0.3, (classes, 6, 1, 1)), "b_class": np.full(classes, -4),
        "w_any": np.abs(random.normal(2, 1, (1, 6, 1, 1))), "middles": anchors()[None],
        "strides": np.repeat(STRIDES, COUNTS), "two": np.array(2), "a_half": np.array(0.5), "tenth": np.array(0.1),
        "priors": anchors() * np.repeat(STRIDES, COUNTS)[None] / SIDE, "visible": np.full((1, 1, TOTAL), 0.5),
        "overlap": np.array([0.4]), "least": np.array([0.2]), "anchor": np.array([10, 12]),
        **{f"stride_{at}": np.array(stride) for at, stride in enumerate(STRIDES)},
        **{f"grid_{at}": grid for at, grid in enumerate(_grids())},
    }  # fmt: skip
    whole = {
        "four_rows": [0, 4, -1], "class_rows": [0, classes, -1], "every_row": [0, 5 + classes, -1],
        "every_last": [0, -1, 5 + classes], "pairs": [2, 2], "parts": [2, 2, 1 + classes], "most": [20], "third": 2,
        "second": 1, "count": [10], "last_axis": [2], "four_times": [1, 1, 4], "three_times": [1, 1, 3], "three": 3,
        "batch": [0],
    }  # fmt: skip
    return {
        **{name: np.asarray(value, np.float32) for name, value in floats.items()},
        **{name: np.asarray(value, np.int64) for name, value in whole.items()},
    }


def _grids() -> list[np.ndarray]:
    sides = [SIDE // stride for stride in STRIDES]
    return [np.stack(np.meshgrid(*[np.arange(n) - 0.5] * 2), axis=-1)[None] for n in sides]


def detector(form: str, *, classes: int = 3, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
    """Return the detector with a head of that form; with as many classes where its shape leaves that open."""
    declared = OUTPUTS[form].replace("P", str(TOTAL))
    if classes != 3:
        declared = {"v8": f"float[N, {4 + classes}, {TOTAL}] output0",
                    "segment": f"float[N, {8 + classes}, {TOTAL}] output0",
                    "pose": f"float[N, {10 + classes}, {TOTAL}] output0",
                    "yolox": f"float[N, {TOTAL}, {5 + classes}] output"}[form]  # fmt: skip
    batch = "1" if form in ("nms", "three") else "N"
    head = TEXTS[form]
    for name in ("boxes", "scores", "labels") if form == "three" else ():
        head = head.replace(f"{name}_out", f"out_{name}")
    if form == "three":
        head = head.replace("    boxes =", "    own_boxes =").replace("(boxes)", "(own_boxes)").replace("out_", "")
    return _parsed(head, declared.replace("N", batch), batch, classes, metadata)


def with_head(text: str, outputs: str = "int64[M] output") -> onnx.ModelProto:
    """Return the detector of one picture with other nodes behind ``turned_boxes`` [1, P, 4] and ``p`` [1, 3, P]."""
    return _parsed(BODY + DECODED + ROWS_OF + text, outputs, "1", 3, None)


def _parsed(
    head: str, declared: str, batch: str, classes: int, metadata: dict[str, str] | None
) -> onnx.ModelProto:  # fmt: skip
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
        detector (float[{batch}, 3, {SIDE}, {SIDE}] picture) => ({declared}) {{ {head} }}"""
    model = parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in _constants(classes).items())
    used = {name for node in _all_nodes(model.graph) for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    preprocess = {"onnxsal.preprocess": json.dumps({"preset": "unit", "fit": "pad"})}
    helper.set_model_props(model, {**preprocess, **({} if metadata is None else metadata)})
    return model


def _all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    bodies = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return [*graph.node, *(node for body in bodies for node in _all_nodes(body))]


def picture(*blobs: tuple[int, int, int], side: int = SIDE) -> np.ndarray:
    """Return a black picture, float32 [1, 3, side, side], with blobs of 8 x 8 pixels: channel, left, top."""
    made = np.zeros((1, 3, side, side), np.float32)
    for channel, left, top in blobs:
        made[0, channel, top : top + 8, left : left + 8] = 1
    return made
