"""What each form of head says of one picture, read in NumPy as the form's own documentation reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from detector_forms import BINS, GRIDS, KEYPOINTS, KINDS, LEAST, OVERLAP, PROTOTYPES, SIZE
from numpy.typing import NDArray

Array = NDArray[np.float64]
Outputs = Mapping[str, NDArray[np.generic]]
Reader = Callable[[Outputs], "Found"]


@dataclass(frozen=True)
class Found:
    """The boxes of a picture, surest first.

    Shapes: boxes [n, 4], left, top, right and bottom in the picture's pixels; labels int64 and scores [n]; extra
    [n, E], what a form says of each box besides.
    """

    boxes: Array
    labels: NDArray[np.int64]
    scores: Array
    extra: Array

    def __len__(self) -> int:
        return len(self.boxes)


def iou(some: Array, others: Array) -> Array:
    """Return intersection over union of boxes, [n, m]."""
    width = np.minimum(some[:, None, 2], others[:, 2]) - np.maximum(some[:, None, 0], others[:, 0])
    height = np.minimum(some[:, None, 3], others[:, 3]) - np.maximum(some[:, None, 1], others[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    area = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (some, others)]
    return np.asarray(shared / np.maximum(area[0][:, None] + area[1] - shared, 1e-12))


def listed(boxes: Array, labels: NDArray[np.generic], scores: Array, extra: Array | None = None) -> Found:
    """Return what a file lists itself: what is above LEAST, surest first."""
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > LEAST]
    more = np.zeros((len(boxes), 0)) if extra is None else extra
    return Found(boxes[order], labels[order].astype(np.int64), scores[order], more[order])


def suppressed(boxes: Array, scores: Array, extra: Array | None = None) -> Found:
    """Return each row's best class, without boxes that a surer one of their class overlaps. Args: scores: [P, K]."""
    rows = listed(boxes, scores.argmax(1), scores.max(1), extra)
    kept: list[int] = []
    over = iou(rows.boxes, rows.boxes) > OVERLAP
    for k in range(len(rows)):
        if not any(over[k, j] and rows.labels[k] == rows.labels[j] for j in kept):
            kept.append(k)
    return Found(rows.boxes[kept], rows.labels[kept], rows.scores[kept], rows.extra[kept])


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: Array) -> Array:
    odds = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def cornered(middle: Array, extent: Array) -> Array:
    """Return corners of boxes that are given by middle and extent, [n, 4]."""
    return np.concatenate([middle - extent / 2, middle + extent / 2], -1)


def _one(outputs: Outputs, name: str) -> Array:
    """Return the first picture's rows of an output."""
    return outputs[name][0].astype(np.float64)


def v8(outputs: Outputs) -> Found:
    """[4 + K + E, P]: middle and extent in pixels, probabilities, and what comes behind them."""
    rows = _one(outputs, "output0").T
    return suppressed(cornered(rows[:, :2], rows[:, 2:4]), rows[:, 4 : 4 + KINDS], rows[:, 4 + KINDS :])


def v5(outputs: Outputs) -> Found:
    rows = _one(outputs, "output0")
    return suppressed(cornered(rows[:, :2], rows[:, 2:4]), rows[:, 4:5] * rows[:, 5:])


def grid() -> tuple[Array, Array]:
    """Return column and row of every position, and its stride, [P, 2] and [P, 1]."""
    cells = [(j, i, s) for s in GRIDS for i in range(SIZE // s) for j in range(SIZE // s)]
    table = np.array(cells, float)
    return table[:, :2], table[:, 2:]


def yolox(outputs: Outputs) -> Found:
    """Return the rows decoded as YOLOX's demo does outside the graph: (xy + grid) stride, exp(wh) stride."""
    rows, (cells, stride) = _one(outputs, "output"), grid()
    boxes = cornered((rows[:, :2] + cells) * stride, np.exp(rows[:, 2:4]) * stride)
    return suppressed(boxes, rows[:, 4:5] * rows[:, 5:])


def end2end(outputs: Outputs) -> Found:
    rows = _one(outputs, "output0")
    return listed(rows[:, :4], rows[:, 5], rows[:, 4])


def loop(outputs: Outputs) -> Found:
    return end2end({"output0": outputs["output"]})


def mmdeploy(outputs: Outputs) -> Found:
    dets = _one(outputs, "dets")
    return listed(dets[:, :4], outputs["labels"][0], dets[:, 4])


def efficient(outputs: Outputs) -> Found:
    count = int(outputs["num_dets"][0, 0])  # type: ignore[call-overload]
    boxes, scores = _one(outputs, "det_boxes")[:count], _one(outputs, "det_scores")[:count]
    return listed(boxes, outputs["det_classes"][0][:count], scores)


def rows6(outputs: Outputs) -> Found:
    """[n, 6] without a batch axis: box, score, class."""
    rows = outputs["output"].astype(np.float64)
    return listed(rows[:, :4], rows[:, 5], rows[:, 4])


def v7(outputs: Outputs) -> Found:
    """[n, 7]: number of the picture, box, class, score."""
    rows = outputs["output"].astype(np.float64)
    rows = rows[rows[:, 0] == 0]
    return listed(rows[:, 1:5], rows[:, 5], rows[:, 6])


def paddle(outputs: Outputs) -> Found:
    """[n, 6]: class, score, box in the photograph; how many rows each picture has."""
    rows = outputs["detected"].astype(np.float64)[: int(outputs["bbox_num"][0])]  # type: ignore[call-overload]
    return listed(rows[:, 2:], rows[:, 0], rows[:, 1])


def torchvision(outputs: Outputs) -> Found:
    """Without a batch axis; class 0 is the background, and is listed nowhere."""
    scores = outputs["scores"].astype(np.float64)
    return listed(outputs["boxes"].astype(np.float64), outputs["labels"] - 1, scores)  # type: ignore[operator]


def tensorflow(outputs: Outputs) -> Found:
    """Top, left, bottom and right in shares; classes begin at 1; ``num_detections`` rows count."""
    count = int(outputs["num_detections"][0])  # type: ignore[call-overload]
    boxes, scores = _one(outputs, "detection_boxes")[:count], _one(outputs, "detection_scores")[:count]
    return listed(boxes[:, [1, 0, 3, 2]] * SIZE, _one(outputs, "detection_classes")[:count] - 1, scores)


def v3(outputs: Outputs) -> Found:
    """All boxes as top, left, bottom, right; scores [B, K, P]; the picked ones by picture, class and number."""
    boxes, scores = _one(outputs, "boxes")[:, [1, 0, 3, 2]], _one(outputs, "scores")
    _, kinds, rows = outputs["indices"].astype(np.int64).T
    return listed(boxes[rows], kinds, scores[kinds, rows])


def _shares(rows: Array) -> Array:
    return cornered(rows[:, :2], rows[:, 2:4]) * SIZE


def detr(outputs: Outputs) -> Found:
    scores = sigmoid(_one(outputs, "logits"))
    return listed(_shares(_one(outputs, "pred_boxes")), scores.argmax(1), scores.max(1))


def detr_softmax(outputs: Outputs) -> Found:
    """The last class is that there is nothing."""
    scores = softmax(_one(outputs, "logits"))[:, :-1]
    return listed(_shares(_one(outputs, "pred_boxes")), scores.argmax(1), scores.max(1))


def rtdetr(outputs: Outputs) -> Found:
    rows = _one(outputs, "output0")
    return listed(_shares(rows), rows[:, 4:].argmax(1), rows[:, 4:].max(1))


def ssd(outputs: Outputs) -> Found:
    """Corners in shares; class 0 is the background."""
    return suppressed(_one(outputs, "boxes") * SIZE, _one(outputs, "scores")[:, 1:])


def v4(outputs: Outputs) -> Found:
    return suppressed(_one(outputs, "boxes")[:, 0] * SIZE, _one(outputs, "confs"))


def levels(outputs: Outputs) -> Found:
    """Per grid, scores and ways to left, top, right and bottom in strides, from the middle of each cell."""
    scores = np.concatenate([_one(outputs, f"score_{s}") for s in GRIDS])
    ways = np.concatenate([_one(outputs, f"bbox_{s}") for s in GRIDS])
    return suppressed(_reached(ways), scores)


def _reached(ways: Array) -> Array:
    cells, stride = grid()
    return np.concatenate([cells + 0.5 - ways[:, :2], cells + 0.5 + ways[:, 2:]], 1) * stride


def raw(outputs: Outputs) -> Found:
    """The convolutions' own maps: a distribution over BINS steps for each way, and logits."""
    rows = np.concatenate([_one(outputs, f"output{k}").reshape(4 * BINS + KINDS, -1).T for k in range(len(GRIDS))])
    ways = softmax(rows[:, : 4 * BINS].reshape(-1, 4, BINS)) @ np.arange(BINS)
    return suppressed(_reached(ways), sigmoid(rows[:, 4 * BINS :]))


def segment(outputs: Outputs) -> Found:
    """``extra`` is the mask of each instance: the prototypes' sum inside its box, above 0, [n, 24 x 24]."""
    found, prototypes = v8(outputs), _one(outputs, "output1").reshape(PROTOTYPES, -1)
    inside = (found.extra @ prototypes > 0).reshape(-1, 24, 24)
    middle = (np.arange(24) + 0.5) * SIZE / 24
    for mask, (left, top, right, bottom) in zip(inside, found.boxes, strict=True):
        mask &= ((middle > top) & (middle < bottom))[:, None] & (middle > left) & (middle < right)
    return Found(found.boxes, found.labels, found.scores, inside.reshape(len(found), 576).astype(float))


def pose(outputs: Outputs) -> Found:
    """``extra`` is x, y and whether it is seen, for each of KEYPOINTS, [n, KEYPOINTS x 3]."""
    found = v8(outputs)
    assert found.extra.shape[1] == 3 * KEYPOINTS
    return found


def rotated(boxes: Array, angles: Array) -> Array:
    """Return the corners of boxes turned round their middles by angles in radians, [n, 4, 2]."""
    middle, reach = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    x, y = np.moveaxis(signs * reach[:, None], -1, 0)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.stack([x * cos - y * sin, x * sin + y * cos], -1) + middle[:, None]
