"""Which candidates a graph has, and what proves it: a shape alone is no proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.detection.beside import Keypoints
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.decoding import are_turned, form_of, is_decoded, unit_of
from onnxsal.tasks.detection.in_front import InFront, classes_in_front, in_front, rest_in_front
from onnxsal.tasks.detection.made import is_normalised, last_axis, made_of, title_of
from onnxsal.tasks.detection.part import PASTED
from onnxsal.tasks.detection.pieces import Piece, activates, logits_behind, pieces_of
from onnxsal.tasks.detection.rows import Places, Rows, count_of, whole
from onnxsal.tasks.detection.suppression import of_suppression

_BOX, _PICKED = 4, 6
"""Numbers of a box; of a candidate that was picked, with its score and its class."""
_NAMED = {
    "torchvision": ("boxes", "scores", "labels"),
    "TensorFlow": ("detection_boxes", "detection_scores", "detection_classes"),
    "TensorRT": ("det_boxes", "det_scores", "det_classes"),
}
"""How outputs of boxes, of their scores and of their classes are called, and by whom."""


def proven(graph: ir.Graph) -> Candidates | None:
    """Return the candidates that parts of a graph prove, None where they prove none."""
    for find in _FORMS:
        found = find(graph)
        if found is not None:
            return found
    return None


def logits_at(value: ir.Value, axis: int, channels: tuple[int, int]) -> Rows | None:
    """Return what stands in front of the Sigmoid that makes these channels of a value; None where none makes them."""
    at = 0
    for piece in pieces_of(value, axis):
        if (at, at + piece.channels) == channels:
            return piece.operands if piece.made_by == "Sigmoid" else None
        at += piece.channels
    return None


def _of_one_output(graph: ir.Graph) -> Candidates | None:
    """An output of boxes and scores side by side."""
    for output in graph.outputs:
        shape = dims(output)
        if shape is None or len(shape) != 3 or not is_float(output):
            continue
        for axis in (1, 2):
            if isinstance(shape[axis], int) and (found := _side_by_side(output, axis)) is not None:
                return found
    return None


def _side_by_side(output: ir.Value, axis: int) -> Candidates | None:
    found = pieces_of(output, axis)
    if len(found) < 2:
        return None
    boxes, rest = _leading(found)
    if not boxes:
        return None
    picked = _picked(output, boxes, rest)
    return picked if picked is not None else _scored(output, axis, boxes, rest)


def _leading(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Return the pieces of the first four channels and the others; none where no four begin them."""
    at = 0
    for i, piece in enumerate(pieces):
        at += piece.channels
        if at == _BOX:
            return list(pieces[: i + 1]), list(pieces[i + 1 :])
        if at > _BOX:
            break
    return [], []


def _scored(output: ir.Value, axis: int, boxes: list[Piece], rest: list[Piece]) -> Candidates | None:
    """Boxes with a Sigmoid's scores behind them, and what else there may be behind these."""
    if not rest or rest[0].made_by != "Sigmoid":
        return None
    values = [v for piece in boxes for v in piece.values]
    normalised = is_normalised(boxes)
    if not normalised and not is_decoded(values):
        return None
    # Boxes that are turned are middle and size: of corners there would be four.
    form = "cxcywh" if len(rest) > 1 and are_turned(boxes, rest[-1]) else _form(boxes)
    scores = _classes(rest)
    if form is None or scores is None:
        return None
    objectness, classes = scores
    own = Rows((str(output.name),), axis, 0, _BOX)
    return Candidates(
        (str(output.name),), boxes[0].rows if len(boxes) == 1 else own, form,
        "shares" if normalised else unit_of(values), probabilities=classes.rows, logits=classes.operands,
        objectness=None if objectness is None else objectness.rows, suppress=not normalised,
        in_doubt=objectness is None and not normalised and classes.channels > 1,
        count=count_of(output, axis), rest=_behind(own, output, _BOX + (objectness is not None) + classes.channels),
        proof=_proof(boxes, classes),
    )  # fmt: skip


def _behind(rows: Rows, output: ir.Value, start: int) -> Rows | None:
    """Return the channels of an output from one on; None where there are none."""
    stop = (dims(output) or ())[rows.axis or 0]
    return Rows(rows.values, rows.axis, start, stop) if isinstance(stop, int) and start < stop else None


def _proof(boxes: Sequence[Piece], classes: Piece) -> str:
    names = ", ".join(dict.fromkeys(repr(str(v.name)) for p in boxes for v in p.values[:1]))
    return f"decoded boxes {names} beside the scores of {title_of(classes.values[0])}"


def _classes(rest: Sequence[Piece]) -> tuple[Piece | None, Piece] | None:
    """Return the objectness, where there is one, and the scores of the classes."""
    first = rest[0]
    inside = first.start == _BOX and not first.is_whole()  # one Sigmoid over boxes, objectness and classes: YOLOv5
    if inside and first.channels > 1:
        return _cut(first, 0, 1), _cut(first, 1, first.channels)
    if first.channels == 1 and len(rest) > 1 and rest[1].made_by == "Sigmoid":
        return first, rest[1]
    return None if inside else (None, first)


def _cut(piece: Piece, start: int, stop: int) -> Piece:
    return Piece(piece.values, piece.axis, piece.start + start, piece.start + stop)


def _form(boxes: Sequence[Piece]) -> str | None:
    return "cxcywh" if is_normalised(boxes) else form_of(boxes)


def _picked(output: ir.Value, boxes: list[Piece], rest: list[Piece]) -> Candidates | None:
    """Boxes, one score and the number of a class: what top-k or NonMaxSuppression picked, read in front of it."""
    if len(rest) < 2 or [p.channels for p in rest[:2]] != [1, 1]:
        return None
    whole_numbers = [_is_counted(piece) for piece in rest[:2]]
    if whole_numbers.count(True) != 1:
        return None
    score, label = (rest[1], rest[0]) if whole_numbers[0] else (rest[0], rest[1])
    names = (str(output.name),)
    read = in_front(boxes, score)
    if read is not None:
        more = rest_in_front(rest[2:], count_of(read.boxes, 2))
        found = _with_classes(_before(names, read, more, title_of(score.values[0])), label)
        return found if found is None or more is None else replace(found, rest=whole(more, 2))
    values = [v for piece in boxes for v in piece.values]
    if len(boxes) > 1:
        return None
    form = _form(boxes)
    if form is None:  # picked by what is not looked through: nothing tells what its four numbers are
        return None
    return Candidates(
        names, boxes[0].rows, form, unit_of(values), probabilities=score.rows, labels=label.rows,
        suppress=False, count=count_of(output, boxes[0].axis),
        rest=_behind(Rows(names, boxes[0].axis, 0, _BOX), output, _PICKED),
        proof=f"{title_of(label.values[0])} makes numbers of classes beside boxes and a score",
    )  # fmt: skip


def _with_classes(found: Candidates | None, label: Piece) -> Candidates | None:
    """Return candidates that have one score each with their classes, where these were gathered beside it."""
    if found is None or found.classes > 1:
        return found
    classes = classes_in_front(label, found.count)
    if classes is None:
        return found
    return replace(found, labels=whole(classes, 2 if len(dims(classes) or ()) == 3 else None))


def _before(names: tuple[str, ...], read: InFront, more: ir.Value | None, by: str) -> Candidates | None:
    boxes, scores = read.boxes, read.scores
    found = pieces_of(boxes, 2)
    turned = more is not None and are_turned(found, pieces_of(more, 2)[-1])
    form = "cxcywh" if turned else _form(found)
    if form is None:
        return None
    logits = logits_behind(scores, 2)
    return Candidates(
        names, whole(boxes, 2), form, unit_of([v for p in found for v in p.values]), probabilities=whole(scores, 2),
        logits=logits, suppress=False, count=count_of(boxes, 2), proof=f"the boxes and scores in front of {by}",
    )  # fmt: skip


def _is_counted(piece: Piece) -> bool:
    """Whether a column holds whole numbers, cast: of classes, by their indices."""
    node = piece.values[0].producer()
    source = None if node is None or node.op_type != "Cast" else node.inputs[0]
    return source is not None and source.dtype is not None and not is_float(source)


def _of_pair(graph: ir.Graph) -> Candidates | None:
    """An output of boxes and one of scores, [B, N, 4] and [B, N, K] or [B, K, N]."""
    floats = [v for v in graph.outputs if is_float(v) and len(dims(v) or ()) in (3, 4)]
    for boxes in floats:
        if (dims(boxes) or ())[-1] != _BOX:
            continue
        for scores in floats:
            if (
                scores is not boxes
                and len(dims(scores) or ()) == 3
                and (axis := _axis_of(boxes, scores)) is not None
                and (found := _paired(boxes, scores, axis)) is not None
            ):
                return found
    return None


def _alike(boxes: ir.Value, scores: ir.Value) -> bool:
    count = count_of(boxes, last_axis(boxes))
    return count is not None and count == count_of(scores, 2)


def _axis_of(boxes: ir.Value, scores: ir.Value) -> int | None:
    """Return the axis of the classes of as many scores as there are boxes: the last, else the second; None of none."""
    if _alike(boxes, scores):
        return 2
    count = count_of(boxes, last_axis(boxes))
    return 1 if count is not None and count == count_of(scores, 1) else None


def logits_pair(graph: ir.Graph, activation: str, why: str, *, once: bool = False) -> Candidates | None:
    """Return the pair of boxes, decoded or of a Sigmoid, and of logits, as the kin of DETR put them out.

    Args: activation: what makes probabilities of the logits, which no operator of the file does: with ``softmax`` one
    is that of no object, the last of queries. why: who says so. once: whether boxes have to be those of queries.
    """
    floats = [v for v in graph.outputs if is_float(v) and len(dims(v) or ()) == 3]
    pairs = [(a, b) for a in floats for b in floats if a is not b and (dims(a) or ())[2] == _BOX and _alike(a, b)]
    for boxes, scores in pairs:
        made, classes = made_of(boxes), (dims(scores) or ())[2]
        if made is None or not isinstance(classes, int) or (once and not made.once):
            continue
        return Candidates(
            (str(scores.name), str(boxes.name)), whole(boxes, 2), made.form, made.unit, logits=whole(scores, 2),
            activation=activation, background=made.background(classes) if activation == "softmax" else None,
            suppress=not made.once, count=count_of(boxes, 2),
            proof=f"as many logits {scores.name!r} as boxes of {made.title}; {activation} {why}",
        )  # fmt: skip
    return None


def _paired(boxes: ir.Value, scores: ir.Value, axis: int) -> Candidates | None:
    made, shares = made_of(boxes), pieces_of(scores, axis)
    if made is None or len(shares) != 1 or not activates(shares[0]):
        return None
    exclusive = shares[0].made_by == "Softmax"
    return Candidates(
        (str(scores.name), str(boxes.name)), whole(boxes, last_axis(boxes)), made.form, made.unit,
        probabilities=whole(scores, axis), logits=shares[0].operands,
        background=made.background(shares[0].channels) if exclusive else None,
        suppress=not made.once, count=count_of(scores, axis),
        proof=f"as many boxes {boxes.name!r} as scores of {title_of(shares[0].values[0])}",
    )  # fmt: skip


def _of_three(graph: ir.Graph) -> Candidates | None:
    """What detectors that pick for themselves put out: boxes, scores and numbers of classes, by their names."""
    outputs = {str(v.name): v for v in graph.outputs}
    by = next((by for by, names in _NAMED.items() if outputs.keys() >= set(names)), None)
    if by is None:
        return None
    boxes, scores, labels = (outputs[name] for name in _NAMED[by])
    shape = dims(boxes)
    batched = shape is not None and len(shape) == 3
    ranks = [len(dims(v) or ()) for v in (boxes, scores, labels)]
    if shape is None or shape[-1] != _BOX or ranks != ([3, 2, 2] if batched else [2, 1, 1]) or not is_float(scores):
        return None
    of_tensorflow = by == "TensorFlow"
    beside = [] if of_tensorflow else [v for v in map(outputs.get, (PASTED, "keypoints")) if v is not None]
    return Candidates(
        tuple(str(v.name) for v in (boxes, scores, labels, *beside)), whole(boxes, len(shape) - 1, batched=batched),
        "tlbr" if of_tensorflow else "ltrb", "shares" if of_tensorflow else "pixels",
        probabilities=whole(scores, None, batched=batched), labels=whole(labels, None, batched=batched),
        suppress=False, count=count_of(boxes, len(shape) - 1, batched=batched),
        keypoints=None if of_tensorflow else _places(outputs.get("keypoints"), batched=batched),
        proof=f"the outputs {boxes.name!r}, {scores.name!r}, {labels.name!r}, as {by} names them",
    )  # fmt: skip


def _places(value: ir.Value | None, *, batched: bool) -> Keypoints | None:
    """Return torchvision's ``keypoints``, [N, K, 3]; its third number is 1 of every point and says nothing."""
    shape = () if value is None else dims(value) or ()
    if value is None or not is_float(value) or len(shape) != 3 + batched:
        return None
    if not isinstance(shape[-2], int) or shape[-1] not in (2, 3):
        return None
    return Keypoints(Places((str(value.name),), None, 0, 2 * shape[-2], batched), 2)


def _of_two(graph: ir.Graph) -> Candidates | None:
    """MMDeploy's and MMDetection's ``dets``, [B, M, 5] or [M, 5], boxes and a score, and ``labels``."""
    outputs = {str(v.name): v for v in graph.outputs}
    if not outputs.keys() >= {"dets", "labels"}:
        return None
    dets, labels = outputs["dets"], outputs["labels"]
    shape, batched = dims(dets), len(dims(dets) or ()) == 3
    if shape is None or shape[-1] != _BOX + 1 or len(dims(labels) or ()) != len(shape) - 1 or is_float(labels):
        return None
    rows = whole(dets, len(shape) - 1, batched=batched)
    return Candidates(
        ("dets", "labels"), rows.part(0, _BOX), "ltrb", "pixels", probabilities=rows.part(_BOX, _BOX + 1),
        labels=whole(labels, None, batched=batched), suppress=False,
        count=count_of(dets, len(shape) - 1, batched=batched),
        proof="the outputs 'dets' and 'labels', as MMDeploy names them",
    )  # fmt: skip


_FORMS: tuple[Callable[[ir.Graph], Candidates | None], ...] = (
    _of_three, _of_two, of_suppression, _of_one_output, _of_pair,
)  # fmt: skip
